//! The layers and a service, as one service that any router or server takes.

use std::{
    any::Any,
    convert::Infallible,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use tonic::body::Body;
use tower::{BoxError, Service, util::BoxCloneSyncService};

type Boxed = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// Takes every call of gRPC and gRPC-Web, whatever carries its body: a tower service for axum, hyper or another
/// router. [`Layers`](super::Layers) makes it.
///
/// The limits for one client address hold if the request's extensions say where it comes from:
/// [`runnel_limits::client::Peer`].
#[derive(Clone, Debug)]
pub struct Calls(Boxed);

impl Calls {
    pub(super) fn new<S>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        Self(BoxCloneSyncService::new(service))
    }
}

impl<B> Service<Request<B>> for Calls
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <Boxed as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.0.call(request.map(into_tonic))
    }
}

/// Puts a body that is not tonic's into a box.
fn into_tonic<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut body = Some(body);
    if let Some(body) = <dyn Any>::downcast_mut::<Option<Body>>(&mut body) {
        return body.take().unwrap_or_default();
    }
    body.map_or_else(Body::empty, Body::new)
}
