//! A health check that is for this server and not for its backend: `runnel healthcheck` asks like this. The
//! response is that of `/readyz`.

use std::{
    future::{Ready, ready},
    task::{Context, Poll},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::future::Either;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use runnel_wire::{PREFIX_BYTES, Prefix};
use tonic::body::Body;
use tonic_health::pb::{HealthCheckResponse, health_check_response::ServingStatus};
use tower::Service;

use crate::{healthcheck::FRONT, readiness::Readiness};

/// Answers health checks that are for this server, and passes all other calls on to `inner`.
#[derive(Clone, Debug)]
pub(crate) struct OwnHealth<S> {
    inner: S,
    readiness: Readiness,
}

impl<S> OwnHealth<S> {
    /// Answers what `readiness` says.
    pub(crate) const fn new(inner: S, readiness: Readiness) -> Self {
        Self { inner, readiness }
    }
}

impl<S, B> Service<Request<B>> for OwnHealth<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if is_for_us(&request) {
            Either::Right(ready(Ok(response(self.readiness.check().is_ok()))))
        } else {
            Either::Left(self.inner.call(request))
        }
    }
}

fn is_for_us<B>(request: &Request<B>) -> bool {
    request.uri().path() == "/grpc.health.v1.Health/Check" && request.headers().contains_key(FRONT)
}

fn response(is_ready: bool) -> Response<Body> {
    let status = if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    let message = HealthCheckResponse { status: status.into() }.encode_to_vec();
    // Two bytes.
    let length_bytes = u32::try_from(message.len()).unwrap_or_default();
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    frame.put_slice(&Prefix { flags: 0, length_bytes }.to_bytes());
    frame.put_slice(&message);
    let ok = HeaderMap::from_iter([(
        header::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]);
    let body = Full::<Bytes>::new(frame.freeze());
    let body = body.with_trailers(ready(Some(Ok(ok))));
    let mut response = Response::new(Body::new(body));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, grpc);
    response
}
