//! The layers around every RPC, outermost first. They know HTTP and gRPC, and no service.
//!
//! | layer | why |
//! |---|---|
//! | [`unread_body`] | an early answer must not break the connection under a client that still sends |
//! | [`normalize`] | right verb, one spelling of the content type, or a clear HTTP error |
//! | `GrpcWebLayer` | gRPC-Web, binary and text, to gRPC and back |
//! | [`call_log`] | one line a call, with the status it really ended with |
//! | [`message_limit`] | a message over the limit is RESOURCE_EXHAUSTED |
//!
//! What refuses a call sits inside `GrpcWebLayer`, so that its answer reaches a browser well-formed.

pub mod call_log;
pub mod message_limit;
pub mod normalize;
pub mod unread_body;

use std::convert::Infallible;

use axum::body::Body as AxumBody;
use http::{HeaderName, HeaderValue, Request, Response};
use tonic::{body::Body, service::Routes};
use tonic_web::GrpcWebLayer;
use tower::{ServiceBuilder, util::BoxCloneSyncService};
use tower_http::set_header::SetResponseHeaderLayer;

/// The largest message taken or sent, in bytes: 4 MiB, what every gRPC client defaults to.
pub const MESSAGE_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// How the content type of every flavour of gRPC begins.
pub(crate) const CONTENT_TYPE_PREFIX: &[u8] = b"application/grpc";

/// Puts the layers around `routes`.
pub fn layers(
    routes: Routes,
) -> BoxCloneSyncService<Request<AxumBody>, Response<Body>, Infallible> {
    let service = ServiceBuilder::new()
        .layer(unread_body::UnreadBodyLayer)
        // nginx buffers answers unless told not to, and a stream would come all at once.
        .layer(SetResponseHeaderLayer::overriding(
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ))
        .layer(normalize::NormalizeLayer)
        .layer(GrpcWebLayer::new())
        .layer(call_log::CallLogLayer)
        .layer(message_limit::MessageLimitLayer::new(MESSAGE_LIMIT_BYTES))
        .service(routes);
    BoxCloneSyncService::new(service)
}
