//! The memory of a [`RawBody`](super::RawBody)'s chunks, used again and again.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes, BytesMut};

/// What is left free before a chunk, in bytes: a cache line. Some allocators align memory of this size to
/// pages, and out of such the kernel copies half as fast.
const MARGIN_BYTES: usize = 64;

/// The most chunks that are kept for reuse: as many as a connection holds at once, and one more.
const MAX_KEPT: usize = 6;

/// Lends memory for the chunks of one body. Memory that the connection has sent is lent again, while the
/// processor still has it at hand; fresh memory would have to be found and zeroed each time.
#[derive(Debug, Default)]
pub struct ChunkPool {
    /// The last chunks, oldest first. The connection may still hold them.
    last: VecDeque<Bytes>,
}

impl ChunkPool {
    /// A chunk of so many bytes to write to. What is in it is left from earlier chunks.
    pub fn take(&mut self, bytes: usize) -> BytesMut {
        let is_full = self.last.len() == MAX_KEPT;
        let oldest = self.last.pop_front_if(|oldest| is_full || oldest.is_unique());
        let mut chunk = oldest.and_then(|sent| sent.try_into_mut().ok()).unwrap_or_else(|| {
            let mut fresh = BytesMut::with_capacity(MARGIN_BYTES + bytes);
            fresh.resize(MARGIN_BYTES, 0);
            fresh.advance(MARGIN_BYTES);
            fresh
        });
        chunk.resize(bytes, 0);
        chunk
    }

    /// A written chunk, to be sent.
    pub fn freeze(&mut self, chunk: BytesMut) -> Bytes {
        let chunk = chunk.freeze();
        self.last.push_back(chunk.clone());
        chunk
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn memory_that_was_sent_is_used_again() {
        for sent_at_once in [1, 2, 4] {
            let (mut pool, mut places) = (ChunkPool::default(), HashSet::new());
            for _ in 0..1000 {
                let mut send = || {
                    let chunk = pool.take(10_000);
                    pool.freeze(chunk)
                };
                let sent: Vec<_> = (0..sent_at_once).map(|_| send()).collect();
                places.extend(sent.iter().map(|chunk| chunk.as_ptr()));
            }
            assert_eq!(places.len(), sent_at_once);
        }
    }

    #[test]
    fn memory_that_is_still_held_is_not_used_again_and_not_kept_without_end() {
        let (mut pool, mut held) = (ChunkPool::default(), Vec::new());
        for number in 0..100_u8 {
            let mut chunk = pool.take(100);
            chunk.fill(number);
            held.push(pool.freeze(chunk));
            assert!(pool.last.len() <= MAX_KEPT);
        }
        for (chunk, number) in held.iter().zip(0..) {
            assert!(chunk.len() == 100 && chunk.iter().all(|byte| *byte == number));
        }
    }
}
