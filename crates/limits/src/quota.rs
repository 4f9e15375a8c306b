//! How many bytes of messages are held at once, in all and for one client address: arriving, unpacked,
//! answered and not yet read. Calls are bounded in number ([`crate::concurrency`]), but a call can hold
//! megabytes. gRPC's own servers have a `ResourceQuota` for this.
//!
//! Small messages are free, so they take no lock, and are served while an address is at its bound: what
//! those can cost is bounded by the number of calls. What would go beyond a bound waits its turn for a
//! moment.

use std::{
    collections::HashMap,
    fs,
    future::{Future as _, poll_fn},
    mem,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    sync::{Notify, futures::OwnedNotified},
    time::{Sleep, sleep},
};

use crate::{Limit, network};

/// What a message may have without being counted, in bytes.
pub const FREE_BYTES: usize = 16 * 1024;

/// What is counted is rounded up to this many bytes, so that a message takes the lock seldom as it comes.
const STEP_BYTES: usize = 64 * 1024;

/// How long somebody waits until others have given back what they hold.
const WAIT: Duration = Duration::from_secs(1);

/// The default in all, in bytes, where there is memory enough.
const TOTAL_BYTES: usize = 256 * 1024 * 1024;

/// The bytes that may be held. A clone is the same.
#[derive(Clone, Debug)]
pub struct Quota(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: Limit,
    held: Mutex<Held>,
    freed: Arc<Notify>,
    /// How many wait for others.
    waiting: AtomicUsize,
    held_bytes: AtomicUsize,
    refused_total: AtomicU64,
    refused_per_address: AtomicU64,
}

#[derive(Debug, Default)]
struct Held {
    total: usize,
    /// No address stays that holds nothing.
    by_address: HashMap<IpAddr, usize>,
}

/// What became of a quota so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Bytes that are held; small messages do not count.
    pub held_bytes: usize,
    /// Messages that were refused because too much was held in all.
    pub refused_total: u64,
    /// Messages that were refused because one client address held too much.
    pub refused_per_address: u64,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaReached {
    /// As many bytes are held as may be in all.
    #[error("the server holds as many bytes of messages as it may, {limit}")]
    Total {
        /// How many may be, in bytes.
        limit: usize,
    },
    /// As many bytes are held as one client may have.
    #[error("your address has as many bytes of messages here as it may, {limit}")]
    PerAddress {
        /// How many one client may have, in bytes.
        limit: usize,
    },
}

impl Quota {
    /// As many bytes as `limit` says.
    pub fn new(limit: Limit) -> Self {
        Self(Arc::new(Shared {
            limit,
            held: Mutex::default(),
            freed: Arc::default(),
            waiting: AtomicUsize::new(0),
            held_bytes: AtomicUsize::new(0),
            refused_total: AtomicU64::new(0),
            refused_per_address: AtomicU64::new(0),
        }))
    }

    /// How many bytes are held at the moment, and how many messages were refused so far. Takes no lock.
    pub fn usage(&self) -> Usage {
        let Shared { held_bytes, refused_total, refused_per_address, .. } = &*self.0;
        Usage {
            held_bytes: held_bytes.load(Ordering::Relaxed),
            refused_total: refused_total.load(Ordering::Relaxed),
            refused_per_address: refused_per_address.load(Ordering::Relaxed),
        }
    }

    /// How many bytes it allows.
    pub fn limit(&self) -> Limit {
        self.0.limit
    }

    /// Nothing yet, for a peer; one whose address is not known counts in all only.
    pub fn holding(&self, peer: Option<IpAddr>) -> Holding {
        Holding { quota: self.clone(), client: peer.map(network), bytes: 0, waiting: None }
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing panics while it is locked, and numbers cannot be left half written.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, client: Option<IpAddr>, bytes: usize) -> Result<(), QuotaReached> {
        let Limit { total, per_address } = self.limit;
        let mut held = self.held();
        if held.total.saturating_add(bytes) > total {
            return Err(QuotaReached::Total { limit: total });
        }
        if let Some(client) = client {
            let theirs = held.by_address.get(&client).copied().unwrap_or_default();
            if theirs.saturating_add(bytes) > per_address {
                return Err(QuotaReached::PerAddress { limit: per_address });
            }
            held.by_address.insert(client, theirs + bytes);
        }
        held.total += bytes;
        self.say(held.total);
        Ok(())
    }

    fn give_back(&self, client: Option<IpAddr>, bytes: usize) {
        let mut held = self.held();
        held.total -= bytes;
        if let Some(client) = client
            && let Some(theirs) = held.by_address.get_mut(&client)
        {
            *theirs -= bytes;
            if *theirs == 0 {
                held.by_address.remove(&client);
            }
        }
        self.say(held.total);
        drop(held);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.freed.notify_waiters();
        }
    }

    const fn refused_by(&self, limit: QuotaReached) -> &AtomicU64 {
        match limit {
            QuotaReached::Total { .. } => &self.refused_total,
            QuotaReached::PerAddress { .. } => &self.refused_per_address,
        }
    }

    fn say(&self, total: usize) {
        self.held_bytes.store(total, Ordering::Relaxed);
    }
}

