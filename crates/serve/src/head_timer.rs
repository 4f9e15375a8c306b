//! How long the head of an HTTP/1.1 request may take to come, from its first byte on. hyper begins to
//! count when it begins to wait, so that a connection which rests between two requests would be closed
//! as if it were slow. This is the clock that hyper is given instead: it begins to run with the first
//! byte. How long a connection may rest is `idle`'s concern.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt::{Sleep, Timer};
use tokio::time;

use crate::calls::Calls;

/// The clock of one connection. hyper asks it for nothing but the time that a head may take.
#[derive(Debug)]
pub(crate) struct HeadTimer(pub(crate) Calls);

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        let reads_before = self.0.reads();
        Box::pin(HeadSleep { calls: self.0.clone(), reads_before, duration, running: None })
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(deadline.saturating_duration_since(self.now()))
    }

    fn now(&self) -> Instant {
        time::Instant::now().into_std()
    }
}

/// The wait for the end of a head. hyper polls it whenever it has read and still has no whole head.
struct HeadSleep {
    calls: Calls,
    /// As often had been read before anything of the head came.
    reads_before: usize,
    duration: Duration,
    /// None as long as nothing has come.
    running: Option<Pin<Box<time::Sleep>>>,
}

impl Future for HeadSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.running.is_none() && self.calls.reads() == self.reads_before {
            // With the next bytes this is polled again.
            return Poll::Pending;
        }
        let duration = self.duration;
        self.running.get_or_insert_with(|| Box::pin(time::sleep(duration))).as_mut().poll(cx)
    }
}

impl Sleep for HeadSleep {}
