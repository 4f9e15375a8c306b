//! Watches each call from its head to the end of its response, once, and tells an [`Observer`]. A call whose
//! client went away ends as CANCELLED, because its response is dropped.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use super::{
    call_context,
    observer::{CallEnd, CallHead, ObservedCall, Observer},
    refusal::RefusedBy,
    tally::{Received, SentMessages, Tally},
    trace_parent::TraceTrust,
};

/// Watches each call.
#[derive(Clone, Debug)]
pub(super) struct ObserveLayer<O> {
    observer: O,
    trace_trust: TraceTrust,
}

impl<O: Observer> ObserveLayer<O> {
    /// Tells `observer` of calls, and of the trace that `trace_trust` has for them.
    pub(super) const fn new(observer: O, trace_trust: TraceTrust) -> Self {
        Self { observer, trace_trust }
    }

    fn begin<B>(&self, request: &Request<B>) -> OpenCall<O::Call> {
        let mut head = CallHead::of(request, &self.trace_trust);
        let began = Instant::now();
        OpenCall {
            observed: self.observer.began(&mut head),
            head,
            began,
            received: Arc::default(),
            sent_messages: None,
            sent_bytes: 0,
            code: None,
            refused_by: None,
        }
    }
}

impl<S, O: Clone> Layer<S> for ObserveLayer<O> {
    type Service = Observe<S, O>;

    fn layer(&self, inner: S) -> Self::Service {
        Observe { inner, layer: self.clone() }
    }
}

/// The service of [`ObserveLayer`].
#[derive(Clone, Debug)]
pub(super) struct Observe<S, O> {
    inner: S,
    layer: ObserveLayer<O>,
}

impl<S, O, B> Service<Request<B>> for Observe<S, O>
where
    S: Service<Request<B>, Response = Response<Body>>,
    O: Observer,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ObservedFuture<S::Future, O::Call>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let call = self.layer.begin(&request);
        // For the layer that sees the request's messages go by.
        call_context::set_received(&mut request, &call.received);
        if let Some(trace) = call.head.trace() {
            self.layer.trace_trust.tell(request.headers_mut(), trace);
        }
        ObservedFuture { inner: self.inner.call(request), call: Some(call) }
    }
}

/// A call that has not ended. Dropping it is the call's end, however it ends: so its observer is told of that
/// exactly once.
struct OpenCall<C: ObservedCall> {
    observed: C,
    head: CallHead,
    began: Instant,
    received: Arc<Received>,
    /// None as long as there is no response with a body.
    sent_messages: Option<SentMessages>,
    sent_bytes: u64,
    /// None as long as no status was sent.
    code: Option<Code>,
    refused_by: Option<&'static str>,
}

impl<C: ObservedCall> OpenCall<C> {
    fn saw_head(&mut self, response: &mut Response<Body>) {
        self.saw_status(response.headers());
        // Taken out: around other layers such as these, they would be of another call.
        if let Some(RefusedBy(limit)) = response.extensions_mut().remove() {
            self.refused_by = Some(limit);
            self.observed.refused(limit);
        }
        self.sent_messages = response.extensions_mut().remove();
    }

    fn saw_frame(&mut self, frame: &Result<Frame<Bytes>, Status>) {
        match frame {
            Ok(frame) => {
                if let Some(data) = frame.data_ref() {
                    self.sent_bytes += data.len() as u64;
                } else if let Some(trailers) = frame.trailers_ref() {
                    self.saw_status(trailers);
                }
            }
            Err(status) => self.code = Some(status.code()),
        }
    }

    fn saw_status(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get(Status::GRPC_STATUS) {
            self.code = Some(Code::from_bytes(code.as_bytes()));
        }
    }

    fn tally(&self) -> Tally {
        Tally {
            received_messages: self.received.messages(),
            received_bytes: self.received.bytes(),
            sent_messages: self.sent_messages.as_ref().map_or(0, SentMessages::get),
            sent_bytes: self.sent_bytes,
        }
    }
}

impl<C: ObservedCall> Drop for OpenCall<C> {
    fn drop(&mut self) {
        let end = CallEnd {
            code: self.code.unwrap_or(Code::Cancelled),
            duration: self.began.elapsed(),
            tally: self.tally(),
            refused_by: self.refused_by,
        };
        self.observed.ended(&self.head, &end);
    }
}

pin_project! {
    /// The response of a call that is watched.
    pub(super) struct ObservedFuture<F, C>
    where
        C: ObservedCall,
    {
        #[pin]
        inner: F,
        call: Option<OpenCall<C>>,
    }
}

impl<F, E, C> Future for ObservedFuture<F, C>
where
    F: Future<Output = Result<Response<Body>, E>>,
    C: ObservedCall,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        let Some(mut call) = this.call.take() else {
            return Poll::Ready(Ok(response));
        };
        call.saw_head(&mut response);
        call.received.give_back();
        Poll::Ready(Ok(response.map(|inner| Body::new(ObservedBody { inner, call }))))
    }
}

struct ObservedBody<C: ObservedCall> {
    inner: Body,
    call: OpenCall<C>,
}

// Nothing in it is pinned.
impl<C: ObservedCall> Unpin for ObservedBody<C> {}

impl<C: ObservedCall> http_body::Body for ObservedBody<C> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(frame) = &frame {
            self.call.saw_frame(frame);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
