//! Clients that begin calls and cancel them, over and over: "rapid reset" with calls that are looked at.
//! For each the backend sees a reset on a connection that all clients share, and may close it for that.

use std::net::SocketAddr;

use http::{Request, header};
use runnel::config::{ConnectionsConfig, ServeConfig};
use runnel_protos::api::{ApiRequest, HelloRequest};
use runnel_tests::{
    for_each_role,
    http2::{self, Http2, flag, kind},
    metrics::Metrics,
    patiently,
    server::{Role, TestServer},
    waiting::{
        self,
        Event::{Began, Gone},
        Events,
    },
    wire::{self, Answer, Protocol, frame},
};
use tokio::net::TcpSocket;
use tonic::Code;

for_each_role! {
    who_cancels_too_many_calls_is_refused_for_a_while_and_nobody_else_is,
    deadlines_that_pass_at_once_are_cancellations_too,
    connections_that_are_dropped_are_cancellations_too,
    calls_that_are_answered_are_none,
}

const HELLO: &str = "/api.Api/sayHello";
const ALL: &str = "/api.Api/getAll";
const STREAM: &str = "/api.Api/getStream";

/// Far above any of the limits here.
const MANY: u32 = 1000;

/// A server of which a client may cancel so many calls.
async fn start(role: Role, max_cancels_per_address: u32) -> (TestServer, Events) {
    let (services, events) = waiting::services();
    let connections = ConnectionsConfig { max_cancels_per_address, ..ConnectionsConfig::default() };
    let config = ServeConfig { connections, ..ServeConfig::default() };
    (role.start_services(services, config).await, events)
}

fn hello() -> Vec<u8> {
    frame(&HelloRequest { name: "x".into() })
}

/// A call of another method than the one that is cancelled.
async fn another_call(address: SocketAddr) -> Answer {
    let body = frame(&ApiRequest { length: 1, after: 0 });
    wire::call(address, Protocol::GrpcWeb, ALL, body).await
}

/// The same from another address than 127.0.0.1.
async fn somebody_elses_call(address: SocketAddr) -> Answer {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
    let stream = socket.connect(address).await.unwrap();
    let request = Request::post(ALL)
        .header(header::CONTENT_TYPE, "application/grpc-web")
        .body(frame(&ApiRequest { length: 1, after: 0 }).into())
        .unwrap();
    wire::answer(wire::http1_over(stream, address, request).await).await
}

async fn is_refused_for_a_while_and_nobody_else_is(server: &TestServer) {
    let somebody_else = somebody_elses_call(server.address()).await;
    assert_eq!(somebody_else.code(), Some(Code::Ok));
    let metrics = Metrics::read(server.admin_address()).await;
    let bound = "bound=\"max_cancels_per_address\"";
    assert!(metrics.sum("runnel_calls_refused_total", &[bound]) > 0);
    patiently("admission", async {
        while another_call(server.address()).await.code() != Some(Code::Ok) {}
    })
    .await;
}

async fn who_cancels_too_many_calls_is_refused_for_a_while_and_nobody_else_is(role: Role) {
    let (server, mut events) = start(role, 20).await;
    let mut http2 = Http2::connect(server.address(), &[]).await;
    let headers = http2::call_headers(HELLO);
    let mut cancelled = 0;
    let refused = loop {
        let stream = 2 * cancelled + 1;
        let head = http2::frame(kind::HEADERS, flag::END_HEADERS, stream, &headers);
        let body = http2::frame(kind::DATA, flag::END_STREAM, stream, &hello());
        http2.send(&[head, body].concat()).await.unwrap();
        let began = async { events.expect(Began).await };
        let answer = async { http2.until(kind::HEADERS).await.unwrap() };
        tokio::select! {
            () = began => {}
            refused = answer => break refused,
        }
        let cancel = http2::frame(kind::RST_STREAM, flag::NONE, stream, &[0, 0, 0, 8]);
        http2.send(&cancel).await.unwrap();
        events.expect(Gone).await;
        cancelled += 1;
        assert!(cancelled < MANY, "none was refused");
    };
    assert!(cancelled >= 20, "only {cancelled}");
    assert_eq!(refused.flags & flag::END_STREAM, flag::END_STREAM);
    let answer = another_call(server.address()).await;
    if answer.code() != Some(Code::Ok) {
        assert_eq!(answer.code(), Some(Code::ResourceExhausted));
        assert!(answer.message().contains("cancelled"), "{}", answer.message());
        assert!(answer.trailers.contains_key("grpc-status-details-bin"), "when to try again");
    }
    is_refused_for_a_while_and_nobody_else_is(&server).await;
    server.stop().await;
}

/// Makes calls that are all given up, until one is refused for it.
async fn until_refused(given_up: impl AsyncFn() -> Option<Answer>) {
    for _ in 0..MANY {
        if let Some(answer) = given_up().await
            && answer.code() == Some(Code::ResourceExhausted)
        {
            return;
        }
    }
    panic!("none was refused");
}

async fn deadlines_that_pass_at_once_are_cancellations_too(role: Role) {
    let (server, _events) = start(role, 5).await;
    for (path, body) in [(HELLO, hello()), (STREAM, frame(&ApiRequest { length: 1, after: 0 }))] {
        until_refused(async || {
            let request = Request::post(path)
                .header(header::CONTENT_TYPE, "application/grpc-web")
                .header("grpc-timeout", "1m")
                .body(body.clone().into())
                .unwrap();
            Some(wire::send(server.address(), Protocol::GrpcWeb, request).await)
        })
        .await;
    }
    is_refused_for_a_while_and_nobody_else_is(&server).await;
    server.stop().await;
}

async fn connections_that_are_dropped_are_cancellations_too(role: Role) {
    use tokio::io::AsyncWriteExt as _;

    let (server, mut events) = start(role, 5).await;
    let body = hello();
    let head = format!(
        "POST {HELLO} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc-web\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    // One to spare: while they last, one may come back.
    for _ in 0..6 {
        let stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        let mut stream = stream;
        stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
        let refused = async { stream.readable().await.unwrap() };
        let began = tokio::select! {
            () = events.expect(Began) => true,
            () = refused => false,
        };
        if !began {
            break;
        }
        stream.set_zero_linger().unwrap();
        drop(stream);
        events.expect(Gone).await;
    }
    until_refused(async || Some(another_call(server.address()).await)).await;
    is_refused_for_a_while_and_nobody_else_is(&server).await;
    server.stop().await;
}

/// However they are answered: a client that calls often and well is nobody's enemy.
async fn calls_that_are_answered_are_none(role: Role) {
    let (server, _events) = start(role, 1).await;
    let failing = frame(&ApiRequest { length: waiting::length::FAILING, after: 0 });
    let none = frame(&ApiRequest { length: 0, after: 0 });
    for _ in 0..10 {
        for protocol in wire::PROTOCOLS {
            for (path, body, code) in [
                (ALL, &none, Code::Ok),
                (STREAM, &none, Code::Ok),
                (STREAM, &failing, Code::DataLoss),
                ("/api.Api/noSuchMethod", &none, Code::Unimplemented),
            ] {
                let answer = wire::call(server.address(), protocol, path, body.clone()).await;
                assert_eq!(answer.code(), Some(code), "{protocol:?} {path}: {}", answer.message());
            }
        }
    }
    server.stop().await;
}
