//! [`Network`]: waiting to try again.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::watch;

use crate::clock::sleep;

/// What is known about the network. While the channel holds `false` there is no network, so no call is
/// tried; each `true` that is sent means that now is a good moment to try.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    /// `None` if nothing is known about the network.
    online: Option<watch::Receiver<bool>>,
}

impl Network {
    /// Nothing is known about the network, so every call is tried.
    pub(crate) fn unknown() -> Self {
        Self { online: None }
    }

    /// The network as this channel reports it.
    pub(crate) fn told_by(online: watch::Receiver<bool>) -> Self {
        Self { online: Some(online) }
    }

    /// Whether there is certainly no network.
    pub(crate) fn is_offline(&self) -> bool {
        self.online.as_ref().is_some_and(|online| !*online.borrow())
    }

    /// Waits for this long, or until the channel sends `true`; without a network it waits only for the
    /// latter. `tell` is called when the wait changes from one kind to the other. Returns whether `true`
    /// was sent.
    pub(crate) async fn wait(&mut self, delay: Duration, mut tell: impl FnMut(Wait)) -> bool {
        let Some(online) = &mut self.online else {
            tell(Wait::For(delay));
            sleep(delay).await;
            return false;
        };
        let mut timer = pin!(sleep(delay));
        loop {
            let change = if *online.borrow_and_update() {
                tell(Wait::For(delay));
                match select(timer.as_mut(), pin!(online.changed())).await {
                    Either::Left(_) => return false,
                    Either::Right((change, _)) => change,
                }
            } else {
                tell(Wait::ForNetwork);
                online.changed().await
            };
            if change.is_err() {
                // Nobody will ever say more.
                timer.await;
                return false;
            }
            if *online.borrow_and_update() {
                return true;
            }
        }
    }
}

/// What a call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Time.
    For(Duration),
    /// A network.
    ForNetwork,
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const DELAY: Duration = Duration::from_secs(5);

    async fn waits(network: &mut Network) -> (bool, Duration, Vec<Wait>) {
        let (began, mut told) = (Instant::now(), Vec::new());
        let announced = network.wait(DELAY, |wait| told.push(wait)).await;
        (announced, began.elapsed(), told)
    }

    #[tokio::test(start_paused = true)]
    async fn with_nothing_known_it_waits_its_time() {
        let mut network = Network::unknown();
        assert_eq!(waits(&mut network).await, (false, DELAY, vec![Wait::For(DELAY)]));

        let (sender, online) = watch::channel(true);
        let mut network = Network::told_by(online);
        assert_eq!(waits(&mut network).await, (false, DELAY, vec![Wait::For(DELAY)]));
        drop(sender);
        assert_eq!(waits(&mut network).await, (false, DELAY, vec![Wait::For(DELAY)]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_announcement_ends_the_wait() {
        let (sender, online) = watch::channel(true);
        let mut network = Network::told_by(online);
        let (waited, ()) = tokio::join!(waits(&mut network), async {
            sleep(Duration::from_secs(1)).await;
            sender.send_replace(true);
        });
        assert_eq!(waited, (true, Duration::from_secs(1), vec![Wait::For(DELAY)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_that_comes_back_is_not_kept_waiting() {
        let (sender, online) = watch::channel(false);
        let mut network = Network::told_by(online);
        let (waited, ()) = tokio::join!(waits(&mut network), async {
            sleep(Duration::from_secs(1)).await;
            sender.send_replace(true);
        });
        assert_eq!(waited, (true, Duration::from_secs(1), vec![Wait::ForNetwork]));
    }

    #[tokio::test(start_paused = true)]
    async fn offline_it_waits_for_the_network_however_long_that_takes() {
        let (sender, online) = watch::channel(true);
        let mut network = Network::told_by(online);
        let (waited, ()) = tokio::join!(waits(&mut network), async {
            sleep(Duration::from_secs(1)).await;
            sender.send_replace(false);
            sleep(Duration::from_hours(1)).await;
            sender.send_replace(true);
        });
        let told = vec![Wait::For(DELAY), Wait::ForNetwork];
        assert_eq!(waited, (true, Duration::from_secs(3601), told));
    }
}
