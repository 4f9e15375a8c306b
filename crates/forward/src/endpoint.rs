//! One address of a backend: its connections, its open calls, and whether it is up.

mod state;

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::FutureExt as _;
use runnel_limits::{
    Limit,
    concurrency::{ConcurrencyLimit, Permit},
};
use runnel_rpc::methods::Methods;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout_at},
};

use self::state::{Caller, Connecting, MAX_CONNECTIONS, State};
use super::{
    address::Address,
    connection::{Connection, Window},
    counts::Counts,
    fault::Fault,
    upstream::Upstream,
};

/// What error messages call requests that fill their part of a window and are not read.
const UNREAD: &str = "requests that the backend does not read";

/// One such request makes others use another connection; so there are never so many of them that no
/// connection is left.
const UNREAD_LIMIT: Limit = Limit { total: MAX_CONNECTIONS / 2, per_address: MAX_CONNECTIONS / 8 };

/// An address that calls are forwarded to.
pub(super) struct Endpoint {
    pub(super) upstream: Arc<Upstream>,
    pub(super) address: Address,
    pub(super) counts: Counts,
    open_calls: AtomicUsize,
    waiting_calls: AtomicUsize,
    state: Mutex<State>,
    /// How many responses may have a large window, at all addresses together.
    large_windows: Arc<ConcurrencyLimit>,
    /// How many times it was connected to when there was no connection: perhaps it is another now.
    connects: watch::Sender<u64>,
    /// Notified when the state of some endpoint may have changed.
    changed: Arc<Notify>,
    /// Notified when there is a reason to ask for its health at once.
    doubted: Notify,
    /// Requests that stand still because the backend does not read them.
    pub(super) unread: Arc<ConcurrencyLimit>,
    /// Notified when there may be room for a call that waits for it.
    room: Arc<Notify>,
}

/// See [`Endpoint::standing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    Fit,
    Full,
    Down,
}

