//! How hyper is set up for every connection, and the way of a request from there to the service.

use std::{
    any::Any,
    convert::Infallible,
    error::Error,
    future::{self, Future, Ready},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::Either;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header,
};
use http_body::{Body as _, Frame, SizeHint};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
};
use hyper_util::rt::TokioTimer;
use pin_project_lite::pin_project;
use runnel_limits::{
    MustBeRead, WriteSize,
    client::{Encrypted, Peer},
};
use runnel_wire::shortened_path;
use tonic::{Status, body::Body};
use tower::{ServiceExt as _, util::Oneshot};
use tracing::Level;

use crate::{
    calls::{Calls, OpenCall},
    discard_body::RequestBody,
    head_size::HeadLimit,
    reading::Reading,
    service::HttpService,
    stream_task::Streams,
    unsent::{self, Left},
};

/// How much of a response a connection over HTTP/1.1 buffers, in bytes, beyond the chunk it takes last. A
/// reader that stops reading costs about this much and some 30 KiB (hyper's own default is 408 KiB). For
/// hyper it is the room for the head of a request, too: where heads may be larger, it must be.
const HTTP1_BUFFER_BYTES: usize = 32 * 1024;

/// How large the pieces of a response are best over HTTP/1.1. A connection gathers pieces until it has
/// [`HTTP1_BUFFER_BYTES`]: three of these, with what is around each, are just less, and so it writes four at once.
/// Larger writes make a stream cheap; smaller pieces, of which one sent in part weighs less, make a reader that stops
/// cheap.
const HTTP1_WRITE_SIZE: WriteSize = WriteSize(HTTP1_BUFFER_BYTES / 3 - 42);

/// The same over HTTP/2: the largest frame that every peer takes (RFC 9113 section 4.2). A larger piece would be cut,
/// and a smaller one costs as much.
const HTTP2_WRITE_SIZE: WriteSize = WriteSize(16 * 1024);

/// How much of a response a stream over HTTP/2 buffers: two frames of 16 KiB fill it (hyper's own default is 400 KiB).
const HTTP2_BUFFER_BYTES: usize = 24 * 1024;

/// How much of a request a client may send over HTTP/2 before the service reads it, in bytes: a sixteenth of
/// what may come on all streams of a connection (1 MiB, hyper's own default for a stream too). A proxy in front
/// of the server has many clients on a connection, and one call that is not read must not hold up the others. It
/// is held for each open call whose request the service does not read: with 1,024 calls and as many streams of
/// one address, 128 MiB.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// HTTP/2 streams a client may have open on one connection; what browsers and gRPC clients expect.
const MAX_CONCURRENT_STREAMS: u32 = 200;

/// Streams that a client may reset before the server has looked at them. Opening and resetting streams
/// evades [`MAX_CONCURRENT_STREAMS`] ("rapid reset", CVE-2023-44487); beyond this it is a GOAWAY.
const MAX_PENDING_RESETS: usize = 20;

/// Streams that the client makes us reset, by breaking the protocol in them, in the life of a
/// connection ("made you reset", CVE-2025-8671; RUSTSEC-2024-0003). Beyond this it is a GOAWAY. Those
/// over [`MAX_CONCURRENT_STREAMS`] count too, and a client may open some before it is told of that.
const MAX_ERROR_RESETS: usize = 1024;

/// An HTTP/2 peer is asked for a sign of life this often, and given up when none comes in time.
const KEEPALIVE_INTERVAL: Duration = Duration::from_mins(1);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// The HTTP/1.1 of every connection; each has a timer of its own, `head_timer`.
pub(crate) fn http1(header_timeout: Duration, heads: HeadLimit) -> http1::Builder {
    let mut http1 = http1::Builder::new();
    http1
        .header_read_timeout(header_timeout)
        .max_buf_size(HTTP1_BUFFER_BYTES.max(heads.bytes()))
        .max_header_size(heads.bytes());
    http1
}

