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
    endpoint::{Endpoint, Lease},
    fault::Fault,
    health, reflection,
    settings::Settings,
    status::BackendStatus,
    upstream::Upstream,
};

/// Names are not resolved more often than this, however much fails.
const RESOLVE_PAUSE: Duration = Duration::from_secs(1);

/// All addresses of all backends.
pub(super) struct Balancer {
    upstreams: Vec<Arc<Upstream>>,
    known: watch::Receiver<Known>,
    /// Whose turn it is among addresses with equally many calls.
    turn: AtomicUsize,
    connect_timeout: Duration,
    /// Notified when an address cannot be reached: its name may have another one by now.
    stale: Arc<Notify>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

/// What is known of the backends.
#[derive(Clone, Debug, Default)]
struct Known {
    endpoints: Arc<[Arc<Endpoint>]>,
    /// The backends without an address, and why.
    unresolved: Arc<[(Arc<Upstream>, Fault)]>,
    /// Whether names were resolved at all.
    resolved: bool,
}

/// How often backends are looked at.
#[derive(Clone, Copy, Debug)]
struct Watching {
    resolve: Duration,
    health: Duration,
    /// Whether backends are asked for their methods.
    reflection: bool,
}

impl Balancer {
    /// Begins to resolve the upstreams' names and to watch over the addresses, as long as it lives.
    pub(super) fn start(
        upstreams: Vec<Arc<Upstream>>,
        settings: &Settings,
        large_windows: Arc<ConcurrencyLimit>,
        healthy: watch::Sender<bool>,
        methods: KnownMethods,
    ) -> Self {
        let watching = Watching {
            resolve: settings.resolve_interval,
            health: settings.health_interval,
            reflection: settings.reflection,
        };
        let connect_timeout = settings.connect_timeout;
        let (publish, known) = watch::channel(Known::default());
        let changed = Arc::new(Notify::new());
        let stale = Arc::new(Notify::new());
        let again = Arc::clone(&stale);
        let new_endpoint = {
            let changed = Arc::clone(&changed);
            move |upstream: &Arc<Upstream>, address| {
                let (upstream, changed) = (Arc::clone(upstream), Arc::clone(&changed));
                Arc::new(Endpoint::new(upstream, address, Arc::clone(&large_windows), changed))
            }
        };
        let resolving = resolve(
            upstreams.clone(),
            watching,
            new_endpoint,
            publish,
            Arc::clone(&changed),
            again,
        );
        let telling = tell(known.clone(), changed, healthy, methods);
        let tasks = [resolving.boxed(), telling.boxed()];
        let tasks = tasks.map(|task| AbortOnDropHandle::new(tokio::spawn(task)));
        let turn = AtomicUsize::new(0);
        Self { upstreams, known, turn, connect_timeout, stale, _tasks: tasks }
    }

    /// How each backend does, whether it has an address or not.
    pub(super) fn status(&self) -> Vec<BackendStatus> {
        let endpoints = Arc::clone(&self.known.borrow().endpoints);
        let status = self.upstreams.iter().map(|upstream| {
            let endpoints =
                endpoints.iter().filter(|endpoint| Arc::ptr_eq(&endpoint.upstream, upstream));
            BackendStatus::of(upstream, endpoints.map(Arc::as_ref))
        });
        status.collect()
    }

    /// A lease for one call of this client. `not` is an address at which the call failed before: it is tried last.
    /// Addresses that are up come before those that are down, one after the other within the connect timeout.
    pub(super) async fn lease(
        &self,
        client: Option<IpAddr>,
        not: Option<&Arc<Endpoint>>,
    ) -> Result<Lease, Status> {
        let deadline = Instant::now() + self.connect_timeout;
        let known = self.known_by(deadline).await;
        let order = self.order(&known.endpoints, not);
        let mut failed: Option<Status> = None;
        for (index, endpoint) in order.iter().enumerate() {
            // Half of the time that is left, so that one address that swallows every packet leaves
            // some for the next.
            let now = Instant::now();
            let is_last = index + 1 == order.len();
            let until = if is_last { deadline } else { now + (deadline - now) / 2 };
            match endpoint.lease(until, client).await {
                Ok(lease) => return Ok(lease),
                Err(fault) => {
                    if !fault.is_sign_of_life() {
                        self.stale.notify_one();
                    }
                    failed = Some(fault.status(&endpoint));
                }
            }
        }
        Err(failed.unwrap_or_else(|| match known.unresolved.first() {
            Some((upstream, fault)) => fault.status(upstream),
            None => Status::unavailable("the backends' names did not resolve in time"),
        }))
    }

