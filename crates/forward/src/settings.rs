//! Where calls are forwarded to, and how.

use std::{path::PathBuf, time::Duration};

use runnel_limits::{
    client::TrustedProxies,
    quota::{self, Quota},
};
use runnel_wire::DEFAULT_MESSAGE_LIMIT_BYTES;

use super::{authority::BackendAuthority, url::BackendUrl};

/// Where calls are forwarded to, and how. [`Settings::to`] makes them for some URLs; change what you like after
/// that.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The gRPC servers that calls are forwarded to; at least one. Each address of each name takes its share of
    /// the calls.
    pub urls: Vec<BackendUrl>,
    /// The `:authority` of calls; None for the one in the URL.
    pub authority: Option<BackendAuthority>,
    /// A PEM file with the certificates that a backend's certificate must come from; None for those of the
    /// system.
    pub ca: Option<PathBuf>,
    /// The certificate that is shown to backends; None for none.
    pub client_certificate: Option<ClientCertificate>,
    /// The name that a backend's certificate must have; None for the host in its URL.
    pub server_name: Option<String>,
    /// How often the files of certificates are looked at for a change; SIGHUP has them looked at at once.
    pub certificate_interval: Duration,
    /// How long a call may wait for a connection, and how long a backend may take to answer a health check.
    pub connect_timeout: Duration,
    /// How often connections are pinged; None for only when a health check fails. Most gRPC servers close a
    /// connection that is pinged more often than every five minutes.
    pub keepalive: Option<Duration>,
    /// How often each address is asked for its health, through `grpc.health.v1`.
    pub health_interval: Duration,
    /// How often names are resolved again.
    pub resolve_interval: Duration,
    /// Whether backends are asked, through `grpc.reflection`, which methods they have; see
    /// [`Backend::methods`](super::Backend::methods).
    pub reflection: bool,
    /// The proxies whose `x-forwarded-*`, `forwarded` and `via` are passed on and added to. From all other
    /// clients these headers are removed.
    pub trusted_proxies: TrustedProxies,
    /// How many bytes of messages may be held, and so how many responses may come far ahead of their readers.
    /// A server that bounds its messages elsewhere, too, passes the same quota here.
    pub quota: Quota,
}

/// The files of a client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// A PEM file with the certificate, and those up to its root.
    pub certificate: PathBuf,
    /// A PEM file with its private key.
    pub key: PathBuf,
}

impl Settings {
    /// Forwards calls to these backends, with the defaults for all else.
    pub fn to(urls: impl IntoIterator<Item = BackendUrl>) -> Self {
        Self { urls: urls.into_iter().collect(), ..Self::default() }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            authority: None,
            ca: None,
            client_certificate: None,
            server_name: None,
            certificate_interval: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            keepalive: None,
            health_interval: Duration::from_secs(10),
            resolve_interval: Duration::from_secs(30),
            reflection: true,
            trusted_proxies: TrustedProxies::default(),
            quota: Quota::new(quota::limit(None, None, DEFAULT_MESSAGE_LIMIT_BYTES)),
        }
    }
}
