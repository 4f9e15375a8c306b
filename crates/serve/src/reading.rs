//! Whether a client reads a response that it must read ([`MustBeRead`]). A stream may wait for its reader for as
//! long as the reader likes; the response of a unary call would hold its memory, and its place among the calls
//! that are allowed, for a client that has gone to sleep.
//!
//! Neither hyper nor the body of a response can end it, because nothing asks the body for more. So over HTTP/1.1
//! the connection is looked at, which has one response at a time, and over HTTP/2 the task of the stream
//! (`stream_task`).
//!
//! [`MustBeRead`]: runnel_limits::MustBeRead

use std::{
    cell::Cell,
    future,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use tokio::time::sleep;

/// What the body of such a response did when it was last polled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polled {
    /// It was not polled.
    No,
    /// It gave something, which its client is to read now.
    Gave,
    /// It has nothing to give, or has ended.
    Waits,
}

thread_local! {
    /// Of the stream that this thread polls.
    static POLLED: Cell<Polled> = const { Cell::new(Polled::No) };
}

/// Forgets what the last body on this thread did.
pub(crate) fn forget_polled() {
    POLLED.set(Polled::No);
}

/// What the body did that this thread polled last, if there was one since [`forget_polled`].
pub(crate) fn polled() -> Polled {
    POLLED.get()
}

/// How the client of a connection reads.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// How often something was given.
    given: AtomicUsize,
    /// Whether that is to be read.
    is_due: AtomicBool,
    /// Bytes that were given and have not left, over HTTP/2.
    unsent_bytes: AtomicUsize,
}

impl Reading {
    /// The client is to read.
    pub(crate) fn gave(&self) {
        POLLED.set(Polled::Gave);
        self.given.fetch_add(1, Ordering::Relaxed);
        self.is_due.store(true, Ordering::Relaxed);
    }

    /// There is nothing to read.
    pub(crate) fn waits(&self) {
        POLLED.set(Polled::Waits);
        self.is_due.store(false, Ordering::Relaxed);
    }

    /// So many more bytes wait to leave. Gives how many there are now.
    pub(crate) fn add_unsent(&self, bytes: usize) -> usize {
        self.unsent_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    /// So many bytes have left.
    pub(crate) fn remove_unsent(&self, bytes: usize) {
        self.unsent_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Resolves when a response over HTTP/1.1 was not read for `timeout`, or somewhat longer.
    pub(crate) async fn stopped(&self, timeout: Option<Duration>) {
        let Some(timeout) = timeout else { return future::pending().await };
        let mut given = self.given.load(Ordering::Relaxed);
        loop {
            sleep(timeout).await;
            let given_before = std::mem::replace(&mut given, self.given.load(Ordering::Relaxed));
            if self.is_due.load(Ordering::Relaxed) && given == given_before {
                return;
            }
        }
    }
}
