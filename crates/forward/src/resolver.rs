//! How the name of a backend becomes addresses.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::net::lookup_host;

type Lookup = dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;

/// Looks names up.
#[derive(Clone)]
pub(super) struct Resolver(Arc<Lookup>);

impl Resolver {
    /// The system's (`/etc/hosts`, mDNS, whatever `nsswitch.conf` says), as every other program on the
    /// machine has it; one of our own would know the records' times to live and none of that.
    pub(super) fn system() -> Self {
        let lookup = |host, port| async move { Ok(lookup_host((host, port)).await?.collect()) };
        Self(Arc::new(move |host: String, port| lookup(host, port).boxed()))
    }

    /// One that knows what it is told.
    #[cfg(test)]
    pub(super) fn of(
        addresses: impl Fn() -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |_, _| std::future::ready(addresses()).boxed()))
    }

    /// The addresses that the name has now, with the port.
    pub(super) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        (self.0)(host.to_owned(), port).await
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}
