//! Forwarding in a server that knows nothing else of this crate: a plain axum `Router`.

use std::error::Error;

use axum::Router;
use runnel_forward::{Backend, Settings};
use tokio::net::TcpListener;
use tonic::{
    Code,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_check_response, health_client::HealthClient},
    server::HealthReporter,
};

/// A client of an axum server that forwards to a health service, and what that service is told.
async fn client() -> Result<(HealthClient<Channel>, HealthReporter), Box<dyn Error>> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let server = Server::builder().add_service(health);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));

    let backend = Backend::start(Settings::to([url.parse()?])).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let app = Router::new().fallback_service(backend);
    tokio::spawn(async move { axum::serve(listener, app).await });
    let channel = Endpoint::from_shared(url)?.connect().await?;
    Ok((HealthClient::new(channel), reporter))
}

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn an_axum_server_forwards_calls_and_passes_their_statuses_on() {
    let (mut client, _reporter) = client().await.unwrap();
    let response = client.check(of("")).await.unwrap().into_inner();
    assert_eq!(response.status(), health_check_response::ServingStatus::Serving);
    let status = client.check(of("no.Such")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status}");
}

#[tokio::test]
async fn a_stream_is_forwarded_message_by_message() {
    let (mut client, reporter) = client().await.unwrap();
    reporter.set_service_status("a.B", ServingStatus::Serving).await;
    let mut stream = client.watch(of("a.B")).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!(first.status(), health_check_response::ServingStatus::Serving);
    reporter.set_service_status("a.B", ServingStatus::NotServing).await;
    let second = stream.message().await.unwrap().unwrap();
    assert_eq!(second.status(), health_check_response::ServingStatus::NotServing);
}
