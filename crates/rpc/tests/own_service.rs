//! The example `own_service`: a product of one's own on `runnel-rpc` and `runnel-serve` alone.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../examples/own_service/main.rs"]
#[expect(dead_code, reason = "the test serves on a port of its own")]
mod example;

use std::{future::Future, net::SocketAddr, sync::atomic::Ordering::Relaxed, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, Version, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use prost::Message as _;
use runnel_protos::api::HelloRequest;
use tokio::{net::TcpListener, sync::oneshot, time::timeout};
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

/// Waits for `future`, and fails if that takes so long that something hangs.
async fn patiently<F: Future>(what: &str, future: F) -> F::Output {
    timeout(Duration::from_mins(1), future)
        .await
        .unwrap_or_else(|_| panic!("no {what} in a minute"))
}

#[test]
fn it_is_short() {
    let lines = include_str!("../examples/own_service/main.rs").lines().count();
    assert!(lines < 40, "{lines} lines");
}

#[tokio::test]
async fn it_serves_browsers_and_grpc_clients_with_health_reflection_a_metric_and_a_drain() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shut_down, shutdown) = oneshot::channel::<()>();
    let server = Box::pin(example::serve(listener, shutdown));
    let clients = Box::pin(async move {
        by_grpc_web(address).await;
        by_dns_rebinding(address).await;
        by_grpc(address).await;
        shut_down.send(()).unwrap();
    });
    let (served, ()) = patiently("end", async { tokio::join!(server, clients) }).await;
    served.unwrap();
    assert_eq!(example::greeter::CALLS.load(Relaxed), 5);
}

/// A browser at which a page has made its own name resolve to this machine.
async fn by_dns_rebinding(address: SocketAddr) {
    let response = call_as_a_browser(address, "evil.example").await;
    assert_eq!(response.headers()["grpc-status"], "7", "PERMISSION_DENIED");
}

async fn by_grpc_web(address: SocketAddr) {
    let response = call_as_a_browser(address, "localhost").await;
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let contains = |text: &[u8]| body.windows(text.len()).any(|part| part == text);
    assert!(contains(b"Hello Ada!") && contains(b"grpc-status:0"), "{body:?}");
}

/// Calls over HTTP/1.1, by the name `host`.
async fn call_as_a_browser(address: SocketAddr, host: &str) -> Response<Incoming> {
    let message = HelloRequest { name: "Ada".to_owned() }.encode_to_vec();
    let length = u8::try_from(message.len()).unwrap();
    let body = [&[0, 0, 0, 0, length][..], &message].concat();
    let request = Request::post(format!("http://{address}/api.Api/sayHello"))
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/grpc-web+proto")
        .body(Full::<Bytes>::from(body))
        .unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = patiently("response", client.request(request)).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_11);
    response
}

async fn by_grpc(address: SocketAddr) {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = patiently("connection", endpoint.connect()).await.unwrap();
    for service in ["", "api.Api"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let health = HealthClient::new(channel.clone()).check(request).await.unwrap();
        assert_eq!(health.into_inner().status().as_str_name(), "SERVING");
    }
    let list = MessageRequest::ListServices(String::new());
    let list = ServerReflectionRequest { message_request: Some(list), ..Default::default() };
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(stream::iter([list]))
        .await
        .unwrap()
        .into_inner();
    let answer = patiently("answer", answers.message()).await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else { panic!("{answer:?}") };
    assert!(list.service.iter().any(|service| service.name == "api.Api"), "{list:?}");
}
