//! One address of a backend: its connections, its open calls, and whether it is up.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use tokio::sync::{Notify, watch};

use super::{
    address::Address, connection::Connection, fault::Fault, metrics::Counts, target::Target,
};
use crate::rpc::methods::Methods;

/// More connections to one address do not help it; further calls wait their turn on those there are.
const MAX_CONNECTIONS: usize = 16;

/// So many calls in a row that it broke, and an address is down until it proves otherwise.
const MAX_BROKEN_CALLS: u32 = 5;

/// An address that calls are forwarded to.
pub(super) struct Peer {
    pub(super) target: Arc<Target>,
    pub(super) address: Address,
    pub(super) counts: Counts,
    open_calls: AtomicUsize,
    state: Mutex<State>,
    /// How many times it was connected to when there was no connection: perhaps it is another now.
    connects: watch::Sender<u64>,
    /// Told when the state of some peer may have changed.
    changed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    connections: Vec<Arc<Connection>>,
    /// The attempt that everyone waits for who needs a connection.
    connecting: Option<Connecting>,
    /// None until it is known.
    health: Option<Result<(), Fault>>,
    broken_calls: u32,
    methods: Arc<Methods>,
}

type Connecting = Shared<BoxFuture<'static, Result<(), Fault>>>;

impl Peer {
    pub(super) fn new(target: Arc<Target>, address: Address, changed: Arc<Notify>) -> Self {
        Self {
            target,
            address,
            counts: Counts::default(),
            open_calls: AtomicUsize::new(0),
            state: Mutex::default(),
            connects: watch::Sender::default(),
            changed,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is locked, and each change leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open_calls(&self) -> usize {
        self.open_calls.load(Ordering::Relaxed)
    }

    pub(super) fn open_connections(&self) -> usize {
        self.state().open_connections().count()
    }

    /// Whether calls may go here: it is up, or nobody knows yet.
    pub(super) fn is_eligible(&self) -> bool {
        !matches!(self.state().health, Some(Err(_)))
    }

    /// Whether it is up, or why not; None until that is known.
    pub(super) fn health(&self) -> Option<Result<(), Fault>> {
        self.state().health.clone()
    }

    /// It is up, or down.
    pub(super) fn set_health(&self, health: Result<(), Fault>) {
        let mut state = self.state();
        let was_up = state.health.as_ref().map(Result::is_ok);
        let is_up = health.is_ok();
        if is_up {
            state.broken_calls = 0;
        }
        state.health = Some(health.clone());
        drop(state);
        if was_up != Some(is_up) {
            match health {
                Ok(()) => tracing::info!(backend = %self, "backend is up"),
                Err(why) => {
                    self.counts.downs.add_one(&why);
                    tracing::warn!(backend = %self, %why, "backend is down");
                }
            }
            self.changed.notify_one();
        }
    }

    /// How many times it was connected to anew.
    pub(super) fn connects(&self) -> watch::Receiver<u64> {
        self.connects.subscribe()
    }

    /// The methods that it describes.
    pub(super) fn methods(&self) -> Arc<Methods> {
        Arc::clone(&self.state().methods)
    }

    pub(super) fn set_methods(&self, methods: Methods) {
        self.state().methods = Arc::new(methods);
        self.changed.notify_one();
    }

    /// A call was answered, whatever the answer.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        state.broken_calls = 0;
    }

    /// A call ended without an answer, by no fault of its client.
    pub(super) fn broke(&self, fault: &Fault) {
        self.counts.failures.add_one(fault);
        let mut state = self.state();
        state.broken_calls = state.broken_calls.saturating_add(1);
        let is_down = state.broken_calls >= MAX_BROKEN_CALLS;
        drop(state);
        if is_down {
            self.set_health(Err(fault.clone()));
        }
    }

    /// Asks each connection for a sign of life.
    pub(super) fn suspect(&self) {
        self.state().connections.iter().for_each(|connection| connection.suspect());
    }

    /// A place for one call, connecting first if there is no connection with room.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease, Fault> {
        loop {
            let connecting = {
                let mut state = self.state();
                state.connections.retain(|connection| connection.ended().is_none());
                if let Some(connection) = state.roomiest() {
                    return Ok(Lease::new(self, connection));
                }
                state.connecting.get_or_insert_with(|| self.connect()).clone()
            };
            connecting.await?;
        }
    }

    /// Connects in a task of its own: whoever asked for it may leave, and others wait for it too.
    fn connect(self: &Arc<Self>) -> Connecting {
        let peer = Arc::clone(self);
        let task = tokio::spawn(async move {
            let opened = Connection::open(&peer.target, &peer.address).await;
            let mut state = peer.state();
            state.connecting = None;
            match opened {
                Ok(connection) => {
                    if state.open_connections().next().is_none() {
                        peer.connects.send_modify(|count| *count += 1);
                    }
                    state.connections.push(Arc::new(connection));
                    peer.counts.connects.add_one();
                    Ok(())
                }
                Err(fault) => {
                    drop(state);
                    peer.counts.connect_failures.add_one(&fault);
                    peer.set_health(Err(fault.clone()));
                    Err(fault)
                }
            }
        });
        let stopped = |_| Err(Fault::Lost("the server stops".into()));
        task.map(move |connected| connected.unwrap_or_else(stopped)).boxed().shared()
    }
}

impl State {
    /// Those that calls may be made on.
    fn open_connections(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.connections.iter().filter(|connection| connection.is_open())
    }

    /// The connection with the fewest calls, if it takes one more or is one of too many already.
    fn roomiest(&self) -> Option<Arc<Connection>> {
        let connection =
            self.open_connections().min_by_key(|connection| connection.open_calls())?;
        let takes_it = connection.has_room() || self.open_connections().count() >= MAX_CONNECTIONS;
        takes_it.then(|| Arc::clone(connection))
    }
}

impl fmt::Display for Peer {
    /// The backend as it was configured, and its address where the URL does not show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address.to_string();
        if self.target.url.authority().as_str() == address || self.target.url.unix().is_some() {
            write!(f, "{}", self.target)
        } else {
            write!(f, "{} ({address})", self.target)
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A place on a connection, for one call. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) peer: Arc<Peer>,
    pub(super) connection: Arc<Connection>,
}

impl Lease {
    fn new(peer: &Arc<Peer>, connection: Arc<Connection>) -> Self {
        peer.open_calls.fetch_add(1, Ordering::Relaxed);
        connection.open_calls.fetch_add(1, Ordering::Relaxed);
        Self { peer: Arc::clone(peer), connection }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.peer.open_calls.fetch_sub(1, Ordering::Relaxed);
        self.connection.open_calls.fetch_sub(1, Ordering::Relaxed);
    }
}
