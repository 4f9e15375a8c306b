//! A tonic service on one port, for browsers and gRPC clients, with health, reflection, metrics and a drain.

pub(crate) mod greeter;

use std::{error::Error, future::Future, sync::atomic::Ordering::Relaxed};

use runnel_protos::{DESCRIPTOR_SET, api::api_server::ApiServer};
use runnel_rpc::{Access, AccessSettings, Drain, Layers, Services};
use runnel_serve::{Server, listen};
use tokio::{net::TcpListener, signal::ctrl_c};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    serve(listen("127.0.0.1:8080".parse()?)?, ctrl_c()).await?;
    println!("{} calls", greeter::CALLS.load(Relaxed));
    Ok(())
}

/// Serves until `shutdown` resolves. Calls that are open then may go on for ten seconds.
pub(crate) async fn serve<T>(
    listener: TcpListener,
    shutdown: impl Future<Output = T>,
) -> Result<(), Box<dyn Error>> {
    let services = Services::new().add_service(ApiServer::new(greeter::Greeter));
    let (services, health) = services.describe(DESCRIPTOR_SET).with_health().await;
    let (services, drain) = (services.with_reflection()?, Drain::default());
    let access = Access::new(&AccessSettings::default(), listener.local_addr()?);
    let layers = Layers::new().with_access(access).with_observer(greeter::Count);
    let (calls, end) = (layers.with_drain(drain.clone()).around(services)?, drain.clone());
    let begin_drain = async {
        shutdown.await;
        health.set_not_serving().await;
        drain.begin();
    };
    let server = Server::new(calls).on_drain_deadline(move || end.end_calls());
    server.serve(listener, begin_drain).await;
    Ok(())
}
