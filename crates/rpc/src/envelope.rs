//! Envelopes: length-prefixed messages, walked as they pass, never decoded. Those of a request must keep to
//! [`super::request_limits`], those of a response to [`super::response_limits`].

use std::mem;

use runnel_wire::PREFIX_BYTES;
use tonic::Status;

/// Which rule the messages break.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the message has {message_bytes} bytes; {limit_bytes} are allowed")]
    TooLarge { message_bytes: usize, limit_bytes: usize },
    #[error("the method takes one message, and none came")]
    NoMessage,
    #[error("the method takes one message, and more came")]
    SeveralMessages,
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooLarge { .. } => Self::resource_exhausted(fault.to_string()),
            Fault::NoMessage | Fault::SeveralMessages => Self::unimplemented(fault.to_string()),
        }
    }
}

/// Where in a sequence of length-prefixed messages we are, whatever pieces it comes in.
#[derive(Debug)]
pub(crate) struct EnvelopeWalk {
    limit_bytes: usize,
    /// Whether there must be exactly one message.
    single: bool,
    /// How many prefixes have come, whole.
    messages: u64,
    /// As much of the next prefix as has come.
    prefix: [u8; PREFIX_BYTES],
    prefix_bytes: usize,
    /// The size of the current message.
    message_bytes: usize,
    /// How much of it is still to come.
    message_bytes_left: usize,
}

impl EnvelopeWalk {
    pub(crate) const fn new(limit_bytes: usize, single: bool) -> Self {
        Self {
            limit_bytes,
            single,
            messages: 0,
            prefix: [0; PREFIX_BYTES],
            prefix_bytes: 0,
            message_bytes: 0,
            message_bytes_left: 0,
        }
    }

    /// Walks the next piece. Gives how many of its bytes are sound: all of them, or those before the
    /// message at fault.
    pub(crate) fn walk(&mut self, piece: &[u8]) -> (usize, Result<(), Fault>) {
        let mut at = self.message_bytes_left.min(piece.len());
        self.message_bytes_left -= at;
        while at < piece.len() {
            if self.single && self.messages > 0 {
                return (at, Err(Fault::SeveralMessages));
            }
            at = self.skip_whole_messages(piece, at);
            let rest = &piece[at..];
            let wanted = (PREFIX_BYTES - self.prefix_bytes).min(rest.len());
            self.prefix[self.prefix_bytes..][..wanted].copy_from_slice(&rest[..wanted]);
            self.prefix_bytes += wanted;
            if self.prefix_bytes < PREFIX_BYTES {
                break;
            }
            if let Err(fault) = self.begin_message() {
                return (at, Err(fault));
            }
            at += wanted;
            let passed = self.message_bytes_left.min(piece.len() - at);
            self.message_bytes_left -= passed;
            at += passed;
        }
        (piece.len(), Ok(()))
    }

    /// Walks the messages that are whole and sound within `piece`, from `at`; gives where they end. A
    /// stream of small messages is nothing else, so this touches no more than the prefixes.
    fn skip_whole_messages(&mut self, piece: &[u8], mut at: usize) -> usize {
        if self.prefix_bytes > 0 || self.single {
            return at;
        }
        let mut messages = 0;
        while let Some([_flag, length @ ..]) = piece[at..].first_chunk::<PREFIX_BYTES>() {
            let message_bytes = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            let rest = piece.len() - at - PREFIX_BYTES;
            if message_bytes > self.limit_bytes || message_bytes > rest {
                break;
            }
            messages += 1;
            at += PREFIX_BYTES + message_bytes;
        }
        if messages > 0 {
            self.messages += messages;
            self.message_bytes = 0;
        }
        at
    }

    /// Goes back to before a prefix that has come in part, and gives how many bytes that is. They are
    /// walked again with the next piece.
    pub(crate) fn step_back(&mut self) -> usize {
        mem::take(&mut self.prefix_bytes)
    }

