//! The other way to answer: every call, of any service and method, is forwarded to a gRPC backend.
//! Nothing is decoded: messages, metadata and trailers pass as they are.
//!
//! | room | what it does |
//! |---|---|
//! | [`url`] | where a backend is |
//! | `target` | one backend as configured: how to resolve its name and connect |
//! | `resolver`, `address` | how its name becomes addresses |
//! | `tls` | TLS to it |
//! | `pool` | all addresses of all backends, and the choice among them |
//! | `peer` | one address: its connections, and whether it is up |
//! | `health` | asks it, through `grpc.health.v1` |
//! | `reflection` | asks it what methods it has, through `grpc.reflection` |
//! | `own_call` | a call of our own, for these two |
//! | `own_health` | a health check that is for us |
//! | `connection` | one HTTP/2 connection |
//! | `call` | one call on it, from head to head |
//! | `frames`, `windows` | how much may be sent on it, read along |
//! | `headers`, `forwarded` | the head of a call, as the backend gets it |
//! | `metadata` | what clients say is made valid, and kept out of shared tables |
//! | [`authority`] | whom calls are for |
//! | `via` | what tells a call that comes back |
//! | `request_body`, `answer` | the bodies, one each way |
//! | `credit` | how much of an answer may be on its way |
//! | `metrics` | what there is to count of each address |
//! | `fault` | what can go wrong, and the status it becomes |

mod address;
mod answer;
pub mod authority;
mod call;
mod connection;
mod credit;
mod fault;
mod forwarded;
mod frames;
mod headers;
mod health;
mod metadata;
mod metrics;
mod own_call;
mod own_health;
mod peer;
mod pool;
mod reflection;
mod request_body;
mod resolver;
mod target;
mod tls;
pub mod url;
mod via;
mod windows;

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use prometheus::core::Collector;
use runnel_limits::{
    Limit,
    client::{TrustedProxies, client_address},
    concurrency::ConcurrencyLimit,
    quota::Quota,
};
use runnel_rpc::methods::KnownMethods;
use runnel_tls::TlsError;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, body::Body};
use tower::Service;

pub use self::{authority::BackendAuthority, url::BackendUrl};
use self::{
    call::Failure, connection::Window, forwarded::Client, headers::Head, metrics::PoolCollector,
    pool::Pool, request_body::RequestBody, resolver::Resolver, target::Target, tls::Tls, via::Via,
};
use crate::{config::BackendConfig, readiness::Readiness};

/// Why calls cannot be forwarded as configured.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// A certificate or a key cannot be used.
    #[error("TLS to backends: {0}")]
    Tls(#[from] TlsError),
    /// Neither a name nor an address.
    #[error("{0:?} is no name that a certificate could have")]
    ServerName(String),
}

/// Forwards calls. Clones share their connections; the last one that is dropped ends them.
#[derive(Clone)]
pub struct Backend {
    pool: Arc<Pool>,
    trusted_proxies: TrustedProxies,
    readiness: Readiness,
    via: Arc<Via>,
    quota: Quota,
    /// Looks at the certificates again.
    _renewing: Option<Arc<AbortOnDropHandle<()>>>,
}

impl Backend {
    /// Begins to connect to the backends of `config`, to tell `readiness` of their health and `methods`
    /// of what they say of their methods. None of them needs to be there yet. Certificates are looked at
    /// again every `reload_interval`, and on SIGHUP. `quota` bounds how many bytes of messages are held, and
    /// so how many answers may come far ahead of their readers.
    pub(crate) async fn start(
        config: &BackendConfig,
        reload_interval: Duration,
        readiness: Readiness,
        methods: KnownMethods,
        trusted_proxies: TrustedProxies,
        quota: Quota,
    ) -> Result<Self, BackendError> {
        let resolver = Resolver::system();
        let mut backend =
            Self::start_with(config, resolver, reload_interval, readiness, methods, quota).await?;
        backend.trusted_proxies = trusted_proxies;
        Ok(backend)
    }

