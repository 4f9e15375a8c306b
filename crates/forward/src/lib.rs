#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! | module | what it does |
//! |---|---|
//! | `settings`, `url`, `authority` | what an operator can say of backends |
//! | `error`, `status` | why forwarding cannot begin; how each backend does |
//! | `upstream` | one backend as configured: how to resolve its name and connect |
//! | `resolver`, `address` | how its name becomes addresses |
//! | `tls` | TLS to it |
//! | `balancer` | all addresses of all backends, and the choice among them |
//! | `endpoint` | one address: its connections, and whether it is up |
//! | `health` | asks an endpoint for its health, through `grpc.health.v1` |
//! | `reflection` | asks an endpoint which methods it has, through `grpc.reflection` |
//! | `probe` | the calls that these two make |
//! | `connection` | one HTTP/2 connection |
//! | `call` | one call on it, from the head of the request to the head of the response |
//! | `frames`, `windows` | how much may be sent on a connection, read from the frames that pass |
//! | `headers`, `forwarded` | the head of a call, as the backend gets it |
//! | `metadata` | makes what clients say valid, and keeps it out of shared compression tables |
//! | `via` | recognises a call that comes back |
//! | `request_body`, `response_body` | the bodies, one each way |
//! | `flow_control` | how much of a response may be on its way |
//! | `counts` | what happened at one endpoint so far |
//! | `fault` | what can go wrong, and the status it becomes |

mod address;
mod authority;
mod balancer;
mod call;
mod connection;
mod counts;
mod endpoint;
mod error;
mod fault;
mod flow_control;
mod forwarded;
mod frames;
mod headers;
mod health;
mod metadata;
mod probe;
mod reflection;
mod request_body;
mod resolver;
mod response_body;
mod settings;
mod status;
mod tls;
mod upstream;
mod url;
mod via;
mod windows;

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use runnel_limits::{
    Limit,
    client::{TrustedProxies, client_address},
    concurrency::ConcurrencyLimit,
    quota::Quota,
};
use runnel_rpc::methods::KnownMethods;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, body::Body, codegen::StdError};
use tower::Service;

pub use self::{
    authority::{BackendAuthority, InvalidAuthority},
    error::BackendError,
    settings::{ClientCertificate, Settings},
    status::{BackendStatus, EndpointStatus},
    url::{BackendUrl, DEFAULT_PORT, InvalidBackendUrl},
};
use self::{
    balancer::Balancer, call::Failure, connection::Window, forwarded::Client, headers::Head,
    request_body::RequestBody, resolver::Resolver, tls::Tls, upstream::Upstream, via::Via,
};

/// Forwards calls, of any service. It is a tower service; clones share its connections, and the last one that
/// is dropped ends them.
#[derive(Clone)]
pub struct Backend(Arc<Shared>);

/// What all clones share.
struct Shared {
    balancer: Balancer,
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
        let upstreams = settings.urls.iter().map(|url| {
            let certificates = certificates.as_ref().filter(|_| url.is_tls());
            let server_name = settings.server_name.as_deref();
            let tls = certificates.map(|certificates| Tls::new(url, server_name, certificates));
            Ok(Arc::new(Upstream {
                url: url.clone(),
                resolver: resolver.clone(),
                tls: tls.transpose()?,
                authority: settings.authority.clone(),
                via: Arc::clone(&via),
                connect_timeout: settings.connect_timeout,
                keepalive: settings.keepalive,
            }))
        });
        let upstreams = upstreams.collect::<Result<Vec<_>, BackendError>>()?;
        let Limit { total, per_address } = settings.quota.limit();
        let windows = |bytes: usize| bytes / Window::Large.bytes();
        let windows = Limit { total: windows(total), per_address: windows(per_address) };
        let windows = ConcurrencyLimit::new("responses with a large window", windows);
        let (publish, healthy) = watch::channel(false);
        let methods = KnownMethods::default();
        let balancer = Balancer::start(upstreams, &settings, windows, publish, methods.clone());
        let renewing = certificates
            .map(|certificates| AbortOnDropHandle::new(tokio::spawn(certificates.renew())));
        Ok(Self(Arc::new(Shared {
            balancer,
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
        self.0.balancer.status()
    }
}

impl Shared {
    /// Forwards a call. One that its backend never began is made once more, if possible at another address: a
    /// transparent retry.
    async fn forward(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let (parts, body) = request.into_parts();
        self.via.refuse_loop(&parts.headers)?;
        let address = client_address(&parts.extensions);
        let client = Client::of(&parts.extensions, &self.trusted_proxies);
        let mut head = Head::new(parts, &client, &self.via)?;
        let mut body = RequestBody::new(body, Some(self.quota.holding(address)));

        let mut failed_at = None;
        loop {
            let lease = self.balancer.lease(address, failed_at.as_ref()).await?;
            let endpoint = Arc::clone(&lease.endpoint);
            endpoint.counts.calls.add_one();
            let is_retry = failed_at.is_some();
            let request = head.request(&endpoint.upstream, is_retry);
            match call::attempt(lease, request, body).await {
                Ok(response) => return Ok(response),
                Err(Failure::Request(status)) => return Err(status),
                Err(Failure::Backend(fault, mut sent)) => {
                    if is_retry || !fault.is_unseen() {
                        return Err(fault.status(&endpoint));
                    }
                    if !sent.rewind() {
                        return Err(fault.status_of_a_long_request(&endpoint));
                    }
                    endpoint.counts.retries.add_one();
                    failed_at = Some(endpoint);
                    body = sent;
                }
            }
        }
    }
}

impl<B> Service<Request<B>> for Backend
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        // A body of tonic's is not boxed again.
        let request = request.map(Body::new);
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
