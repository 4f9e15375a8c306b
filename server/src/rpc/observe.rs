//! Watches each call from its head to the end of its answer, once, and tells the metrics and the log
//! when it is over. A call whose client went away ends as CANCELLED, because its answer is dropped.

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
#[cfg(feature = "otel")]
use opentelemetry::trace::Span as _;
#[cfg(feature = "otel")]
use opentelemetry_sdk::trace::Span;
use pin_project_lite::pin_project;
use runnel_limits::{
    client::{Peer, named_client},
    quota::Holding,
};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use super::{
    answer::Given,
    call_log,
    normalize::Protocol,
    request_room::Room,
    trace_parent::{TraceParent, TraceTrust},
};
use crate::metrics::{CallMetrics, MethodMetrics, Tally};

/// Watches each call.
#[derive(Clone, Debug)]
pub struct ObserveLayer {
    metrics: CallMetrics,
    trace_trust: TraceTrust,
}

impl ObserveLayer {
    /// Counts calls in `metrics`, and logs them with the trace that `trace_trust` has for them.
    pub(crate) const fn new(metrics: CallMetrics, trace_trust: TraceTrust) -> Self {
        Self { metrics, trace_trust }
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Observe { inner, layer: self.clone() }
    }
}

/// The service of [`ObserveLayer`].
#[derive(Clone, Debug)]
pub struct Observe<S> {
    inner: S,
    layer: ObserveLayer,
}

impl<S, B> Service<Request<B>> for Observe<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ObservedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let call = Call::begin(&self.layer, &request);
        // For the layer that sees the request's messages go by.
        request.extensions_mut().insert(Arc::clone(&call.received));
        if let Some(trace) = &call.trace {
            self.layer.trace_trust.tell(request.headers_mut(), trace);
        }
        ObservedFuture { inner: self.inner.call(request), call: Some(call) }
    }
}

/// What of a request has come so far. The layer that walks its messages counts them here.
#[derive(Debug, Default)]
pub(super) struct Received {
    messages: AtomicU64,
    bytes: AtomicU64,
    /// What is held of it while it is worked on; nothing if it is small.
    held: OnceLock<Mutex<Option<Holding>>>,
}

impl Received {
    /// That many more bytes; that many messages in all.
    pub(super) fn count(&self, bytes: usize, messages: u64) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.messages.store(messages, Ordering::Relaxed);
    }

    /// It has come, and is held until the answer begins.
    pub(super) fn keep(&self, room: Room) {
        if let Some(holding) = room.into_message() {
            // An Err would say that it had come before.
            let _ = self.held.set(Mutex::new(Some(holding)));
        }
    }

    fn give_back(&self) {
        if let Some(held) = self.held.get() {
            held.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}

/// The bound that an answer was refused by; in its extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct RefusedBy(pub(super) &'static str);

/// What is known of a call. Dropping it is the call's end, however it ends: so each is told of exactly
/// once.
#[derive(Debug)]
pub(crate) struct Call {
    method: Arc<MethodMetrics>,
    /// Only for a method that nobody described.
    unknown_path: Option<String>,
    protocol: Protocol,
    peer: Option<SocketAddr>,
    client: Option<IpAddr>,
    /// The trace it belongs to; calls that are made for it have this as their `traceparent`.
    trace: Option<TraceParent>,
    #[cfg(feature = "otel")]
    span: Option<Span>,
    began: Instant,
    received: Arc<Received>,
    /// None as long as there is no answer with a body.
    given: Option<Given>,
    sent_bytes: u64,
    /// None as long as no status was sent.
    code: Option<Code>,
    refused_by: Option<RefusedBy>,
}

impl Call {
    fn begin<B>(layer: &ObserveLayer, request: &Request<B>) -> Self {
        let path = request.uri().path();
        let method = layer.metrics.method(path, request.extensions().get().copied());
        // Without the layers before this one nobody says, and then it is plain gRPC.
        let protocol = request.extensions().get().copied().unwrap_or(Protocol::Grpc);
        method.began(protocol);
        let trace = layer.trace_trust.trace_of(request.headers(), request.extensions());
        #[cfg_attr(not(feature = "otel"), expect(unused_mut, reason = "nobody changes it"))]
        let mut call = Self {
            unknown_path: method.path().is_none().then(|| path.to_owned()),
            method,
            protocol,
            peer: request.extensions().get().map(|Peer(peer)| *peer),
            client: named_client(request.extensions()),
            trace,
            #[cfg(feature = "otel")]
            span: None,
            began: Instant::now(),
            received: Arc::default(),
            given: None,
            sent_bytes: 0,
            code: None,
            refused_by: None,
        };
        #[cfg(feature = "otel")]
        call.begin_span();
        call
    }

    /// If anybody wants spans; what is then done for the call belongs to its span.
    #[cfg(feature = "otel")]
    fn begin_span(&mut self) {
        self.span = crate::traces::begin(self);
        let span = self.span.as_ref().map(|span| span.span_context().clone());
        self.trace = span.map(|span| crate::traces::trace_parent(&span)).or(self.trace.take());
    }

    pub(super) fn path(&self) -> &str {
        self.method.path().or(self.unknown_path.as_deref()).unwrap_or_default()
    }

    /// The path of the method, if anybody described it.
    #[cfg(feature = "otel")]
    pub(crate) fn method(&self) -> Option<&str> {
        self.method.path()
    }

    #[cfg(feature = "otel")]
    pub(crate) const fn trace(&self) -> Option<&TraceParent> {
        self.trace.as_ref()
    }

    pub(crate) const fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(crate) const fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The client that a trusted proxy named, if one did.
    pub(super) const fn client(&self) -> Option<IpAddr> {
        self.client
    }

    pub(super) fn trace_id(&self) -> Option<&str> {
        self.trace.as_ref().map(TraceParent::trace_id)
    }

    pub(super) fn refused_by(&self) -> Option<&'static str> {
        self.refused_by.map(|RefusedBy(bound)| bound)
    }

    fn saw_head(&mut self, response: &Response<Body>) {
        self.saw_status(response.headers());
        self.refused_by = response.extensions().get().copied();
        if let Some(RefusedBy(bound)) = self.refused_by {
            self.method.refused(bound);
        }
        self.given = response.extensions().get().cloned();
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
            received_messages: self.received.messages.load(Ordering::Relaxed),
            received_bytes: self.received.bytes.load(Ordering::Relaxed),
            sent_messages: self.given.as_ref().map_or(0, Given::messages),
            sent_bytes: self.sent_bytes,
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let (code, took) = (self.code.unwrap_or(Code::Cancelled), self.began.elapsed());
        let tally = self.tally();
        self.method.ended(self.protocol, code, took, tally);
        call_log::write(self, code, took, tally);
        #[cfg(feature = "otel")]
        if let Some(span) = self.span.take() {
            crate::traces::end(span, code);
        }
    }
}

pin_project! {
    /// The answer of a call that is watched.
    #[derive(Debug)]
    pub struct ObservedFuture<F> {
        #[pin]
        inner: F,
        call: Option<Call>,
    }
}

impl<F, E> Future for ObservedFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let Some(mut call) = this.call.take() else {
            return Poll::Ready(Ok(response));
        };
        call.saw_head(&response);
        call.received.give_back();
        Poll::Ready(Ok(response.map(|inner| Body::new(ObservedBody { inner, call }))))
    }
}

struct ObservedBody {
    inner: Body,
    call: Call,
}

impl http_body::Body for ObservedBody {
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
