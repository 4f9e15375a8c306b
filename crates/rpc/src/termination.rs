//! A call that something ends before it is over: its deadline ([`super::deadline`]), or the server's
//! shutdown ([`super::drain`]). The handler or its stream is dropped, and the call ends with a status:
//! in the head if nothing was sent yet, else in the trailers.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::{Status, body::Body};

use super::refusal::trailers_of;

/// What ends a call.
pub(super) trait End: Unpin {
    /// Whether it has come. Asked before each frame, so it must cost next to nothing.
    fn has_come(&self) -> bool;

    /// Waits until it comes. Asked only while the call itself has nothing to give.
    fn poll_come(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// What the client is told.
    fn status(&self) -> Status;
}

pin_project! {
    /// The response of a call that may be ended.
    #[derive(Debug)]
    pub(super) struct TerminationFuture<F, E> {
        // None once the end has come: the handler is dropped then, not when hyper is done.
        #[pin]
        inner: Option<F>,
        // None if nothing ends it.
        end: Option<E>,
        // What ends it as long as its head is not out, in the place of `end`.
        until_head: Option<E>,
        head_only: bool,
    }
}

impl<F, E> TerminationFuture<F, E> {
    /// Ends the response, its stream included.
    pub(super) fn new(inner: F, end: Option<E>) -> Self {
        Self { inner: Some(inner), end, until_head: None, head_only: false }
    }

    /// Ends the response, which must begin before `until_head`.
    pub(super) fn with_head_in_time(inner: F, end: Option<E>, until_head: Option<E>) -> Self {
        Self { until_head, ..Self::new(inner, end) }
    }

    /// Ends the response as long as its head is not out.
    pub(super) fn head_only(inner: F, end: Option<E>) -> Self {
        Self { head_only: true, ..Self::new(inner, end) }
    }
}

impl<F, E, X> Future for TerminationFuture<F, E>
where
    F: Future<Output = Result<Response<Body>, X>>,
    E: End + Send + 'static,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(inner) = this.inner.as_mut().as_pin_mut()
            && let Poll::Ready(response) = inner.poll(cx)
        {
            let response = response?;
            return Poll::Ready(Ok(match this.end.take() {
                Some(end) if !*this.head_only => {
                    response.map(|inner| Body::new(TerminatedBody { inner: Some(inner), end }))
                }
                _ => response,
            }));
        }
        let Some(end) = this.until_head.as_mut().or(this.end.as_mut()) else {
            return Poll::Pending;
        };
        ready!(end.poll_come(cx));
        this.inner.set(None);
        Poll::Ready(Ok(end.status().into_http()))
    }
}

struct TerminatedBody<E> {
    /// None once the call has ended; the producer is gone then.
    inner: Option<Body>,
    end: E,
}

impl<E: End> http_body::Body for TerminatedBody<E> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Self { inner, end } = &mut *self;
        let Some(body) = inner else {
            return Poll::Ready(None);
        };
        // The end comes first: a stream that always has a next item would outlive it.
        if !end.has_come() {
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                    return Poll::Ready(Some(Ok(frame)));
                }
                Poll::Ready(last) => {
                    *inner = None;
                    return Poll::Ready(last);
                }
                Poll::Pending => ready!(end.poll_come(cx)),
            }
        }
        *inner = None;
        Poll::Ready(Some(trailers_of(&end.status())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        // What the inner body promises may be cut short.
        let mut hint = SizeHint::default();
        if let Some(upper) = self.inner.as_ref().and_then(|inner| inner.size_hint().upper()) {
            hint.set_upper(upper);
        }
        hint
    }
}
