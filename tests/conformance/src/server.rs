//! The program `conformance-server`: is told what to serve, says where it does, and serves until
//! SIGTERM. The suite closes the pipes right after its request, so their end means nothing.
//!
//! With the argument [`BEHIND_FRONT`] the service is a backend, and what the suite calls is a server in
//! front of it.

use std::{env, future, io, time::Duration};

use anyhow::{Context as _, Result, ensure};
use runnel::{
    backend::BackendUrl,
    config::{LogFormat, ServeConfig},
    services::Services,
};
use tokio::net::TcpListener;
use tonic::codec::CompressionEncoding;

use crate::{
    framing,
    proto::{
        DESCRIPTOR_SET, ServerCompatRequest, ServerCompatResponse,
        conformance_service_server::ConformanceServiceServer,
    },
    service::Service,
};

/// The suite kills a program that takes longer than 5 s to end, and waits for each.
const DRAIN_DEADLINE: Duration = Duration::from_secs(1);

/// The argument that puts a server in front of the service.
pub const BEHIND_FRONT: &str = "--behind-front";

/// Serves what the request on standard input asks for.
pub async fn run() -> Result<()> {
    // What the layers log, for whoever looks into a failing case: `RUST_LOG=info`.
    if env::var_os("RUST_LOG").is_some() {
        runnel::telemetry::init(LogFormat::Text);
    }
    let request: ServerCompatRequest =
        framing::read(io::stdin().lock())?.context("nobody said what to serve")?;
    ensure!(!request.use_tls, "TLS was asked for, and `serve` has none yet");

    let shutdown = runnel::signal::shutdown().context("cannot listen for signals")?;
    let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen")?;
    let address = listener.local_addr()?;
    let response = ServerCompatResponse {
        host: address.ip().to_string(),
        port: address.port().into(),
        pem_cert: Vec::new(),
    };
    // The listener is bound, so whoever calls at once waits no longer than `serve` takes to begin.
    framing::write(io::stdout().lock(), &response)?;

    let mut config = ServeConfig { drain_deadline: DRAIN_DEADLINE, ..ServeConfig::default() };
    let mut service = ConformanceServiceServer::new(Service)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    // 0 is no limit, to the suite; ours then stands.
    if request.message_receive_limit > 0 {
        let limit_bytes = usize::try_from(request.message_receive_limit)?;
        config.message_limit_bytes = limit_bytes;
        // The layer sees messages as they are on the wire; what they inflate to, only tonic does.
        service = service.max_decoding_message_size(limit_bytes);
    }
    let services = Services::new().add_service(service).describe(DESCRIPTOR_SET);
    if env::args().any(|arg| arg == BEHIND_FRONT) {
        let backend = TcpListener::bind("127.0.0.1:0").await.context("cannot listen")?;
        let url = BackendUrl::plain("127.0.0.1", backend.local_addr()?.port())?;
        // It ends with the process.
        let behind = runnel::serve_services(backend, services, config.clone(), future::pending());
        tokio::spawn(behind);
        config.backend.backend = vec![url];
        runnel::serve(listener, config, shutdown).await?;
    } else {
        runnel::serve_services(listener, services, config, shutdown).await?;
    }
    Ok(())
}
