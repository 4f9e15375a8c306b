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
mod counts;
mod credit;
mod error;
mod fault;
mod forwarded;
mod frames;
mod headers;
mod health;
mod metadata;
mod own_call;
mod peer;
mod pool;
mod reflection;
mod request_body;
mod resolver;
mod settings;
mod status;
mod target;
mod tls;
pub mod url;
mod via;
mod windows;

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use runnel_limits::{
    Limit,
    client::{TrustedProxies, client_address},
    concurrency::ConcurrencyLimit,
    quota::Quota,
};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, body::Body};
use tower::Service;

pub use self::{
    authority::BackendAuthority,
    error::BackendError,
    settings::{ClientCertificate, Settings},
    status::{BackendStatus, EndpointStatus},
    url::BackendUrl,
};
use self::{
    call::Failure, connection::Window, forwarded::Client, headers::Head, pool::Pool,
    request_body::RequestBody, resolver::Resolver, target::Target, tls::Tls, via::Via,
};
use crate::rpc::methods::KnownMethods;

/// Forwards calls, of any service. It is a tower service; clones share its connections, and the last one that
/// is dropped ends them.
#[derive(Clone)]
pub struct Backend(Arc<Shared>);

/// What all clones share.
struct Shared {
    pool: Pool,
    trusted_proxies: TrustedProxies,
    methods: KnownMethods,
    healthy: watch::Receiver<bool>,
    via: Arc<Via>,
    quota: Quota,
    /// Looks at the certificates again.
    _renewing: Option<AbortOnDropHandle<()>>,
}

impl Backend {
    /// Begins to connect to the backends that `settings` name, to ask for their health, and for their methods.
    /// None of them needs to be there yet.
    pub async fn start(settings: Settings) -> Result<Self, BackendError> {
        Self::start_with(settings, Resolver::system()).await
    }

    async fn start_with(settings: Settings, resolver: Resolver) -> Result<Self, BackendError> {
        if settings.urls.is_empty() {
            return Err(BackendError::NoBackend);
        }
        let certificates = if settings.urls.iter().any(BackendUrl::is_tls) {
            Some(tls::load(&settings).await?)
        } else {
            None
        };
        let via = Arc::new(Via::new());
        let targets = settings.urls.iter().map(|url| {
            let certificates = certificates.as_ref().filter(|_| url.is_tls());
            let server_name = settings.server_name.as_deref();
            let tls = certificates.map(|certificates| Tls::new(url, server_name, certificates));
            Ok(Arc::new(Target {
                url: url.clone(),
                resolver: resolver.clone(),
                tls: tls.transpose()?,
                authority: settings.authority.clone(),
                via: Arc::clone(&via),
                connect_timeout: settings.connect_timeout,
                keepalive: settings.keepalive,
            }))
        });
        let targets = targets.collect::<Result<Vec<_>, BackendError>>()?;
        let Limit { total, per_address } = settings.quota.limit();
        let windows = |bytes: usize| bytes / Window::Large.bytes();
        let windows = Limit { total: windows(total), per_address: windows(per_address) };
        let windows = ConcurrencyLimit::new("answers with a large window", windows);
        let (publish, healthy) = watch::channel(false);
        let methods = KnownMethods::default();
        let pool = Pool::start(targets, &settings, windows, publish, methods.clone());
        let renewing = certificates
            .map(|certificates| AbortOnDropHandle::new(tokio::spawn(certificates.renew())));
        Ok(Self(Arc::new(Shared {
            pool,
            trusted_proxies: settings.trusted_proxies,
            methods,
            healthy,
            via,
            quota: settings.quota,
            _renewing: renewing,
        })))
    }

    /// Whether some address of some backend is up, now and later. It is false until a health check succeeded.
    pub fn healthy(&self) -> watch::Receiver<bool> {
        self.0.healthy.clone()
    }

    /// The methods that the backends describe through reflection, now and later.
    pub fn methods(&self) -> KnownMethods {
        self.0.methods.clone()
    }

    /// How each backend and each of its addresses does, for metrics.
    pub fn status(&self) -> Vec<BackendStatus> {
        self.0.pool.status()
    }
}

impl Shared {
    /// Forwards a call. One that its backend never began is made once more, if possible at another address: a
    /// transparent retry.
    async fn forward(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
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
        let shared = Arc::clone(&self.0);
        Box::pin(async move { Ok(shared.forward(request).await.unwrap_or_else(Status::into_http)) })
    }
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backend").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
