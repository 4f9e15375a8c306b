//! Places that are taken and given back: how many of a sort may be open at once, in all and for one
//! client address. Connections, calls and streams are bounded like this.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many of one sort may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// In all.
    pub total: usize,
    /// For one client address; an IPv6 client is its /64, which one customer has.
    pub per_address: usize,
}

/// The places for one sort of thing.
#[derive(Debug)]
pub(crate) struct Pool {
    what: &'static str,
    bound: Bound,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    /// No address stays that has nothing open, so that the map is never larger than `total`.
    by_address: HashMap<IpAddr, usize>,
}

impl Pool {
    /// As many places as `bound` says, for what is called `what` in the plural.
    pub(crate) fn new(what: &'static str, bound: Bound) -> Arc<Self> {
        Arc::new(Self { what, bound, open: Mutex::default() })
    }

    /// How many are taken.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.open().total
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing panics while it is locked, and numbers cannot be left half written.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that is taken. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Permit {
    pool: Arc<Pool>,
    client: Option<IpAddr>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    #[error("the server has {limit} open {what} and takes no more")]
    Total { what: &'static str, limit: usize },
    #[error("your address has {limit} open {what} and may have no more")]
    PerAddress { what: &'static str, limit: usize },
}

impl Permit {
    /// Takes a place for a peer; one whose address is not known counts in all only.
    pub(crate) fn take(pool: &Arc<Pool>, peer: Option<IpAddr>) -> Result<Self, Full> {
        let client = peer.map(client);
        let mut open = pool.open();
        let Pool { what, bound: Bound { total, per_address }, .. } = **pool;
        if open.total >= total {
            return Err(Full::Total { what, limit: total });
        }
        if let Some(client) = client {
            let count = open.by_address.get(&client).copied().unwrap_or_default();
            if count >= per_address {
                return Err(Full::PerAddress { what, limit: per_address });
            }
            open.by_address.insert(client, count + 1);
        }
        open.total += 1;
        drop(open);
        Ok(Self { pool: Arc::clone(pool), client })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.pool.open();
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

/// Whom a peer counts as.
pub(crate) fn client(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pool(total: usize, per_address: usize) -> Arc<Pool> {
        Pool::new("streams", Bound { total, per_address })
    }

    fn take(pool: &Arc<Pool>, last: u8) -> Result<Permit, Full> {
        Permit::take(pool, Some(IpAddr::from([192, 0, 2, last])))
    }

    #[test]
    fn a_place_is_free_again_when_its_permit_is_dropped() {
        let pool = pool(2, 2);
        let first = take(&pool, 1).unwrap();
        let _second = take(&pool, 2).unwrap();
        let full = Full::Total { what: "streams", limit: 2 };
        assert_eq!(take(&pool, 3).unwrap_err(), full);
        drop(first);
        take(&pool, 3).unwrap();
    }

    #[test]
    fn one_address_cannot_take_every_place() {
        let pool = pool(10, 1);
        let _taken = take(&pool, 1).unwrap();
        let full = Full::PerAddress { what: "streams", limit: 1 };
        assert_eq!(take(&pool, 1).unwrap_err(), full);
        take(&pool, 2).unwrap();
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_client_and_mapped_ones_are_ipv4() {
        let client = |text: &str| super::client(text.parse().unwrap());
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:0:0:2"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
    }

    proptest! {
        /// Whatever comes and goes, the bounds hold, and at the end nothing is left behind.
        #[test]
        fn bounds_hold_and_every_permit_returns(
            steps in prop::collection::vec((0..4_u8, any::<bool>()), 0..200),
            total in 0..8_usize,
            per_address in 0..4_usize,
        ) {
            let pool = pool(total, per_address);
            let mut held: Vec<(u8, Permit)> = Vec::new();
            for (who, comes) in steps {
                let theirs = held.iter().filter(|(holder, _)| *holder == who).count();
                if comes {
                    let taken = take(&pool, who);
                    prop_assert_eq!(taken.is_ok(), held.len() < total && theirs < per_address);
                    held.extend(taken.ok().map(|permit| (who, permit)));
                } else if let Some(index) = held.iter().position(|(holder, _)| *holder == who) {
                    held.swap_remove(index);
                }
                prop_assert_eq!(pool.taken(), held.len());
            }
            drop(held);
            prop_assert_eq!(pool.taken(), 0);
            prop_assert!(pool.open().by_address.is_empty());
        }
    }
}
