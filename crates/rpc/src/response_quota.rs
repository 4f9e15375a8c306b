//! What a response takes until its client has read it. A large message is counted from when it is there to
//! when its last byte has left, in whatever buffer that waits: the count goes along with the bytes.
//!
//! And it is given in pieces, so that the response is not over for us before its client has read it, however
//! slow: [`MustBeRead`] has it ended when its client reads nothing for long.

use std::{
    future::Future,
    mem,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use pin_project_lite::pin_project;
use runnel_limits::{
    MustBeRead,
    client::client_address,
    quota::{FREE_BYTES, Holding, Quota},
};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::{
    call_context,
    refusal::{trailers_of, try_again_later},
};

/// What a stream may give at a time without being counted, in bytes: tonic writes somewhat more than
/// 32 KiB together.
const FREE_STREAM_BYTES: usize = 64 * 1024;

/// What is given at a time of a large message, in bytes. The last piece is a copy, because the whole message
/// stays as long as a part of it waits in a buffer.
const PIECE_BYTES: usize = 32 * 1024;

/// A part of the quota that a service holds already for its response, before it makes the message. Put into the
/// extensions of a [`tonic::Response`], it counts for the message of that.
#[derive(Clone, Debug)]
pub struct Reserved(Arc<Mutex<Option<Holding>>>);

impl Reserved {
    /// Of the quota that the layers have: [`Layers::with_quota`](super::Layers::with_quota).
    pub fn new(holding: Holding) -> Self {
        // Extensions must be cloneable; the first to take it has it.
        Self(Arc::new(Mutex::new(Some(holding))))
    }

    fn take(&self) -> Option<Holding> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Counts large responses.
#[derive(Clone, Debug)]
pub(super) struct ResponseQuotaLayer(Quota);

impl ResponseQuotaLayer {
    pub(super) const fn new(quota: Quota) -> Self {
        Self(quota)
    }
}

impl<S> Layer<S> for ResponseQuotaLayer {
    type Service = ResponseQuota<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ResponseQuota { inner, quota: self.0.clone() }
    }
}

/// The service of [`ResponseQuotaLayer`].
#[derive(Clone, Debug)]
pub(super) struct ResponseQuota<S> {
    inner: S,
    quota: Quota,
}

impl<S, B> Service<Request<B>> for ResponseQuota<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ResponseQuotaFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let peer = client_address(request.extensions());
        let unary = call_context::is_unary(request.extensions());
        let quota = self.quota.clone();
        ResponseQuotaFuture { inner: self.inner.call(request), quota, peer, unary }
    }
}

pin_project! {
    /// The response of a call, for which there must be room.
    pub(super) struct ResponseQuotaFuture<F> {
        #[pin]
        inner: F,
        quota: Quota,
        peer: Option<IpAddr>,
        unary: bool,
    }
}

impl<F, E> Future for ResponseQuotaFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        if response.body().is_end_stream() {
            return Poll::Ready(Ok(response));
        }
        let reserved = response.extensions_mut().remove::<Reserved>();
        let reserved = reserved.and_then(|reserved| reserved.take());
        if *this.unary {
            response.extensions_mut().insert(MustBeRead);
        }
        let (quota, peer, unary) = (this.quota.clone(), *this.peer, *this.unary);
        Poll::Ready(Ok(response.map(|inner| {
            let (pieces, ends) = (Bytes::new(), None);
            let inner = Some(inner);
            Body::new(QuotaBody { inner, quota, peer, unary, reserved, large: None, pieces, ends })
        })))
    }
}

struct QuotaBody {
    /// None once it has ended.
    inner: Option<Body>,
    quota: Quota,
    peer: Option<IpAddr>,
    unary: bool,
    reserved: Option<Holding>,
    /// Waits for room.
    large: Option<(Bytes, Holding)>,
    /// There is room for these.
    pieces: Bytes,
    /// What comes behind them, if it is there already.
    ends: Option<Result<Frame<Bytes>, Status>>,
}

/// Bytes that are counted until they are dropped.
struct Counted {
    data: Bytes,
    _holding: Holding,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl QuotaBody {
    fn next_piece(&mut self) -> Bytes {
        if self.pieces.len() > PIECE_BYTES {
            self.pieces.split_to(PIECE_BYTES)
        } else {
            Bytes::copy_from_slice(&mem::take(&mut self.pieces))
        }
    }

    /// The message of a unary call is there, so its service has done its part: what its client takes to read
    /// it is not the service's time.
    fn take_end(&mut self, cx: &mut Context<'_>) {
        if let Some(inner) = &mut self.inner
            && let Poll::Ready(end) = Pin::new(inner).poll_frame(cx)
        {
            if !matches!(&end, Some(Ok(frame)) if frame.is_data()) {
                self.inner = None;
            }
            self.ends = end;
        }
    }
}

impl http_body::Body for QuotaBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if !self.pieces.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(self.next_piece()))));
            }
            if let Some((data, holding)) = &mut self.large {
                let held = ready!(holding.poll_hold(cx, data.len()));
                let large = self.large.take();
                if let Err(full) = held {
                    (self.inner, self.ends) = (None, None);
                    return Poll::Ready(Some(trailers_of(&try_again_later(&full))));
                }
                if let Some((data, holding)) = large {
                    self.pieces = Bytes::from_owner(Counted { data, _holding: holding });
                }
                if self.unary && self.ends.is_none() {
                    self.take_end(cx);
                }
                continue;
            }
            let frame = match self.ends.take() {
                Some(frame) => frame,
                None => match &mut self.inner {
                    None => return Poll::Ready(None),
                    Some(inner) => match ready!(Pin::new(inner).poll_frame(cx)) {
                        None => return Poll::Ready(None),
                        Some(frame) => frame,
                    },
                },
            };
            let free_bytes = if self.unary { FREE_BYTES } else { FREE_STREAM_BYTES };
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) if data.len() > free_bytes => {
                    let reserved = self.reserved.take();
                    let holding = reserved.unwrap_or_else(|| self.quota.holding(self.peer));
                    self.large = Some((data, holding));
                }
                Ok(Ok(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Err(other)) => return Poll::Ready(Some(Ok(other))),
                Err(status) => return Poll::Ready(Some(Err(status))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
            && self.large.is_none()
            && self.ends.is_none()
            && self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
