//! The frames of a gRPC-Web answer, walked as they pass: messages first, trailers last, each after a
//! prefix of flags and length.
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>
//!
//! Messages are neither copied nor held: the walk says how much of each piece they are. Only the
//! trailers are held back until they are whole, however they were split.

use runnel_wire::{COMPRESSED_FLAG, PREFIX_BYTES, Prefix, TRAILERS_FLAG};

use super::error::TransportError;

/// No more than a browser takes as the head of an answer; servers send a few hundred bytes.
const TRAILERS_LIMIT_BYTES: usize = 256 * 1024;

/// A walk along one answer.
#[derive(Debug)]
pub struct FrameWalk {
    message_limit_bytes: usize,
    messages: u64,
    prefix: [u8; PREFIX_BYTES],
    trailers: Vec<u8>,
    place: Place,
}

/// Where in the answer a walk is.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// In a frame's prefix.
    Prefix { seen_bytes: usize },
    /// In a message.
    Message { left_bytes: usize },
    /// In the trailers.
    Trailers { length_bytes: usize },
    /// Behind the trailers, where nothing counts.
    End,
}

impl FrameWalk {
    /// A walk from the first byte, along messages of up to `message_limit_bytes`.
    #[must_use]
    pub fn new(message_limit_bytes: usize) -> Self {
        Self {
            message_limit_bytes,
            messages: 0,
            prefix: [0; PREFIX_BYTES],
            trailers: Vec::new(),
            place: Place::Prefix { seen_bytes: 0 },
        }
    }

    /// How many messages have begun.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Walks on through the next piece: how many bytes at its beginning are of messages, and the
    /// trailers, when they end in it.
    pub fn walk(&mut self, piece: &[u8]) -> (usize, Result<Option<Vec<u8>>, TransportError>) {
        let mut message_bytes = 0;
        let mut rest = piece;
        loop {
            match self.place {
                Place::Prefix { seen_bytes } => {
                    if seen_bytes == 0 {
                        let whole_bytes = self.whole_messages(rest);
                        message_bytes += whole_bytes;
                        rest = &rest[whole_bytes..];
                    }
                    let (part, behind) = split(rest, PREFIX_BYTES - seen_bytes);
                    if part.is_empty() {
                        return (message_bytes, Ok(None));
                    }
                    let seen_now = seen_bytes + part.len();
                    self.prefix[seen_bytes..seen_now].copy_from_slice(part);
                    self.place = match self.begin(seen_now) {
                        Ok(place) => place,
                        Err(error) => return (message_bytes, Err(error)),
                    };
                    rest = behind;
                    if self.prefix[0] != TRAILERS_FLAG {
                        message_bytes += part.len();
                    }
                }
                Place::Message { left_bytes } => {
                    let (part, behind) = split(rest, left_bytes);
                    message_bytes += part.len();
                    rest = behind;
                    self.place = match left_bytes - part.len() {
                        0 => Place::Prefix { seen_bytes: 0 },
                        left_bytes => Place::Message { left_bytes },
                    };
                    if rest.is_empty() {
                        return (message_bytes, Ok(None));
                    }
                }
                Place::Trailers { length_bytes } => {
                    // Grows as bytes come: a wrong length must not cost its size in memory.
                    let (part, _) = split(rest, length_bytes - self.trailers.len());
                    self.trailers.extend_from_slice(part);
                    if self.trailers.len() < length_bytes {
                        return (message_bytes, Ok(None));
                    }
                    self.place = Place::End;
                    return (message_bytes, Ok(Some(std::mem::take(&mut self.trailers))));
                }
                Place::End => return (message_bytes, Ok(None)),
            }
        }
    }

    /// How many bytes at the beginning of a piece are messages that end in it. Nearly every message of
    /// a long stream is among these, so this must cost next to nothing.
    fn whole_messages(&mut self, piece: &[u8]) -> usize {
        let mut at = 0;
        while let Some(&[0, a, b, c, d]) = piece[at..].first_chunk::<PREFIX_BYTES>() {
            let length_bytes = u32::from_be_bytes([a, b, c, d]) as usize;
            let room_bytes = piece.len() - at - PREFIX_BYTES;
            if length_bytes > room_bytes.min(self.message_limit_bytes) {
                break;
            }
            at += PREFIX_BYTES + length_bytes;
            self.messages += 1;
        }
        at
    }

