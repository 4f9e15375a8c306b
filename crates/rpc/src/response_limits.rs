//! The limits of a response: the size of each message, and of the metadata. A response that goes beyond them
//! ends as RESOURCE_EXHAUSTED. That is what its client would make of it, too, but here neither the server nor
//! the client has to take all of it first.
//!
//! And no status behind half a message. Whatever ended the call there (its deadline, a shutdown, the
//! service, a backend), gRPC-Web has its trailers in the body, where the client would take them for the
//! rest of the message. So there the body itself breaks off.

use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use super::{
    call_context, envelope::EnvelopeWalk, limits::ResponseLimits, normalize::Protocol,
    refusal::trailers_of, tally::SentMessages,
};

/// Holds responses to their limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResponseLimitsLayer(ResponseLimits);

impl ResponseLimitsLayer {
    /// Responses within `limits` pass.
    pub(super) const fn new(limits: ResponseLimits) -> Self {
        Self(limits)
    }
}

impl<S> Layer<S> for ResponseLimitsLayer {
    type Service = LimitedResponses<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LimitedResponses { inner, limits: self.0 }
    }
}

/// The service of [`ResponseLimitsLayer`].
#[derive(Clone, Debug)]
pub(super) struct LimitedResponses<S> {
    inner: S,
    limits: ResponseLimits,
}

impl<S, B> Service<Request<B>> for LimitedResponses<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = LimitedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let protocol = call_context::protocol(request.extensions());
        LimitedFuture { inner: self.inner.call(request), limits: self.limits, protocol }
    }
}

pin_project! {
    /// The response of a call, within its limits.
    #[derive(Debug)]
    pub(super) struct LimitedFuture<F> {
        #[pin]
        inner: F,
        limits: ResponseLimits,
        protocol: Protocol,
    }
}

impl<F, E> Future for LimitedFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        Poll::Ready(Ok(limit(response, *this.limits, *this.protocol)))
    }
}

fn limit(
    mut response: Response<Body>,
    limits: ResponseLimits,
    protocol: Protocol,
) -> Response<Body> {
    if let Err(status) = check_metadata(response.headers(), limits.metadata_bytes) {
        return status.into_http();
    }
    // Only a raw body has counted them already: what its service writes itself needs no second look.
    let messages = if response.extensions().get::<SentMessages>().is_some() {
        None
    } else {
        let given = SentMessages::default();
        response.extensions_mut().insert(given.clone());
        Some((EnvelopeWalk::new(limits.message_bytes, false), given))
    };
    response.map(|inner| {
        if http_body::Body::is_end_stream(&inner) {
            return inner;
        }
        Body::new(LimitedBody {
            inner: Some(inner),
            messages,
            metadata_bytes: limits.metadata_bytes,
            inline_trailers: protocol != Protocol::Grpc,
            held: Bytes::new(),
            last: None,
        })
    })
}

fn check_metadata(metadata: &HeaderMap, limit_bytes: usize) -> Result<(), Status> {
    let bytes: usize =
        metadata.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    if bytes <= limit_bytes {
        return Ok(());
    }
    let code = metadata.get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()));
    let whose = code.map_or_else(String::new, |code| format!(" of a status {code:?}"));
    Err(Status::resource_exhausted(format!(
        "the answer's metadata{whose} has {bytes} bytes; {limit_bytes} are allowed"
    )))
}

struct LimitedBody {
    /// None once the response has ended, or gone beyond a limit; the producer is gone then.
    inner: Option<Body>,
    /// None if the service counts its messages itself.
    messages: Option<(EnvelopeWalk, SentMessages)>,
    metadata_bytes: usize,
    /// Whether the trailers travel inside the body.
    inline_trailers: bool,
    /// The beginning of a prefix, kept until its length is known: were it sent, only its message could
    /// follow.
    held: Bytes,
    /// How the response ends, once it has.
    last: Option<Result<Frame<Bytes>, Status>>,
}

