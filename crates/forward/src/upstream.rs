//! One backend as it is configured: its URL, and how to connect to it.

use std::{fmt, io, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    address::Address, authority::BackendAuthority, fault::Fault, resolver::Resolver, tls::Tls,
    url::BackendUrl, via::Via,
};

/// A backend as it is configured. Each address of its name is an `Endpoint`.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) url: BackendUrl,
    pub(super) resolver: Resolver,
    /// None for plain HTTP/2.
    pub(super) tls: Option<Tls>,
    /// The `:authority` of calls; None for the one in `url`.
    pub(super) authority: Option<BackendAuthority>,
    /// How this proxy names itself to the backend.
    pub(super) via: Arc<Via>,
    /// How long it may take to connect, and again, to see that the backend speaks HTTP/2.
    pub(super) connect_timeout: Duration,
    /// How often a connection is pinged; None for only when it is suspect.
    pub(super) keepalive: Option<Duration>,
}

impl Upstream {
    /// The addresses its name has now.
    pub(super) async fn resolve(&self) -> Result<Vec<Address>, Fault> {
        if let Some(path) = self.url.unix() {
            return Ok(vec![Address::unix(path)]);
        }
        let found = self.resolver.resolve(self.url.host(), self.url.port());
        let mut addresses = timeout(self.connect_timeout, found)
            .await
            .map_err(|_| Fault::Resolve(Arc::new(io::ErrorKind::TimedOut.into())))?
            .map_err(|error| Fault::Resolve(Arc::new(error)))?;
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.is_empty() {
            return Err(Fault::NoAddress);
        }
        Ok(addresses.into_iter().map(Address::from).collect())
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.url, f)
    }
}
