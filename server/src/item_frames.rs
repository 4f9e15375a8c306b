//! The items of a `getStream` call, written straight into the bytes that go out: the fast path.
//!
//! Most items differ from the one before them in their last digit and one byte of their id. So the frame
//! of one is kept, and written ten times over with those two bytes changed: each time one copy of fixed
//! width and two stores, and nothing is read back that was just written. There is no message, no string
//! and no poll for each item. The bytes are those of tonic's encoder, which a property test holds them
//! to.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use runnel_limits::WriteSize;
use runnel_rpc::{ChunkPool, Messages};
use runnel_wire::varint_bytes;
use tonic::Status;

use crate::items::ItemRange;

/// The width of every copy, in bytes. The longest frame has 28: prefix, id and "name 2147483647".
const COPY_BYTES: usize = 32;

/// Where things are in a frame: a flag and the length, the id's tag and varint, the name's tag and
/// length, the name.
const LENGTH_AT: usize = 4;
const ID_TAG_AT: usize = 5;
const ID_AT: usize = 6;
const ID_TAG: u8 = 0x08;
const NAME_TAG: u8 = 0x12;
const NAME: &[u8; 5] = b"name ";

/// A response body: the frames of a range of items, then the trailers of a call that went well.
#[derive(Debug)]
pub struct ItemFrames {
    frame: ItemFrame,
    items: u64,
    items_left: u64,
    chunk_bytes: usize,
    chunks: ChunkPool,
    ended: bool,
}

impl ItemFrames {
    /// Writes the items of `range` in chunks of at most `write_size`.
    pub fn new(range: &ItemRange, WriteSize(chunk_bytes): WriteSize) -> Self {
        let ids = range.ids();
        Self {
            frame: ItemFrame::new(ids.start.unsigned_abs()),
            items: range.len() as u64,
            items_left: range.len() as u64,
            // At least the longest frame.
            chunk_bytes: chunk_bytes.max(COPY_BYTES),
            chunks: ChunkPool::default(),
            ended: false,
        }
    }

    /// As many of the items that are left as fit into a chunk.
    fn next_chunk(&mut self) -> Bytes {
        // At most a chunk; a short stream does not pay for a long one.
        let wanted_bytes = self.items_left.saturating_mul(COPY_BYTES as u64);
        let chunk_bytes = usize::try_from(wanted_bytes).unwrap_or(usize::MAX).min(self.chunk_bytes);
        let mut chunk = self.chunks.take(chunk_bytes);
        let mut written = 0;
        'chunk: while self.items_left > 0 {
            let left = u8::try_from(self.items_left).unwrap_or(u8::MAX);
            let run = self.frame.run().min(left);
            let ItemFrame { bytes, length, .. } = self.frame;
            let (id_byte, digit) = (bytes[ID_AT], bytes[length - 1]);
            for step in 0..run {
                let Some(place) = chunk[written..].first_chunk_mut::<COPY_BYTES>() else {
                    self.go_on(step);
                    break 'chunk;
                };
                *place = bytes;
                place[ID_AT] = id_byte + step;
                place[length - 1] = digit + step;
                written += length;
            }
            self.go_on(run);
        }
        chunk.truncate(written);
        self.chunks.freeze(chunk)
    }

    /// After that many items were written.
    fn go_on(&mut self, items: u8) {
        self.items_left -= u64::from(items);
        self.frame.advance(items);
    }
}

