//! Where traces go.

use clap::Args;

/// The export of traces; with the cargo feature `otel` only.
#[derive(Args, Clone, Debug, Default)]
pub struct TracesConfig {
    /// URL of an OpenTelemetry collector that takes OTLP over gRPC, such as `http://localhost:4317`. Without it
    /// nothing is exported. OpenTelemetry's own variables (`OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`, ...)
    /// are used, too.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
}
