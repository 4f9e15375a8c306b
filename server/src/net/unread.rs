//! Answers that their clients do not read. A stream may wait for its reader for as long as that likes; the
//! answer of a unary call would hold what it has, and its place, for a client that has gone to sleep.
//!
//! Neither hyper nor an answer's body can end it, because nobody asks the body for more. So over HTTP/1.1 the
//! connection is looked at, which has one answer at a time, and over HTTP/2 the task of the stream.
//!
//! Over HTTP/2 an answer would be over for us when h2 has the last of it, however long that waits there: of
//! 200 streams, for a client that opens their windows by a byte. So where much waits on a connection, an
//! answer is not over before its own bytes have left.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use super::calls::Calls;

/// How many bytes of answers may wait on a connection while their calls are over.
const MUCH_BYTES: usize = 64 * 1024;

/// What the body of such an answer did when it was last asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// It was not.
    No,
    /// It gave something, which its client is to read now.
    Gave,
    /// It has nothing to give, or has ended.
    Waits,
}

thread_local! {
    /// Of the stream that this thread polls.
    static ASKED: Cell<Asked> = const { Cell::new(Asked::No) };
}

/// How the client of a connection reads.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// How often something was given.
    given: AtomicUsize,
    /// Whether that is to be read.
    is_due: AtomicBool,
    /// Bytes that were given and have not left, over HTTP/2.
    waiting_bytes: AtomicUsize,
}

impl Reading {
    /// The client is to read.
    pub(super) fn gave(&self) {
        ASKED.set(Asked::Gave);
        self.given.fetch_add(1, Ordering::Relaxed);
        self.is_due.store(true, Ordering::Relaxed);
    }

    /// There is nothing to read.
    pub(super) fn waits(&self) {
        ASKED.set(Asked::Waits);
        self.is_due.store(false, Ordering::Relaxed);
    }

    /// Resolves when an answer over HTTP/1.1 was not read for `timeout`, or somewhat longer.
    pub(super) async fn stopped(&self, timeout: Option<Duration>) {
        let Some(timeout) = timeout else { return std::future::pending().await };
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

/// Gives bytes to a connection over HTTP/2, and what says that they have left if that is to be waited for.
pub(super) fn give(calls: &Calls, data: Bytes) -> (Bytes, Option<Arc<Left>>) {
    let waiting_bytes = &calls.reading().waiting_bytes;
    let waited = waiting_bytes.fetch_add(data.len(), Ordering::Relaxed);
    let left = (waited + data.len() > MUCH_BYTES).then(Arc::<Left>::default);
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
        self.calls.reading().waiting_bytes.fetch_sub(self.data.len(), Ordering::Relaxed);
        if let Some(left) = &self.left {
            left.has_left.store(true, Ordering::SeqCst);
            left.waker.wake();
        }
    }
}

/// Whether bytes have left.
#[derive(Debug, Default)]
pub(super) struct Left {
    has_left: AtomicBool,
    waker: AtomicWaker,
}

impl Left {
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.has_left.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Runs the streams of HTTP/2, each as a task of its own.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    answer_timeout: Option<Duration>,
}

impl Streams {
    pub(super) const fn new(answer_timeout: Option<Duration>) -> Self {
        Self { answer_timeout }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(Stream { task: stream, answer_timeout: self.answer_timeout, timer: None });
    }
}

pin_project! {
    /// A stream that ends when its client does not read. It is reset when it is dropped.
    struct Stream<F> {
        #[pin]
        task: F,
        answer_timeout: Option<Duration>,
        // Made when the client is first waited for: most answers go at once.
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        ASKED.set(Asked::No);
        if this.task.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match ASKED.get() {
            Asked::No => {}
            Asked::Gave => {
                *this.timer = this.answer_timeout.map(|timeout| Box::pin(sleep(timeout)));
            }
            Asked::Waits => *this.timer = None,
        }
        match this.timer {
            Some(timer) => timer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}
