//! Runnel's server: on one port the page, gRPC-Web and gRPC.
//!
//! The map, in the order a request travels; [`runnel_serve`] accepts it:
//!
//! | module | what it does |
//! |---|---|
//! | [`config`] | what a server can be told |
//! | `router`, `prefix` | is it an RPC or the page, and below which path? |
//! | [`runnel_rpc`], a crate of its own | which pages may call, the layers around every RPC, the services |
//! | [`runnel_forward`], another | or: every call, forwarded to a gRPC backend |
//! | [`api`] | the three RPCs, in terms of |
//! | [`items`] | the domain |
//! | [`item_frames`] | a stream of items, written straight into bytes |
//! | `ui` | the page: our own, another, or none |
//! | [`Product`] | the program: Runnel itself, or one's own |
//! | `admin`, [`readiness`], [`metrics`] | what operators ask the server itself |
//! | `call_log` | a line for each call |
//! | [`file_limit`], [`healthcheck`], `own_health`, [`signal`], [`telemetry`] | what the process around it needs |
//! | `traces` | a span for each call, with the cargo feature `otel` |

mod admin;
pub mod api;
mod call_log;
pub mod config;
pub mod file_limit;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod healthcheck;
pub mod item_frames;
pub mod items;
pub mod metrics;
mod own_health;
pub mod prefix;
mod product;
pub mod readiness;
mod router;
pub mod signal;
pub mod telemetry;
#[cfg(feature = "otel")]
pub mod traces;
mod ui;

use std::{
    convert::Infallible,
    error::Error,
    future::{self, Future},
    io,
    sync::Arc,
};

use http::{Request, Response};
use runnel_forward::{Backend, BackendError};
use runnel_limits::{client::TrustedProxies, quota::Quota};
use runnel_page::{Needs, Page};
use runnel_protos::api::api_server::ApiServer;
use runnel_rpc::{DescriptorError, Drain, Layers, Services, access::Access, methods::KnownMethods};
use runnel_serve::{Server, Tls};
use runnel_tls::TlsError;
use tokio::net::TcpListener;
use tonic::{body::Body, codec::CompressionEncoding};
use tower::Service;

// `embedded_page!` names this crate, here too.
extern crate self as runnel;

#[doc(hidden)]
pub use self::product::page_of;
pub use self::product::{Product, Startup};
/// What metrics of one's own are made with.
pub use prometheus;
/// How a page is served.
pub use runnel_page as page;
/// The layers around every call, and the services within them.
pub use runnel_rpc as rpc;
#[doc(hidden)]
pub use rust_embed;

use crate::{
    api::Api,
    call_log::CallLog,
    config::ServeConfig,
    metrics::{CallMetrics, Metrics},
    own_health::OwnHealth,
    readiness::Readiness,
    router::Router,
    ui::Ui,
};

/// The allocator of musl takes a lock for each allocation.
#[cfg(all(target_env = "musl", feature = "mimalloc"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where a server listens. One listener alone is that of the public port.
#[derive(Debug)]
pub struct Listeners {
    /// The page, gRPC-Web and gRPC.
    pub public: TcpListener,
    /// `/livez`, `/readyz` and `/metrics`; None for no admin port.
    pub admin: Option<TcpListener>,
}

impl From<TcpListener> for Listeners {
    fn from(public: TcpListener) -> Self {
        Self { public, admin: None }
    }
}

