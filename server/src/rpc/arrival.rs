//! The one message of a request must come within a time, or the client who sends it byte by byte
//! ("slowloris") holds a place for ever. A unary call is held to its deadline anyway; a call whose answer
//! is a stream may have none, and begins when its message is whole.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::{Status, body::Body};

use super::methods::MethodKind;

/// Holds the request of a method with one message in and a stream out to `timeout`.
pub(super) fn in_time(request: Request<Body>, timeout: Duration) -> Request<Body> {
    let kind = request.extensions().get::<MethodKind>();
    if kind.is_some_and(|kind| !kind.client_streaming && kind.server_streaming) {
        request.map(|inner| Body::new(TimedBody { inner, timeout, timer: None }))
    } else {
        request
    }
}

struct TimedBody {
    inner: Body,
    timeout: Duration,
    /// Made when first waited for: most requests come in one piece.
    timer: Option<Pin<Box<Sleep>>>,
}

impl http_body::Body for TimedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Self { inner, timeout, timer } = &mut *self;
        if let Poll::Ready(frame) = Pin::new(inner).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        ready!(timer.get_or_insert_with(|| Box::pin(sleep(*timeout))).as_mut().poll(cx));
        let late = format!("the request's message did not come within {timeout:?}");
        Poll::Ready(Some(Err(Status::deadline_exceeded(late))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
