//! The frames of an HTTP/2 connection, as they pass by in pieces of any size: RFC 9113 section 4.1.

/// The length of a frame's head, in bytes.
const HEAD_BYTES: usize = 9;

/// What a client sends before its first frame: RFC 9113 section 3.4.
const PREFACE_BYTES: usize = 24;

/// The largest frame whose payload is shown. h2 takes no larger ones, unless it is told to.
const MAX_PAYLOAD_BYTES: usize = 16 * 1024;

/// The kinds of frames that concern the flow of data: RFC 9113 section 6.
pub(super) mod kind {
    pub(in super::super) const DATA: u8 = 0;
    pub(in super::super) const SETTINGS: u8 = 4;
    pub(in super::super) const WINDOW_UPDATE: u8 = 8;
}

/// A frame that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// One of [`kind`], or another.
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// 0 for the connection.
    pub(super) stream: u32,
    pub(super) payload_bytes: usize,
    /// Only of settings and window updates.
    pub(super) payload: &'a [u8],
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// How many bytes concern nobody before the next frame begins.
    skip: usize,
    /// The beginning of the frame that has not passed yet.
    seen: Vec<u8>,
}

impl Frames {
    /// What a server sends.
    pub(super) fn of_server() -> Self {
        Self::default()
    }

    /// What a client sends.
    pub(super) fn of_client() -> Self {
        Self { skip: PREFACE_BYTES, ..Self::default() }
    }

    /// Takes the next bytes, and shows each frame whose head, and payload where that is shown, is whole.
    pub(super) fn pass(&mut self, mut bytes: &[u8], mut show: impl FnMut(Frame<'_>)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let wanted = HEAD_BYTES + self.head().map_or(0, |head| shown_bytes(&head));
            let taken = (wanted - self.seen.len()).min(bytes.len());
            self.seen.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            let Some(head) = self.head() else {
                continue;
            };
            let shown = shown_bytes(&head);
            if self.seen.len() == HEAD_BYTES + shown {
                show(Frame { payload: &self.seen[HEAD_BYTES..], ..head });
                self.skip = head.payload_bytes - shown;
                self.seen.clear();
            }
        }
    }

    /// The frame that passes, once its head is whole.
    fn head(&self) -> Option<Frame<'static>> {
        let (head, _) = self.seen.split_first_chunk::<HEAD_BYTES>()?;
        let [a, b, c, kind, flags, stream @ ..] = *head;
        let payload_bytes = u32::from_be_bytes([0, a, b, c]) as usize;
        let stream = u32::from_be_bytes(stream) & !(1 << 31);
        Some(Frame { kind, flags, stream, payload_bytes, payload: &[] })
    }
}

fn shown_bytes(head: &Frame<'_>) -> usize {
    let is_shown = matches!(head.kind, kind::SETTINGS | kind::WINDOW_UPDATE);
    if is_shown && head.payload_bytes <= MAX_PAYLOAD_BYTES { head.payload_bytes } else { 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    proptest! {
        /// However the bytes are cut.
        #[test]
        fn every_frame_is_shown_once_and_in_order(
            sent in prop::collection::vec(
                (0..10_u8, any::<u8>(), 0..1_u32 << 31, prop::collection::vec(any::<u8>(), 0..40)),
                0..20,
            ),
            cuts in prop::collection::vec(1..30_usize, 1..50),
        ) {
            let mut bytes = vec![b'x'; PREFACE_BYTES];
            for (kind, flags, stream, payload) in &sent {
                bytes.extend(frame(*kind, *flags, *stream, payload));
            }
            let mut frames = Frames::of_client();
            let mut shown = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                let (piece, left) = rest.split_at(rest.len().min(*cut));
                frames.pass(piece, |frame| {
                    let Frame { kind, flags, stream, payload_bytes, payload } = frame;
                    shown.push((kind, flags, stream, payload_bytes, payload.to_vec()));
                });
                rest = left;
                if rest.is_empty() {
                    break;
                }
            }
            let expected = sent.into_iter().map(|(kind, flags, stream, payload)| {
                let is_shown = matches!(kind, kind::SETTINGS | kind::WINDOW_UPDATE);
                let length = payload.len();
                (kind, flags, stream, length, if is_shown { payload } else { Vec::new() })
            });
            prop_assert_eq!(shown, expected.collect::<Vec<_>>());
        }
    }
}
