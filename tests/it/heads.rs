//! The heads of requests, and answers that are nothing but one: the same over both versions of HTTP.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use runnel::config::{ConnectionsConfig, ServeConfig};
use runnel_protos::api::ApiRequest;
use runnel_tests::{
    for_each_role,
    http2::{self, Http2, flag, kind},
    server::{Role, TestServer},
    wire::{self, PROTOCOLS, Protocol, frame, is_none_the_worse},
};
use tonic::Code;

for_each_role! {
    cookies_and_tokens_of_twenty_kilobytes_pass_over_both_versions_of_http,
    the_limit_of_a_head_is_an_option_and_the_same_for_both_versions,
    no_answer_to_head_has_a_body,
}

const ALL: &str = "/api.Api/getAll";

/// A call with so many bytes in one header.
fn call(protocol: Protocol, bytes: usize) -> Request<Bytes> {
    Request::post(ALL)
        .header(header::CONTENT_TYPE, protocol.content_type())
        .header(header::COOKIE, "x".repeat(bytes))
        .body(protocol.encode(frame(&ApiRequest { length: 1, after: 0 })))
        .unwrap()
}

/// The status of a request for no file, with so many bytes in one header, over HTTP/1.1 and HTTP/2.
async fn page(address: SocketAddr, bytes: usize) -> [StatusCode; 2] {
    let get = || {
        let get = Request::get("/no-such-file.css").header(header::COOKIE, "x".repeat(bytes));
        get.body(Bytes::new()).unwrap()
    };
    [
        wire::http1_request(address, get()).await.status(),
        wire::http2_request(address, get()).await.status(),
    ]
}

async fn cookies_and_tokens_of_twenty_kilobytes_pass_over_both_versions_of_http(role: Role) {
    let server = role.start(ServeConfig::default()).await;
    for protocol in PROTOCOLS {
        let answer = wire::send(server.address(), protocol, call(protocol, 20 * 1024)).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?}: {}", answer.message());
    }
    assert_eq!(page(server.address(), 20 * 1024).await, [StatusCode::NOT_FOUND; 2]);
    server.stop().await;
}

async fn the_limit_of_a_head_is_an_option_and_the_same_for_both_versions(role: Role) {
    let too_large = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    for limit in [4 * 1024, 64 * 1024] {
        let connections =
            ConnectionsConfig { header_limit_bytes: limit, ..ConnectionsConfig::default() };
        let config = ServeConfig { connections, ..ServeConfig::default() };
        let server = role.start(config).await;
        // What is below the limit is the backend's to take, and it has a limit of its own.
        if role == Role::Answers {
            for protocol in PROTOCOLS {
                let within = wire::send(server.address(), protocol, call(protocol, limit - 1024));
                assert_eq!(within.await.code(), Some(Code::Ok), "{protocol:?}");
            }
        }
        assert_eq!(page(server.address(), limit - 1024).await, [StatusCode::NOT_FOUND; 2]);
        assert_eq!(page(server.address(), limit + 1).await, [too_large; 2]);
        // A gRPC client is told in its own words.
        for protocol in PROTOCOLS {
            let request = call(protocol, limit + 1);
            let over_http2 = wire::send(server.address(), Protocol::Grpc, request).await;
            assert_eq!(over_http2.http_status, too_large, "{protocol:?}");
            assert_eq!(over_http2.code(), Some(Code::ResourceExhausted), "{protocol:?}");
            assert!(over_http2.message().contains(&limit.to_string()), "{over_http2:?}");
        }
        is_none_the_worse(server.address()).await;
        server.stop().await;
    }
}

/// Over HTTP/2 such a body is an error of the stream, which takes the answer with it.
async fn no_answer_to_head_has_a_body(role: Role) {
    let server = role.start(ServeConfig::default()).await;
    let call: &[(&str, &str)] = &[("content-type", "application/grpc"), ("te", "trailers")];
    let foreign: &[(&str, &str)] = &[("origin", "https://evil.example")];
    for (address, authority, path, more) in [
        (server.address(), "localhost", ALL, call),
        (server.address(), "localhost", ALL, &[]),
        (server.address(), "localhost", ALL, foreign),
        (server.address(), "evil.example", ALL, call),
        (server.address(), "evil.example", "/", &[]),
        (server.address(), "localhost", "/", &[]),
        (server.address(), "localhost", "/no-such-file.css", &[]),
        (server.admin_address(), "localhost", "/livez", &[]),
        (server.admin_address(), "localhost", "/metrics", &[]),
        (server.admin_address(), "localhost", "/nothing", &[]),
        (server.admin_address(), "evil.example", "/livez", &[]),
    ] {
        let mut http2 = Http2::connect(address, &[]).await;
        let pseudo =
            [(":method", "HEAD"), (":scheme", "http"), (":path", path), (":authority", authority)];
        let head = http2::headers(&[&pseudo[..], more].concat());
        let flags = flag::END_HEADERS | flag::END_STREAM;
        http2.send(&http2::frame(kind::HEADERS, flags, 1, &head)).await.unwrap();
        let answer = http2.until(kind::HEADERS).await.unwrap();
        assert_eq!(answer.flags & flag::END_STREAM, flag::END_STREAM, "{authority}{path} {more:?}");
    }
    server.stop().await;
}

/// RFC 9110 section 9.3.2: what GET would say is said, the length of the body included.
#[tokio::test]
async fn the_answer_to_head_says_how_long_the_one_to_get_is() {
    let server = TestServer::start().await;
    let ask = |method: &str| {
        let request = Request::builder().method(method).uri("/no-such-file.css");
        request.body(Bytes::new()).unwrap()
    };
    for is_http2 in [false, true] {
        let mut lengths = Vec::new();
        for method in ["GET", "HEAD"] {
            let answer = if is_http2 {
                wire::http2_request(server.address(), ask(method)).await
            } else {
                wire::http1_request(server.address(), ask(method)).await
            };
            lengths.push(answer.headers()[header::CONTENT_LENGTH].clone());
        }
        assert_eq!(lengths[0], lengths[1]);
    }
    server.stop().await;
}
