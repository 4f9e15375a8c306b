//! Fewer and larger writes over HTTP/2. h2 writes each frame of a stream by itself, 16 KiB at most, and
//! most of what a stream costs is the writing. Here they wait until the connection has been polled to
//! its end, or are too many, and go out together. Nothing waits for longer than that.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

/// How much may wait, in bytes. For a connection whose client does not read, this is what it costs.
const MAX_WAITING_BYTES: usize = 64 * 1024;

/// What was written and has not gone out.
#[derive(Debug, Default)]
pub(crate) struct WriteCoalescing {
    waiting: Vec<u8>,
    /// How much of it has gone out.
    out_bytes: usize,
}

impl WriteCoalescing {
    /// Takes all of `slices`, and writes to `to` what there is no room for beside them.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
        to: Pin<&mut impl AsyncWrite>,
    ) -> Poll<io::Result<usize>> {
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        if !self.waiting.is_empty() && self.waiting.len() + bytes > MAX_WAITING_BYTES {
            ready!(self.poll_flush(cx, to))?;
        }
        let mut room = bytes.min(MAX_WAITING_BYTES);
        for slice in slices {
            let taken = &slice[..slice.len().min(room)];
            self.waiting.extend_from_slice(taken);
            room -= taken.len();
        }
        Poll::Ready(Ok(bytes.min(MAX_WAITING_BYTES)))
    }

    /// Writes all of it to `to`.
    pub(crate) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        mut to: Pin<&mut impl AsyncWrite>,
    ) -> Poll<io::Result<()>> {
        if self.waiting.is_empty() {
            // Nothing has come since it was written: the connection rests, and its memory can go.
            self.waiting = Vec::new();
        }
        while self.out_bytes < self.waiting.len() {
            let written = ready!(to.as_mut().poll_write(cx, &self.waiting[self.out_bytes..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out_bytes += written;
        }
        self.waiting.clear();
        self.out_bytes = 0;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use proptest::prelude::*;

    use super::*;

    /// Takes as much as there is room for, and remembers what came at once.
    #[derive(Default)]
    struct Wire {
        writes: Vec<Vec<u8>>,
        room_bytes: usize,
    }

    impl AsyncWrite for Wire {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.room_bytes);
            if taken == 0 {
                return Poll::Pending;
            }
            self.room_bytes -= taken;
            self.writes.push(bytes[..taken].to_vec());
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn write(pending: &mut WriteCoalescing, slices: &[&[u8]], wire: &mut Wire) -> Poll<usize> {
        let slices: Vec<_> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
        let mut cx = Context::from_waker(Waker::noop());
        pending.poll_write(&mut cx, &slices, Pin::new(wire)).map(Result::unwrap)
    }

    fn flush(pending: &mut WriteCoalescing, wire: &mut Wire) -> Poll<()> {
        let mut cx = Context::from_waker(Waker::noop());
        pending.poll_flush(&mut cx, Pin::new(wire)).map(Result::unwrap)
    }

    #[test]
    fn frames_go_out_together() {
        let (mut pending, mut wire) =
            (WriteCoalescing::default(), Wire { room_bytes: 1000, ..Wire::default() });
        assert_eq!(write(&mut pending, &[b"head ", b"of "], &mut wire), Poll::Ready(8));
        assert_eq!(write(&mut pending, &[b"two frames"], &mut wire), Poll::Ready(10));
        assert!(wire.writes.is_empty());
        assert!(flush(&mut pending, &mut wire).is_ready());
        assert_eq!(wire.writes, [b"head of two frames"]);
    }

    #[test]
    fn a_connection_that_rests_holds_no_memory() {
        let (mut pending, mut wire) =
            (WriteCoalescing::default(), Wire { room_bytes: 10, ..Wire::default() });
        assert!(write(&mut pending, &[b"frame"], &mut wire).is_ready());
        assert!(flush(&mut pending, &mut wire).is_ready());
        assert!(flush(&mut pending, &mut wire).is_ready());
        assert_eq!(pending.waiting.capacity(), 0);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_moved_and_what_waits_is_bounded(
            writes in prop::collection::vec((0_usize..100_000, 0_usize..100_000, any::<bool>()), 0..50),
        ) {
            let (mut pending, mut wire) = (WriteCoalescing::default(), Wire::default());
            let mut written = Vec::new();
            for (bytes, room_bytes, is_polls_end) in writes {
                let next = (written.len()..).map(|byte| u8::try_from(byte % 251).unwrap_or_default());
                let bytes: Vec<u8> = next.take(bytes).collect();
                wire.room_bytes = room_bytes;
                let (head, rest) = bytes.split_at(bytes.len().min(9));
                if let Poll::Ready(taken) = write(&mut pending, &[head, rest], &mut wire) {
                    written.extend_from_slice(&bytes[..taken]);
                }
                prop_assert!(pending.waiting.len() <= MAX_WAITING_BYTES);
                if is_polls_end {
                    let _ = flush(&mut pending, &mut wire);
                }
            }
            wire.room_bytes = usize::MAX;
            prop_assert!(flush(&mut pending, &mut wire).is_ready());
            prop_assert_eq!(wire.writes.concat(), written);
        }
    }
}
