//! The bounds of what a service answers: the size of each message, and of its metadata. A service that
//! goes beyond them ends as RESOURCE_EXHAUSTED. That is what its client would make of it, too, but here
//! neither we nor the client have to take all of it first.

use std::{
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use tonic::{Code, Status, body::Body};

use super::{envelope::EnvelopeWalk, trailers_of};

/// The most metadata that gRPC's own clients take, in bytes: 16 KiB.
/// <https://github.com/grpc/grpc/blob/master/include/grpc/impl/channel_arg_names.h>,
/// `GRPC_ARG_ABSOLUTE_MAX_METADATA_SIZE`
pub const METADATA_LIMIT_BYTES: usize = 16 * 1024;

/// What an answer may have.
#[derive(Clone, Copy, Debug)]
pub struct AnswerLimits {
    /// The largest message, in bytes, without its prefix and as it is on the wire.
    pub message_bytes: usize,
    /// The most metadata before the messages, and the most behind them, in bytes as RFC 9113 section
    /// 6.5.2 counts them.
    pub metadata_bytes: usize,
}

/// How far an answer has come; in its extensions. Whoever walks the messages, or makes them, says it
/// here, so that nobody else has to read every byte again.
#[derive(Clone, Debug, Default)]
pub(super) struct Given(Arc<Progress>);

#[derive(Debug, Default)]
struct Progress {
    messages: AtomicU64,
    within_message: AtomicBool,
}

impl Given {
    /// How many messages have been given.
    pub(super) fn messages(&self) -> u64 {
        self.0.messages.load(Ordering::Relaxed)
    }

    /// Whether the last of them is not whole yet.
    pub(super) fn is_within_message(&self) -> bool {
        self.0.within_message.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, messages: u64, within_message: bool) {
        self.0.messages.store(messages, Ordering::Relaxed);
        self.0.within_message.store(within_message, Ordering::Relaxed);
    }
}

/// Holds an answer to its bounds.
pub(super) fn bound<B>(mut response: Response<B>, limits: AnswerLimits) -> Response<Body>
where
    B: http_body::Body<Data = Bytes, Error = Status> + Unpin + Send + 'static,
{
    if let Err(status) = check_metadata(response.headers(), limits.metadata_bytes) {
        return status.into_http();
    }
    // Bytes that we write ourselves are counted, and need no second look.
    let messages = if response.extensions().get::<Given>().is_some() {
        None
    } else {
        let given = Given::default();
        response.extensions_mut().insert(given.clone());
        Some((EnvelopeWalk::new(limits.message_bytes, false), given))
    };
    response.map(|inner| {
        if inner.is_end_stream() {
            return Body::empty();
        }
        let metadata_bytes = limits.metadata_bytes;
        let inner = Some(inner);
        Body::new(BoundedBody { inner, messages, metadata_bytes, held: Bytes::new(), last: None })
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

struct BoundedBody<B> {
    /// None once the answer has ended, or broken a bound; the producer is gone then.
    inner: Option<B>,
    /// None if nobody needs to look at them.
    messages: Option<(EnvelopeWalk, Given)>,
    metadata_bytes: usize,
    /// The beginning of a prefix, kept until its length is known: were it sent, only its message could
    /// follow.
    held: Bytes,
    /// How the answer ends, once it has.
    last: Option<Result<Frame<Bytes>, Status>>,
}

impl<B> BoundedBody<B> {
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
                given.set(messages.messages(), !messages.is_between_messages());
            }
            Err(fault) => {
                // The one at fault has begun, but is not sent.
                given.set(messages.messages().saturating_sub(1), false);
                piece.truncate(sound_bytes);
                let status = Status::resource_exhausted(format!("of the answer: {fault}"));
                self.end(Some(trailers_of(&status)));
            }
        }
        piece
    }

    /// Ends the answer, with what is still to be sent before.
    fn end(&mut self, last: Option<Result<Frame<Bytes>, Status>>) -> Bytes {
        self.inner = None;
        self.last = last;
        // Cut off within a prefix: the client is to see that.
        mem::take(&mut self.held)
    }

    fn check_trailers(&self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Status> {
        match frame.trailers_ref().map(|trailers| check_metadata(trailers, self.metadata_bytes)) {
            Some(Err(status)) => trailers_of(&status),
            _ => Ok(frame),
        }
    }
}

impl<B> http_body::Body for BoundedBody<B>
where
    B: http_body::Body<Data = Bytes, Error = Status> + Unpin,
{
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
                    let last = self.check_trailers(trailers);
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

    const LIMITS: AnswerLimits = AnswerLimits { message_bytes: 20, metadata_bytes: 200 };

    fn ok() -> HeaderMap {
        HeaderMap::from_iter([(Status::GRPC_STATUS, "0".parse().unwrap())])
    }

    fn messages(lengths: &[u8]) -> Vec<u8> {
        let envelope =
            |length: &u8| [&[0, 0, 0, 0, *length][..], &vec![0xff; usize::from(*length)]].concat();
        lengths.iter().flat_map(envelope).collect()
    }

    /// What becomes of an answer of these bytes, in pieces of these sizes, over and over: the bytes
    /// and the trailers.
    fn bounded(mut bytes: &[u8], pieces: &[usize], trailers: HeaderMap) -> (Bytes, HeaderMap) {
        let mut frames = Vec::new();
        for piece in pieces.iter().cycle() {
            let (now, later) = bytes.split_at((*piece).min(bytes.len()));
            frames.push(Ok(Frame::data(Bytes::copy_from_slice(now))));
            bytes = later;
            if bytes.is_empty() {
                break;
            }
        }
        frames.push(Ok(Frame::trailers(trailers)));
        let body = StreamBody::new(stream::iter(frames));
        let sent = bound(Response::new(body), LIMITS).into_body().collect();
        let sent = sent.now_or_never().unwrap().unwrap();
        let trailers = sent.trailers().cloned().unwrap();
        (sent.to_bytes(), trailers)
    }

    proptest! {
        #[test]
        fn an_answer_passes_up_to_the_first_message_that_is_too_large(
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
        fn an_answer_that_is_cut_off_passes_as_it_is(
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
        let refused = bound(response, LIMITS);
        let status = Status::from_header_map(refused.headers()).unwrap();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(http_body::Body::is_end_stream(refused.body()));
    }
}
