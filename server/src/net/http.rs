//! What hyper is told of every connection, and the way of a request from there to the app.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{body::Body as AxumBody, extract::ConnectInfo};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::{Frame, SizeHint};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use pin_project_lite::pin_project;
use tokio::sync::watch;
use tonic::{Status, body::Body};
use tower::{Service, ServiceExt as _, util::Oneshot};
use tracing::Level;

use super::connection::Encrypted;
use crate::{metrics::ConnectionMetrics, telemetry};

/// How much of an answer a connection over HTTP/1.1 buffers, in bytes, beyond the chunk it takes last. A
/// reader that stops reading costs about this much and some 30 KiB (hyper's own default is 408 KiB). It
/// is the largest head of a request, too.
const HTTP1_BUFFER_BYTES: usize = 32 * 1024;

/// The same of a stream over HTTP/2: two frames of 16 KiB fill it (hyper's own default is 400 KiB).
const HTTP2_BUFFER_BYTES: usize = 24 * 1024;

/// HTTP/2 streams a client may have open on one connection; what browsers and gRPC clients expect.
const MAX_CONCURRENT_STREAMS: u32 = 200;

/// The largest list of headers a request may have, in bytes, as RFC 9113 section 6.5.2 counts them.
/// A larger one is answered 431. The number of CONTINUATION frames it may come in follows from it;
/// more are a GOAWAY (CVE-2024-27316).
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;

/// Streams that a client may reset before anybody has looked at them. Opening and resetting streams
/// evades [`MAX_CONCURRENT_STREAMS`] ("rapid reset", CVE-2023-44487); beyond this it is a GOAWAY.
const MAX_PENDING_RESETS: usize = 20;

/// Streams that the client makes us reset, by breaking the protocol in them, in the life of a
/// connection ("made you reset", CVE-2025-8671; RUSTSEC-2024-0003). Beyond this it is a GOAWAY. Those
/// over [`MAX_CONCURRENT_STREAMS`] count too, and a client may open some before it is told of that.
const MAX_ERROR_RESETS: usize = 1024;

/// An HTTP/2 peer is asked for a sign of life this often, and given up when none comes in time.
const KEEPALIVE_INTERVAL: Duration = Duration::from_mins(1);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// The HTTP/1.1 of every connection.
pub(super) fn http1(header_timeout: Duration) -> http1::Builder {
    let mut http1 = http1::Builder::new();
    http1
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(HTTP1_BUFFER_BYTES);
    http1
}

/// The HTTP/2 of every connection.
pub(super) fn http2() -> http2::Builder<TokioExecutor> {
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .max_send_buf_size(HTTP2_BUFFER_BYTES)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    http2
}

/// What hyper itself answered before a connection over HTTP/1.1 failed so.
pub(super) fn answered(error: &hyper::Error) -> Option<StatusCode> {
    if error.is_parse_too_large() {
        Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    } else {
        error.is_parse().then_some(StatusCode::BAD_REQUEST)
    }
}

/// The calls of one connection; a clone counts the same.
#[derive(Clone, Debug)]
pub(super) struct Calls(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    begun: AtomicUsize,
    open: AtomicUsize,
    metrics: ConnectionMetrics,
    /// Changes when the server drains, and never else.
    draining: watch::Receiver<bool>,
}

impl Calls {
    /// None yet.
    pub(super) fn new(metrics: ConnectionMetrics, draining: watch::Receiver<bool>) -> Self {
        let (begun, open) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self(Arc::new(Counts { begun, open, metrics, draining }))
    }

    fn begin(&self) -> OpenCall {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.open.fetch_add(1, Ordering::Relaxed);
        OpenCall(self.clone())
    }

    /// How many there have been.
    pub(super) fn begun(&self) -> usize {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// How many there are.
    pub(super) fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    fn server_drains(&self) -> bool {
        // An Err says that the server is gone.
        self.0.draining.has_changed().unwrap_or(true)
    }
}

/// A call that is open until this is dropped.
#[derive(Debug)]
struct OpenCall(Calls);

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What answers the requests of all connections.
pub(crate) trait Answers:
    Service<
        Request<AxumBody>,
        Response = Response<Body>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Answers for S where
    S: Service<
            Request<AxumBody>,
            Response = Response<Body>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// What hyper calls for the requests of one connection.
#[derive(Debug)]
pub(super) struct App<S> {
    pub(super) inner: S,
    pub(super) peer: SocketAddr,
    pub(super) encrypted: Option<Encrypted>,
    pub(super) calls: Calls,
}

impl<S: Answers> hyper::service::Service<Request<Incoming>> for App<S> {
    type Response = Response<CountedBody>;
    type Error = Infallible;
    type Future = AppFuture<Oneshot<S, Request<AxumBody>>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(self.peer));
        if let Some(encrypted) = self.encrypted {
            extensions.insert(encrypted);
        }
        let asked = tracing::enabled!(Level::DEBUG).then(|| {
            Box::new(Asked {
                method: request.method().clone(),
                path: telemetry::shortened(request.uri().path()).to_owned(),
                peer: self.peer,
            })
        });
        let can_close = request.version() < Version::HTTP_2;
        let inner = self.inner.clone().oneshot(request.map(AxumBody::new));
        AppFuture { inner, call: Some(self.calls.begin()), can_close, asked }
    }
}

/// What a request asked for, for the log.
#[derive(Debug)]
struct Asked {
    method: Method,
    path: String,
    peer: SocketAddr,
}

pin_project! {
    /// The answer to a request.
    pub(super) struct AppFuture<F> {
        #[pin]
        inner: F,
        call: Option<OpenCall>,
        // Whether an answer can say that it is the connection's last: RFC 9112 section 9.6.
        can_close: bool,
        // None if nobody reads the log that closely.
        asked: Option<Box<Asked>>,
    }
}

impl<F> Future for AppFuture<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = Result<Response<CountedBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        let call = this.call.take();
        if *this.can_close && call.as_ref().is_some_and(|call| call.0.server_drains()) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        // A call that ends badly has a status of its own, and answers 200.
        let status = response.status();
        if let Some(OpenCall(calls)) = &call
            && (status.is_client_error() || status.is_server_error())
        {
            calls.0.metrics.answered_http_error(status);
            if let Some(Asked { method, path, peer }) = this.asked.as_deref() {
                tracing::debug!(%peer, %method, path, status = status.as_u16(), "refused a request");
            }
        }
        Poll::Ready(Ok(response.map(|inner| CountedBody { inner, _call: call })))
    }
}

/// A body whose call is open for as long as it is there.
#[derive(Debug)]
pub(super) struct CountedBody {
    inner: Body,
    _call: Option<OpenCall>,
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
