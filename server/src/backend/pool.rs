//! All addresses of all backends, as names resolve to them from time to time, and the choice among
//! them: of those that are up the one with the fewest open calls.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{join, join_all},
};
use runnel_limits::concurrency::ConcurrencyLimit;
use runnel_rpc::methods::KnownMethods;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::{
    address::Address,
    fault::Fault,
    health,
    peer::{Lease, Peer},
    reflection,
    target::Target,
};
use crate::readiness::Readiness;

/// Names are not resolved more often than this, however much fails.
const RESOLVE_PAUSE: Duration = Duration::from_secs(1);

/// Where calls may be forwarded to.
pub(super) struct Pool {
    targets: Vec<Arc<Target>>,
    known: watch::Receiver<Known>,
    /// Whose turn it is among addresses with equally many calls.
    turn: AtomicUsize,
    connect_timeout: Duration,
    /// Told when an address cannot be reached: its name may have another one by now.
    stale: Arc<Notify>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

/// What is known of the backends.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) peers: Arc<[Arc<Peer>]>,
    /// The backends without an address, and why.
    unresolved: Arc<[(Arc<Target>, Fault)]>,
    /// Whether names were resolved at all.
    resolved: bool,
}

/// What is looked at, and how often again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watching {
    pub(super) resolve: Duration,
    pub(super) health: Duration,
    /// Whether backends are asked for their methods.
    pub(super) reflection: bool,
}

impl Pool {
    /// Begins to resolve the targets' names and to watch over the addresses, as long as it lives.
    pub(super) fn start(
        targets: Vec<Arc<Target>>,
        watching: Watching,
        large_windows: Arc<ConcurrencyLimit>,
        connect_timeout: Duration,
        readiness: Readiness,
        methods: KnownMethods,
    ) -> Self {
        let (publish, known) = watch::channel(Known::default());
        let changed = Arc::new(Notify::new());
        let stale = Arc::new(Notify::new());
        let again = Arc::clone(&stale);
        let new_peer = {
            let changed = Arc::clone(&changed);
            move |target: &Arc<Target>, address| {
                let (target, changed) = (Arc::clone(target), Arc::clone(&changed));
                Arc::new(Peer::new(target, address, Arc::clone(&large_windows), changed))
            }
        };
        let resolving =
            resolve(targets.clone(), watching, new_peer, publish, Arc::clone(&changed), again);
        let telling = tell(known.clone(), changed, readiness, methods);
        let tasks = [resolving.boxed(), telling.boxed()];
        let tasks = tasks.map(|task| AbortOnDropHandle::new(tokio::spawn(task)));
        let turn = AtomicUsize::new(0);
        Self { targets, known, turn, connect_timeout, stale, _tasks: tasks }
    }

    /// All backends, whether they have an address or not.
    pub(super) fn targets(&self) -> &[Arc<Target>] {
        &self.targets
    }

    /// What is known of the backends, now and later.
    pub(super) fn known(&self) -> watch::Receiver<Known> {
        self.known.clone()
    }

    /// A place for one call of this client. `not` is an address that failed it before: the last to be tried.
    /// Addresses that are up come before those that are down, one after the other within the connect timeout.
    pub(super) async fn lease(
        &self,
        client: Option<IpAddr>,
        not: Option<&Arc<Peer>>,
    ) -> Result<Lease, Status> {
        let deadline = Instant::now() + self.connect_timeout;
        let known = self.known_by(deadline).await;
        let order = self.order(&known.peers, not);
        let mut failed: Option<Status> = None;
        for (index, peer) in order.iter().enumerate() {
            // Half of the time that is left, so that one address that swallows every packet leaves
            // some for the next.
            let now = Instant::now();
            let is_last = index + 1 == order.len();
            let until = if is_last { deadline } else { now + (deadline - now) / 2 };
            match peer.lease(until, client).await {
                Ok(lease) => return Ok(lease),
                Err(fault) => {
                    if !fault.is_sign_of_life() {
                        self.stale.notify_one();
                    }
                    failed = Some(fault.status(&peer));
                }
            }
        }
        Err(failed.unwrap_or_else(|| match known.unresolved.first() {
            Some((target, fault)) => fault.status(target),
            None => Status::unavailable("the backends' names did not resolve in time"),
        }))
    }

