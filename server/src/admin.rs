//! The admin port: what an orchestrator and an operator ask the server itself. It has no TLS and no
//! password, so it listens on loopback unless told otherwise and must never face the internet.
//!
//! - `/livez`: 200 while the process lives. Failing, it wants to be restarted.
//! - `/readyz`: 200 while new calls should be sent here, 503 with the reason while not.
//!
//! The names are those of Kubernetes' own components.

use std::{io, net::SocketAddr, time::Duration};

use axum::{Router, http::StatusCode, routing::get};
use axum_server::Server;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpListener;

use crate::readiness::Readiness;

/// How long a connection may be silent between requests. Whoever asks every few seconds keeps one.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Answers on `listener` for as long as it is polled.
pub(crate) async fn serve(listener: TcpListener, readiness: Readiness) -> io::Result<()> {
    let mut server = Server::<SocketAddr>::from_listener(listener).http1_only();
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    server.serve(router(readiness).into_make_service()).await
}

fn router(readiness: Readiness) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(async move || readyz(&readiness)))
        .fallback(async || (StatusCode::NOT_FOUND, "there are /livez and /readyz\n"))
}

fn readyz(readiness: &Readiness) -> (StatusCode, String) {
    match readiness.check() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}
