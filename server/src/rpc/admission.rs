//! How many calls may be open at once, in all and for one client address: unary ones and streams are
//! counted apart, because a stream may stay for hours. A call over the bound is refused at once, with
//! RESOURCE_EXHAUSTED and when to try again; its place is free when its answer's body is gone, not when
//! its head is out.

use std::{
    collections::HashMap,
    future::Future,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::extract::ConnectInfo;
use bytes::Bytes;
use futures_util::future::Either;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::{Code, Status, body::Body};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::{Layer, Service};

use super::{Refused, methods::MethodKind, observe::RefusedBy, refuse_by};

/// When a refused caller may try again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// How many calls of one sort may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// In all.
    pub total: usize,
    /// For one client address; an IPv6 client is its /64, which one customer has.
    pub per_address: usize,
}

/// Admits calls within bounds.
#[derive(Clone, Debug)]
pub struct AdmissionLayer {
    unary: Arc<Pool>,
    streams: Arc<Pool>,
}

impl AdmissionLayer {
    /// Counts unary calls and calls with a stream apart.
    pub fn new(unary: Bound, streams: Bound) -> Self {
        let pool = |what, bound| Arc::new(Pool { what, bound, open: Mutex::default() });
        Self { unary: pool("calls", unary), streams: pool("streams", streams) }
    }

    /// How many calls are open.
    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        self.unary.open().total + self.streams.open().total
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = Admission<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Admission { inner, layer: self.clone() }
    }
}

/// The service of [`AdmissionLayer`].
#[derive(Clone, Debug)]
pub struct Admission<S> {
    inner: S,
    layer: AdmissionLayer,
}

impl<S, B> Service<Request<B>> for Admission<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<AdmittedFuture<S::Future>, Refused<S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let unary = request.extensions().get::<MethodKind>().is_some_and(|kind| kind.is_unary());
        let pool = if unary { &self.layer.unary } else { &self.layer.streams };
        let peer = request.extensions().get().map(|ConnectInfo::<SocketAddr>(peer)| peer.ip());
        match Permit::take(pool, peer) {
            Ok(permit) => Either::Left(AdmittedFuture {
                inner: self.inner.call(request),
                permit: Some(permit),
            }),
            Err(full) => Either::Right(refuse_by(full.into(), &full.into())),
        }
    }
}

/// The places for one sort of call.
#[derive(Debug)]
struct Pool {
    what: &'static str,
    bound: Bound,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    /// No address stays without an open call, so that the map is never larger than `total`.
    by_address: HashMap<IpAddr, usize>,
}

impl Pool {
    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        // Nothing panics while it is locked, and numbers cannot be left half written.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that is taken. Dropping it gives it back.
#[derive(Debug)]
struct Permit {
    pool: Arc<Pool>,
    client: Option<IpAddr>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Full {
    #[error("the server has {limit} open {what} and takes no more")]
    Total { what: &'static str, limit: usize },
    #[error("your address has {limit} open {what} and may have no more")]
    PerAddress { what: &'static str, limit: usize },
}

impl From<Full> for RefusedBy {
    fn from(full: Full) -> Self {
        Self(match full {
            Full::Total { what: "calls", .. } => "max_calls",
            Full::Total { .. } => "max_streams",
            Full::PerAddress { what: "calls", .. } => "max_calls_per_address",
            Full::PerAddress { .. } => "max_streams_per_address",
        })
    }
}

impl From<Full> for Status {
    fn from(full: Full) -> Self {
        let details = ErrorDetails::with_retry_info(Some(RETRY_DELAY));
        Status::with_error_details(Code::ResourceExhausted, full.to_string(), details)
    }
}

impl Permit {
    fn take(pool: &Arc<Pool>, peer: Option<IpAddr>) -> Result<Self, Full> {
        let client = peer.map(client);
        let mut open = pool.open();
        let Pool { what, bound: Bound { total, per_address }, .. } = **pool;
        if open.total >= total {
            return Err(Full::Total { what, limit: total });
        }
        if let Some(client) = client {
            let count = open.by_address.get(&client).copied().unwrap_or_default();
            if count >= per_address {
                return Err(Full::PerAddress { what, limit: per_address });
            }
            open.by_address.insert(client, count + 1);
        }
        open.total += 1;
        drop(open);
        Ok(Self { pool: Arc::clone(pool), client })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.pool.open();
        open.total -= 1;
        if let Some(client) = self.client
            && let Some(count) = open.by_address.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&client);
            }
        }
    }
}

/// Whom a peer counts as.
fn client(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

pin_project! {
    /// The answer of an admitted call.
    #[derive(Debug)]
    pub struct AdmittedFuture<F> {
        #[pin]
        inner: F,
        permit: Option<Permit>,
    }
}

impl<F, E> Future for AdmittedFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let permit = this.permit.take();
        Poll::Ready(Ok(response.map(|inner| Body::new(AdmittedBody { inner, _permit: permit }))))
    }
}

struct AdmittedBody {
    inner: Body,
    _permit: Option<Permit>,
}

impl http_body::Body for AdmittedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pool(total: usize, per_address: usize) -> Arc<Pool> {
        let bound = Bound { total, per_address };
        Arc::new(Pool { what: "streams", bound, open: Mutex::default() })
    }

    fn take(pool: &Arc<Pool>, last: u8) -> Result<Permit, Full> {
        Permit::take(pool, Some(IpAddr::from([192, 0, 2, last])))
    }

    #[test]
    fn a_place_is_free_again_when_its_permit_is_dropped() {
        let pool = pool(2, 2);
        let first = take(&pool, 1).unwrap();
        let _second = take(&pool, 2).unwrap();
        let full = Full::Total { what: "streams", limit: 2 };
        assert_eq!(take(&pool, 3).unwrap_err(), full);
        drop(first);
        take(&pool, 3).unwrap();
    }

    #[test]
    fn one_address_cannot_take_every_place() {
        let pool = pool(10, 1);
        let _taken = take(&pool, 1).unwrap();
        let full = Full::PerAddress { what: "streams", limit: 1 };
        assert_eq!(take(&pool, 1).unwrap_err(), full);
        take(&pool, 2).unwrap();
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_client_and_mapped_ones_are_ipv4() {
        let client = |text: &str| super::client(text.parse().unwrap());
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:0:0:2"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
    }

    #[test]
    fn a_refusal_says_when_to_try_again() {
        let status = Status::from(Full::Total { what: "calls", limit: 3 });
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(RETRY_DELAY));
    }

    proptest! {
        /// Whatever comes and goes, the bounds hold, and at the end nothing is left behind.
        #[test]
        fn bounds_hold_and_every_permit_returns(
            steps in prop::collection::vec((0..4_u8, any::<bool>()), 0..200),
            total in 0..8_usize,
            per_address in 0..4_usize,
        ) {
            let pool = pool(total, per_address);
            let mut held: Vec<(u8, Permit)> = Vec::new();
            for (who, comes) in steps {
                let theirs = held.iter().filter(|(holder, _)| *holder == who).count();
                if comes {
                    let taken = take(&pool, who);
                    prop_assert_eq!(taken.is_ok(), held.len() < total && theirs < per_address);
                    held.extend(taken.ok().map(|permit| (who, permit)));
                } else if let Some(index) = held.iter().position(|(holder, _)| *holder == who) {
                    held.swap_remove(index);
                }
                prop_assert_eq!(pool.open().total, held.len());
            }
            drop(held);
            prop_assert_eq!(pool.open().total, 0);
            prop_assert!(pool.open().by_address.is_empty());
        }
    }
}
