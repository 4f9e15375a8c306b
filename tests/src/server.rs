//! The production `serve`, in this process, on a port of its own; alone, or in front of another.

use std::net::SocketAddr;

use futures_util::{FutureExt as _, future::BoxFuture};
use runnel::{
    Listeners, ServeError,
    config::{BackendConfig, ServeConfig},
};
use runnel_rpc::Services;
use runnel_web::api::ApiClient;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tonic::transport::{Channel, Endpoint};

use crate::patiently;

/// What a server does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It answers them itself.
    Answers,
    /// It forwards them to another of ours, which is as generous as by default.
    Forwards,
}

/// Makes two tests of each of these functions, which take a [`Role`]: what holds of calls that a server
/// answers holds of those it forwards.
#[macro_export]
macro_rules! for_each_role {
    ($($test:ident),+ $(,)?) => {
        mod answers {
            $(#[tokio::test] async fn $test() { super::$test($crate::server::Role::Answers).await })+
        }
        mod forwards {
            $(#[tokio::test] async fn $test() { super::$test($crate::server::Role::Forwards).await })+
        }
    };
}

impl Role {
    /// A server of the contract in this role.
    pub async fn start(self, config: ServeConfig) -> TestServer {
        match self {
            Self::Answers => TestServer::start_with(config).await,
            Self::Forwards => TestServer::start().await.behind(config).await,
        }
    }

    /// The same of other services, or of the contract answered otherwise.
    pub async fn start_services(self, services: Services, config: ServeConfig) -> TestServer {
        match self {
            Self::Answers => TestServer::start_services(services, config).await,
            Self::Forwards => {
                let backend = TestServer::start_services(services, ServeConfig::default()).await;
                backend.behind(config).await
            }
        }
    }
}

/// A running server. Dropping it begins its drain; [`TestServer::stop`] waits for it too.
pub struct TestServer {
    address: SocketAddr,
    admin_address: SocketAddr,
    shutdown: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), ServeError>>,
    /// Where it forwards calls to, if that is a server of its own.
    backend: Option<Box<TestServer>>,
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

    /// A server in front of this one.
    async fn behind(self, config: ServeConfig) -> Self {
        let backend = vec![self.url().parse().expect("a backend's URL")];
        let backend = BackendConfig { backend, ..config.backend.clone() };
        let front = Self::start_with(ServeConfig { backend, ..config }).await;
        Self { backend: Some(Box::new(self)), ..front }
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
        Self { address, admin_address, shutdown: Some(shutdown), served, backend: None }
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
        if let Some(backend) = self.backend.take() {
            Box::pin(backend.stop()).await;
        }
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
