//! The one message of a request must come within a time, or the client who sends it byte by byte
//! ("slowloris") holds a place for ever. A unary call is held to its deadline anyway; a call whose response
//! is a stream may have none, and begins when its message is whole.
//!
//! Once the message has come, nothing else can: a client that then says nothing, not even that its request
//! is over, is not late. When the time has passed, its request counts as over.

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

use super::{call_context, envelope::EnvelopeWalk};

/// Holds the request of a method with one message in and a stream out to `timeout`.
pub(super) fn in_time(request: Request<Body>, timeout: Option<Duration>) -> Request<Body> {
    let kind = call_context::kind(request.extensions());
    let Some(timeout) = timeout else { return request };
    if kind.is_some_and(|kind| !kind.client_streaming && kind.server_streaming) {
        // What is wrong with a message, others say.
        let walk = EnvelopeWalk::new(usize::MAX, false);
        request
            .map(|inner| Body::new(TimedBody { inner, timeout, timer: None, walk, is_over: false }))
    } else {
        request
    }
}

struct TimedBody {
    inner: Body,
    timeout: Duration,
    /// Made when first waited for: most requests come in one piece.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the message has come.
    walk: EnvelopeWalk,
    is_over: bool,
}

impl http_body::Body for TimedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Self { inner, timeout, timer, walk, is_over } = &mut *self;
        if *is_over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(inner).poll_frame(cx) {
            if let Some(Ok(frame)) = &frame
                && let Some(data) = frame.data_ref()
            {
                // Without a limit and a number nothing is wrong.
                let _ = walk.walk(data);
            }
            return Poll::Ready(frame);
        }
        ready!(timer.get_or_insert_with(|| Box::pin(sleep(*timeout))).as_mut().poll(cx));
        *is_over = true;
        if walk.messages() > 0 && walk.is_between_messages() {
            return Poll::Ready(None);
        }
        let late = format!("the request's message did not come within {timeout:?}");
        Poll::Ready(Some(Err(Status::deadline_exceeded(late))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
