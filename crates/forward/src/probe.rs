//! A call that is made to learn something of an endpoint: a health check, or reflection.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use tonic::{Status, body::Body};
use tower::Service;

use super::{
    call::{self, Failure},
    endpoint::Lease,
    headers::Head,
    request_body::RequestBody,
};

/// A transport that makes one call, with the lease it has. Where the backend does not respond, the status has the
/// fault as its source.
pub(super) struct Probe(Option<Lease>);

impl Probe {
    pub(super) const fn new(lease: Lease) -> Self {
        Self(Some(lease))
    }
}

impl Service<Request<Body>> for Probe {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let lease = self.0.take();
        Box::pin(async move {
            let lease = lease.ok_or_else(|| Status::internal("a probe makes one call only"))?;
            let endpoint = Arc::clone(&lease.endpoint);
            let (parts, body) = request.into_parts();
            let head =
                Head::of_probe(parts, &endpoint.upstream.via).request(&endpoint.upstream, true);
            call::attempt(lease, head, RequestBody::new(body, None)).await.map_err(|failure| {
                match failure {
                    Failure::Request(status) => status,
                    Failure::Backend(fault, _) => {
                        let mut status = fault.status(&endpoint);
                        status.set_source(Arc::new(fault));
                        status
                    }
                }
            })
        })
    }
}
