//! A layer that looks at a request, and either lets it pass or responds to it itself.

use std::{
    future::ready,
    task::{Context, Poll},
};

use futures_util::future::Either;
use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service, layer::layer_fn};

use super::refusal::Refused;

/// Lets a request pass, as `look` leaves it, unless `look` gives a response.
pub(super) fn filter<S, L: Clone>(look: L) -> impl Layer<S, Service = Filter<S, L>> + Clone {
    layer_fn(move |inner| Filter { inner, look: look.clone() })
}

/// The service of [`filter`].
#[derive(Clone, Debug)]
pub(super) struct Filter<S, L> {
    inner: S,
    look: L,
}

impl<S, L, B> Service<Request<B>> for Filter<S, L>
where
    S: Service<Request<B>, Response = Response<Body>>,
    L: Fn(&mut Request<B>) -> Option<Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Refused<S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match (self.look)(&mut request) {
            None => Either::Left(self.inner.call(request)),
            Some(response) => Either::Right(ready(Ok(response))),
        }
    }
}
