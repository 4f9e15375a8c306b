//! A health check that is for us and not for our backend: `runnel healthcheck` asks like this. The answer is
//! that of `/readyz`.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use tonic::body::Body;
use tonic_health::pb::{HealthCheckResponse, health_check_response::ServingStatus};

use crate::{healthcheck::FRONT, readiness::Readiness};

/// The answer to a call that is one of these.
pub(super) fn answer<B>(request: &Request<B>, readiness: &Readiness) -> Option<Response<Body>> {
    let is_for_us = request.uri().path() == "/grpc.health.v1.Health/Check"
        && request.headers().contains_key(FRONT);
    is_for_us.then(|| {
        let is_ready = readiness.check().is_ok();
        let status = if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        let message = HealthCheckResponse { status: status.into() }.encode_to_vec();
        let mut frame = BytesMut::with_capacity(5 + message.len());
        frame.put_u8(0);
        // Two bytes.
        frame.put_u32(u32::try_from(message.len()).unwrap_or_default());
        frame.put_slice(&message);
        let ok = HeaderMap::from_iter([(
            header::HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )]);
        let body = Full::<Bytes>::new(frame.freeze());
        let body = body.with_trailers(std::future::ready(Some(Ok(ok))));
        let mut response = Response::new(Body::new(body));
        let grpc = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(header::CONTENT_TYPE, grpc);
        response
    })
}