/// Why a server could not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listener failed.
    #[error("the listener failed: {0}")]
    Listener(#[from] io::Error),
    /// A service was described by something that is no descriptor.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    /// Calls cannot be forwarded as configured.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// There is no page where one should be.
    #[error("--page: {0}")]
    Page(#[from] runnel_page::FolderError),
    /// There can be no TLS.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// The services of a [`Product`] could not be made.
    #[error("{0}")]
    Services(#[source] Box<dyn Error + Send + Sync>),
    /// Two metrics have one name.
    #[error("a metric cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Serves Runnel itself, [`Product::runnel`]; see [`Product::serve`].
pub async fn serve(
    listeners: impl Into<Listeners>,
    config: ServeConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    serve_product(Product::runnel(), listeners.into(), config, shutdown).await
}

async fn serve_product(
    Product { services, page, .. }: Product,
    listeners: Listeners,
    config: ServeConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    if !config.backend.urls().is_empty() {
        let quota = config.limits().quota();
        let mut settings = config.backend.settings();
        settings.certificate_interval = config.tls.tls_reload_interval;
        settings.trusted_proxies = TrustedProxies::new(&config.access.trusted_proxies);
        settings.quota = quota.clone();
        let backend = Backend::start(settings).await?;
        let watched = (Metrics::new()?, Readiness::of_backend(backend.healthy()));
        watched.0.count_backend(backend.clone())?;
        let methods = backend.methods();
        let service = OwnHealth::new(backend, watched.1.clone());
        let answering = Answering { service, names: None, methods, forwards: true, page };
        return run(listeners, answering, &config, quota, watched, shutdown, async {}).await;
    }
    let (metrics, quota) = (Metrics::new()?, config.limits().quota());
    let startup = Startup { config: &config, quota: &quota, registry: metrics.registry() };
    let services = services(&startup).map_err(ServeError::Services)?;
    let served = Served { services, page, metrics, quota };
    serve_within(listeners, served, config, shutdown).await
}

impl Product {
    /// Runnel itself: the contract, `api.Api`, beside its page.
    pub fn runnel() -> Self {
        let services = |&Startup { config, quota, .. }: &Startup<'_>| {
            let answer_limit_bytes = config.answer_limit_bytes;
            let api = ApiServer::new(Api { answer_limit_bytes, quota: Some(quota.clone()) })
                .accept_compressed(CompressionEncoding::Gzip)
                // What a message may have once it is decompressed; the layers look at it before.
                .max_decoding_message_size(config.message_limit_bytes);
            Ok(Services::new().add_service(api).describe(runnel_protos::DESCRIPTOR_SET))
        };
        Self::new("runnel", env!("CARGO_PKG_VERSION"), services).page(own_page())
    }

    /// Serves its services beside its page, as [`serve_services`] does. With a backend configured, every call
    /// of any service is forwarded to it instead, health and reflection included.
    pub async fn serve(
        self,
        listeners: impl Into<Listeners>,
        config: ServeConfig,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        serve_product(self, listeners.into(), config, shutdown).await
    }
}

/// Our own page. It needs little, so browsers allow it little.
fn own_page() -> Page {
    embedded_page!("../dist").with_needs(Needs::Least)
}

/// Serves any gRPC services beside the page, with health and reflection, on `listeners` until `shutdown`
/// resolves. Then it drains: readiness fails, health turns NOT_SERVING, no connection is accepted any
/// more, and clients are told to call elsewhere. Open calls may go on until `config.drain_deadline`, end
/// then as UNAVAILABLE, and what does not take that in is cut off. Returns when every connection is
/// closed; until then the admin port answers.
///
/// The caller owns the bind and the signal, so a test binds port 0 and ends the server when it likes.
/// The addresses in `config` are not used here.
pub async fn serve_services(
    listeners: impl Into<Listeners>,
    services: Services,
    config: ServeConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let (metrics, quota) = (Metrics::new()?, config.limits().quota());
    let served = Served { services, page: Some(own_page()), metrics, quota };
    serve_within(listeners.into(), served, config, shutdown).await
}

/// What is served here, rather than forwarded.
struct Served {
    services: Services,
    page: Option<Page>,
    metrics: Metrics,
    quota: Quota,
}

/// Holds no more bytes of messages than the quota allows.
async fn serve_within(
    listeners: Listeners,
    Served { services, page, metrics, quota }: Served,
    config: ServeConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let (services, health) = services.with_health().await;
    let services = services.with_reflection()?;
    let (names, methods) = (Some(services.names()), services.methods()?.into());
    let service = services.into_dispatch();
    let answering = Answering { service, names, methods, forwards: false, page };
    let draining = health.set_not_serving();
    let watched = (metrics, Readiness::default());
    run(listeners, answering, &config, quota, watched, shutdown, draining).await
}

/// Who answers calls, what is known of their methods, and the page beside them.
struct Answering<S> {
    service: S,
    names: Option<Vec<&'static str>>,
    methods: KnownMethods,
    /// Whether it passes calls on to a backend.
    forwards: bool,
    page: Option<Page>,
}

/// Serves until `shutdown` resolves, and drains; `draining` is what else is to be done then.
async fn run<S>(
    listeners: Listeners,
    Answering { service, names, methods, forwards, page }: Answering<S>,
    config: &ServeConfig,
    quota: Quota,
    (metrics, readiness): (Metrics, Readiness),
    shutdown: impl Future<Output = ()>,
    draining: impl Future<Output = ()>,
) -> Result<(), ServeError>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    let ui = Ui::new(&config.page, page)?;
    let drain = Drain::default();
    let observer = (CallMetrics::register(metrics.registry(), &methods.now())?, CallLog);
    #[cfg(feature = "otel")]
    let observer = (observer, traces::CallTraces);
    let Listeners { public, admin } = listeners;
    let access = Access::new(&config.access.settings(), public.local_addr()?);
    let hosts = access.hosts().clone();
    metrics.count_quota(quota.clone())?;
    let layers = Layers::new()
        .with_limits(config.limits())
        .with_quota(quota)
        .with_access(access)
        .with_drain(drain.clone())
        .with_observer(observer);
    let layers = if forwards { layers.forwarding() } else { layers };
    let calls = layers.around_service(service, methods);
    let prefix = config.page.page_prefix.clone();
    let app = Router::new(names.as_deref(), calls, hosts, ui, prefix);

    // First, so that the line about the public port means that all of it is there.
    if let Some(admin) = &admin {
        tracing::info!("admin on http://{}", admin.local_addr()?);
    }
    let tls = match config.tls.files() {
        Some(files) => Some(Tls::load(files).await?),
        None => None,
    };
    let scheme = if tls.is_some() { "https" } else { "http" };
    tracing::info!("listening on {scheme}://{}", public.local_addr()?);
    let begin_drain = async {
        shutdown.await;
        tracing::info!(deadline = ?config.drain_deadline, "draining");
        readiness.drain();
        draining.await;
        drain.begin();
    };
    let ended = drain.clone();
    let server = Server::new(app)
        .with_settings(config.server_settings())
        .with_tls(tls)
        .with_observer(Arc::new(metrics.connections().clone()))
        .on_drain_deadline(move || ended.end_calls());
    tokio::select! {
        () = server.serve(public, begin_drain) => {}
        failed = serve_admin(admin, readiness.clone(), metrics.clone()) => failed?,
    }
    tracing::info!("drained");
    Ok(())
}

/// Ends only when the admin port fails.
async fn serve_admin(
    listener: Option<TcpListener>,
    readiness: Readiness,
    metrics: Metrics,
) -> Result<(), ServeError> {
    match listener {
        Some(listener) => admin::serve(listener, readiness, metrics).await,
        None => future::pending().await,
    }
}
