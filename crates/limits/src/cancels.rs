//! Counts, for each client address, the calls that end before their response: those that the client
//! cancels, and those for which it sets a deadline that soon passes. They cost the client nothing. To a
//! backend each is a reset on a connection that all clients share, and a backend that sees many of them
//! closes that connection for all clients ("rapid reset", CVE-2023-44487). So a client may cancel a number
//! of calls at once, and regains a part of that number each second. While it has none left, its calls are
//! refused.
//!
//! Only calls that end soon after their beginning count. To leave a stream after a while is ordinary use,
//! and one address cannot have many calls that last.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::network;

/// A call that is cancelled before this age counts.
const YOUNG: Duration = Duration::from_secs(10);

/// How long it takes until a client with nothing left may again cancel as many calls as at first.
const REFILL: Duration = Duration::from_secs(10);

/// The largest number of addresses that are counted, which takes some megabytes. Further addresses are not
/// counted until others are forgotten, ten seconds later at most.
const MAX_CLIENTS: usize = 64 * 1024;

/// The number of addresses at which the first search for those that can be forgotten begins.
const MIN_SWEEP: usize = 1024;

/// How often all addresses may be searched.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How often the log says that a client is refused.
const WARNING_INTERVAL: Duration = Duration::from_mins(1);

/// The cancelled calls of all clients.
#[derive(Debug)]
pub struct Cancels {
    /// How many calls a client may cancel at once.
    limit: u32,
    /// How many clients are known to be over the limit. While there are none, new calls take no lock.
    over: AtomicUsize,
    clients: Mutex<Clients>,
}

#[derive(Debug, Default)]
struct Clients {
    by_address: HashMap<IpAddr, Cancelled>,
    /// When there are so many, those are forgotten that have all again,
    sweep_at: usize,
    /// but not twice within a second: it is done with the lock held.
    swept_at: Option<Instant>,
    warned_at: Option<Instant>,
}

/// What one client has cancelled.
#[derive(Clone, Copy, Debug)]
struct Cancelled {
    /// How much of this, in calls, it has not got back at `at`.
    calls: f64,
    at: Instant,
    is_over: bool,
}

/// The client has cancelled so many calls that further ones are refused for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("your address has cancelled more than {limit} calls in a short time; wait a while")]
pub struct TooManyCancels {
    limit: u32,
}

impl Cancels {
    /// A counter with this limit; `None` for 0, which means no limit.
    pub fn new(limit: u32) -> Option<Arc<Self>> {
        let (over, clients) = (AtomicUsize::new(0), Mutex::default());
        (limit > 0).then(|| Arc::new(Self { limit, over, clients }))
    }

    /// Begins a call of a client, unless it has cancelled too many.
    pub fn begin(self: &Arc<Self>, peer: IpAddr) -> Result<OpenCall, TooManyCancels> {
        let (client, now) = (network(peer), Instant::now());
        if self.over.load(Ordering::Relaxed) > 0 && self.is_over(client, now) {
            return Err(TooManyCancels { limit: self.limit });
        }
        Ok(OpenCall { cancels: Arc::clone(self), client, began: now, is_answered: false })
    }

    fn is_over(&self, client: IpAddr, now: Instant) -> bool {
        let mut clients = self.clients();
        let Some(cancelled) = clients.by_address.get_mut(&client) else {
            return false;
        };
        cancelled.refill(self.limit, now);
        let has_one_again = cancelled.calls <= f64::from(self.limit) - 1.0;
        if cancelled.is_over && has_one_again {
            cancelled.is_over = false;
            self.over.fetch_sub(1, Ordering::Relaxed);
        }
        cancelled.is_over
    }

    fn cancelled(&self, client: IpAddr, now: Instant) {
        let mut clients = self.clients();
        let may_sweep = clients.swept_at.is_none_or(|at| now - at >= SWEEP_INTERVAL);
        if may_sweep && clients.by_address.len() >= clients.sweep_at.max(MIN_SWEEP) {
            self.sweep(&mut clients, now);
        }
        if clients.by_address.len() >= MAX_CLIENTS && !clients.by_address.contains_key(&client) {
            return;
        }
        let none = Cancelled { calls: 0.0, at: now, is_over: false };
        let cancelled = clients.by_address.entry(client).or_insert(none);
        cancelled.refill(self.limit, now);
        cancelled.calls = (cancelled.calls + 1.0).min(f64::from(self.limit));
        if cancelled.is_over || cancelled.calls <= f64::from(self.limit) - 1.0 {
            return;
        }
        cancelled.is_over = true;
        self.over.fetch_add(1, Ordering::Relaxed);
        let is_news = clients.warned_at.is_none_or(|at| now - at >= WARNING_INTERVAL);
        if is_news {
            clients.warned_at = Some(now);
            drop(clients);
            tracing::warn!(%client, limit = self.limit, "refusing calls of a client that cancels too many");
        }
    }