impl http_body::Body for ItemFrames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.items_left > 0 {
            return Poll::Ready(Some(Ok(Frame::data(self.next_chunk()))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        self.ended = true;
        let ok = (Status::GRPC_STATUS, HeaderValue::from_static("0"));
        let trailers = HeaderMap::from_iter([ok]);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

impl Messages for ItemFrames {
    fn given(&self) -> u64 {
        self.items - self.items_left
    }
}

/// The frame of one item.
#[derive(Clone, Debug)]
struct ItemFrame {
    bytes: [u8; COPY_BYTES],
    /// How many of them are the frame.
    length: usize,
    id: u64,
    /// Up to which id the frame keeps its layout: one digit or one varint byte more changes it.
    layout_ends: u64,
}

impl ItemFrame {
    fn new(id: u64) -> Self {
        let mut frame = Self { bytes: [0; COPY_BYTES], length: 0, id, layout_ends: 0 };
        frame.lay_out();
        frame
    }

    /// How many items from this one on, itself included, differ from it in their last digit and in the
    /// lowest byte of their varint only: 10 at most.
    fn run(&self) -> u8 {
        let up_to_nine = b'9' - self.bytes[self.length - 1] + 1;
        let up_to_127 = 0x80 - (self.bytes[ID_AT] & 0x7f);
        up_to_nine.min(up_to_127)
    }

    /// Goes on by a [`Self::run`] or less.
    fn advance(&mut self, items: u8) {
        self.id += u64::from(items);
        if self.id >= self.layout_ends {
            self.lay_out();
            return;
        }
        // Count up in place, in binary and in decimal, with a carry at most. Ones or nines all the way
        // would be a byte more, which is another layout.
        let mut carry = items;
        for byte in &mut self.bytes[ID_AT..] {
            let sum = (*byte & 0x7f) + carry;
            *byte = (*byte & 0x80) | (sum & 0x7f);
            carry = sum >> 7;
            if carry == 0 {
                break;
            }
        }
        let mut carry = items;
        for digit in self.bytes[..self.length].iter_mut().rev() {
            let sum = *digit - b'0' + carry;
            *digit = b'0' + sum % 10;
            carry = sum / 10;
            if carry == 0 {
                return;
            }
        }
    }

    /// Writes the frame of the current id anew.
    fn lay_out(&mut self) {
        let varint_bytes = varint_bytes(self.id) as usize;
        let digits = self.id.max(1).ilog10() + 1;
        self.layout_ends = 10_u64.pow(digits).min(1 << (7 * varint_bytes));

        let name_at = ID_AT + varint_bytes + 2;
        let digits_at = name_at + NAME.len();
        self.length = digits_at + digits as usize;
        self.bytes = [0; COPY_BYTES];
        self.bytes[LENGTH_AT] = one_byte(self.length - ID_TAG_AT);
        self.bytes[ID_TAG_AT] = ID_TAG;
        self.write_id();
        self.bytes[name_at - 2] = NAME_TAG;
        self.bytes[name_at - 1] = one_byte(self.length - name_at);
        self.bytes[name_at..digits_at].copy_from_slice(NAME);
        let mut rest = self.id;
        for digit in self.bytes[digits_at..self.length].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }

    /// Writes the id as a varint: seven bits a byte, low ones first, all but the last marked.
    fn write_id(&mut self) {
        let mut rest = self.id;
        for byte in &mut self.bytes[ID_AT..] {
            *byte = (rest & 0x7f) as u8;
            rest >>= 7;
            if rest == 0 {
                return;
            }
            *byte |= 0x80;
        }
    }
}

/// A length below [`COPY_BYTES`] as its varint.
fn one_byte(length: usize) -> u8 {
    // The bound proves that the conversion does not fail.
    u8::try_from(length).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http_body_util::BodyExt as _;
    use proptest::prelude::*;
    use runnel_protos::api::Item;
    use tonic::codec::{Codec as _, EncodeBody, SingleMessageCompressionOverride};
    use tonic_prost::ProstCodec;

    const WRITE_SIZES: [WriteSize; 2] = [WriteSize(10_000), WriteSize(16 * 1024)];
    /// Less than an item has.
    const SMALLEST: WriteSize = WriteSize(0);

    fn ours(range: &ItemRange) -> (Bytes, HeaderMap) {
        let [small, large] = WRITE_SIZES;
        let [smallest, small, large] =
            [SMALLEST, small, large].map(|write_size| collect(ItemFrames::new(range, write_size)));
        assert_eq!(smallest, small);
        assert_eq!(small, large);
        large
    }

    /// What tonic makes of the same items.
    fn tonics(range: &ItemRange) -> (Bytes, HeaderMap) {
        let items = range.clone().map(|(id, name)| Ok::<_, Status>(Item { id, name }));
        collect(EncodeBody::new_server(
            ProstCodec::<Item, Item>::default().encoder(),
            stream::iter(items),
            None,
            SingleMessageCompressionOverride::Inherit,
            None,
        ))
    }

    fn collect(body: impl http_body::Body<Data = Bytes, Error = Status>) -> (Bytes, HeaderMap) {
        let body = futures_util::FutureExt::now_or_never(body.collect()).unwrap().unwrap();
        let trailers = body.trailers().cloned().unwrap();
        (body.to_bytes(), trailers)
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_tonics_encoder(
            length in 0..3_000_i32,
            after in prop_oneof![0..200_000_i32, 0..=i32::MAX - 3_000],
        ) {
            let range = ItemRange::new(length, after).unwrap();
            prop_assert_eq!(ours(&range), tonics(&range));
        }
    }

    #[test]
    fn every_change_of_width_is_right() {
        for edge in [1_i64, 10, 100, 128, 1_000, 16_384, 2_097_152, 268_435_456, 1_000_000_000] {
            let after = i32::try_from(edge - 1).unwrap().saturating_sub(3).max(0);
            let range = ItemRange::new(8, after).unwrap();
            assert_eq!(ours(&range), tonics(&range), "around {edge}");
        }
        let last = ItemRange::new(3, i32::MAX - 3).unwrap();
        assert_eq!(ours(&last), tonics(&last));
    }

    #[test]
    fn an_empty_stream_is_its_trailers() {
        for after in [0, i32::MAX] {
            let none = ItemRange::new(0, after).unwrap();
            assert_eq!(ours(&none), tonics(&none));
        }
    }

    #[test]
    fn a_chunk_that_is_still_held_is_not_written_again() {
        let range = ItemRange::new(100_000, 0).unwrap();
        for write_size in WRITE_SIZES {
            let mut frames = ItemFrames::new(&range, write_size);
            let mut held = Vec::new();
            while frames.items_left > 0 {
                held.push(frames.next_chunk());
            }
            let (all, _) = tonics(&range);
            assert!(held.len() > 100 && held.concat() == all);
        }
    }

    #[test]
    fn a_chunk_is_bounded_whatever_the_length() {
        for write_size @ WriteSize(bytes) in WRITE_SIZES {
            let mut frames = ItemFrames::new(&ItemRange::new(i32::MAX, 0).unwrap(), write_size);
            for _ in 0..1000 {
                let chunk = frames.next_chunk();
                assert!(chunk.len() <= bytes && chunk.len() > bytes - COPY_BYTES);
            }
        }
    }
}
