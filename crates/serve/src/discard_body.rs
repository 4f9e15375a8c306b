//! What becomes of a request's body that the service does not read to its end.
//!
//! A request can be answered before its body has come: a message too large, a method that is not there, a
//! page that takes no POST. Over HTTP/1.1 hyper then closes the connection under a client that still
//! writes, and the client sees a broken pipe where the response should be. Over HTTP/2 the stream is reset
//! behind the response, as RFC 9113 section 8.1 has it, and some clients (curl 7.88 is one) throw away a
//! response that a reset follows closely. So the rest is read and discarded, within limits.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use runnel_wire::DEFAULT_MESSAGE_LIMIT_BYTES;
use tokio::{runtime::Handle, time::timeout};

/// Twice the largest message of gRPC: a well-meaning client that sent one message has then sent all of it.
const DISCARD_LIMIT_BYTES: usize = 2 * DEFAULT_MESSAGE_LIMIT_BYTES;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// A request's body. If it is dropped before its end, the rest is read and discarded in the background.
#[derive(Debug)]
pub(crate) struct RequestBody {
    /// None once it has ended.
    inner: Option<Incoming>,
}

impl RequestBody {
    pub(crate) const fn new(inner: Incoming) -> Self {
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
            runtime.spawn(timeout(DISCARD_TIMEOUT, discard(rest)));
        }
    }
}

async fn discard(mut body: Incoming) {
    let mut discarded_bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded_bytes += frame.data_ref().map_or(0, Bytes::len);
        if discarded_bytes > DISCARD_LIMIT_BYTES {
            return;
        }
    }
}