impl LimitedBody {
    /// As much of what was held and the next piece as may be sent.
    fn sound(&mut self, mut piece: Bytes) -> Bytes {
        let Some((messages, given)) = &mut self.messages else {
            return piece;
        };
        if !self.held.is_empty() {
            piece = [mem::take(&mut self.held), piece].concat().into();
        }
        let (sound_bytes, walked) = messages.walk(&piece);
        match walked {
            Ok(()) => {
                self.held = piece.split_off(sound_bytes - messages.step_back());
                given.set(messages.messages());
            }
            Err(fault) => {
                // The one at fault has begun, but is not sent.
                given.set(messages.messages().saturating_sub(1));
                piece.truncate(sound_bytes);
                let status = Status::resource_exhausted(format!("of the answer: {fault}"));
                self.end(Some(trailers_of(&status)));
            }
        }
        piece
    }

    /// Ends the response, with what is still to be sent before.
    fn end(&mut self, last: Option<Result<Frame<Bytes>, Status>>) -> Bytes {
        self.inner = None;
        self.last = last;
        // Cut off within a prefix: the client is to see that.
        mem::take(&mut self.held)
    }

    fn is_within_message(&self) -> bool {
        let walk = self.messages.as_ref().map(|(walk, _)| walk);
        !self.held.is_empty() || walk.is_some_and(|walk| !walk.is_between_messages())
    }

    /// How a response ends whose service ends it with `last`.
    fn termination(&self, last: Frame<Bytes>) -> Result<Frame<Bytes>, Status> {
        let Some(trailers) = last.trailers_ref() else {
            return Ok(last);
        };
        let checked = check_metadata(trailers, self.metadata_bytes);
        if self.inline_trailers && self.is_within_message() {
            // Only its code goes anywhere: into the log.
            let code = trailers.get(Status::GRPC_STATUS).map(HeaderValue::as_bytes);
            let code = code.map(Code::from_bytes).filter(|code| *code != Code::Ok);
            checked?;
            let code = code.unwrap_or(Code::Internal);
            return Err(Status::new(code, "the answer ended within a message"));
        }
        checked.map_or_else(|status| trailers_of(&status), |()| Ok(last))
    }
}

