//! A call that we make to a backend ourselves, to learn something of it.

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
    headers::Head,
    peer::Lease,
    request_body::RequestBody,
};

/// A transport that makes one call, in the place it has for it. Where the backend does not answer, the
/// status has the fault as its source.
pub(super) struct OwnCall(Option<Lease>);

impl OwnCall {
    pub(super) const fn new(lease: Lease) -> Self {
        Self(Some(lease))
    }
}

impl Service<Request<Body>> for OwnCall {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let lease = self.0.take();
        Box::pin(async move {
            let lease = lease.ok_or_else(|| Status::internal("the place is taken"))?;
            let peer = Arc::clone(&lease.peer);
            let (parts, body) = request.into_parts();
            let head = Head::of_our_own(parts, &peer.target.via).request(&peer.target, true);
            call::attempt(lease, head, RequestBody::new(body, None)).await.map_err(|failure| {
                match failure {
                    Failure::Request(status) => status,
                    Failure::Backend(fault, _) => {
                        let mut status = fault.status(&peer);
                        status.set_source(Arc::new(fault));
                        status
                    }
                }
            })
        })
    }
}