/// The HTTP/2 of every connection.
pub(crate) fn http2(heads: HeadLimit, read_timeout: Option<Duration>) -> http2::Builder<Streams> {
    let mut http2 = http2::Builder::new(Streams::new(read_timeout));
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .max_header_list_size(heads.taken_in_over_http2())
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .max_send_buf_size(HTTP2_BUFFER_BYTES)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    http2
}

/// What hyper itself answered before a connection over HTTP/1.1 failed so.
pub(crate) fn answered(error: &hyper::Error) -> Option<StatusCode> {
    if error.is_parse_too_large() {
        Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    } else {
        error.is_parse().then_some(StatusCode::BAD_REQUEST)
    }
}

/// What hyper calls for the requests of one connection.
#[derive(Debug)]
pub(crate) struct App<S> {
    pub(crate) service: S,
    pub(crate) peer: SocketAddr,
    pub(crate) encrypted: Option<Encrypted>,
    pub(crate) calls: Calls,
    pub(crate) heads: HeadLimit,
    /// For how long the connection may rest, as HTTP/1.1 says it; None if that is nothing to speak of.
    pub(crate) keep_alive: Option<HeaderValue>,
}

impl<S: HttpService> hyper::service::Service<Request<Incoming>> for App<S> {
    type Response = Response<CountedBody>;
    type Error = Infallible;
    type Future = AppFuture<Oneshot<S, Request<Body>>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let is_http1 = request.version() < Version::HTTP_2;
        let extensions = request.extensions_mut();
        extensions.insert(Peer(self.peer));
        extensions.insert(if is_http1 { HTTP1_WRITE_SIZE } else { HTTP2_WRITE_SIZE });
        if let Some(encrypted) = self.encrypted {
            extensions.insert(encrypted);
        }
        let asked = tracing::enabled!(Level::DEBUG).then(|| {
            Box::new(Asked {
                method: request.method().clone(),
                path: shortened_path(request.uri().path()).to_owned(),
                peer: self.peer,
            })
        });
        let is_head = request.method() == Method::HEAD;
        let keep_alive = self.keep_alive.clone().filter(|_| may_go_on(&request));
        let call = Some(self.calls.begin());
        let refusal = if is_http1 { None } else { self.heads.refusal(&request) };
        let request = request.map(|body| Body::new(RequestBody::new(body)));
        let inner = match refusal {
            None => Either::Left(self.service.clone().oneshot(request)),
            Some(refusal) => Either::Right(future::ready(refusal)),
        };
        AppFuture { inner, call, is_head, is_http1, keep_alive, asked }
    }
}

/// Whether the connection may go on behind a request, and says so by `keep-alive`: over HTTP/1.1, unless
/// the client asks to close it (RFC 9112 section 9.6).
fn may_go_on<B>(request: &Request<B>) -> bool {
    let options = request.headers().get_all(header::CONNECTION).iter();
    let mut options = options.filter_map(|value| value.to_str().ok()).flat_map(|it| it.split(','));
    request.version() == Version::HTTP_11
        && !options.any(|option| option.trim().eq_ignore_ascii_case("close"))
}

/// What a request asked for, for the log.
#[derive(Debug)]
struct Asked {
    method: Method,
    path: String,
    peer: SocketAddr,
}

pin_project! {
    /// The response to a request.
    pub(crate) struct AppFuture<F> {
        // The response of the service, or one that is given in its place.
        #[pin]
        inner: Either<F, Ready<Response<Body>>>,
        call: Option<OpenCall>,
        is_head: bool,
        // Only then a response says what becomes of its connection.
        is_http1: bool,
        // None if the response says nothing of the kind.
        keep_alive: Option<HeaderValue>,
        // None if nobody reads the log that closely.
        asked: Option<Box<Asked>>,
    }
}