    /// Forgets those who have all again.
    fn sweep(&self, clients: &mut Clients, now: Instant) {
        let mut over_no_more = 0;
        clients.by_address.retain(|_, cancelled| {
            cancelled.refill(self.limit, now);
            let stays = cancelled.calls > 0.0;
            over_no_more += usize::from(!stays && cancelled.is_over);
            stays
        });
        self.over.fetch_sub(over_no_more, Ordering::Relaxed);
        // So that looking at all of them is paid for by as many that came.
        clients.sweep_at = (2 * clients.by_address.len()).min(MAX_CLIENTS);
        clients.swept_at = Some(now);
    }

    fn clients(&self) -> MutexGuard<'_, Clients> {
        // Nothing panics while it is locked, and numbers cannot be left half written.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cancelled {
    fn refill(&mut self, limit: u32, now: Instant) {
        let part = now.saturating_duration_since(self.at).as_secs_f64() / REFILL.as_secs_f64();
        self.calls = (self.calls - part * f64::from(limit)).max(0.0);
        self.at = self.at.max(now);
    }
}

/// A call whose response is not over. Dropping this counts as a cancellation.
#[derive(Debug)]
pub struct OpenCall {
    cancels: Arc<Cancels>,
    client: IpAddr,
    began: Instant,
    is_answered: bool,
}

impl OpenCall {
    /// Marks the response as over: dropping this no longer counts.
    pub const fn answered(&mut self) {
        self.is_answered = true;
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        let now = Instant::now();
        if now - self.began < YOUNG {
            self.cancels.cancelled(self.client, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: u32 = 500;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// How many of `calls`, each begun and cancelled so much later than the one before, are let in.
    fn let_in(cancels: &Arc<Cancels>, client: IpAddr, calls: u32, every: Duration) -> u32 {
        let began = Instant::now();
        let mut let_in = 0;
        for call in 0..calls {
            let now = began + every * call;
            if cancels.over.load(Ordering::Relaxed) == 0 || !cancels.is_over(client, now) {
                let_in += 1;
                cancels.cancelled(client, now);
            }
        }
        let_in
    }

    #[test]
    fn who_cancels_a_search_at_each_key_is_never_hindered() {
        let cancels = Cancels::new(LIMIT).unwrap();
        let ten_a_second = Duration::from_millis(100);
        assert_eq!(let_in(&cancels, address(1), 36_000, ten_a_second), 36_000, "for an hour");
    }

    #[test]
    fn three_thousand_in_nine_seconds_are_refused_and_nobody_else_is() {
        let cancels = Cancels::new(LIMIT).unwrap();
        let let_in = let_in(&cancels, address(1), 3000, Duration::from_millis(3));
        // All that it may have at once, and nine tenths of that again.
        assert!((940..=960).contains(&let_in), "{let_in}");
        assert!(cancels.begin(address(2)).is_ok());
    }

    #[test]
    fn who_was_refused_may_call_again_after_a_while() {
        let cancels = Cancels::new(LIMIT).unwrap();
        let now = Instant::now();
        (0..LIMIT).for_each(|_| cancels.cancelled(address(1), now));
        assert!(cancels.is_over(address(1), now));
        assert!(!cancels.is_over(address(1), now + Duration::from_secs(1)));
        assert_eq!(cancels.over.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn only_what_is_dropped_young_and_before_its_answer_is_over_counts() {
        let cancels = Cancels::new(1).unwrap();
        cancels.begin(address(1)).unwrap().answered();
        let mut old = cancels.begin(address(1)).unwrap();
        old.began = old.began.checked_sub(YOUNG).unwrap();
        drop(old);
        let cancelled = cancels.begin(address(1)).unwrap();
        drop(cancelled);
        assert_eq!(cancels.begin(address(1)).unwrap_err(), TooManyCancels { limit: 1 });
    }

    #[test]
    fn none_is_no_limit() {
        assert!(Cancels::new(0).is_none());
    }

    #[test]
    fn however_many_clients_cancel_those_known_are_bounded_and_forgotten() {
        let cancels = Cancels::new(LIMIT).unwrap();
        let now = Instant::now();
        let clients =
            (0..u32::try_from(2 * MAX_CLIENTS).unwrap()).map(|n| IpAddr::from(n.to_be_bytes()));
        clients.for_each(|client| cancels.cancelled(client, now));
        assert_eq!(cancels.clients().by_address.len(), MAX_CLIENTS);
        cancels.cancelled(address(1), now + REFILL);
        assert_eq!(cancels.clients().by_address.len(), 1);
    }

    proptest! {
        /// The number of those over the limit, which lets others pass without a lock, is never too low.
        #[test]
        fn as_many_are_counted_as_over_as_are(
            steps in prop::collection::vec((0..4_u8, 0..2000_u64, any::<bool>()), 0..300),
        ) {
            let cancels = Cancels::new(3).unwrap();
            let mut now = Instant::now();
            for (who, milliseconds, cancel) in steps {
                now += Duration::from_millis(milliseconds);
                if cancel {
                    cancels.cancelled(address(who), now);
                } else {
                    cancels.is_over(address(who), now);
                }
                let clients = cancels.clients();
                let over = clients.by_address.values().filter(|client| client.is_over).count();
                prop_assert_eq!(cancels.over.load(Ordering::Relaxed), over);
            }
        }
    }
}
