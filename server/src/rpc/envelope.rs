//! A message over the limit is RESOURCE_EXHAUSTED, as the gRPC status guide says and every other
//! server does. tonic says OUT_OF_RANGE, so the length prefixes are read here, before tonic sees them.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Request;
use http_body::{Frame, SizeHint};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

/// The head of a length-prefixed message: a flag and the length, big-endian.
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests>
const PREFIX_BYTES: usize = 5;

/// Refuses request messages over a limit.
#[derive(Clone, Copy, Debug)]
pub struct MessageLimitLayer {
    limit_bytes: usize,
}

impl MessageLimitLayer {
    /// Messages of up to `limit_bytes`, without their prefix and as they are on the wire, pass.
    pub const fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes }
    }
}

impl<S> Layer<S> for MessageLimitLayer {
    type Service = MessageLimit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        MessageLimit { inner, limit_bytes: self.limit_bytes }
    }
}

/// The service of [`MessageLimitLayer`].
#[derive(Clone, Debug)]
pub struct MessageLimit<S> {
    inner: S,
    limit_bytes: usize,
}

impl<S> Service<Request<Body>> for MessageLimit<S>
where
    S: Service<Request<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        let prefixes = PrefixWalk::new(self.limit_bytes);
        self.inner.call(request.map(|inner| Body::new(LimitedBody { inner, prefixes })))
    }
}

/// A request body that ends with a status, which tonic passes on as it is, where a message too large
/// begins.
struct LimitedBody {
    inner: Body,
    prefixes: PrefixWalk,
}

impl http_body::Body for LimitedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(TooLarge { message_bytes, limit_bytes }) = self.prefixes.walk(data)
        {
            return Poll::Ready(Some(Err(Status::resource_exhausted(format!(
                "the message has {message_bytes} bytes; {limit_bytes} are allowed"
            )))));
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

#[derive(Debug, PartialEq, Eq)]
struct TooLarge {
    message_bytes: usize,
    limit_bytes: usize,
}

/// Where in a sequence of length-prefixed messages we are, whatever pieces it comes in.
#[derive(Debug)]
struct PrefixWalk {
    limit_bytes: usize,
    /// As much of the next prefix as has come.
    prefix: [u8; PREFIX_BYTES],
    prefix_bytes: usize,
    /// How much of the current message is still to come.
    message_bytes_left: usize,
}

impl PrefixWalk {
    const fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, prefix: [0; PREFIX_BYTES], prefix_bytes: 0, message_bytes_left: 0 }
    }

    fn walk(&mut self, mut data: &[u8]) -> Result<(), TooLarge> {
        while !data.is_empty() {
            if self.message_bytes_left > 0 {
                let passed = self.message_bytes_left.min(data.len());
                self.message_bytes_left -= passed;
                data = &data[passed..];
                continue;
            }
            let wanted = (PREFIX_BYTES - self.prefix_bytes).min(data.len());
            self.prefix[self.prefix_bytes..][..wanted].copy_from_slice(&data[..wanted]);
            self.prefix_bytes += wanted;
            data = &data[wanted..];
            if self.prefix_bytes == PREFIX_BYTES {
                self.prefix_bytes = 0;
                let [_flag, length @ ..] = self.prefix;
                // A length that a usize cannot hold is over any limit.
                self.message_bytes_left =
                    usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                if self.message_bytes_left > self.limit_bytes {
                    return Err(TooLarge {
                        message_bytes: self.message_bytes_left,
                        limit_bytes: self.limit_bytes,
                    });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn messages(lengths: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for length in lengths {
            bytes.push(0);
            bytes.extend(u32::try_from(*length).unwrap().to_be_bytes());
            bytes.extend(std::iter::repeat_n(0xff, *length));
        }
        bytes
    }

    /// Walks `bytes` in pieces of the given sizes, over and over.
    fn walk(bytes: &[u8], pieces: &[usize], limit_bytes: usize) -> Result<(), TooLarge> {
        let mut walk = PrefixWalk::new(limit_bytes);
        let mut rest = bytes;
        for piece in pieces.iter().cycle() {
            let (now, later) = rest.split_at((*piece).min(rest.len()));
            walk.walk(now)?;
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn the_pieces_a_body_comes_in_do_not_matter(
            lengths in prop::collection::vec(0..40_usize, 0..6),
            pieces in prop::collection::vec(1..9_usize, 1..5),
            limit_bytes in 0..40_usize,
        ) {
            let first_too_large = lengths.iter().find(|length| **length > limit_bytes);
            let expected = first_too_large
                .map_or(Ok(()), |&message_bytes| Err(TooLarge { message_bytes, limit_bytes }));
            prop_assert_eq!(walk(&messages(&lengths), &pieces, limit_bytes), expected);
        }

        #[test]
        fn no_bytes_whatever_make_it_panic(bytes: Vec<u8>, piece in 1..9_usize) {
            let _ = walk(&bytes, &[piece], 1000);
        }
    }

    #[test]
    fn a_length_of_four_gigabytes_is_refused_at_its_prefix() {
        let refused = walk(&[0, 0xff, 0xff, 0xff, 0xff], &[1], 4096).unwrap_err();
        assert_eq!(refused, TooLarge { message_bytes: 0xffff_ffff, limit_bytes: 4096 });
    }
}
