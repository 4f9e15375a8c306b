//! Envoy, configured as the documentation of its `grpc_web` filter does, in front of one backend.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::process::Server;

/// How far ahead of its readers a backend may send: RFC 9113 section 5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Windows {
    /// What Envoy has when not told otherwise.
    Envoys,
    /// What Runnel has: 128 KiB for each stream, and for all of a connection as much as they want.
    Runnels,
}

/// Starts Envoy with as many worker threads as `threads` in front of `backend`.
pub fn start(
    envoy: &Path,
    threads: usize,
    windows: Windows,
    backend: SocketAddr,
) -> Result<Server> {
    // Free a moment ago, and nobody else takes ports here at random.
    let listen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let config = config_file(listen.port());
    fs::write(&config, config_for(listen, windows, backend))
        .context("cannot write Envoy's configuration")?;
    let mut command = Command::new(envoy);
    command.arg("--config-path").arg(&config).args(["--concurrency", &threads.to_string()]).args([
        "--log-level",
        "error",
        "--disable-hot-restart",
    ]);
    Server::start_at(&mut command, listen)
}

fn config_file(port: u16) -> PathBuf {
    std::env::temp_dir().join(format!("runnel-bench-envoy-{}-{port}.yaml", std::process::id()))
}

/// No access log, no statistics sink, no timeouts: nothing that Runnel is spared. As many streams on a
/// connection as the backend takes: Envoy does not wait to be told, and fails what is refused.
fn config_for(listen: SocketAddr, windows: Windows, backend: SocketAddr) -> String {
    let windows = match windows {
        Windows::Envoys => "",
        Windows::Runnels => {
            ", initial_stream_window_size: 131072, initial_connection_window_size: 2147483647"
        }
    };
    let socket = |address: SocketAddr| {
        format!("{{socket_address: {{address: {}, port_value: {}}}}}", address.ip(), address.port())
    };
    format!(
        r#"static_resources:
  listeners:
  - address: {listen}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          codec_type: AUTO
          stat_prefix: front
          stream_idle_timeout: 0s
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{prefix: "/"}}
                route: {{cluster: backend, timeout: 0s}}
          http_filters:
          - name: envoy.filters.http.grpc_web
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: backend
    type: STATIC
    circuit_breakers:
      thresholds: [{{max_connections: 100000, max_pending_requests: 100000, max_requests: 100000}}]
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{http2_protocol_options: {{max_concurrent_streams: 100{windows}}}}}
    load_assignment:
      cluster_name: backend
      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {backend}}}}}]}}]
"#,
        listen = socket(listen),
        backend = socket(backend),
    )
}
