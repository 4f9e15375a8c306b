//! Requests of gRPC-Web text, which are base64. A client may encode each message by itself, and so pad
//! wherever one ends: `AAAAAAI=CAE=` is the head of a message and the message
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>, where also clients are told to expect
//! the same of responses). tonic-web decodes whatever has come at once, and takes padding only at its end:
//! one body is sound or not as the network cuts it. So it is decoded here, four characters by four, and
//! what tonic-web sees is gRPC-Web binary. Answers are encoded there, as the request's `accept` says.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use base64::{DecodeError, Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use http::{Request, header};
use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tower::BoxError;

use super::{call_context, normalize::Protocol};

/// How many characters are decoded by themselves: RFC 4648 section 4.
const GROUP: usize = 4;

/// Decodes the body of a call in gRPC-Web text, which from here on is one in gRPC-Web binary; leaves any
/// other as it is.
pub(super) fn decode(mut request: Request<Body>) -> Request<Body> {
    if call_context::protocol(request.extensions()) != Protocol::GrpcWebText {
        return request;
    }
    let binary = Protocol::GrpcWeb.header_value();
    request.headers_mut().insert(header::CONTENT_TYPE, binary);
    // It is the text's.
    request.headers_mut().remove(header::CONTENT_LENGTH);
    request.map(|inner| Body::new(Base64Body { inner, decoder: Decoder::default() }))
}

/// A body of base64, decoded.
struct Base64Body {
    inner: Body,
    decoder: Decoder,
}

impl http_body::Body for Base64Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(cx)).transpose()? else {
                return Poll::Ready(self.decoder.end().err().map(|fault| Err(fault.into())));
            };
            // HTTP's own trailers say nothing in gRPC-Web.
            let Ok(text) = frame.into_data() else { continue };
            let bytes = self.decoder.decode(&text)?;
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // What is left over must still be found to be an error.
        self.inner.is_end_stream() && self.decoder.end().is_ok()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// What is no base64.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Base64Error {
    #[error("the body is not base64: {0}")]
    Malformed(#[from] DecodeError),
    #[error("the body is not base64: it ends within a group of four characters")]
    CutShort,
}

/// Decodes base64 in whatever pieces it comes.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// Less than a group that has come.
    rest: BytesMut,
}

impl Decoder {
    /// The bytes that a piece of text completes.
    pub(crate) fn decode(&mut self, mut text: &[u8]) -> Result<Bytes, Base64Error> {
        let mut bytes = Vec::with_capacity((self.rest.len() + text.len()) / GROUP * 3);
        if !self.rest.is_empty() {
            let (missing, later) = text.split_at(text.len().min(GROUP - self.rest.len()));
            self.rest.extend_from_slice(missing);
            if self.rest.len() < GROUP {
                return Ok(Bytes::new());
            }
            STANDARD.decode_vec(self.rest.split(), &mut bytes)?;
            text = later;
        }
        let (groups, rest) = text.split_at(text.len() / GROUP * GROUP);
        decode_groups(groups, &mut bytes)?;
        self.rest.extend_from_slice(rest);
        Ok(bytes.into())
    }

    /// Whether the text may end here.
    pub(crate) fn end(&self) -> Result<(), Base64Error> {
        if self.rest.is_empty() { Ok(()) } else { Err(Base64Error::CutShort) }
    }
}

/// Decodes whole groups. Wherever one is padded something ends, and behind it something else begins.
fn decode_groups(mut groups: &[u8], bytes: &mut Vec<u8>) -> Result<(), DecodeError> {
    while !groups.is_empty() {
        let padding = groups.iter().position(|character| *character == b'=');
        let whole = padding.map_or(groups.len(), |at| (at / GROUP + 1) * GROUP);
        let (now, later) = groups.split_at(whole);
        STANDARD.decode_vec(now, bytes)?;
        groups = later;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes a text that comes in pieces of these sizes, over and over.
    fn decode(text: &str, pieces: &[usize]) -> Result<Vec<u8>, Base64Error> {
        let (mut decoder, mut bytes) = (Decoder::default(), Vec::new());
        let mut rest = Bytes::copy_from_slice(text.as_bytes());
        for piece in pieces.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            bytes.extend(decoder.decode(&rest.split_to(rest.len().min(*piece)))?);
        }
        decoder.end().map(|()| bytes)
    }

    #[test]
    fn padding_may_stand_wherever_a_message_ends() {
        assert_eq!(decode("AAAAAAI=CAE=", &[12]).unwrap(), b"\0\0\0\0\x02\x08\x01");
    }

    #[test]
    fn what_is_no_base64_is_refused_wherever_it_is_cut() {
        for text in
            ["AAAAAAI", "!!!!", "AAAAAAIIAg==x", "AA=A", "====", "A===", "AB==", "AA \n", "-_-_"]
        {
            for piece in 1..=text.len() {
                assert!(decode(text, &[piece]).is_err(), "{text} by {piece}");
            }
        }
    }

    proptest! {
        /// A client may encode any part by itself, and the network may cut anywhere.
        #[test]
        fn neither_parts_nor_pieces_matter(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..8),
            pieces in prop::collection::vec(1..20_usize, 1..6),
        ) {
            let text: String = parts.iter().map(|part| STANDARD.encode(part)).collect();
            prop_assert_eq!(decode(&text, &pieces), Ok(parts.concat()));
        }

        #[test]
        fn whatever_comes_the_pieces_do_not_matter(text in "[A-C=/+!]{0,40}", piece in 1..9_usize) {
            let (whole, cut) = (decode(&text, &[text.len().max(1)]), decode(&text, &[piece]));
            prop_assert_eq!(whole.is_ok(), cut.is_ok());
            if let (Ok(whole), Ok(cut)) = (whole, cut) {
                prop_assert_eq!(whole, cut);
            }
        }
    }
}
