//! [`Mended`]: what goes above the library. It sends every value of a header, gives each call an
//! [`Exchange`], and ends each answer as that says, whatever the library made of it.
//!
//! Further faults of tonic-web-wasm-client 0.9.2 that this stands in for: it believes a `grpc-status`
//! among the headers although a body follows, and every failure of the network is `Unknown` to it.
//! And of tonic 0.14.9: of several messages in the answer to a unary call it takes the first.

use std::{
    fmt::Display,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use tonic::{Status, body::Body, codegen::Service};

use super::{
    answer::Ending,
    error::TransportError,
    exchange::Exchange,
    request::join_repeated,
    trailers::{DETAILS, MESSAGE, STATUS, mend_status},
};

/// In a request's extensions: the answer must have one message, no more and no less.
#[derive(Debug, Clone, Copy)]
pub struct Unary;

/// A transport whose faults are mended. Its errors are statuses, with a [`TransportError`] as their
/// source where they did not come over the wire.
#[derive(Debug, Clone)]
pub struct Mended<S> {
    inner: S,
}

impl<S> Mended<S> {
    /// Mends `inner`, which finds an [`Exchange`] in every request and settles it.
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S, B> Service<Request<Body>> for Mended<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error: Display, Future: 'static>,
    B: http_body::Body<Data = Bytes, Error: Display> + Unpin + 'static,
{
    type Response = Response<MendedBody<B>>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx).map_err(|error| library(&error).into())
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let exchange = Exchange::default();
        let unary = request.extensions().get::<Unary>().is_some();
        let accepted = request.headers().get("grpc-accept-encoding").cloned();
        join_repeated(request.headers_mut());
        request.extensions_mut().insert(exchange.clone());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let (mut head, inner) = match answer.await {
                Ok(response) => response.into_parts(),
                Err(error) => {
                    let told = exchange.take().and_then(Result::err);
                    return Err(told.unwrap_or_else(|| library(&error)).into());
                }
            };
            check_encoding(&head.headers, accepted.as_ref().map(AsRef::as_ref))?;
            let mut body = MendedBody { inner, exchange, unary, first: None, ended: false };
            if head.headers.contains_key(STATUS) {
                body.peek().await;
                if body.first.is_some() {
                    for name in [STATUS, MESSAGE, DETAILS] {
                        head.headers.remove(name);
                    }
                }
            }
            mend_status(&mut head.headers);
            if body.ended && unary && is_ok(&head.headers) {
                return Err(TransportError::NotOneMessage { messages: 0 }.into());
            }
            Ok(Response::from_parts(head, body))
        })
    }
}

/// "If a server sent data which is compressed by an algorithm that is not supported by the client, an
/// INTERNAL error status will occur on the client side"; tonic makes it UNIMPLEMENTED.
/// <https://github.com/grpc/grpc/blob/master/doc/compression.md>
fn check_encoding(headers: &HeaderMap, accepted: Option<&[u8]>) -> Result<(), TransportError> {
    let Some(encoding) = headers.get("grpc-encoding") else {
        return Ok(());
    };
    let mut accepted = accepted.unwrap_or_default().split(|&byte| byte == b',');
    if encoding == "identity" || accepted.any(|name| name.trim_ascii() == encoding.as_bytes()) {
        return Ok(());
    }
    let encoding = String::from_utf8_lossy(encoding.as_bytes()).into_owned();
    Err(TransportError::Encoding { encoding })
}

fn is_ok(headers: &HeaderMap) -> bool {
    headers.get(STATUS).is_some_and(|status| status == "0")
}

fn library(error: &impl Display) -> TransportError {
    TransportError::Library { detail: error.to_string() }
}

/// The body of an answer: the library's messages, and the ending that beneath told of.
#[derive(Debug)]
pub struct MendedBody<B> {
    inner: B,
    exchange: Exchange,
    unary: bool,
    /// Read already, to see whether there is a body.
    first: Option<Result<Frame<Bytes>, Status>>,
    ended: bool,
}

/// An empty body, which a generated client wants for the calls that its interceptor refuses.
impl<B: Default> Default for MendedBody<B> {
    fn default() -> Self {
        let (inner, exchange) = (B::default(), Exchange::default());
        Self { inner, exchange, unary: false, first: None, ended: true }
    }
}

