//! [`Messages`]: the response to one call of a server-streaming method.

use std::future::poll_fn;
use std::task::{Poll, ready};
use std::time::Duration;

use futures_util::StreamExt as _;
use tonic::metadata::MetadataMap;
use tonic::{Response, Streaming};

use crate::CallError;
use crate::clock::sleep;

/// The messages of one response. A response that is silent for longer than
/// [`Policy::stall`](crate::Policy::stall) fails. As long as no message is read, flow control stops the
/// server; dropping this cancels the call.
#[derive(Debug)]
pub struct Messages<A> {
    metadata: MetadataMap,
    answer: Streaming<A>,
    stall: Duration,
}

impl<A> Messages<A> {
    pub(crate) fn new(answer: Response<Streaming<A>>, stall: Duration) -> Self {
        let (metadata, answer, _) = answer.into_parts();
        Self { metadata, answer, stall }
    }

    /// The metadata that the server sent before its messages.
    #[must_use]
    pub fn metadata(&self) -> &MetadataMap {
        &self.metadata
    }

    /// The next message; `None` after the last one, and after an error.
    pub async fn next(&mut self) -> Option<Result<A, CallError>> {
        self.advance().await.transpose()
    }

    /// The metadata that the server sent after its messages. Messages that are left are read and dropped.
    pub async fn trailers(&mut self) -> Result<MetadataMap, CallError> {
        Ok(self.answer.trailers().await?.unwrap_or_default())
    }

    /// The clock is asked only when there is nothing to read.
    pub(crate) async fn advance(&mut self) -> Result<Option<A>, CallError> {
        let mut watchdog = None;
        poll_fn(|cx| {
            if let Poll::Ready(message) = self.answer.poll_next_unpin(cx) {
                return Poll::Ready(message.transpose().map_err(CallError::from));
            }
            let watchdog = watchdog.get_or_insert_with(|| Box::pin(sleep(self.stall)));
            ready!(watchdog.as_mut().poll(cx));
            Poll::Ready(Err(stalled(self.stall)))
        })
        .await
    }
}

/// Nothing came for as long as `stall`.
pub(crate) fn stalled(stall: Duration) -> CallError {
    CallError::TimedOut { message: format!("nothing came for {} s", stall.as_secs_f64()) }
}
