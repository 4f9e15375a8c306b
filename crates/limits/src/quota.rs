//! Limits the bytes of messages in memory, in all and for one client address: requests that arrive or are
//! decompressed, and responses that are not read yet. The number of calls is limited
//! ([`crate::concurrency`]), but one call can hold megabytes. gRPC's own servers have a `ResourceQuota` for
//! this.
//!
//! Small messages are free: they take no lock, and are served even while an address is at its limit. The
//! number of calls limits what they cost. A message that would exceed a limit waits a moment until others
//! have left.

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

/// The largest message that is free, in bytes.
pub const FREE_BYTES: usize = 16 * 1024;

/// Counts are rounded up to this many bytes, so that a message that arrives in many pieces takes the lock
/// seldom.
const STEP_BYTES: usize = 64 * 1024;

/// How long a message waits until others have released theirs.
const WAIT: Duration = Duration::from_secs(1);

/// The default for all clients together, in bytes, if the container has enough memory.
const TOTAL_BYTES: usize = 256 * 1024 * 1024;

/// A limit on the bytes of messages in memory. Clones share the count.
#[derive(Clone, Debug)]
pub struct Quota(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: Limit,
    held: Mutex<Held>,
    freed: Arc<Notify>,
    /// How many messages wait for others.
    waiting: AtomicUsize,
    held_bytes: AtomicUsize,
    refused_total: AtomicU64,
    refused_per_address: AtomicU64,
}

#[derive(Debug, Default)]
struct Held {
    total: usize,
    /// Only addresses that hold something are in the map.
    by_address: HashMap<IpAddr, usize>,
}

/// How much of a quota is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Bytes in memory; small messages do not count.
    pub held_bytes: usize,
    /// Messages that were refused because of the limit for all clients together.
    pub refused_total: u64,
    /// Messages that were refused because of the limit for one client address.
    pub refused_per_address: u64,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaReached {
    /// All clients together hold as many bytes as they may.
    #[error("the server holds as many bytes of messages as it may, {limit}")]
    Total {
        /// The limit in bytes.
        limit: usize,
    },
    /// This client holds as many bytes as one client may.
    #[error("your address has as many bytes of messages here as it may, {limit}")]
    PerAddress {
        /// The limit for one client in bytes.
        limit: usize,
    },
}

impl Quota {
    /// Allows as many bytes as `limit` says.
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

    /// How many bytes are in memory now, and how many messages were refused so far. Takes no lock.
    pub fn usage(&self) -> Usage {
        let Shared { held_bytes, refused_total, refused_per_address, .. } = &*self.0;
        Usage {
            held_bytes: held_bytes.load(Ordering::Relaxed),
            refused_total: refused_total.load(Ordering::Relaxed),
            refused_per_address: refused_per_address.load(Ordering::Relaxed),
        }
    }

    /// The limit.
    pub fn limit(&self) -> Limit {
        self.0.limit
    }

    /// Begins a count for a message of a client, with no bytes yet. If the client's address is not known,
    /// only the limit for all clients applies.
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

/// The bytes of one message. Dropping this releases them.
#[derive(Debug)]
pub struct Holding {
    quota: Quota,
    client: Option<IpAddr>,
    bytes: usize,
    waiting: Option<Pin<Box<Waiting>>>,
}

/// A message that waits until others are released.
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
    /// Changes the count of the message to this many bytes. Ready when there is room for them, or with an
    /// error when there was none for too long.
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

    /// Changes the count of the message to this many bytes if there is room for them at once; otherwise the
    /// count stays.
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

    /// The bytes that are counted.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Releases all bytes.
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

/// The limit that an operator sets with `total` and `per_address`. The default is 256 MiB in all, or half
/// of the container's memory if that is less, and a quarter of that for one address; but at least four
/// messages of the largest size in all, and two for one address.
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

/// How much memory the process may use, in bytes, if its control group has a limit.
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
