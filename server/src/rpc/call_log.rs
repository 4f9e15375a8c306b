//! One log line a call, written when it is over: protocol, method, code, duration, bytes, peer. No
//! payloads. A call whose client went away ends as CANCELLED, because its answer is dropped.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use super::normalize::Protocol;

/// Logs each call at its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallLogLayer;

impl<S> Layer<S> for CallLogLayer {
    type Service = CallLog<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CallLog { inner }
    }
}

/// The service of [`CallLogLayer`].
#[derive(Clone, Debug)]
pub struct CallLog<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for CallLog<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = LoggedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let record = CallRecord::begin(&request);
        LoggedFuture { inner: self.inner.call(request), record: Some(record) }
    }
}

/// What is known of a call. Dropping it is the call's end, however it ends, and logs it: so there is
/// exactly one line for each.
#[derive(Debug)]
struct CallRecord {
    method: String,
    protocol: Option<Protocol>,
    peer: Option<SocketAddr>,
    began: Instant,
    /// Bytes of messages sent, prefixes included, before any base64.
    bytes: usize,
    /// None as long as no status was sent.
    code: Option<Code>,
}

impl CallRecord {
    fn begin<B>(request: &Request<B>) -> Self {
        Self {
            method: request.uri().path().to_owned(),
            protocol: request.extensions().get().copied(),
            peer: request.extensions().get().map(|ConnectInfo(peer)| *peer),
            began: Instant::now(),
            bytes: 0,
            code: None,
        }
    }

    fn saw_status(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get(Status::GRPC_STATUS) {
            self.code = Some(Code::from_bytes(code.as_bytes()));
        }
    }
}

impl Drop for CallRecord {
    fn drop(&mut self) {
        tracing::info!(
            method = self.method,
            protocol = self.protocol.map(Protocol::as_str),
            code = ?self.code.unwrap_or(Code::Cancelled),
            duration_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            bytes = self.bytes,
            peer = self.peer.map(tracing::field::display),
            "call"
        );
    }
}

pin_project! {
    /// The answer of a call that is logged.
    #[derive(Debug)]
    pub struct LoggedFuture<F> {
        #[pin]
        inner: F,
        record: Option<CallRecord>,
    }
}

impl<F, E> Future for LoggedFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let Some(mut record) = this.record.take() else {
            return Poll::Ready(Ok(response));
        };
        record.saw_status(response.headers());
        Poll::Ready(Ok(response.map(|inner| Body::new(LoggedBody { inner, record }))))
    }
}

struct LoggedBody {
    inner: Body,
    record: CallRecord,
}

impl http_body::Body for LoggedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            if let Some(data) = frame.data_ref() {
                self.record.bytes += data.len();
            } else if let Some(trailers) = frame.trailers_ref() {
                self.record.saw_status(trailers);
            }
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
