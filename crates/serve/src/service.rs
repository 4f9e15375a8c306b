//! What a server serves.

use std::{convert::Infallible, error::Error};

use bytes::Bytes;
use http::{Request, Response};
use tonic::body::Body;
use tower::Service;

/// A tower service that answers HTTP requests. It is implemented for every service that can be served; nobody
/// else need implement it.
///
/// An `axum::Router` is one, tonic's `Routes` is one, and so is [`tower::service_fn`] with a function from
/// `Request<Body>` to `Result<Response<B>, Infallible>`. The server clones the service for each connection and
/// each request. A service has no errors of its own: what it cannot do it answers with an HTTP status.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be served",
    note = "needed: `Service<Request<runnel_serve::Body>, Response = Response<B>, Error = Infallible>`, where `B` \
            is a body of `Bytes`; the service must be `Clone + Send + Sync + 'static` and its future `Send + 'static`"
)]
pub trait HttpService:
    Service<
        Request<Body>,
        Response = Response<Self::ResponseBody>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
    /// The body of its responses.
    type ResponseBody: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>
        + Send
        + 'static;
}

impl<S, B> HttpService for S
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    type ResponseBody = B;
}
