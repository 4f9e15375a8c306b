//! The admin port: what an orchestrator and an operator ask the server itself. It has no TLS and no
//! password, so it listens on loopback unless told otherwise and must never face the internet.
//!
//! - `/livez`: 200 while the process lives. Failing, it wants to be restarted.
//! - `/readyz`: 200 while new calls should be sent here, 503 with the reason while not.
//! - `/metrics`: what there is to count, for Prometheus.
//!
//! The names are those of Kubernetes' own components.

use std::future;

use axum::{
    Router,
    extract::Request,
    http::{StatusCode, header},
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
    routing::get,
};
use runnel_rpc::access::Hosts;
use runnel_serve::Server;
use tokio::net::TcpListener;

use crate::{
    ServeError,
    config::SETTING_NAMES,
    metrics::{self, Metrics},
    readiness::Readiness,
};

/// Answers on `listener` for as long as it is polled, within the bounds that a public port has by
/// default.
pub(crate) async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    metrics: Metrics,
) -> Result<(), ServeError> {
    // No page may read it either, whatever its name resolves to.
    let hosts = Hosts::new(listener.local_addr()?, &[]).with_names(SETTING_NAMES);
    let app = router(readiness, metrics, hosts);
    Server::new(app).serve(listener, future::pending()).await;
    Ok(())
}

fn router(readiness: Readiness, metrics: Metrics, hosts: Hosts) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(async move || readyz(&readiness)))
        .route("/metrics", get(async move || metrics_text(&metrics)))
        .fallback(async || (StatusCode::NOT_FOUND, "there are /livez, /readyz and /metrics\n"))
        .layer(from_fn(move |request: Request, next: Next| {
            let refusal = hosts.misdirected(&request);
            async move {
                match refusal {
                    Some(refusal) => refusal.map(axum::body::Body::new),
                    None => next.run(request).await,
                }
            }
        }))
}

fn readyz(readiness: &Readiness) -> (StatusCode, String) {
    match readiness.check() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

fn metrics_text(metrics: &Metrics) -> Response {
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
