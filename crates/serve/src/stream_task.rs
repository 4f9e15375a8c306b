//! The task of a stream over HTTP/2, which ends when its client does not read the response; see `reading`.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use crate::reading::{self, Polled};

/// Runs the streams of HTTP/2, each as a task of its own.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    read_timeout: Option<Duration>,
}

impl Streams {
    /// Streams that end when their response is not read for so long.
    pub(crate) const fn new(read_timeout: Option<Duration>) -> Self {
        Self { read_timeout }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(Stream { task: stream, read_timeout: self.read_timeout, timer: None });
    }
}

pin_project! {
    /// A stream that ends when its client does not read. It is reset when it is dropped.
    struct Stream<F> {
        #[pin]
        task: F,
        read_timeout: Option<Duration>,
        // Made when the client is first waited for: most responses go at once.
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        reading::forget_polled();
        if this.task.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match reading::polled() {
            Polled::No => {}
            Polled::Gave => {
                *this.timer = this.read_timeout.map(|timeout| Box::pin(sleep(timeout)));
            }
            Polled::Waits => *this.timer = None,
        }
        match this.timer {
            Some(timer) => timer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}