impl<B> MendedBody<B>
where
    B: http_body::Body<Data = Bytes, Error: Display> + Unpin,
{
    /// Reads up to the first frame, if there is one.
    async fn peek(&mut self) {
        self.first = poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let error = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(Ok(frame)) if frame.is_data() => return Poll::Ready(Some(Ok(frame))),
            // The library's own idea of an ending, trailers included, says nothing that is not in
            // the exchange.
            Some(Ok(_)) | None => None,
            Some(Err(error)) => Some(error),
        };
        self.ended = true;
        Poll::Ready(self.ending(error.as_ref()).map_err(Status::from).transpose())
    }

    fn ending(&self, error: Option<&B::Error>) -> Result<Option<Frame<Bytes>>, TransportError> {
        match self.exchange.take() {
            Some(Ok(Ending::Trailers { trailers, messages })) => {
                if self.unary && messages != 1 && is_ok(&trailers) {
                    return Err(TransportError::NotOneMessage { messages });
                }
                Ok(Some(Frame::trailers(trailers)))
            }
            Some(Ok(Ending::HeadOnly)) => Ok(None),
            Some(Err(error)) => Err(error),
            None => Err(error.map_or(TransportError::CutOff, library)),
        }
    }
}

impl<B> http_body::Body for MendedBody<B>
where
    B: http_body::Body<Data = Bytes, Error: Display> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => self.poll(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, ready};

    use http_body_util::{BodyExt as _, Full};
    use journal::{LastRequest, journal_client::JournalClient};
    use tonic::Code;

    use super::*;

    /// Gives every call these bytes and an OK.
    #[derive(Clone)]
    struct Canned(&'static [u8]);

    impl Service<Request<Body>> for Canned {
        type Response = Response<Body>;
        type Error = Status;
        type Future = Ready<Result<Response<Body>, Status>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            let trailers = HeaderMap::from_iter([(
                http::HeaderName::from_static(STATUS),
                http::HeaderValue::from_static("0"),
            )]);
            if let Some(exchange) = request.extensions().get::<Exchange>() {
                let messages = u64::try_from(self.0.len() / ENTRY.len()).unwrap();
                exchange.settle(Ok(Ending::Trailers { trailers: trailers.clone(), messages }));
            }
            let body = Full::new(Bytes::from_static(self.0));
            ready(Ok(Response::new(Body::new(body.with_trailers(ready(Some(Ok(trailers))))))))
        }
    }

    const ENTRY: &[u8] = b"\0\0\0\0\x04\x12\x02hi";
    const TWO_ENTRIES: &[u8] = b"\0\0\0\0\x04\x12\x02hi\0\0\0\0\x04\x12\x02hi";

    fn last() -> tonic::Request<LastRequest> {
        let mut request = tonic::Request::new(LastRequest::default());
        request.extensions_mut().insert(Unary);
        request
    }

    #[tokio::test]
    async fn several_messages_are_no_answer_to_a_unary_call() {
        let answer = JournalClient::new(Mended::new(Canned(ENTRY))).last(last()).await;
        assert_eq!(answer.unwrap().into_inner().text, "hi");
        let answer = JournalClient::new(Mended::new(Canned(TWO_ENTRIES))).last(last()).await;
        assert_eq!(answer.unwrap_err().code(), Code::Unimplemented);
    }

    #[tokio::test]
    async fn an_interceptor_may_refuse_a_call_before_it_is_sent() {
        let transport = Mended::new(Canned(ENTRY));
        let refuse = |_| Err(Status::unauthenticated("no token"));
        let answer = JournalClient::with_interceptor(transport.clone(), refuse).last(last()).await;
        assert_eq!(answer.unwrap_err().message(), "no token");
        let answer = JournalClient::with_interceptor(transport, Ok).last(last()).await;
        assert_eq!(answer.unwrap().into_inner().text, "hi");
    }

    /// When this fails, tonic has been mended, and [`Unary`] can go.
    #[tokio::test]
    async fn tonic_still_takes_the_first_of_several_messages() {
        let answer = JournalClient::new(Canned(TWO_ENTRIES)).last(last()).await;
        assert_eq!(answer.unwrap().into_inner().text, "hi");
    }
}
