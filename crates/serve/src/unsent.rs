//! Bytes of responses over HTTP/2 that were given to h2 and have not left.
//!
//! A response would be over for us when h2 has the last of it, however long that waits there: of 200 streams,
//! for a client that opens their windows by a byte. So where much waits on a connection, a response is not over
//! before its own bytes have left.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;

use crate::calls::Calls;

/// How many bytes of responses may wait on a connection while their calls are over.
const MUCH_BYTES: usize = 64 * 1024;

/// Gives bytes to a connection over HTTP/2, and what says that they have left if that is to be waited for.
pub(crate) fn give(calls: &Calls, data: Bytes) -> (Bytes, Option<Arc<Left>>) {
    let unsent_bytes = calls.reading().add_unsent(data.len());
    let left = (unsent_bytes > MUCH_BYTES).then(Arc::<Left>::default);
    let given = Given { data, calls: calls.clone(), left: left.clone() };
    (Bytes::from_owner(given), left)
}

/// Bytes that have left when they are dropped.
struct Given {
    data: Bytes,
    calls: Calls,
    left: Option<Arc<Left>>,
}

impl AsRef<[u8]> for Given {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        self.calls.reading().remove_unsent(self.data.len());
        if let Some(left) = &self.left {
            left.has_left.store(true, Ordering::SeqCst);
            left.waker.wake();
        }
    }
}

/// Whether bytes have left.
#[derive(Debug, Default)]
pub(crate) struct Left {
    has_left: AtomicBool,
    waker: AtomicWaker,
}

impl Left {
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.has_left.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }
}