    /// What is known, once something is.
    async fn known_by(&self, deadline: Instant) -> Known {
        let known = self.known.borrow().clone();
        if known.resolved {
            return known;
        }
        let mut known = self.known.clone();
        match timeout_at(deadline, known.wait_for(|known| known.resolved)).await {
            Ok(Ok(known)) => known.clone(),
            _ => Known::default(),
        }
    }

    /// In which order addresses are tried.
    fn order(&self, peers: &[Arc<Peer>], not: Option<&Arc<Peer>>) -> Vec<Arc<Peer>> {
        if let [only] = peers {
            return vec![Arc::clone(only)];
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % peers.len().max(1);
        let (later, sooner) = peers.split_at(turn);
        let mut order: Vec<_> = sooner.iter().chain(later).cloned().collect();
        order.sort_by_cached_key(|peer| {
            let tried = not.is_some_and(|not| Arc::ptr_eq(not, peer));
            (tried, peer.standing(), peer.open_calls())
        });
        order
    }
}

/// Keeps the addresses up to date.
async fn resolve(
    targets: Vec<Arc<Target>>,
    watching: Watching,
    new_peer: impl Fn(&Arc<Target>, Address) -> Arc<Peer>,
    publish: watch::Sender<Known>,
    changed: Arc<Notify>,
    stale: Arc<Notify>,
) {
    type Watched = (Arc<Peer>, AbortOnDropHandle<()>);
    let mut watched: Vec<HashMap<Address, Watched>> = Vec::new();
    watched.resize_with(targets.len(), HashMap::new);
    loop {
        let found = join_all(targets.iter().map(|target| target.resolve())).await;
        let mut unresolved = Vec::new();
        for ((target, found), watched) in targets.iter().zip(found).zip(&mut watched) {
            match found {
                Ok(addresses) => {
                    watched.retain(|address, _| addresses.contains(address));
                    for address in addresses {
                        watched.entry(address.clone()).or_insert_with(|| {
                            let peer = new_peer(target, address);
                            let watch = watch_over(Arc::clone(&peer), watching);
                            (peer, AbortOnDropHandle::new(tokio::spawn(watch)))
                        });
                    }
                }
                // Old addresses are better than none.
                Err(fault) if watched.is_empty() => {
                    let told = &publish.borrow().unresolved;
                    if !told.iter().any(|(known, _)| Arc::ptr_eq(known, target)) {
                        tracing::warn!(backend = %target, why = %fault, "backend has no address");
                    }
                    unresolved.push((Arc::clone(target), fault));
                }
                Err(_) => {}
            }
        }
        let peers = watched.iter().flat_map(|watched| watched.values());
        let peers = peers.map(|(peer, _)| Arc::clone(peer)).collect();
        publish.send_replace(Known { peers, unresolved: unresolved.into(), resolved: true });
        changed.notify_one();
        let all_resolved = publish.borrow().unresolved.is_empty();
        sleep(RESOLVE_PAUSE).await;
        if all_resolved {
            // An Err is the interval's end.
            let _ = timeout(watching.resolve, stale.notified()).await;
        }
    }
}

/// Keeps up to date what is known of one address.
async fn watch_over(peer: Arc<Peer>, watching: Watching) {
    let health = health::watch(Arc::clone(&peer), watching.health);
    if watching.reflection {
        join(health, reflection::watch(peer)).await;
    } else {
        health.await;
    }
}

/// Tells whether the server is ready, which it is while some address is up, and what methods there are.
async fn tell(
    known: watch::Receiver<Known>,
    changed: Arc<Notify>,
    readiness: Readiness,
    methods: KnownMethods,
) {
    loop {
        let peers = Arc::clone(&known.borrow().peers);
        let up = peers.iter().any(|peer| matches!(peer.health(), Some(Ok(()))));
        readiness.set_backend_healthy(up);
        let described = reflection::of_all(peers.iter());
        if *methods.now() != described {
            methods.replace(described);
        }
        changed.notified().await;
    }
}
