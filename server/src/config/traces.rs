//! Where traces go.

use clap::Args;

/// The export of traces; with the cargo feature `otel` only.
#[derive(Args, Clone, Debug, Default)]
pub struct TracesConfig {
    /// URL of an OpenTelemetry collector that takes OTLP over gRPC, such as `http://localhost:4317`;
    /// without one nothing is exported. OpenTelemetry's own variables say more (`OTEL_SERVICE_NAME`,
    /// `OTEL_TRACES_SAMPLER`, ...).
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
}