    /// Where the walk is once it has seen so much of a prefix.
    fn begin(&mut self, seen_bytes: usize) -> Result<Place, TransportError> {
        let Prefix { flags, length_bytes: frame_bytes } = Prefix::from_bytes(self.prefix);
        // tonic inflates or refuses what is compressed.
        if !matches!(flags, 0 | COMPRESSED_FLAG | TRAILERS_FLAG) {
            return Err(TransportError::Flags { flags });
        }
        if seen_bytes < PREFIX_BYTES {
            return Ok(Place::Prefix { seen_bytes });
        }
        let is_trailers = flags == TRAILERS_FLAG;
        let limit_bytes = if is_trailers { TRAILERS_LIMIT_BYTES } else { self.message_limit_bytes };
        let too_large = TransportError::TooLarge { frame_bytes, limit_bytes };
        let length_bytes = usize::try_from(frame_bytes).map_err(|_| too_large.clone())?;
        if length_bytes > limit_bytes {
            return Err(too_large);
        }
        if is_trailers {
            return Ok(Place::Trailers { length_bytes });
        }
        self.messages += 1;
        Ok(Place::Message { left_bytes: length_bytes })
    }
}

/// The first `length` bytes of `piece`, or all there are; and what is behind them.
fn split(piece: &[u8], length: usize) -> (&[u8], &[u8]) {
    piece.split_at(length.min(piece.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(flags: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[flags], &length[..], content].concat()
    }

    /// All message bytes, and what the walk ended with, of an answer in pieces.
    fn walk_all<'a>(
        walk: &mut FrameWalk,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> (Vec<u8>, Result<Option<Vec<u8>>, TransportError>) {
        let mut messages = Vec::new();
        for piece in pieces {
            let (message_bytes, walked) = walk.walk(piece);
            messages.extend_from_slice(&piece[..message_bytes]);
            if walked != Ok(None) {
                return (messages, walked);
            }
        }
        (messages, Ok(None))
    }

    #[test]
    fn trailers_are_whole_whatever_byte_the_answer_is_split_at() {
        let messages = [frame(0, b"one"), frame(0, b""), frame(1, b"three")].concat();
        let block = b"grpc-status:0\r\nx-more:1\r\n";
        let answer = [messages.clone(), frame(0x80, block)].concat();
        for at in 0..=answer.len() {
            let (first, second) = answer.split_at(at);
            let mut walk = FrameWalk::new(100);
            let (passed, walked) = walk_all(&mut walk, [first, second]);
            assert_eq!(passed, messages, "split at {at}");
            assert_eq!(walked, Ok(Some(block.to_vec())), "split at {at}");
            assert_eq!(walk.messages(), 3);
        }
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_by_its_prefix() {
        let mut walk = FrameWalk::new(3);
        let sound = frame(0, b"one");
        let answer = [&sound[..], &[0, 0, 0, 0, 4]].concat();
        let error = TransportError::TooLarge { frame_bytes: 4, limit_bytes: 3 };
        assert_eq!(walk.walk(&answer), (sound.len(), Err(error)), "before a byte of it came");

        let (_, walked) = FrameWalk::new(3).walk(&[0x80, 0xff, 0xff, 0xff, 0xff]);
        assert!(matches!(walked, Err(TransportError::TooLarge { .. })), "{walked:?}");
    }

    #[test]
    fn unknown_flags_are_refused_by_themselves() {
        for flags in [0x02, 0x40, 0x81, 0xff] {
            let (sound, walked) = FrameWalk::new(3).walk(&[flags]);
            assert_eq!((sound, walked), (0, Err(TransportError::Flags { flags })));
        }
    }

    #[test]
    fn nothing_counts_behind_the_trailers() {
        let answer = [frame(0x80, b"a:b"), frame(0, b"late"), vec![0xff]].concat();
        let mut walk = FrameWalk::new(100);
        assert_eq!(walk.walk(&answer), (0, Ok(Some(b"a:b".to_vec()))));
        assert_eq!(walk.walk(&answer), (0, Ok(None)));
    }

    proptest! {
        #[test]
        fn any_pieces_give_what_the_whole_gives(
            contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            block in prop::collection::vec(any::<u8>(), 0..40),
            sizes in prop::collection::vec(1_usize..12, 1..6),
        ) {
            let messages: Vec<u8> = contents.iter().flat_map(|content| frame(0, content)).collect();
            let answer = [messages.clone(), frame(0x80, &block)].concat();
            let mut sizes = sizes.iter().copied().cycle();
            let mut rest = &answer[..];
            let pieces = std::iter::from_fn(|| {
                let (piece, behind) = split(rest, sizes.next()?);
                rest = behind;
                (!piece.is_empty()).then_some(piece)
            });
            let mut walk = FrameWalk::new(40);
            let (passed, walked) = walk_all(&mut walk, pieces);
            prop_assert_eq!(passed, messages);
            prop_assert_eq!(walked, Ok(Some(block)));
        }
    }
}
