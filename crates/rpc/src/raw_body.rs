//! A streaming method that writes its response's body itself. tonic encodes message by message, with an
//! allocation or two and a poll for each; a method that sends millions can do better. It returns
//! an empty stream and puts a [`RawBody`] beside it; everything else, the layers included, is as ever.
//! What is best written at a time depends on what carries it: the server below says it as a
//! [`WriteSize`](runnel_limits::WriteSize) in the extensions of the request.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use tonic::{Status, body::Body};

use super::tally::SentMessages;

/// Length-prefixed messages, uncompressed, and then trailers with a `grpc-status`. The layers do not look into
/// them: it is for the implementation to keep each message within the limit.
pub trait Messages: http_body::Body<Data = Bytes, Error = Status> + Send + Unpin + 'static {
    /// How many messages it has given so far. Only the body knows without reading every byte again.
    fn given(&self) -> u64;
}

/// Put into the extensions of a [`tonic::Response`], this is sent in the place of its messages.
#[derive(Clone, Debug)]
pub struct RawBody {
    // Extensions must be cloneable; the first to take the body has it.
    body: Arc<Mutex<Option<Body>>>,
    given: SentMessages,
}

impl RawBody {
    /// Sends `messages`.
    pub fn new(messages: impl Messages) -> Self {
        let given = SentMessages::default();
        let body = Body::new(CountedBody { messages, given: given.clone() });
        Self { body: Arc::new(Mutex::new(Some(body))), given }
    }
}

/// Puts a response's [`RawBody`] in its place.
pub(super) fn send(mut response: Response<Body>) -> Response<Body> {
    let raw = response.extensions_mut().remove::<RawBody>();
    let Some(RawBody { body, given }) = raw else {
        return response;
    };
    let body = body.lock().unwrap_or_else(PoisonError::into_inner).take();
    match body {
        Some(body) => {
            response.extensions_mut().insert(given);
            response.map(|_empty| body)
        }
        None => response,
    }
}

struct CountedBody<M> {
    messages: M,
    given: SentMessages,
}

impl<M: Messages> http_body::Body for CountedBody<M> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.messages).poll_frame(cx);
        self.given.set(self.messages.given());
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.messages.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.messages.size_hint()
    }
}
