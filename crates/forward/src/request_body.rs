//! The body of a call on its way to a backend. What was sent is remembered as long as it is little, so
//! that a call which its backend never began can be made again elsewhere.

use std::{
    future::{Future as _, poll_fn},
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::SendStream;
use http_body::Body as _;
use runnel_limits::{
    concurrency::{ConcurrencyLimit, Permit},
    network,
    quota::Holding,
};
use runnel_rpc::try_again_later;
use tokio::time::{Sleep, sleep};
use tonic::{Status, body::Body};

use super::windows::{CountedRequest, Windows};

/// How much of a body is remembered, if there is room for it. The bytes are shared with what is sent, never
/// copied.
const REPLAY_LIMIT_BYTES: usize = 64 * 1024;

/// So much of a body is sent without asking whether it may fill that much of the backend's window: most
/// bodies are shorter.
const SHORT_REQUEST_BYTES: usize = 16 * 1024;

/// How much h2 is given of a body at once, in bytes: no more than the stream's window has left for a request
/// that may be sent on (see [`CountedRequest::poll_room`]), or the rest would wait in h2, and count, for as
/// long as the backend does not read. Also the largest frame that every server takes.
const PIECE_BYTES: usize = 16 * 1024;

/// A request of no more bytes than this need not be counted: most are no longer.
const LITTLE_BYTES: usize = 1024;

/// How long a backend may leave a request unread before it counts as one that is not read at all.
const UNREAD_PAUSE: Duration = Duration::from_secs(2);

/// A body that can be read again from its beginning, as long as it has not grown too long for that.
pub(super) struct RequestBody {
    inner: Body,
    /// What has come, from the beginning; None when it was too much.
    seen: Option<Vec<Bytes>>,
    seen_bytes: usize,
    /// How many of those were read since the last rewinding.
    read: usize,
    /// Counts them; None for probes, which are short.
    holding: Option<Holding>,
}

impl RequestBody {
    /// The bytes that are remembered are held in `holding`.
    pub(super) fn new(inner: Body, holding: Option<Holding>) -> Self {
        Self { inner, seen: Some(Vec::new()), seen_bytes: 0, read: 0, holding }
    }

    /// Begins again from the beginning; false if that cannot be done any more.
    pub(super) fn rewind(&mut self) -> bool {
        self.read = 0;
        self.seen.is_some()
    }

    /// Remembers nothing any more.
    pub(super) fn forget(&mut self) {
        if self.read == self.seen.as_ref().map_or(0, Vec::len) {
            self.remember_nothing();
        }
    }

    fn remember_nothing(&mut self) {
        (self.seen, self.read, self.holding) = (None, 0, None);
    }

    /// The next piece, if it is there already: then it goes out in one write with the head.
    pub(super) async fn piece_that_is_there(&mut self) -> Result<Option<Bytes>, Status> {
        let piece = poll_fn(|cx| Poll::Ready(self.poll_piece(cx))).await;
        match piece {
            Poll::Ready(piece) => piece.transpose(),
            Poll::Pending => Ok(None),
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.read == self.seen.as_ref().map_or(0, Vec::len) && self.inner.is_end_stream()
    }

    /// The next piece, which is never empty.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        if let Some(piece) = self.seen.as_ref().and_then(|seen| seen.get(self.read)) {
            self.read += 1;
            return Poll::Ready(Some(Ok(piece.clone())));
        }
        loop {
            let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
            // A request of gRPC has no trailers.
            match frame.map(|frame| frame.map(http_body::Frame::into_data)) {
                Some(Ok(Ok(piece))) if !piece.is_empty() => {
                    self.remember(&piece);
                    return Poll::Ready(Some(Ok(piece)));
                }
                Some(Ok(_)) => {}
                Some(Err(fault)) => return Poll::Ready(Some(Err(fault))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn remember(&mut self, piece: &Bytes) {
        let Some(seen) = &mut self.seen else {
            return;
        };
        self.seen_bytes += piece.len();
        let holding = self.holding.as_mut();
        let has_room = self.seen_bytes <= REPLAY_LIMIT_BYTES
            && holding.is_none_or(|holding| holding.try_hold(self.seen_bytes).is_ok());
        if has_room {
            seen.push(piece.clone());
            self.read += 1;
        } else {
            self.remember_nothing();
        }
    }
}

/// Sends a body on a stream, as fast as the backend takes it.
pub(super) struct Sending {
    body: RequestBody,
    /// Read, and to be sent before the rest.
    next: Option<Bytes>,
    stream: SendStream<Bytes>,
    sent_bytes: usize,
    /// None for all of a body that is little.
    counted: Option<Arc<CountedRequest>>,
    /// While the backend does not read it.
    unread: Option<Unread>,
    /// Bounds how many such requests there are; and the client that they are counted for.
    unread_limit: (Arc<ConcurrencyLimit>, Option<IpAddr>),
}

/// How long the backend has read nothing.
enum Unread {
    /// Not long.
    Waiting(Pin<Box<Sleep>>),
    Counted(#[expect(dead_code, reason = "it is given back when the backend reads")] Permit),
}

impl Unread {
    /// Is never Ready but with an Err: there are too many.
    fn poll(
        &mut self,
        (limit, client): &(Arc<ConcurrencyLimit>, Option<IpAddr>),
        cx: &mut Context<'_>,
    ) -> Poll<Status> {
        if let Self::Waiting(pause) = self {
            ready!(pause.as_mut().poll(cx));
            match limit.try_acquire(*client) {
                Ok(permit) => *self = Self::Counted(permit),
                Err(full) => return Poll::Ready(try_again_later(&full)),
            }
        }
        Poll::Pending
    }
}

impl Sending {
    /// Sends `first` and the rest of `body`.
    pub(super) fn new(
        first: Option<Bytes>,
        body: RequestBody,
        stream: SendStream<Bytes>,
        windows: &Arc<Windows>,
        unread_limit: (Arc<ConcurrencyLimit>, Option<IpAddr>),
    ) -> Self {
        let is_little = first.as_ref().is_none_or(|first| first.len() <= LITTLE_BYTES);
        let counted = (!is_little || !body.is_end_stream()).then(|| {
            Arc::new(windows.count(stream.stream_id().as_u32(), unread_limit.1.map(network)))
        });
        Self { body, next: first, stream, sent_bytes: 0, counted, unread: None, unread_limit }
    }

    /// The count of its bytes, to be kept until the call is over.
    pub(super) fn counted(&self) -> Option<Arc<CountedRequest>> {
        self.counted.clone()
    }

    /// Waits until the window that all share has a part for this request; an Err ends it.
    fn poll_window(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        let Some(counted) = &self.counted else {
            return Poll::Ready(Ok(()));
        };
        let is_long = self.sent_bytes >= SHORT_REQUEST_BYTES;
        if counted.poll_room(is_long, cx).is_ready() {
            self.unread = None;
            return Poll::Ready(Ok(()));
        }
        let waiting = || Unread::Waiting(Box::pin(sleep(UNREAD_PAUSE)));
        self.unread.get_or_insert_with(waiting).poll(&self.unread_limit, cx).map(Err)
    }

    /// The request is the client's no more: the backend need not wait for the rest.
    fn cancel(&mut self, why: Status) -> Poll<Result<(), Status>> {
        self.stream.send_reset(h2::Reason::CANCEL);
        Poll::Ready(Err(why))
    }

    /// Ready when everything is sent, or the backend wants no more: its response then says why. An Err is
    /// the client's fault.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        loop {
            self.stream.reserve_capacity(1);
            while self.stream.capacity() == 0 {
                match ready!(self.stream.poll_capacity(cx)) {
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Poll::Ready(Ok(())),
                }
            }
            if self.stream.poll_reset(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            if let Err(status) = ready!(self.poll_window(cx)) {
                return self.cancel(status);
            }
            let piece = match self.next.take() {
                Some(piece) => Some(Ok(piece)),
                None => ready!(self.body.poll_piece(cx)),
            };
            let (piece, is_last) = match piece {
                Some(Ok(mut piece)) if piece.len() > PIECE_BYTES => {
                    self.next = Some(piece.split_off(PIECE_BYTES));
                    (piece, false)
                }
                Some(Ok(piece)) => (piece, self.body.is_end_stream()),
                Some(Err(fault)) => return self.cancel(fault),
                None => (Bytes::new(), true),
            };
            self.sent_bytes = self.sent_bytes.saturating_add(piece.len());
            if let Some(counted) = &self.counted {
                counted.queue(piece.len());
            }
            // An Err says that the stream is over, which its response tells better.
            if self.stream.send_data(piece, is_last).is_err() || is_last {
                return Poll::Ready(Ok(()));
            }
        }
    }

    pub(super) fn body_mut(&mut self) -> &mut RequestBody {
        &mut self.body
    }

    pub(super) fn into_body(self) -> RequestBody {
        self.body
    }
}