    async fn start_with(
        config: &BackendConfig,
        resolver: Resolver,
        reload_interval: Duration,
        readiness: Readiness,
        methods: KnownMethods,
        quota: Quota,
    ) -> Result<Self, BackendError> {
        let urls = config.urls();
        let certificates = if urls.iter().any(BackendUrl::is_tls) {
            Some(tls::load(config, reload_interval).await?)
        } else {
            None
        };
        let via = Arc::new(Via::new());
        let targets = urls.into_iter().map(|url| {
            let certificates = certificates.as_ref().filter(|_| url.is_tls());
            let tls = certificates.map(|certificates| Tls::new(&url, config, certificates));
            let tls = tls.transpose()?;
            Ok(Arc::new(Target {
                url,
                resolver: resolver.clone(),
                tls,
                authority: config.backend_authority.clone(),
                via: Arc::clone(&via),
                connect_timeout: config.backend_connect_timeout,
                keepalive: config.keepalive(),
            }))
        });
        let targets = targets.collect::<Result<Vec<_>, BackendError>>()?;
        let watching = pool::Watching {
            resolve: config.backend_resolve_interval,
            health: config.backend_health_interval,
            reflection: config.backend_reflection,
        };
        let connect_timeout = config.backend_connect_timeout;
        let Limit { total, per_address } = quota.limit();
        let windows = |bytes: usize| bytes / Window::Large.bytes();
        let windows = Limit { total: windows(total), per_address: windows(per_address) };
        let windows = ConcurrencyLimit::new("answers with a large window", windows);
        let pool =
            Pool::start(targets, watching, windows, connect_timeout, readiness.clone(), methods);
        let renewing = certificates.map(|certificates| {
            Arc::new(AbortOnDropHandle::new(tokio::spawn(certificates.renew())))
        });
        let pool = Arc::new(pool);
        let trusted_proxies = TrustedProxies::default();
        Ok(Self { pool, trusted_proxies, readiness, via, quota, _renewing: renewing })
    }

    /// What there is to count, for a registry.
    pub fn metrics(&self) -> Result<impl Collector + 'static, prometheus::Error> {
        PoolCollector::new(self.pool.targets().to_vec(), self.pool.known())
    }

    /// Forwards a call; one that its backend never began is made once more, elsewhere if there is an
    /// elsewhere.
    async fn forward(self, request: Request<Body>) -> Result<Response<Body>, Status> {
        if let Some(answer) = own_health::answer(&request, &self.readiness) {
            return Ok(answer);
        }
        let (parts, body) = request.into_parts();
        self.via.refuse_what_came_by_before(&parts.headers)?;
        let address = client_address(&parts.extensions);
        let client = Client::of(&parts.extensions, &self.trusted_proxies);
        let mut head = Head::new(parts, &client, &self.via)?;
        let mut body = RequestBody::new(body, Some(self.quota.holding(address)));

        let mut failed_at = None;
        loop {
            let lease = self.pool.lease(address, failed_at.as_ref()).await?;
            let peer = Arc::clone(&lease.peer);
            peer.counts.calls.add_one();
            let is_retry = failed_at.is_some();
            let request = head.request(&peer.target, is_retry);
            match call::attempt(lease, request, body).await {
                Ok(response) => return Ok(response),
                Err(Failure::Request(status)) => return Err(status),
                Err(Failure::Backend(fault, mut sent)) => {
                    if is_retry || !fault.is_unseen() {
                        return Err(fault.status(&peer));
                    }
                    if !sent.rewind() {
                        return Err(fault.status_of_a_long_request(&peer));
                    }
                    peer.counts.retries.add_one();
                    failed_at = Some(peer);
                    body = sent;
                }
            }
        }
    }
}

impl Service<Request<Body>> for Backend {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let backend = self.clone();
        Box::pin(
            async move { Ok(backend.forward(request).await.unwrap_or_else(Status::into_http)) },
        )
    }
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backend").finish_non_exhaustive()
    }
}
