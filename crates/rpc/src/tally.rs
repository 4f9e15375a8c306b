//! How much went over the wire for a call. The layers that walk the messages of a call, or make them, count
//! them here, so that no other layer has to read every byte again.

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use runnel_limits::quota::Holding;

/// What went over the wire for a call: messages, and their bytes with prefixes, before any base64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages the client sent.
    pub received_messages: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Messages the client was sent.
    pub sent_messages: u64,
    /// Their bytes.
    pub sent_bytes: u64,
}

/// What of a request has come so far.
#[derive(Debug, Default)]
pub(super) struct Received {
    messages: AtomicU64,
    bytes: AtomicU64,
    /// What is held of the request while it is worked on; nothing if it is small.
    held: OnceLock<Mutex<Option<Holding>>>,
}

impl Received {
    /// That many more bytes; that many messages in all.
    pub(super) fn count(&self, bytes: usize, messages: u64) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.messages.store(messages, Ordering::Relaxed);
    }

    pub(super) fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The request has come, and its message is held until the response begins.
    pub(super) fn keep(&self, holding: Holding) {
        // An Err would say that it had come before.
        let _ = self.held.set(Mutex::new(Some(holding)));
    }

    /// The response has begun.
    pub(super) fn give_back(&self) {
        if let Some(held) = self.held.get() {
            held.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}

/// How many messages a response has given; in the response's extensions.
#[derive(Clone, Debug, Default)]
pub(super) struct SentMessages(Arc<AtomicU64>);

impl SentMessages {
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, messages: u64) {
        self.0.store(messages, Ordering::Relaxed);
    }
}