impl<F, B> Future for AppFuture<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    type Output = Result<Response<CountedBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = match this.inner.as_pin_mut() {
            Either::Left(service) => ready!(service.poll(cx))?.map(body),
            Either::Right(refusal) => ready!(refusal.poll(cx)),
        };
        let call = this.call.take();
        let is_last = call.as_ref().is_some_and(|call| call.calls().is_last());
        if *this.is_http1 {
            tell_what_becomes_of_the_connection(
                response.headers_mut(),
                is_last,
                this.keep_alive.take(),
            );
        }
        if *this.is_head {
            response = head_of(response);
        }
        // A call that ends badly has a status of its own, and answers 200.
        let status = response.status();
        if let Some(call) = &call
            && (status.is_client_error() || status.is_server_error())
        {
            call.calls().observer().http_error(status);
            if let Some(Asked { method, path, peer }) = this.asked.as_deref() {
                tracing::debug!(%peer, %method, path, status = status.as_u16(), "refused a request");
            }
        }
        let must_be_read = response.extensions_mut().remove::<MustBeRead>().is_some();
        let has_streams = !*this.is_http1;
        Poll::Ready(Ok(response.map(|inner| CountedBody {
            inner,
            must_be_read,
            has_streams,
            left: None,
            call,
        })))
    }
}

/// The body of a response. One that is a [`Body`] already stays what it is.
fn body<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let mut body = Some(body);
    if let Some(body) = (&mut body as &mut dyn Any).downcast_mut::<Option<Body>>() {
        return body.take().unwrap_or_default();
    }
    body.map(Body::new).unwrap_or_default()
}

/// Says in a response that it is the connection's last (RFC 9112 section 9.6), or for how long the
/// connection may rest (RFC 2068 section 19.7.1.1; that it is about this connection alone, RFC 9110 section
/// 7.6.1 wants said).
fn tell_what_becomes_of_the_connection(
    headers: &mut HeaderMap,
    is_last: bool,
    keep_alive: Option<HeaderValue>,
) {
    if is_last {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    } else if let Some(keep_alive) = keep_alive {
        headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive"));
        headers.insert(KEEP_ALIVE, keep_alive);
    }
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// The response to HEAD where this is the one to GET: all but the body (RFC 9110 section 9.3.2). Over
/// HTTP/1.1 hyper sees to that; over HTTP/2 it sends the body, which is an error of the stream.
fn head_of(mut response: Response<Body>) -> Response<Body> {
    if let Some(length @ 1..) = response.body().size_hint().exact() {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    response.map(|_| Body::empty())
}

/// A body whose call is open for as long as it is there.
#[derive(Debug)]
pub(crate) struct CountedBody {
    inner: Body,
    must_be_read: bool,
    /// Whether other responses share its connection.
    has_streams: bool,
    /// Whether what was given has left, if that is to be waited for.
    left: Option<Arc<Left>>,
    call: Option<OpenCall>,
}

impl CountedBody {
    fn reading(&self) -> Option<&Reading> {
        let call = self.call.as_ref().filter(|_| self.must_be_read);
        call.map(|call| call.calls().reading())
    }
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        if let Some(reading) = self.reading() {
            reading.waits();
        }
    }
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(left) = &self.left {
            ready!(left.poll(cx));
            self.left = None;
        }
        let mut polled = Pin::new(&mut self.inner).poll_frame(cx);
        if self.must_be_read
            && self.has_streams
            && let Some(call) = &self.call
            && let Poll::Ready(Some(Ok(frame))) = polled
        {
            let mut left = None;
            let frame = frame.map_data(|data| {
                let given;
                (given, left) = unsent::give(call.calls(), data);
                given
            });
            polled = Poll::Ready(Some(Ok(frame)));
            self.left = left;
        }
        if let Some(reading) = self.reading() {
            match &polled {
                Poll::Ready(_) => reading.gave(),
                Poll::Pending => reading.waits(),
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
