//! What an operator says of one backend: its URL, and how to connect to it.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::lookup_host, time::timeout};

use super::{BackendUrl, fault::Fault, tls::Tls};

/// A backend as it is configured; each of its addresses is a [`super::peer::Peer`].
#[derive(Debug)]
pub(super) struct Target {
    pub(super) url: BackendUrl,
    /// None for plain HTTP/2.
    pub(super) tls: Option<Tls>,
    /// How long it may take until a connection stands, twice: TCP, and what is spoken on it.
    pub(super) connect_timeout: Duration,
    /// How often a connection is pinged; None for only when it is suspect.
    pub(super) keepalive: Option<Duration>,
}

impl Target {
    /// The addresses its name has now. The system resolves it (`/etc/hosts`, mDNS, whatever
    /// `nsswitch.conf` says), as it does for every other program on the machine; a resolver of our own
    /// would know the records' times to live and none of that.
    pub(super) async fn resolve(&self) -> Result<Vec<SocketAddr>, Fault> {
        let found = timeout(self.connect_timeout, lookup_host((self.url.host(), self.url.port())))
            .await
            .map_err(|_| Fault::Resolve(Arc::new(io::ErrorKind::TimedOut.into())))?
            .map_err(|error| Fault::Resolve(Arc::new(error)))?;
        let mut addresses: Vec<_> = found.collect();
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.is_empty() { Err(Fault::NoAddress) } else { Ok(addresses) }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.url, f)
    }
}
