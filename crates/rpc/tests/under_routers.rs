//! The layers alone, under servers that are not ours: plain axum and plain hyper.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use runnel_rpc::{Calls, Layers, Services};
use tokio::net::{TcpListener, TcpStream};
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// `SERVING`, as a message of `grpc.health.v1`.
const SERVING: &[u8] = &[0, 0, 0, 0, 2, 0x08, 1];

/// The health of a server without other services.
async fn calls() -> Calls {
    let (services, _health) = Services::new().with_health().await;
    Layers::new().around(services.with_reflection().unwrap()).unwrap()
}

/// A request by HTTP/1.1, on a connection of its own: the status of the response, and its body.
async fn http1(address: &str, request: Request<Full<Bytes>>) -> (StatusCode, Bytes) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let response = client.send_request(request).await.unwrap();
    (response.status(), response.into_body().collect().await.unwrap().to_bytes())
}

async fn is_called_by_grpc_and_grpc_web(address: &str) {
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut client = HealthClient::new(channel.connect().await.unwrap());
    let response = client.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(response.into_inner().status(), ServingStatus::Serving);
    let unknown = HealthCheckRequest { service: "a.B".to_owned() };
    assert_eq!(client.check(unknown).await.unwrap_err().code(), Code::NotFound);

    let call = Request::post("/grpc.health.v1.Health/Check")
        .header(header::HOST, address)
        .header(header::CONTENT_TYPE, "application/grpc-web+proto")
        .body(Full::from(&[0; 5][..]))
        .unwrap();
    let (status, body) = http1(address, call).await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.starts_with(SERVING), "{body:?}");
    assert!(body.ends_with(b"grpc-status:0\r\n"), "{body:?}");
}

#[tokio::test]
async fn under_axum_beside_a_page() {
    let page = axum::routing::get(async || "a page");
    let app = axum::Router::new().route("/", page).fallback_service(calls().await);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async { axum::serve(listener, app).await.unwrap() });

    is_called_by_grpc_and_grpc_web(&address).await;
    let request = Request::get("/").header(header::HOST, &address).body(Full::default()).unwrap();
    assert_eq!(http1(&address, request).await, (StatusCode::OK, Bytes::from("a page")));
}

#[tokio::test]
async fn under_hyper() {
    let calls = calls().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(calls.clone());
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                // An Err says that the client has gone.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });

    is_called_by_grpc_and_grpc_web(&address).await;
}
