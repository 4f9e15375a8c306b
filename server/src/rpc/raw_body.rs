//! A streaming method that writes its answer's body itself. tonic encodes message by message, with an
//! allocation or two and a poll for each; a method that sends millions can do better. It answers with
//! an empty stream and puts a [`RawBody`] beside it; everything else, the layers included, is as ever.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::Response;
use tonic::{Status, body::Body};

/// Put into the extensions of a [`tonic::Response`], this is sent in the place of its messages. It must
/// be length-prefixed messages, uncompressed, and then trailers with a `grpc-status`.
#[derive(Clone, Debug)]
// Extensions must be cloneable; whoever takes the body first has it.
pub struct RawBody(Arc<Mutex<Option<Body>>>);

impl RawBody {
    /// Sends `body`.
    pub fn new(body: impl http_body::Body<Data = Bytes, Error = Status> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Body::new(body)))))
    }
}

/// In the extensions of an answer that is sent from its [`RawBody`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent;

/// Puts an answer's [`RawBody`] in its place.
pub(super) fn send(mut response: Response<Body>) -> Response<Body> {
    let raw = response.extensions_mut().remove::<RawBody>();
    let body =
        raw.and_then(|RawBody(body)| body.lock().unwrap_or_else(PoisonError::into_inner).take());
    match body {
        Some(body) => {
            response.extensions_mut().insert(Sent);
            response.map(|_empty| body)
        }
        None => response,
    }
}
