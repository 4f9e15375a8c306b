//! [`Pieces`]: the body of an answer on its way from the browser to the library.
//!
//! Messages pass as they come, chunk by chunk. Trailers do not pass: the library loses those that two
//! chunks share (tonic-web-wasm-client 0.9.2: "missing grpc-status trailer"), so they go into the
//! [`Exchange`] once they are whole, and the library gets empty ones.

use futures_util::{StreamExt as _, stream};
use js_sys::Uint8Array;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_streams::readable::{IntoStream, ReadableStream};

use super::{
    answer::{Answer, Ending},
    error::TransportError,
    exchange::Exchange,
    fetch_error::{is_abort, words},
};

/// Trailers of no length, the only ones that the library gets to see.
const EMPTY_TRAILERS: [u8; 5] = [0x80, 0, 0, 0, 0];

/// A body that is being read.
pub(super) struct Pieces {
    /// What is left of it; `None` behind the ending.
    body: Option<Body>,
    answer: Answer,
    exchange: Exchange,
    /// The piece at hand, where it can be read.
    buffer: Vec<u8>,
    /// To be given once the messages before it have passed.
    error: Option<JsValue>,
}

/// What `fetch` gave as a body. Some answers have none at all, as those with the HTTP status 204.
type Body = Option<IntoStream<'static>>;

impl Pieces {
    /// Reads `body`, and settles `exchange` when it ends.
    pub(super) fn new(
        body: Option<web_sys::ReadableStream>,
        answer: Answer,
        exchange: Exchange,
    ) -> Self {
        let body = body.map(|body| ReadableStream::from_raw(body.unchecked_into()).into_stream());
        Self { body: Some(body), answer, exchange, buffer: Vec::new(), error: None }
    }

    /// A stream for the library. It reads when it is read, and dropped, it cancels what it reads.
    pub(super) fn into_js(self) -> web_sys::ReadableStream {
        let pieces = stream::unfold(self, |mut pieces| async {
            let next = pieces.next().await?;
            Some((next, pieces))
        });
        ReadableStream::from_stream(pieces).into_raw().unchecked_into()
    }

    async fn next(&mut self) -> Option<Result<JsValue, JsValue>> {
        if let Some(error) = self.error.take() {
            return Some(Err(error));
        }
        loop {
            self.buffer.clear();
            let piece = match self.body.as_mut()? {
                Some(body) => body.next().await,
                None => None,
            };
            let ending = match piece {
                Some(Ok(piece)) => {
                    let piece: Uint8Array = piece.unchecked_into();
                    match self.read(&piece) {
                        Some(ending) => ending,
                        // All of it trailers, and the rest of them must come.
                        None if self.buffer.is_empty() => continue,
                        None if self.buffer.len() == piece.length() as usize => {
                            return Some(Ok(as_it_came(piece)));
                        }
                        None => return Some(Ok(self.messages())),
                    }
                }
                Some(Err(error)) if is_abort(&error) => {
                    Err(TransportError::Aborted { detail: words(&error) })
                }
                Some(Err(error)) => self.answer.broke(words(&error)),
                None => self.answer.end(),
            };
            self.body = None;
            return Some(self.end(ending));
        }
    }

    /// Reads a piece, and leaves what of it are messages in the buffer.
    fn read(&mut self, piece: &Uint8Array) -> Option<Result<Ending, TransportError>> {
        self.buffer = piece.to_vec();
        let (message_bytes, ending) = self.answer.piece(&self.buffer);
        self.buffer.truncate(message_bytes);
        ending
    }

    /// Tells of the ending; the last piece for the library, with the messages of the last one read.
    fn end(&mut self, ending: Result<Ending, TransportError>) -> Result<JsValue, JsValue> {
        match &ending {
            Ok(_) => self.buffer.extend(EMPTY_TRAILERS),
            Err(error) => self.error = Some(JsValue::from_str(&error.to_string())),
        }
        self.exchange.settle(ending);
        if self.buffer.is_empty()
            && let Some(error) = self.error.take()
        {
            return Err(error);
        }
        Ok(self.messages())
    }

    fn messages(&self) -> JsValue {
        Uint8Array::from(&self.buffer[..]).into()
    }
}

/// A piece for the library, which makes a copy of an array, and a view of a buffer. So a piece that is
/// all of its buffer, as those of `fetch` are, is copied no more often for having been read here.
fn as_it_came(piece: Uint8Array) -> JsValue {
    let buffer = piece.buffer();
    if buffer.byte_length() == piece.byte_length() { buffer.into() } else { piece.into() }
}