impl http_body::Body for LimitedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        while let Some(inner) = &mut self.inner {
            let frame = ready!(Pin::new(inner).poll_frame(cx)).transpose();
            let data = match frame.map(|frame| frame.map(Frame::into_data)) {
                Ok(Some(Ok(piece))) => self.sound(piece),
                Ok(Some(Err(trailers))) => {
                    let last = self.termination(trailers);
                    self.end(Some(last))
                }
                Ok(None) => self.end(None),
                Err(status) => self.end(Some(Err(status))),
            };
            if !data.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
        Poll::Ready(self.last.take())
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Some(inner) => self.held.is_empty() && inner.is_end_stream(),
            None => self.last.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt as _, stream};
    use http_body_util::{BodyExt as _, StreamBody};
    use proptest::prelude::*;

    const LIMITS: ResponseLimits = ResponseLimits { message_bytes: 20, metadata_bytes: 200 };

    fn ok() -> HeaderMap {
        HeaderMap::from_iter([(Status::GRPC_STATUS, "0".parse().unwrap())])
    }

    fn messages(lengths: &[u8]) -> Vec<u8> {
        let envelope =
            |length: &u8| [&[0, 0, 0, 0, *length][..], &vec![0xff; usize::from(*length)]].concat();
        lengths.iter().flat_map(envelope).collect()
    }

    /// A response of these bytes, in pieces of these sizes, over and over, and then the trailers.
    fn response(mut bytes: &[u8], pieces: &[usize], trailers: HeaderMap) -> Response<Body> {
        let mut frames = Vec::new();
        for piece in pieces.iter().cycle() {
            let (now, later) = bytes.split_at((*piece).min(bytes.len()));
            frames.push(Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(now))));
            bytes = later;
            if bytes.is_empty() {
                break;
            }
        }
        frames.push(Ok(Frame::trailers(trailers)));
        Response::new(Body::new(StreamBody::new(stream::iter(frames))))
    }

    /// What becomes of it over plain gRPC: the bytes and the trailers.
    fn bounded(bytes: &[u8], pieces: &[usize], trailers: HeaderMap) -> (Bytes, HeaderMap) {
        let bounded = limit(response(bytes, pieces, trailers), LIMITS, Protocol::Grpc);
        let sent = bounded.into_body().collect().now_or_never().unwrap().unwrap();
        let trailers = sent.trailers().cloned().unwrap();
        (sent.to_bytes(), trailers)
    }

    proptest! {
        #[test]
        fn a_response_passes_up_to_the_first_message_that_is_too_large(
            lengths in prop::collection::vec(0..30_u8, 0..6),
            pieces in prop::collection::vec(1..9_usize, 1..5),
        ) {
            let sound = lengths.iter().take_while(|length| usize::from(**length) <= 20).count();
            let (bytes, trailers) = bounded(&messages(&lengths), &pieces, ok());
            prop_assert_eq!(bytes, messages(&lengths[..sound]));
            let code = if sound == lengths.len() { "0" } else { "8" };
            prop_assert_eq!(&trailers[Status::GRPC_STATUS], code);
        }

        #[test]
        fn a_response_that_is_cut_off_passes_as_it_is(
            length in 0..20_u8,
            cut in 1..25_usize,
            piece in 1..9_usize,
        ) {
            let whole = messages(&[length]);
            let bytes = &whole[..whole.len().saturating_sub(cut)];
            let (sent, trailers) = bounded(bytes, &[piece], ok());
            prop_assert_eq!(sent, bytes);
            prop_assert_eq!(trailers, ok());
        }

        #[test]
        fn in_grpc_web_nothing_follows_half_a_message(
            length in 0..20_u8,
            cut in 0..25_usize,
            piece in 1..9_usize,
            code in 0..17_i32,
        ) {
            let (whole, next) = (messages(&[length]), messages(&[length]));
            let bytes = [&whole[..], &next[..next.len().saturating_sub(cut)]].concat();
            let is_whole = bytes.len() == whole.len() || cut == 0;
            let trailers = HeaderMap::from_iter([(Status::GRPC_STATUS, code.into())]);
            let response = response(&bytes, &[piece], trailers.clone());
            let mut body = limit(response, LIMITS, Protocol::GrpcWeb).into_body();
            let mut sent = Vec::new();
            let end = loop {
                match body.frame().now_or_never().unwrap().unwrap().map(Frame::into_data) {
                    Ok(Ok(data)) => sent.extend_from_slice(&data),
                    Ok(Err(trailers)) => break Ok(trailers.into_trailers().unwrap()),
                    Err(status) => break Err(status.code() as i32),
                }
            };
            prop_assert_eq!(sent, bytes);
            let broken = Err(if code == 0 { Code::Internal as i32 } else { code });
            prop_assert_eq!(end, if is_whole { Ok(trailers) } else { broken });
        }
    }

    #[test]
    fn metadata_over_the_limit_is_refused_before_and_behind_the_messages() {
        let mut large = HeaderMap::new();
        Status::not_found("x".repeat(200)).add_header(&mut large).unwrap();

        let (bytes, trailers) = bounded(&messages(&[3]), &[9], large.clone());
        assert_eq!(bytes, messages(&[3]));
        let status = Status::from_header_map(&trailers).unwrap();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains("NotFound"), "{}", status.message());

        let mut response = Response::new(Body::empty());
        *response.headers_mut() = large;
        let refused = limit(response, LIMITS, Protocol::Grpc);
        let status = Status::from_header_map(refused.headers()).unwrap();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(http_body::Body::is_end_stream(refused.body()));
    }
}
