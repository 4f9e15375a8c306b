//! The end of every call when the server ends. Calls may go on while it drains; when the drain's
//! deadline comes, those still open end as UNAVAILABLE, which tells a client to call again elsewhere,
//! or to resume. Without it a client would see a connection break, and have to guess.
//!
//! A watch of the server's health (`grpc.health.v1`) never finishes by itself, and every client that
//! balances its calls keeps one open. It ends as soon as it has told of the drain, or no server that is
//! watched would end before its deadline.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::future::Either;
use http::{Request, Response};
use tokio::sync::{Notify, futures::OwnedNotified};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::{
    call_context,
    refusal::{Refused, refuse},
    termination::{End, TerminationFuture},
};

/// The path of the watch.
/// <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>
const HEALTH_WATCH: &str = "/grpc.health.v1.Health/Watch";

/// Ends every open call; a clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Drain(Arc<State>);

#[derive(Debug, Default)]
struct State {
    begun: Moment,
    over: Moment,
}

/// What happens once.
#[derive(Debug, Default)]
struct Moment {
    has_come: AtomicBool,
    coming: Arc<Notify>,
}

impl Moment {
    fn come(&self) {
        // Those who wait look at the flag after they have asked to be told, so none misses it.
        self.has_come.store(true, Ordering::SeqCst);
        self.coming.notify_waiters();
    }

    fn has_come(&self) -> bool {
        self.has_come.load(Ordering::SeqCst)
    }
}

impl Drain {
    /// The drain begins: ends the streams of clients that watch the server's health, after the last status was sent.
    /// Call it after [`Health::set_not_serving`](super::Health::set_not_serving). Other calls go on.
    pub fn begin(&self) {
        self.0.begun.come();
    }

    /// Ends the calls that are open, and refuses those that still come.
    pub fn end_calls(&self) {
        self.0.over.come();
    }

    fn is_over(&self) -> bool {
        self.0.over.has_come()
    }
}

/// Ends each call with the drain.
#[derive(Clone, Debug)]
pub(super) struct DrainLayer(Drain);

impl DrainLayer {
    /// Ends calls when `drain` says so.
    pub(super) const fn new(drain: Drain) -> Self {
        Self(drain)
    }
}

impl<S> Layer<S> for DrainLayer {
    type Service = Drained<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Drained { inner, drain: self.0.clone() }
    }
}

/// The service of [`DrainLayer`].
#[derive(Clone, Debug)]
pub(super) struct Drained<S> {
    inner: S,
    drain: Drain,
}

impl<S, B> Service<Request<B>> for Drained<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<TerminationFuture<S::Future, DrainEnd>, Refused<S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.drain.is_over() {
            return Either::Right(refuse(&shutting_down()));
        }
        let unary = call_context::is_unary(request.extensions());
        let watches_health = request.uri().path() == HEALTH_WATCH;
        let end = Some(DrainEnd { drain: self.drain.clone(), watches_health, notified: None });
        let inner = self.inner.call(request);
        // The one message of a unary call follows its head at once: nothing to end between the two.
        Either::Left(if unary {
            TerminationFuture::head_only(inner, end)
        } else {
            TerminationFuture::new(inner, end)
        })
    }
}

fn shutting_down() -> Status {
    Status::unavailable("the server is shutting down; call again to reach another")
}

/// The end of a drain, for one call.
#[derive(Debug)]
pub(super) struct DrainEnd {
    drain: Drain,
    watches_health: bool,
    /// Made when first waited for: a call that has its response ready never does.
    notified: Option<Pin<Box<OwnedNotified>>>,
}

impl End for DrainEnd {
    fn has_come(&self) -> bool {
        self.drain.is_over()
    }

    fn poll_come(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State { begun, over } = &*self.drain.0;
        // Asked only when a watch has nothing more to tell.
        let end = if self.watches_health { begun } else { over };
        let coming = || Box::pin(Arc::clone(&end.coming).notified_owned());
        let notified = self.notified.get_or_insert_with(coming);
        if end.has_come() {
            return Poll::Ready(());
        }
        notified.as_mut().poll(cx)
    }

    fn status(&self) -> Status {
        shutting_down()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_call_that_waits_is_woken_and_a_later_one_need_not_wait() {
        let drain = Drain::default();
        let end = || DrainEnd { drain: drain.clone(), watches_health: false, notified: None };
        let (mut waiting, mut late) = (end(), end());
        let mut context = Context::from_waker(Waker::noop());
        assert!(!waiting.has_come());
        assert!(waiting.poll_come(&mut context).is_pending());

        drain.end_calls();
        assert!(waiting.has_come());
        assert!(waiting.poll_come(&mut context).is_ready());
        assert!(late.poll_come(&mut context).is_ready());
    }
}
