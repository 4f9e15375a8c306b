//! Runnel in front of another gRPC server: what a client sees is what it would see without us.

mod balancing;
mod browser;
mod cancels;
mod endings;
mod faults;
mod forwarding;
mod full;
mod headers;
mod health;
mod loops;
mod metadata;
mod methods;
mod metrics;
mod neighbours;
mod odd;
mod places;
mod recorder;
mod retries;
mod shared;
mod tls;
mod tonic_server;
mod unread;

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use runnel::config::{BackendConfig, ServeConfig};
use runnel_tests::{
    PATIENCE, patiently,
    python::PythonServer,
    server::TestServer,
    wire::{self, Protocol, frame},
};

/// `rich.Ask` of `tests/python/rich.proto`.
#[derive(Clone, PartialEq, prost::Message)]
struct Ask {
    #[prost(int32, tag = 1)]
    messages: i32,
    #[prost(int32, tag = 2)]
    message_bytes: i32,
    #[prost(int32, tag = 3)]
    code: i32,
    #[prost(string, tag = 4)]
    text: String,
    #[prost(bytes = "vec", tag = 5)]
    details: Vec<u8>,
    #[prost(bool, tag = 6)]
    wait: bool,
    #[prost(bool, tag = 7)]
    metadata: bool,
    #[prost(bytes = "vec", tag = 8)]
    payload: Vec<u8>,
}

/// `rich.Answer`.
#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    #[prost(int32, tag = 1)]
    number: i32,
    #[prost(bytes = "vec", tag = 2)]
    payload: Vec<u8>,
    #[prost(message, repeated, tag = 3)]
    received: Vec<Metadata>,
    #[prost(int64, tag = 4)]
    left_ms: i64,
}

/// `rich.Metadata`.
#[derive(Clone, PartialEq, prost::Message)]
struct Metadata {
    #[prost(string, tag = 1)]
    name: String,
    #[prost(bytes = "vec", tag = 2)]
    value: Vec<u8>,
}

/// `rich.Handlers`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Handlers {
    #[prost(int32, tag = 1)]
    running: i32,
    #[prost(int64, tag = 2)]
    produced_messages: i64,
}

impl Answer {
    /// The values of what the backend received by this name.
    fn received(&self, name: &str) -> Vec<String> {
        let values = self.received.iter().filter(|metadata| metadata.name == name);
        values.map(|metadata| String::from_utf8_lossy(&metadata.value).into()).collect()
    }
}

/// Two seconds to connect, so that a test of what cannot be connected to need not be patient.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How to forward to these, watching them closely.
fn config(backends: &[&str]) -> ServeConfig {
    let backend = BackendConfig {
        backend: backends.iter().map(|url| url.parse().unwrap()).collect(),
        backend_connect_timeout: CONNECT_TIMEOUT,
        backend_health_interval: Duration::from_millis(100),
        ..BackendConfig::default()
    };
    ServeConfig { backend, ..ServeConfig::default() }
}

/// A server in front of these.
async fn front(backends: &[&str]) -> TestServer {
    TestServer::start_with(config(backends)).await
}

/// The rich service, and a server in front of it.
async fn rich_and_front() -> (PythonServer, TestServer) {
    let rich = runnel_tests::python::serve("rich_server.py").await;
    let front = front(&[&rich.url()]).await;
    (rich, front)
}

/// What the handlers of the rich service do, as it says itself.
async fn handlers(rich: &PythonServer) -> Handlers {
    let post = Request::post("/rich.Rich/State")
        .header(header::CONTENT_TYPE, Protocol::Grpc.content_type())
        // grpcio resets a call without it.
        .header(header::TE, "trailers")
        .body(frame(&()).into())
        .unwrap();
    let address = ([127, 0, 0, 1], rich.port).into();
    wire::send(address, Protocol::Grpc, post).await.decode()[0]
}

/// Asks again and again until the handlers do this.
async fn handlers_until(rich: &PythonServer, what: &str, is: impl Fn(Handlers) -> bool) {
    let mut last = Handlers::default();
    let asking = async {
        loop {
            last = handlers(rich).await;
            if is(last) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, asking).await.is_ok(), "not {what}: {last:?}");
}

/// How a front says on its admin port whether it is ready.
async fn ready(admin: SocketAddr) -> StatusCode {
    let get = Request::get("/readyz").body(Bytes::new()).unwrap();
    wire::http1_request(admin, get).await.status()
}

/// Waits until it says so.
async fn ready_is(front: &TestServer, status: StatusCode) {
    patiently(&format!("/readyz is {status}"), async {
        while ready(front.admin_address()).await != status {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
