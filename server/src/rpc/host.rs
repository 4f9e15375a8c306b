//! On loopback, a call must be for a name that is ours: [`crate::access::hosts`] says why. Whoever calls
//! by another is told so in plain HTTP: it is nobody who speaks gRPC to us.

use std::{
    future::ready,
    task::{Context, Poll},
};

use futures_util::future::Either;
use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

use super::Refused;
use crate::access::Hosts;

/// Refuses calls for other hosts.
#[derive(Clone, Debug)]
pub(crate) struct HostLayer(Hosts);

impl HostLayer {
    pub(crate) const fn new(hosts: Hosts) -> Self {
        Self(hosts)
    }
}

impl<S> Layer<S> for HostLayer {
    type Service = CheckHost<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CheckHost { inner, hosts: self.0.clone() }
    }
}

/// The service of [`HostLayer`].
#[derive(Clone, Debug)]
pub(crate) struct CheckHost<S> {
    inner: S,
    hosts: Hosts,
}

impl<S, B> Service<Request<B>> for CheckHost<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Refused<S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.hosts.refusal(&request) {
            None => Either::Left(self.inner.call(request)),
            Some(refusal) => Either::Right(ready(Ok(refusal.map(Body::new)))),
        }
    }
}
