//! What an operator can count: Prometheus metrics, read at `/metrics` on the admin port. One set for
//! each server, so that two in one process do not mix.
//!
//! Nothing that a client sends becomes a label, so no client can make series. A call takes no lock for
//! them: whatever it counts was looked up when its method became known.

mod backend;
mod calls;
mod connections;
mod quota;

use prometheus::{Encoder as _, IntGaugeVec, Opts, PullingGauge, Registry, TextEncoder};
use runnel_forward::Backend;
use runnel_limits::quota::Quota;

use self::{backend::BackendCollector, quota::QuotaCollector};
pub use self::{
    calls::{CallMetrics, CountedCall},
    connections::ConnectionMetrics,
};
use crate::telemetry;

/// The metrics of one server. A clone is the same metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    connections: ConnectionMetrics,
}

impl Metrics {
    /// What there is to count before anything is served: the build, the process, connections.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let build = Opts::new("runnel_build_info", "Which build this is; always 1.");
        let build = IntGaugeVec::new(build, &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(build))?;
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        registry.register(Box::new(PullingGauge::new(
            "runnel_log_lines_dropped",
            "Log lines lost because nobody read them in time, since the start.",
            Box::new(|| u32::try_from(telemetry::dropped_lines()).unwrap_or(u32::MAX).into()),
        )?))?;
        let connections = ConnectionMetrics::register(&registry)?;
        Ok(Self { registry, connections })
    }

    /// Where others add metrics of their own. The names of ours begin with `grpc_server_`, `process_`
    /// and `runnel_`.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Counts what `quota` holds, too.
    pub(crate) fn count_quota(&self, quota: Quota) -> Result<(), prometheus::Error> {
        self.registry.register(Box::new(QuotaCollector::new(quota)?))
    }

    /// Counts what happens at each address of `backend`, too.
    pub(crate) fn count_backend(&self, backend: Backend) -> Result<(), prometheus::Error> {
        self.registry.register(Box::new(BackendCollector::new(backend)?))
    }

    /// The metrics of connections.
    pub fn connections(&self) -> &ConnectionMetrics {
        &self.connections
    }

    /// All of it, in Prometheus' text format.
    pub(crate) fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// The content type of [`Metrics::text`].
pub(crate) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;
