//! The production `serve`, in this process, on a port of its own.

use std::net::SocketAddr;

use futures_util::{FutureExt as _, future::BoxFuture};
use runnel::{Listeners, ServeError, config::ServeConfig, services::Services};
use runnel_web::api::ApiClient;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tonic::transport::{Channel, Endpoint};

use crate::patiently;

/// A running server. Dropping it begins its drain; [`TestServer::stop`] waits for it too.
pub struct TestServer {
    address: SocketAddr,
    admin_address: SocketAddr,
    shutdown: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), ServeError>>,
}

impl TestServer {
    /// A server with the default configuration.
    pub async fn start() -> Self {
        Self::start_with(ServeConfig::default()).await
    }

    /// A server with a configuration of the test's own; the addresses in it are not used.
    pub async fn start_with(config: ServeConfig) -> Self {
        Self::run(|listeners, shutdown| runnel::serve(listeners, config, shutdown)).await
    }

    /// A server of other services than the contract's, or of the contract answered otherwise.
    pub async fn start_services(services: Services, config: ServeConfig) -> Self {
        Self::run(|listeners, shutdown| {
            runnel::serve_services(listeners, services, config, shutdown)
        })
        .await
    }

    async fn run<F, T>(serve: F) -> Self
    where
        F: FnOnce(Listeners, BoxFuture<'static, ()>) -> T,
        T: Future<Output = Result<(), ServeError>> + Send + 'static,
    {
        let (public, address) = bind().await;
        let (admin, admin_address) = bind().await;
        let listeners = Listeners { public, admin: Some(admin) };
        let (shutdown, begin_shutdown) = oneshot::channel();
        // A dropped sender means shutdown as well.
        let begun = begin_shutdown.map(drop).boxed();
        let served = tokio::spawn(serve(listeners, begun));
        Self { address, admin_address, shutdown: Some(shutdown), served }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its admin port is.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Its URL without a path: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A native gRPC channel to it, connected when first used.
    pub fn channel(&self) -> Channel {
        Endpoint::from_shared(self.url()).expect("a URL").connect_lazy()
    }

    /// The page's client over native gRPC.
    pub fn client(&self) -> ApiClient<Channel> {
        ApiClient::new(self.channel())
    }

    /// Begins the shutdown without waiting for its end.
    pub fn begin_shutdown(&mut self) {
        if let Some(shutdown) = self.shutdown.take() {
            // An Err says that the server ended by itself; `ended` tells why.
            let _ = shutdown.send(());
        }
    }

    /// Waits until `serve` has returned.
    pub async fn ended(&mut self) {
        let served = patiently("the end of serve", &mut self.served).await;
        served.expect("serve does not panic").expect("serve succeeds");
    }

    /// Shuts down and waits for the end.
    pub async fn stop(mut self) {
        self.begin_shutdown();
        self.ended().await;
    }
}

async fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind loopback");
    let address = listener.local_addr().expect("a bound listener has an address");
    (listener, address)
}