impl Endpoint {
    pub(super) fn new(
        upstream: Arc<Upstream>,
        address: Address,
        large_windows: Arc<ConcurrencyLimit>,
        changed: Arc<Notify>,
    ) -> Self {
        Self {
            upstream,
            address,
            counts: Counts::default(),
            open_calls: AtomicUsize::new(0),
            waiting_calls: AtomicUsize::new(0),
            state: Mutex::default(),
            large_windows,
            connects: watch::Sender::default(),
            changed,
            doubted: Notify::new(),
            room: Arc::default(),
            unread: ConcurrencyLimit::new(UNREAD, UNREAD_LIMIT),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is locked, and each change leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open_calls(&self) -> usize {
        self.open_calls.load(Ordering::Relaxed)
    }

    /// Calls that wait until one of the others ends.
    pub(super) fn waiting_calls(&self) -> usize {
        self.waiting_calls.load(Ordering::Relaxed)
    }

    pub(super) fn open_connections(&self) -> usize {
        self.state().open_connections().count()
    }

    /// How well calls are sent here, the best first: it is up, or not known to be down; it is up and has no
    /// room; it is down.
    pub(super) fn standing(&self) -> Standing {
        let state = self.state();
        match state.health {
            Some(Err(_)) => Standing::Down,
            _ if state.has_room() => Standing::Fit,
            _ => Standing::Full,
        }
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
        state.health = Some(health.clone());
        drop(state);
        if was_up != Some(is_up) {
            match health {
                Ok(()) => tracing::info!(backend = %self, "backend is up"),
                Err(why) => {
                    self.counts.downs.add_one(&why);
                    tracing::warn!(backend = %self, %why, "backend is down");
                    self.doubted.notify_one();
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

    /// A call ended without a response, by no fault of its client. That alone says nothing of the address:
    /// a client can bring about each response and each reset, and even the end of a connection. So its
    /// health is asked for, at once where nothing but the end of a connection was heard.
    pub(super) fn broke(&self, fault: &Fault) {
        self.counts.failures.add_one(fault);
        if !fault.is_sign_of_life() {
            self.doubted.notify_one();
        }
    }

    /// Waits for a reason to ask for its health at once.
    pub(super) async fn doubted(&self) {
        self.doubted.notified().await;
    }

    /// Asks each connection for a sign of life.
    pub(super) fn suspect(&self) {
        let state = self.state();
        let connections = state.connections.iter().chain(&state.probe_connection);
        connections.for_each(|connection| connection.suspect());
    }

    /// A lease for a call of this client, by `until`: on a connection with room, on a new one, or, where there are
    /// as many connections as there may be, when another call ends.
    pub(super) async fn lease(
        self: &Arc<Self>,
        until: Instant,
        client: Option<IpAddr>,
    ) -> Result<Lease, Fault> {
        self.place(until, Caller::Client(client)).await
    }

    /// A lease for a probe, within the connect timeout. Calls of clients never take the last place, which is for
    /// probes: an endpoint that is full is not unhealthy.
    pub(super) async fn lease_for_probe(self: &Arc<Self>) -> Result<Lease, Fault> {
        self.place(Instant::now() + self.upstream.connect_timeout, Caller::Probe).await
    }

    async fn place(self: &Arc<Self>, until: Instant, caller: Caller) -> Result<Lease, Fault> {
        let mut may_connect = true;
        loop {
            // Before anything is looked at, so that no place is missed that is given back meanwhile.
            let room = self.room.notified();
            let (window, client, permit) = match caller {
                Caller::Probe => (None, None, None),
                Caller::Client(client) => {
                    let permit = self.large_windows.try_acquire(client).ok();
                    (Some(permit.as_ref().map_or(Window::Small, |_| Window::Large)), client, permit)
                }
            };
            let connecting = {
                let mut state = self.state();
                state.forget_ended();
                if let Some(connection) = state.place(caller, window) {
                    return Ok(Lease::new(self, connection, client, permit));
                }
                let may_connect = may_connect || state.open_connections().next().is_none();
                if may_connect && state.may_connect(caller) {
                    let connect = || self.connect(caller, window.unwrap_or(Window::Large));
                    Some(state.connecting.get_or_insert_with(connect).clone())
                } else if let Some(connection) = state.place(caller, Some(Window::Small)) {
                    // Better than to wait.
                    return Ok(Lease::new(self, connection, client, None));
                } else {
                    None
                }
            };
            let Some(connecting) = connecting else {
                let _waiting = Waiting::new(&self.waiting_calls);
                if timeout_at(until, room).await.is_err() {
                    return Err(self.full());
                }
                continue;
            };
            tokio::select! {
                connected = timeout_at(until, connecting) => match connected {
                    Ok(Ok(())) => {}
                    Ok(Err(fault)) if self.open_connections() == 0 => return Err(fault),
                    // It lives, and lets us have no more connections.
                    Ok(Err(_)) => may_connect = false,
                    Err(_) if self.open_connections() > 0 => return Err(self.full()),
                    Err(_) => return Err(Fault::ConnectTimeout(self.upstream.connect_timeout)),
                },
                () = room => {}
            }
        }
    }

    fn full(&self) -> Fault {
        let state = self.state();
        let open = state.open_connections();
        let (connections, calls) = open.fold((0, 0), |(connections, calls), connection| {
            (connections + 1, calls + connection.open_calls())
        });
        Fault::Full { connections, calls, waited: self.upstream.connect_timeout }
    }

    /// Connects in a task of its own: the call that asked for it may end, and others wait for it too.
    fn connect(self: &Arc<Self>, caller: Caller, window: Window) -> Connecting {
        let endpoint = Arc::clone(self);
        let task = tokio::spawn(async move {
            let room = Arc::clone(&endpoint.room);
            let opened =
                Connection::open(&endpoint.upstream, &endpoint.address, window, room).await;
            let mut state = endpoint.state();
            state.connecting = None;
            match opened {
                Ok(connection) => {
                    if state.open_connections().next().is_none() {
                        endpoint.connects.send_modify(|count| *count += 1);
                    }
                    let connection = Arc::new(connection);
                    match caller {
                        Caller::Probe if !state.may_connect(Caller::Client(None)) => {
                            state.probe_connection = Some(connection);
                        }
                        _ => state.connections.push(connection),
                    }
                    endpoint.counts.connects.add_one();
                    Ok(())
                }
                Err(fault) => {
                    let is_lost = state.open_connections().next().is_none();
                    drop(state);
                    endpoint.counts.connect_failures.add_one(&fault);
                    if is_lost {
                        endpoint.set_health(Err(fault.clone()));
                    }
                    Err(fault)
                }
            }
        });
        let stopped = |_| Err(Fault::Lost("the server stops".into()));
        task.map(move |connected| connected.unwrap_or_else(stopped)).boxed().shared()
    }
}

impl fmt::Display for Endpoint {
    /// The backend as it was configured, and its address where the URL does not show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address.to_string();
        if self.upstream.url.authority().as_str() == address || self.upstream.url.unix().is_some() {
            write!(f, "{}", self.upstream)
        } else {
            write!(f, "{} ({address})", self.upstream)
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A call that waits for as long as this is there.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right to make one call on a connection. Dropping it lets another call be made.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) connection: Arc<Connection>,
    /// The address of the client whose call it is; None for a probe, and where it is not known.
    pub(super) client: Option<IpAddr>,
    /// For a response of which much may come ahead of its reader.
    _large_window: Option<Permit>,
}

impl Lease {
    pub(super) fn new(
        endpoint: &Arc<Endpoint>,
        connection: Arc<Connection>,
        client: Option<IpAddr>,
        large_window: Option<Permit>,
    ) -> Self {
        endpoint.open_calls.fetch_add(1, Ordering::Relaxed);
        connection.open_calls.fetch_add(1, Ordering::Relaxed);
        Self { endpoint: Arc::clone(endpoint), connection, client, _large_window: large_window }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.endpoint.open_calls.fetch_sub(1, Ordering::Relaxed);
        self.connection.open_calls.fetch_sub(1, Ordering::Relaxed);
        self.endpoint.room.notify_one();
    }
}
