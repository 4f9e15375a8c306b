//! Runnel's server: on one port the page, gRPC-Web and gRPC.
//!
//! The map, in the order a request travels:
//!
//! | room | what it does |
//! |---|---|
//! | [`config`] | what a server can be told |
//! | `net` | accepts connections, bounds what each may cost, drains |
//! | `router` | is it an RPC or the page? |
//! | [`rpc`] | the layers around every RPC, one a file |
//! | [`api`] | the three RPCs, in terms of |
//! | [`items`] | the domain |
//! | `ui` | the page, embedded |
//! | [`healthcheck`], [`signal`], [`telemetry`] | what the process around it needs |

pub mod api;
pub mod config;
pub mod healthcheck;
pub mod items;
mod net;
mod router;
pub mod rpc;
pub mod signal;
pub mod telemetry;
mod ui;

use std::{future::Future, io};

use runnel_protos::api::api_server::ApiServer;
use tokio::net::TcpListener;

use crate::{api::Api, config::ServeConfig};

/// Serves on `listener` until `shutdown` resolves, then drains: health turns NOT_SERVING, no
/// connection is accepted any more, open calls may end within `config.drain_deadline`, and what is
/// left then is cut off. Returns when every connection is closed.
///
/// The caller owns the bind and the signal, so a test binds port 0 and ends the server when it likes.
/// `config.listen` is not used here.
pub async fn serve(
    listener: TcpListener,
    config: ServeConfig,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<ApiServer<Api>>().await;
    let app = router::router(health_service);

    tracing::info!("listening on http://{}", listener.local_addr()?);
    net::serve(listener, app, &config, async {
        shutdown.await;
        tracing::info!(deadline = ?config.drain_deadline, "draining");
        health.set_not_serving::<ApiServer<Api>>().await;
        health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
    })
    .await?;
    tracing::info!("drained");
    Ok(())
}
