//! How many calls may be open at once, in all and for one client address: unary ones and streams are
//! counted apart, because a stream may stay for hours. A call over the bound is refused at once, with
//! RESOURCE_EXHAUSTED and when to try again; its place is free when its answer's body is gone, not when
//! its head is out.

use std::{
    future::{self, Future},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::extract::ConnectInfo;
use bytes::Bytes;
use futures_util::future::Either;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::{Code, Status, body::Body};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::{Layer, Service};

use super::{Refused, methods::MethodKind, observe::RefusedBy, refusal_by};
use crate::places::{Bound, Full, Permit, Pool};

/// When a refused caller may try again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Admits calls within bounds.
#[derive(Clone, Debug)]
pub struct AdmissionLayer {
    unary: Arc<Pool>,
    streams: Arc<Pool>,
}

impl AdmissionLayer {
    /// Counts unary calls and calls with a stream apart.
    pub fn new(unary: Bound, streams: Bound) -> Self {
        Self { unary: Pool::new("calls", unary), streams: Pool::new("streams", streams) }
    }

    /// How many calls are open.
    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        self.unary.taken() + self.streams.taken()
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = Admission<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Admission { inner, layer: self.clone() }
    }
}

/// The service of [`AdmissionLayer`].
#[derive(Clone, Debug)]
pub struct Admission<S> {
    inner: S,
    layer: AdmissionLayer,
}

impl<S, B> Service<Request<B>> for Admission<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<AdmittedFuture<S::Future>, Refused<S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let unary = request.extensions().get::<MethodKind>().is_some_and(|kind| kind.is_unary());
        let pool = if unary { &self.layer.unary } else { &self.layer.streams };
        let peer = request.extensions().get().map(|ConnectInfo::<SocketAddr>(peer)| peer.ip());
        match Permit::take(pool, peer) {
            Ok(permit) => Either::Left(AdmittedFuture {
                inner: self.inner.call(request),
                permit: Some(permit),
            }),
            Err(full) => Either::Right(future::ready(Ok(refusal_by(full.into(), &full.into())))),
        }
    }
}

impl From<Full> for RefusedBy {
    fn from(full: Full) -> Self {
        Self(match full {
            Full::Total { what: "calls", .. } => "max_calls",
            Full::Total { .. } => "max_streams",
            Full::PerAddress { what: "calls", .. } => "max_calls_per_address",
            Full::PerAddress { .. } => "max_streams_per_address",
        })
    }
}

impl From<Full> for Status {
    fn from(full: Full) -> Self {
        let details = ErrorDetails::with_retry_info(Some(RETRY_DELAY));
        Status::with_error_details(Code::ResourceExhausted, full.to_string(), details)
    }
}

pin_project! {
    /// The answer of an admitted call.
    #[derive(Debug)]
    pub struct AdmittedFuture<F> {
        #[pin]
        inner: F,
        permit: Option<Permit>,
    }
}

impl<F, E> Future for AdmittedFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let permit = this.permit.take();
        Poll::Ready(Ok(response.map(|inner| Body::new(AdmittedBody { inner, _permit: permit }))))
    }
}

struct AdmittedBody {
    inner: Body,
    _permit: Option<Permit>,
}

impl http_body::Body for AdmittedBody {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_when_to_try_again() {
        let status = Status::from(Full::Total { what: "calls", limit: 3 });
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(RETRY_DELAY));
    }
}
