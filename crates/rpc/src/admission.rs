//! How many calls may be open at once, in all and for one client address: unary ones and streams are
//! counted apart, because a stream may stay for hours. A call over the limit is refused at once, with
//! RESOURCE_EXHAUSTED and when to try again; its place is free when its response's body is gone, not when
//! its head is out.
//!
//! A client that keeps cancelling its calls is refused in the same way, for a while: [`runnel_limits::cancels`].
//! One that sets deadlines which pass at once has its calls cancelled for it, and that is the same.

use std::{
    future::{self, Future},
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::future::Either;
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use pin_project_lite::pin_project;
use runnel_limits::{
    Limit,
    cancels::{Cancels, OpenCall},
    client::client_address,
    concurrency::{ConcurrencyLimit, LimitReached, Permit},
};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::{
    call_context,
    refusal::{Refused, RefusedBy, refusal_by, try_again_later},
};

/// Admits calls within bounds.
#[derive(Clone, Debug)]
pub(super) struct AdmissionLayer {
    unary: Arc<ConcurrencyLimit>,
    streams: Arc<ConcurrencyLimit>,
    /// None if a client may cancel as often as it likes.
    cancels: Option<Arc<Cancels>>,
}

impl AdmissionLayer {
    /// Counts unary calls and calls with a stream apart. Of either, a client may cancel as many at once as
    /// `cancels_per_address` says, and that again every ten seconds; 0 for any number.
    pub(super) fn new(unary: Limit, streams: Limit, cancels_per_address: u32) -> Self {
        Self {
            unary: ConcurrencyLimit::new("calls", unary),
            streams: ConcurrencyLimit::new("streams", streams),
            cancels: Cancels::new(cancels_per_address),
        }
    }

    /// Admits a call of a peer, or gives its refusal.
    fn admit(&self, is_unary: bool, peer: Option<IpAddr>) -> Result<Admitted, Box<Response<Body>>> {
        let cancels = self.cancels.as_ref().zip(peer);
        let open = cancels.map(|(cancels, peer)| cancels.begin(peer)).transpose();
        let open =
            open.map_err(|why| Box::new(refusal_by(TOO_MANY_CANCELS, &try_again_later(&why))))?;
        let limit = if is_unary { &self.unary } else { &self.streams };
        match limit.try_acquire(peer) {
            Ok(permit) => Ok(Admitted { open, _permit: permit }),
            Err(reached) => {
                // It was never begun.
                if let Some(mut open) = open {
                    open.answered();
                }
                Err(Box::new(refusal_by(limit_of(is_unary, reached), &try_again_later(&reached))))
            }
        }
    }

    /// How many calls are open.
    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        self.unary.open_count() + self.streams.open_count()
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
pub(super) struct Admission<S> {
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
        let is_unary = call_context::is_unary(request.extensions());
        let peer = client_address(request.extensions());
        match self.layer.admit(is_unary, peer) {
            Ok(admitted) => Either::Left(AdmittedFuture {
                inner: self.inner.call(request),
                admitted: Some(admitted),
            }),
            Err(refusal) => Either::Right(future::ready(Ok(*refusal))),
        }
    }
}

/// What an admitted call holds. Dropping it gives back its place; before its response was over, it counts
/// as cancelled.
#[derive(Debug)]
struct Admitted {
    /// None if cancelled calls are not counted.
    open: Option<OpenCall>,
    _permit: Permit,
}

impl Admitted {
    /// The response is over, with what these headers say.
    fn ended(&mut self, headers: Option<&HeaderMap>) {
        let status = headers.and_then(|headers| headers.get(Status::GRPC_STATUS));
        if let Some(mut open) = self.open.take()
            && status.is_none_or(|status| status != DEADLINE_EXCEEDED)
        {
            open.answered();
        }
    }
}

/// As `grpc-status` says it.
const DEADLINE_EXCEEDED: &str = "4";

/// The limit that a call was refused by.
const fn limit_of(is_unary: bool, reached: LimitReached) -> RefusedBy {
    RefusedBy(match (is_unary, reached) {
        (true, LimitReached::Total { .. }) => "max_calls",
        (false, LimitReached::Total { .. }) => "max_streams",
        (true, LimitReached::PerAddress { .. }) => "max_calls_per_address",
        (false, LimitReached::PerAddress { .. }) => "max_streams_per_address",
    })
}

const TOO_MANY_CANCELS: RefusedBy = RefusedBy("max_cancels_per_address");

pin_project! {
    /// The response of an admitted call.
    #[derive(Debug)]
    pub(super) struct AdmittedFuture<F> {
        #[pin]
        inner: F,
        admitted: Option<Admitted>,
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
        let mut admitted = this.admitted.take();
        if response.body().is_end_stream()
            && let Some(admitted) = &mut admitted
        {
            admitted.ended(Some(response.headers()));
        }
        Poll::Ready(Ok(response.map(|inner| Body::new(AdmittedBody { inner, admitted }))))
    }
}

struct AdmittedBody {
    inner: Body,
    admitted: Option<Admitted>,
}

impl http_body::Body for AdmittedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        let trailers = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.trailers_ref());
        let is_last =
            trailers.is_some() || !matches!(frame, Some(Ok(_))) || self.inner.is_end_stream();
        if is_last && let Some(admitted) = &mut self.admitted {
            admitted.ended(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
