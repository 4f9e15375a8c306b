//! Limits how many connections, calls or streams are open at once, in all and for one client address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{Limit, network};

/// A limit on how many things of one kind are open at once.
#[derive(Debug)]
pub struct ConcurrencyLimit {
    what: &'static str,
    limit: Limit,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    /// Only addresses that have something open are in the map, so it is never larger than `total`.
    by_address: HashMap<IpAddr, usize>,
}

impl ConcurrencyLimit {
    /// Allows as many as `limit` says. `what` is the plural name of the things, such as "calls", for error
    /// messages.
    pub fn new(what: &'static str, limit: Limit) -> Arc<Self> {
        Arc::new(Self { what, limit, open: Mutex::default() })
    }

    /// How many are open now.
    pub fn open_count(&self) -> usize {
        self.open().total
    }

    /// Opens one for a client, until the permit is dropped. If the client's address is not known, only the
    /// limit for all clients applies.
    pub fn try_acquire(self: &Arc<Self>, client: Option<IpAddr>) -> Result<Permit, LimitReached> {
        let client = client.map(network);
        let mut open = self.open();
        let Self { what, limit: Limit { total, per_address }, .. } = **self;
        if open.total >= total {
            return Err(LimitReached::Total { what, limit: total });
        }
        if let Some(client) = client {
            let count = open.by_address.get(&client).copied().unwrap_or_default();
            if count >= per_address {
                return Err(LimitReached::PerAddress { what, limit: per_address });
            }
            open.by_address.insert(client, count + 1);
        }
        open.total += 1;
        drop(open);
        Ok(Permit { limit: Arc::clone(self), client })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing panics while it is locked, and numbers cannot be left half written.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Permission to have one open. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "it is open for as long as its permit is held"]
pub struct Permit {
    limit: Arc<ConcurrencyLimit>,
    client: Option<IpAddr>,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitReached {
    /// As many are open as all clients together may have.
    #[error("the server has {limit} open {what} and takes no more")]
    Total {
        /// The plural name of the things, such as "calls".
        what: &'static str,
        /// How many may be open.
        limit: usize,
    },
    /// This client has as many open as one client may have.
    #[error("your address has {limit} open {what} and may have no more")]
    PerAddress {
        /// The plural name of the things, such as "calls".
        what: &'static str,
        /// How many one client may have open.
        limit: usize,
    },
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.limit.open();
        open.total -= 1;
        if let Some(client) = self.client
            && let Some(count) = open.by_address.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn streams(total: usize, per_address: usize) -> Arc<ConcurrencyLimit> {
        ConcurrencyLimit::new("streams", Limit { total, per_address })
    }

    fn take(streams: &Arc<ConcurrencyLimit>, last: u8) -> Result<Permit, LimitReached> {
        streams.try_acquire(Some(IpAddr::from([192, 0, 2, last])))
    }

    #[test]
    fn there_may_be_another_when_a_permit_is_dropped() {
        let streams = streams(2, 2);
        let first = take(&streams, 1).unwrap();
        let _second = take(&streams, 2).unwrap();
        let full = LimitReached::Total { what: "streams", limit: 2 };
        assert_eq!(take(&streams, 3).unwrap_err(), full);
        drop(first);
        assert!(take(&streams, 3).is_ok());
    }

    #[test]
    fn one_address_cannot_take_all() {
        let streams = streams(10, 1);
        let _taken = take(&streams, 1).unwrap();
        let full = LimitReached::PerAddress { what: "streams", limit: 1 };
        assert_eq!(take(&streams, 1).unwrap_err(), full);
        assert!(take(&streams, 2).is_ok());
    }

    proptest! {
        /// Whatever comes and goes, the bounds hold, and at the end nothing is left behind.
        #[test]
        fn bounds_hold_and_every_permit_returns(
            steps in prop::collection::vec((0..4_u8, any::<bool>()), 0..200),
            total in 0..8_usize,
            per_address in 0..4_usize,
        ) {
            let streams = streams(total, per_address);
            let mut held: Vec<(u8, Permit)> = Vec::new();
            for (who, comes) in steps {
                let theirs = held.iter().filter(|(holder, _)| *holder == who).count();
                if comes {
                    let taken = take(&streams, who);
                    prop_assert_eq!(taken.is_ok(), held.len() < total && theirs < per_address);
                    held.extend(taken.ok().map(|permit| (who, permit)));
                } else if let Some(index) = held.iter().position(|(holder, _)| *holder == who) {
                    drop(held.swap_remove(index));
                }
                prop_assert_eq!(streams.open_count(), held.len());
            }
            drop(held);
            prop_assert_eq!(streams.open_count(), 0);
            prop_assert!(streams.open().by_address.is_empty());
        }
    }
}
