//! What is known of one address: its connections, and whether it is up.

use std::{net::IpAddr, sync::Arc};

use futures_util::future::{BoxFuture, Shared};
use runnel_rpc::methods::Methods;

use crate::{
    connection::{Connection, Window},
    fault::Fault,
};

/// Connections to one address that calls may take. Most servers allow 100 streams or more on each (RFC 9113
/// section 6.5.2 advises no less): 6,400 calls.
pub(super) const MAX_CONNECTIONS: usize = 64;

/// An attempt to connect.
pub(super) type Connecting = Shared<BoxFuture<'static, Result<(), Fault>>>;

#[derive(Default)]
pub(super) struct State {
    pub(super) connections: Vec<Arc<Connection>>,
    /// One more, for probes that find the others full.
    pub(super) probe_connection: Option<Arc<Connection>>,
    /// The attempt that all calls wait for which need a connection.
    pub(super) connecting: Option<Connecting>,
    /// None until it is known.
    pub(super) health: Option<Result<(), Fault>>,
    pub(super) methods: Arc<Methods>,
}

/// Who makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// The client at this address, where it is known.
    Client(Option<IpAddr>),
    /// A health check, or reflection.
    Probe,
}

impl State {
    pub(super) fn forget_ended(&mut self) {
        self.connections.retain(|connection| connection.ended().is_none());
        self.probe_connection.take_if(|connection| !connection.is_open());
    }

    /// The connections on which calls of clients may be made.
    pub(super) fn open_connections(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.connections.iter().filter(|connection| connection.is_open())
    }

    /// The connection with the fewest calls that takes one more, with this window or any.
    pub(super) fn place(&self, caller: Caller, window: Option<Window>) -> Option<Arc<Connection>> {
        let open = self.open_connections().filter(|connection| {
            window.is_none_or(|window| connection.window == window) && connection.has_room()
        });
        let roomiest = open.min_by_key(|connection| connection.open_calls());
        let own = || {
            let own = self.probe_connection.as_ref();
            own.filter(|connection| caller == Caller::Probe && connection.has_room())
        };
        roomiest.or_else(own).cloned()
    }

    /// Whether one more connection may help. A server that allows no streams at all, as some do while they
    /// are overloaded, is not asked for more connections.
    pub(super) fn may_connect(&self, caller: Caller) -> bool {
        let is_allowed_none = self.open_connections().any(|connection| connection.allows_none());
        let has_probe_connection = self.probe_connection.is_some();
        !is_allowed_none
            && (self.open_connections().count() < MAX_CONNECTIONS
                || caller == Caller::Probe && !has_probe_connection)
    }

    /// Whether a call would find a place without waiting for one.
    pub(super) fn has_room(&self) -> bool {
        let client = Caller::Client(None);
        self.place(client, None).is_some() || self.may_connect(client)
    }
}
