//! The program `conformance-server`: is told what to serve, says where it does, and serves until
//! SIGTERM. The suite closes the pipes right after its request, so their end means nothing.
//!
//! With the argument [`BEHIND_FRONT`] the service is a backend, and what the suite calls is a server in
//! front of it.

use std::{env, fs, future, io, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use runnel::config::{LogFormat, ServeConfig, TlsConfig};
use runnel_rpc::Services;
use tokio::net::TcpListener;
use tonic::codec::CompressionEncoding;

use crate::{
    framing,
    proto::{
        DESCRIPTOR_SET, ServerCompatRequest, ServerCompatResponse, TlsCreds,
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
    // What the layers log helps with a failing case: `RUST_LOG=info`.
    if env::var_os("RUST_LOG").is_some() {
        runnel::telemetry::init(LogFormat::Text);
    }
    let request: ServerCompatRequest =
        framing::read(io::stdin().lock())?.context("nobody said what to serve")?;
    let files = tempfile::tempdir().context("cannot make a folder for certificates")?;
    let credentials = request.server_creds.unwrap_or_default();
    let tls = if request.use_tls {
        tls(files.path(), &credentials, &request.client_tls_cert)?
    } else {
        TlsConfig::default()
    };
    let shutdown = runnel::signal::shutdown().context("cannot listen for signals")?;
    let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen")?;
    let address = listener.local_addr()?;
    let response = ServerCompatResponse {
        host: address.ip().to_string(),
        port: address.port().into(),
        pem_cert: credentials.cert.clone(),
    };
    // The listener is bound, so a client that calls at once waits no longer than `serve` takes to begin.
    framing::write(io::stdout().lock(), &response)?;

    let mut config = ServeConfig { drain_deadline: DRAIN_DEADLINE, tls, ..ServeConfig::default() };
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
        let url = format!("http://{}", backend.local_addr()?).parse()?;
        let behind = ServeConfig { tls: TlsConfig::default(), ..config.clone() };
        // It ends with the process.
        let behind = runnel::serve_services(backend, services, behind, future::pending());
        tokio::spawn(behind);
        config.backend.backend = vec![url];
        Box::pin(runnel::serve(listener, config, shutdown)).await?;
    } else {
        Box::pin(runnel::serve_services(listener, services, config, shutdown)).await?;
    }
    Ok(())
}

/// Puts what the suite gives into the files that a server finds its certificates in.
fn tls(folder: &Path, server: &TlsCreds, clients: &[u8]) -> Result<TlsConfig> {
    let file = |name: &str, pem: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, pem).with_context(|| format!("cannot write {}", path.display()))?;
        anyhow::Ok(path)
    };
    Ok(TlsConfig {
        tls_cert: Some(file("cert.pem", &server.cert)?),
        tls_key: Some(file("key.pem", &server.key)?),
        // Nothing means that clients need none.
        tls_client_ca: if clients.is_empty() { None } else { Some(file("clients.pem", clients)?) },
        ..TlsConfig::default()
    })
}
