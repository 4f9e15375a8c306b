//! What becomes of a request's body that nobody reads to its end.
//!
//! A request can be answered before its body has come: a message too large, a method that is not there, a
//! page that takes no POST. Over HTTP/1.1 hyper then closes the connection under a client that still
//! writes, and the client sees a broken pipe where the answer should be. Over HTTP/2 the stream is reset
//! behind the answer, as RFC 9113 section 8.1 has it, and some clients (curl 7.88 is one) throw away an
//! answer that a reset follows closely. So the rest is read and thrown away, within bounds.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{runtime::Handle, time::timeout};

use runnel_rpc::MESSAGE_LIMIT_BYTES;

/// Twice the largest message: a client of good will that sent one message has then sent it all.
const UNREAD_LIMIT_BYTES: usize = 2 * MESSAGE_LIMIT_BYTES;
const UNREAD_LIMIT: Duration = Duration::from_secs(2);

/// A request's body, which is read to its end in the background when it is dropped before it.
#[derive(Debug)]
pub(super) struct RequestBody {
    /// None once it has ended.
    inner: Option<Incoming>,
}

impl RequestBody {
    pub(super) const fn new(inner: Incoming) -> Self {
        Self { inner: Some(inner) }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(inner).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.inner = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let rest = self.inner.take().filter(|rest| !rest.is_end_stream());
        // Without a runtime there is no connection to keep.
        if let (Some(rest), Ok(runtime)) = (rest, Handle::try_current()) {
            runtime.spawn(timeout(UNREAD_LIMIT, read_to_end(rest)));
        }
    }
}

async fn read_to_end(mut body: Incoming) {
    let mut unread_bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        unread_bytes += frame.data_ref().map_or(0, Bytes::len);
        if unread_bytes > UNREAD_LIMIT_BYTES {
            return;
        }
    }
}