/// What one message holds. Dropping it gives it back.
#[derive(Debug)]
pub struct Holding {
    quota: Quota,
    client: Option<IpAddr>,
    bytes: usize,
    waiting: Option<Pin<Box<Waiting>>>,
}

/// Somebody who waits until others give something back.
#[derive(Debug)]
struct Waiting {
    quota: Quota,
    freed: Pin<Box<OwnedNotified>>,
    too_long: Pin<Box<Sleep>>,
}

impl Waiting {
    fn new(quota: &Quota) -> Self {
        quota.0.waiting.fetch_add(1, Ordering::SeqCst);
        let freed = Box::pin(Arc::clone(&quota.0.freed).notified_owned());
        Self { quota: quota.clone(), freed, too_long: Box::pin(sleep(WAIT)) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.quota.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Holding {
    /// Holds a message of so many bytes from now on, in the place of what it held before; ready when there
    /// is room for it, or there was none for too long.
    pub fn poll_hold(
        &mut self,
        cx: &mut Context<'_>,
        message_bytes: usize,
    ) -> Poll<Result<(), QuotaReached>> {
        loop {
            // Asks to be told before it looks, so that nothing is missed in between.
            let told = self.waiting.as_mut().map(|waiting| waiting.freed.as_mut().poll(cx));
            let full = match self.try_hold(message_bytes) {
                Ok(()) => {
                    self.waiting = None;
                    return Poll::Ready(Ok(()));
                }
                Err(full) => full,
            };
            let shared = &*self.quota.0;
            match (&mut self.waiting, told) {
                (Some(waiting), Some(Poll::Pending)) => {
                    ready!(waiting.too_long.as_mut().poll(cx));
                    shared.refused_by(full).fetch_add(1, Ordering::Relaxed);
                    self.waiting = None;
                    return Poll::Ready(Err(full));
                }
                (Some(waiting), _) => {
                    waiting.freed = Box::pin(Arc::clone(&shared.freed).notified_owned());
                }
                (None, _) => self.waiting = Some(Box::pin(Waiting::new(&self.quota))),
            }
        }
    }

    /// Holds a message of so many bytes from now on if there is room for it at once; else what it held before.
    pub fn try_hold(&mut self, message_bytes: usize) -> Result<(), QuotaReached> {
        let bytes = match message_bytes {
            ..=FREE_BYTES => 0,
            counted => counted.checked_next_multiple_of(STEP_BYTES).unwrap_or(usize::MAX),
        };
        if let Some(more) = bytes.checked_sub(self.bytes) {
            if more > 0 {
                self.quota.0.take(self.client, more)?;
            }
        } else {
            self.quota.0.give_back(self.client, self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// How much is held.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds nothing any more.
    pub fn give_back(&mut self) {
        self.waiting = None;
        if self.bytes > 0 {
            self.quota.0.give_back(self.client, mem::take(&mut self.bytes));
        }
    }

    /// [`Self::poll_hold`] as a future.
    pub async fn hold(&mut self, message_bytes: usize) -> Result<(), QuotaReached> {
        poll_fn(|cx| self.poll_hold(cx, message_bytes)).await
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// What may be held at most, in all and for one address, if an operator says so; else 256 MiB
/// in all, or half of what a container with less memory may have, and a quarter of it for one address. Four
/// messages of the largest size always fit then, and two of one address.
pub fn limit(
    total: Option<usize>,
    per_address: Option<usize>,
    largest_message_bytes: usize,
) -> Limit {
    let with_room =
        |messages: usize| largest_message_bytes.saturating_add(STEP_BYTES).saturating_mul(messages);
    let total = total.unwrap_or_else(|| {
        let known = memory_limit_bytes().map_or(TOTAL_BYTES, |limit| TOTAL_BYTES.min(limit / 2));
        known.max(with_room(4))
    });
    let per_address = per_address.unwrap_or_else(|| (total / 4).max(with_room(2)).min(total));
    Limit { total, per_address }
}

/// How much memory the process may have, in bytes, if it is in a control group that says so.
/// <https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files>
fn memory_limit_bytes() -> Option<usize> {
    let of = |path: &str| limit_of(&fs::read_to_string(path).ok()?);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    // Within a container both are those at the top; outside of one, a service has its own.
    let own = groups
        .lines()
        .filter_map(|line| line.strip_prefix("0::"))
        .find_map(|group| of(&format!("/sys/fs/cgroup{}/memory.max", group.trim_end_matches('/'))));
    own.into_iter()
        .chain(of("/sys/fs/cgroup/memory.max"))
        .chain(of("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
        .min()
}

/// `max`, or a number.
fn limit_of(text: &str) -> Option<usize> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests;
