//! Calls that come through a proxy that is trusted count for the client that it names, and for the proxy
//! otherwise.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http::{Request, header};
use runnel::config::ServeConfig;
use runnel_protos::api::ApiRequest;
use runnel_tests::{
    for_each_role,
    server::{Role, TestServer},
    wire::{self, Protocol, frame},
};
use tonic::Code;

for_each_role! {
    streams_count_for_the_client_that_a_trusted_proxy_names,
    what_others_say_of_their_client_changes_nothing,
}

/// A server that lets each client have one stream, behind proxies at this address.
async fn start(role: Role, proxy: Ipv4Addr) -> TestServer {
    let mut config = ServeConfig { max_streams_per_address: 1, ..ServeConfig::default() };
    config.access.trusted_proxies = vec![IpAddr::from(proxy).into()];
    role.start(config).await
}

fn stream(length: i32, forwarded: (&'static str, &'static str)) -> Request<Bytes> {
    Request::post("/api.Api/getStream")
        .header(header::CONTENT_TYPE, Protocol::GrpcWeb.content_type())
        .header(forwarded.0, forwarded.1)
        .body(frame(&ApiRequest { length, after: 0 }).into())
        .unwrap()
}

/// How a short stream for this client ends.
async fn outcome(server: &TestServer, forwarded: (&'static str, &'static str)) -> Option<Code> {
    let answer = wire::http1_request(server.address(), stream(1, forwarded)).await;
    wire::answer(answer).await.code()
}

async fn streams_count_for_the_client_that_a_trusted_proxy_names(role: Role) {
    let server = start(role, Ipv4Addr::LOCALHOST).await;
    let open = stream(i32::MAX, ("x-forwarded-for", "203.0.113.9, 192.0.2.1"));
    let open = wire::http1_request(server.address(), open).await;
    for (forwarded, code) in [
        (("x-forwarded-for", "192.0.2.1"), Code::ResourceExhausted),
        // A client cannot pass for another: what it says itself stands before what the proxy adds.
        (("x-forwarded-for", "198.51.100.7, 192.0.2.1"), Code::ResourceExhausted),
        (("forwarded", "for=\"192.0.2.1:4711\""), Code::ResourceExhausted),
        (("x-forwarded-for", "192.0.2.2"), Code::Ok),
        (("forwarded", "for=192.0.2.2"), Code::Ok),
        // The proxy's own.
        (("x-forwarded-for", "unknown"), Code::Ok),
    ] {
        assert_eq!(outcome(&server, forwarded).await, Some(code), "{forwarded:?}");
    }
    drop(open);
    server.stop().await;
}

async fn what_others_say_of_their_client_changes_nothing(role: Role) {
    let server = start(role, Ipv4Addr::new(192, 0, 2, 77)).await;
    let open = stream(i32::MAX, ("x-forwarded-for", "192.0.2.1"));
    let open = wire::http1_request(server.address(), open).await;
    let other = outcome(&server, ("x-forwarded-for", "192.0.2.2")).await;
    assert_eq!(other, Some(Code::ResourceExhausted));
    drop(open);
    server.stop().await;
}