    fn begin_message(&mut self) -> Result<(), Fault> {
        let [_flag, length @ ..] = self.prefix;
        // A length that a usize cannot hold is over any limit.
        let message_bytes = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        self.prefix_bytes = 0;
        self.messages += 1;
        self.message_bytes = message_bytes;
        self.message_bytes_left = message_bytes;
        if message_bytes > self.limit_bytes {
            return Err(Fault::TooLarge { message_bytes, limit_bytes: self.limit_bytes });
        }
        Ok(())
    }

    /// How much of the current message has come, or of the last one; not if it came in one piece with others.
    pub(crate) const fn come_bytes(&self) -> usize {
        self.message_bytes.saturating_sub(self.message_bytes_left)
    }

    /// How many messages have begun.
    pub(crate) const fn messages(&self) -> u64 {
        self.messages
    }

    /// Whether whatever came is whole messages.
    pub(crate) const fn is_between_messages(&self) -> bool {
        self.prefix_bytes == 0 && self.message_bytes_left == 0
    }

    /// Whether the body may end here. One that is cut off is none of our business: tonic says so.
    pub(crate) const fn end(&self) -> Result<(), Fault> {
        if self.single && self.messages == 0 && self.prefix_bytes == 0 {
            return Err(Fault::NoMessage);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn messages(lengths: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for length in lengths {
            bytes.push(0);
            bytes.extend(u32::try_from(*length).unwrap().to_be_bytes());
            bytes.extend(std::iter::repeat_n(0xff, *length));
        }
        bytes
    }

    /// Walks `bytes` in pieces of the given sizes, over and over; how far it was sound, and its end.
    fn walk(bytes: &[u8], pieces: &[usize], mut walk: EnvelopeWalk) -> (usize, Result<(), Fault>) {
        let mut sound = 0;
        let mut rest = bytes;
        for piece in pieces.iter().cycle() {
            let (now, later) = rest.split_at((*piece).min(rest.len()));
            let (sound_bytes, walked) = walk.walk(now);
            sound += sound_bytes;
            if walked.is_err() {
                return (sound, walked);
            }
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        (sound, walk.end())
    }

    proptest! {
        #[test]
        fn the_pieces_a_body_comes_in_do_not_matter(
            lengths in prop::collection::vec(0..40_usize, 0..6),
            pieces in prop::collection::vec(1..9_usize, 1..5),
            limit_bytes in 0..40_usize,
            single: bool,
        ) {
            let too_large = lengths.iter().position(|length| *length > limit_bytes);
            let expected = match (too_large, single, lengths.len()) {
                (Some(at), false, _) | (Some(at @ 0), true, _) => {
                    Err(Fault::TooLarge { message_bytes: lengths[at], limit_bytes })
                }
                (_, true, 0) => Err(Fault::NoMessage),
                (_, true, 2..) => Err(Fault::SeveralMessages),
                _ => Ok(()),
            };
            let bytes = messages(&lengths);
            let (sound, walked) = walk(&bytes, &pieces, EnvelopeWalk::new(limit_bytes, single));
            prop_assert_eq!(&walked, &expected);
            prop_assert!(sound <= bytes.len() && (sound == bytes.len() || walked.is_err()));
        }

        #[test]
        fn no_bytes_whatever_make_it_panic(bytes: Vec<u8>, piece in 1..9_usize, single: bool) {
            let _ = walk(&bytes, &[piece], EnvelopeWalk::new(1000, single));
        }
    }

    #[test]
    fn what_came_before_the_fault_is_sound() {
        let (first, second) = (messages(&[7]), messages(&[900]));
        let both = [&first[..], &second].concat();
        let (sound, walked) = walk(&both, &[both.len()], EnvelopeWalk::new(100, false));
        assert_eq!(sound, first.len());
        assert_eq!(walked, Err(Fault::TooLarge { message_bytes: 900, limit_bytes: 100 }));
    }

    #[test]
    fn a_length_of_four_gigabytes_is_refused_at_its_prefix() {
        let prefix = [0, 0xff, 0xff, 0xff, 0xff];
        let (_, walked) = walk(&prefix, &[1], EnvelopeWalk::new(4096, true));
        let too_large = Fault::TooLarge { message_bytes: 0xffff_ffff, limit_bytes: 4096 };
        assert_eq!(walked, Err(too_large));
    }
}