    /// What is known of the backends, once their names were resolved.
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
    fn order(
        &self,
        endpoints: &[Arc<Endpoint>],
        not: Option<&Arc<Endpoint>>,
    ) -> Vec<Arc<Endpoint>> {
        if let [only] = endpoints {
            return vec![Arc::clone(only)];
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % endpoints.len().max(1);
        let (later, sooner) = endpoints.split_at(turn);
        let mut order: Vec<_> = sooner.iter().chain(later).cloned().collect();
        order.sort_by_cached_key(|endpoint| {
            let tried = not.is_some_and(|not| Arc::ptr_eq(not, endpoint));
            (tried, endpoint.standing(), endpoint.open_calls())
        });
        order
    }
}

/// Keeps the addresses up to date.
async fn resolve(
    upstreams: Vec<Arc<Upstream>>,
    watching: Watching,
    new_endpoint: impl Fn(&Arc<Upstream>, Address) -> Arc<Endpoint>,
    publish: watch::Sender<Known>,
    changed: Arc<Notify>,
    stale: Arc<Notify>,
) {
    type Watched = (Arc<Endpoint>, AbortOnDropHandle<()>);
    let mut watched: Vec<HashMap<Address, Watched>> = Vec::new();
    watched.resize_with(upstreams.len(), HashMap::new);
    loop {
        let found = join_all(upstreams.iter().map(|upstream| upstream.resolve())).await;
        let mut unresolved = Vec::new();
        for ((upstream, found), watched) in upstreams.iter().zip(found).zip(&mut watched) {
            match found {
                Ok(addresses) => {
                    watched.retain(|address, _| addresses.contains(address));
                    for address in addresses {
                        watched.entry(address.clone()).or_insert_with(|| {
                            let endpoint = new_endpoint(upstream, address);
                            let watch = watch_over(Arc::clone(&endpoint), watching);
                            (endpoint, AbortOnDropHandle::new(tokio::spawn(watch)))
                        });
                    }
                }
                // Old addresses are better than none.
                Err(fault) if watched.is_empty() => {
                    let told = &publish.borrow().unresolved;
                    if !told.iter().any(|(known, _)| Arc::ptr_eq(known, upstream)) {
                        tracing::warn!(backend = %upstream, why = %fault, "backend has no address");
                    }
                    unresolved.push((Arc::clone(upstream), fault));
                }
                Err(_) => {}
            }
        }
        let endpoints = watched.iter().flat_map(|watched| watched.values());
        let endpoints = endpoints.map(|(endpoint, _)| Arc::clone(endpoint)).collect();
        publish.send_replace(Known { endpoints, unresolved: unresolved.into(), resolved: true });
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
async fn watch_over(endpoint: Arc<Endpoint>, watching: Watching) {
    let health = health::watch(Arc::clone(&endpoint), watching.health);
    if watching.reflection {
        join(health, reflection::watch(endpoint)).await;
    } else {
        health.await;
    }
}

/// Tells whether some address is up, and what methods there are.
async fn tell(
    known: watch::Receiver<Known>,
    changed: Arc<Notify>,
    healthy: watch::Sender<bool>,
    methods: KnownMethods,
) {
    loop {
        let endpoints = Arc::clone(&known.borrow().endpoints);
        let up = endpoints.iter().any(|endpoint| matches!(endpoint.health(), Some(Ok(()))));
        healthy.send_if_modified(|was| std::mem::replace(was, up) != up);
        let described = reflection::of_all(endpoints.iter());
        if *methods.now() != described {
            methods.replace(described);
        }
        changed.notified().await;
    }
}
