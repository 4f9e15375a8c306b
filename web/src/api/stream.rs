//! [`ItemStream`]: the answer to `getStream`, or to as many of them as it takes.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use runnel_protos::api::api_client::ApiClient as Generated;
use runnel_protos::api::{ApiRequest, Item};
use tonic::Streaming;

use super::clock::{Instant, chance, sleep, within};
use super::network::{Network, Wait};
use super::recovery::Recovery;
use super::resume::{Position, Step};
use super::{ApiError, Connection, Policy, RetryBudget, Transport};

/// The items `1..=length`, each once and in order, however often the connection breaks on the way.
///
/// When an answer is cut off, the rest is asked for after the last item that is here, as
/// [`Policy`] says. Not asking for the next item holds the server back; dropping the stream cancels
/// the call.
pub struct ItemStream<T> {
    client: Generated<T>,
    policy: Arc<Policy>,
    budget: Arc<RetryBudget>,
    network: Network,
    position: Position,
    recovery: Recovery,
    /// The answer that is being read.
    open: Option<Streaming<Item>>,
    /// Answers that have begun.
    answers: u32,
    tell: Box<dyn FnMut(Connection) + Send>,
}

impl<T: Transport> ItemStream<T> {
    pub(super) fn new(
        client: Generated<T>,
        policy: Arc<Policy>,
        budget: Arc<RetryBudget>,
        network: Network,
        length: i32,
    ) -> Self {
        Self {
            client,
            policy,
            budget,
            network,
            position: Position::new(length),
            recovery: Recovery::new(Instant::now()),
            open: None,
            answers: 0,
            tell: Box::new(|_| {}),
        }
    }

    /// Calls `tell` whenever the stream's connection changes.
    #[must_use]
    pub fn watched_by(mut self, tell: impl FnMut(Connection) + Send + 'static) -> Self {
        self.tell = Box::new(tell);
        self
    }

    /// Resolves when the server has begun to answer.
    pub async fn open(&mut self) -> Result<(), ApiError> {
        while self.open.is_none() {
            if let Err(error) = self.ask().await {
                self.recover(error).await?;
            }
        }
        Ok(())
    }

    /// The next item; `None` after the last. After an error the stream was given up. To ask for the
    /// next item all the same tries again from where it broke, which is worth it if the error
    /// [keeps its place](ApiError::keeps_its_place); after any other, that meets the same error.
    pub async fn next(&mut self) -> Option<Result<Item, ApiError>> {
        loop {
            let error = match self.advance().await {
                Ok(Some(item)) => return Some(Ok(item)),
                Ok(None) => return None,
                Err(error) => error,
            };
            self.open = None;
            // What was cut off is only the word that it is over.
            if self.position.is_complete() && error.is_resumable() {
                return None;
            }
            if let Err(error) = self.recover(error).await {
                return Some(Err(error));
            }
        }
    }

    /// Ends the call that is open, if one is. The rest is asked for with the next item, so nothing is lost,
    /// and meanwhile no connection is held, nor a place at the server.
    pub fn let_go(&mut self) {
        if self.open.take().is_some() {
            // To go on after that is no resuming: nothing broke.
            self.answers = self.answers.saturating_sub(1);
        }
    }

    /// The same as a [`Stream`], which ends after the first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Item, ApiError>> {
        stream::unfold(Some(self), async |items| {
            let mut items = items?;
            let item = items.next().await?;
            let rest = item.is_ok().then_some(items);
            Some((item, rest))
        })
    }

    /// The next item of the open answer, or of a new one; fails with whatever that fails with.
    async fn advance(&mut self) -> Result<Option<Item>, ApiError> {
        loop {
            let Some(open) = &mut self.open else {
                self.ask().await?;
                continue;
            };
            let Some(item) = next_within(self.policy.stall, open).await? else {
                self.position.end()?;
                return Ok(None);
            };
            match self.position.take(item.id)? {
                Step::HandOn => return Ok(Some(item)),
                Step::Drop => {}
                Step::AskAgain => self.open = None,
            }
        }
    }

    /// Asks for the items that are not here yet.
    async fn ask(&mut self) -> Result<(), ApiError> {
        (self.tell)(Connection::Connecting);
        let request: ApiRequest = self.position.request();
        let stall = self.policy.stall;
        let answer = within(stall, self.client.get_stream(request)).await;
        self.open = Some(answer.ok_or_else(|| stalled(stall))??.into_inner());
        self.answers = self.answers.saturating_add(1);
        (self.tell)(Connection::Live { resumed: self.answers - 1 });
        Ok(())
    }

    /// Waits until it is time to resume after `error`, or gives the error back to give up.
    async fn recover(&mut self, error: ApiError) -> Result<(), ApiError> {
        let Self { policy, budget, network, position, recovery, tell, .. } = self;
        let delay =
            recovery.delay(&error, position.last(), policy, budget, Instant::now(), chance());
        let Some(delay) = delay else {
            recovery.start_over(Instant::now());
            return Err(error);
        };
        let announced = network.wait(delay, |wait| match wait {
            Wait::For(delay) => tell(Connection::Resuming { delay }),
            Wait::ForNetwork => tell(Connection::Offline),
        });
        if announced.await {
            recovery.start_over(Instant::now());
        }
        Ok(())
    }
}

impl<T> fmt::Debug for ItemStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemStream").field("position", &self.position).finish_non_exhaustive()
    }
}

/// The next item of an answer that must not be silent for longer than `stall`. The clock is asked
/// only when there is nothing to read.
async fn next_within(
    stall: Duration,
    open: &mut Streaming<Item>,
) -> Result<Option<Item>, ApiError> {
    let mut watchdog = None;
    poll_fn(|cx| {
        if let Poll::Ready(item) = open.poll_next_unpin(cx) {
            return Poll::Ready(item.transpose().map_err(ApiError::from));
        }
        let watchdog = watchdog.get_or_insert_with(|| Box::pin(sleep(stall)));
        ready!(watchdog.as_mut().poll(cx));
        Poll::Ready(Err(stalled(stall)))
    })
    .await
}

fn stalled(stall: Duration) -> ApiError {
    ApiError::TimedOut { message: format!("nothing came for {} s", stall.as_secs_f64()) }
}
