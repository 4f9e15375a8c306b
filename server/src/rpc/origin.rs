//! A page of another origin may not call, unless it is named: [`crate::access::origins`] says why.

use std::task::{Context, Poll};

use futures_util::future::Either;
use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

use super::{Refused, observe::RefusedBy, refuse_by};
use crate::access::Origins;

/// Refuses calls of pages that may not call.
#[derive(Clone, Debug)]
pub(crate) struct OriginLayer(Origins);

impl OriginLayer {
    pub(crate) const fn new(origins: Origins) -> Self {
        Self(origins)
    }
}

impl<S> Layer<S> for OriginLayer {
    type Service = CheckOrigin<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CheckOrigin { inner, origins: self.0.clone() }
    }
}

/// The service of [`OriginLayer`].
#[derive(Clone, Debug)]
pub(crate) struct CheckOrigin<S> {
    inner: S,
    origins: Origins,
}

impl<S, B> Service<Request<B>> for CheckOrigin<S>
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
        match self.origins.check(&request) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(status) => Either::Right(refuse_by(RefusedBy("cors_origin"), &status)),
        }
    }
}
