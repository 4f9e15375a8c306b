//! What connections may cost: how many there are, and how long each may take for what.

use std::{net::SocketAddr, time::Duration};

use runnel::config::{ConnectionsConfig, ServeConfig};
use runnel_protos::api::ApiRequest;
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
    wire::{frame, is_none_the_worse},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

for_each_role! {
    an_idle_connection_is_closed_and_one_with_a_stream_is_not,
    an_old_connection_is_told_to_go_and_its_calls_go_on,
}

const STREAM: &str = "/api.Api/getStream";

async fn start(role: Role, connections: ConnectionsConfig) -> (TestServer, Events) {
    let (services, events) = waiting::services();
    let config = ServeConfig { connections, ..ServeConfig::default() };
    (role.start_services(services, config).await, events)
}

/// A connection over HTTP/1.1 that has had an answer, and may have more.
async fn connect_http1(address: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let get = b"GET /no-such-file.css HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(get).await.ok()?;
    let mut answer = [0; 12];
    patiently("an answer or the end", stream.read_exact(&mut answer)).await.ok()?;
    assert_eq!(&answer, b"HTTP/1.1 404");
    Some(stream)
}

/// Waits until there is a place again; it is given back a moment after the client has gone.
async fn until_let_in(address: SocketAddr) {
    patiently("a place", async {
        while connect_http1(address).await.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Reads to the end, however the server made it.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = patiently("the end of the connection", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_connection_too_many_is_closed_and_the_others_live_on() {
    let default = ConnectionsConfig::default;
    for (connections, reason) in [
        (ConnectionsConfig { max_connections: 2, ..default() }, "max_connections"),
        (
            ConnectionsConfig { max_connections_per_address: 2, ..default() },
            "max_connections_per_address",
        ),
    ] {
        let (server, _events) = start(Role::Answers, connections).await;
        let first = connect_http1(server.address()).await.unwrap();
        let mut second = connect_http1(server.address()).await.unwrap();
        assert!(connect_http1(server.address()).await.is_none(), "a third was let in");
        let metrics = Metrics::read(server.admin_address()).await;
        let label = format!("bound=\"{reason}\"");
        assert_eq!(metrics.sum("runnel_connections_refused_total", &[&label]), 1);
        assert_eq!(metrics.sum("runnel_connections_open", &[]), 2);
        let get = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        second.write_all(get).await.unwrap();
        assert!(until_closed(&mut second).await.contains("connection: close\r\n"));
        drop((first, second));
        until_let_in(server.address()).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn ten_thousand_idle_connections_take_the_places_there_are_and_no_more() {
    let places = 2_000;
    let connections = ConnectionsConfig {
        max_connections: places,
        max_connections_per_address: places,
        ..ConnectionsConfig::default()
    };
    let (server, _events) = start(Role::Answers, connections).await;
    let mut idle = Vec::new();
    for _ in 0..10_000 {
        idle.push(TcpStream::connect(server.address()).await.unwrap());
    }
    // They are accepted in turn: those that found no place are closed.
    for refused in &mut idle[places..] {
        assert_eq!(until_closed(refused).await, "");
    }
    for let_in in &idle[..places] {
        let nothing_yet = let_in.try_read(&mut [0]).unwrap_err();
        assert_eq!(nothing_yet.kind(), std::io::ErrorKind::WouldBlock);
    }
    drop(idle);
    until_let_in(server.address()).await;
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

#[tokio::test]
async fn who_never_says_what_it_speaks_is_closed() {
    let handshake_timeout = Duration::from_millis(100);
    let config = ConnectionsConfig { handshake_timeout, ..ConnectionsConfig::default() };
    let (server, _events) = start(Role::Answers, config).await;
    for beginning in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        assert_eq!(until_closed(&mut stream).await, "", "{beginning:?}");
    }
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

#[tokio::test]
async fn who_never_ends_the_head_of_a_request_is_closed() {
    let header_timeout = Duration::from_millis(100);
    let config = ConnectionsConfig { header_timeout, ..ConnectionsConfig::default() };
    let (server, _events) = start(Role::Answers, config).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(b"POST /api.Api/sayHello HTTP/1.1\r\nhost: localhost\r\n").await.unwrap();
    let (mut reads, mut writes) = stream.split();
    // A header now and then, for as long as it takes.
    let drips = async {
        while writes.write_all(b"x: y\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let mut answer = Vec::new();
    let end = async {
        tokio::select! {
            () = drips => {}
            _ = reads.read_to_end(&mut answer) => {}
        }
    };
    patiently("the end of a slow head", end).await;
    drop(stream);
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

async fn an_idle_connection_is_closed_and_one_with_a_stream_is_not(role: Role) {
    let idle_timeout = Duration::from_millis(100);
    let config = ConnectionsConfig { idle_timeout, ..ConnectionsConfig::default() };
    let (server, mut events) = start(role, config).await;
    let mut stream = server.client().get_stream(1).await.unwrap();
    events.expect(Began).await;
    stream.next().await.unwrap().unwrap();

    let mut http1 = connect_http1(server.address()).await.unwrap();
    until_closed(&mut http1).await;
    let mut http2 = Http2::connect(server.address(), &[]).await;
    // NO_ERROR, and then the end although nobody acknowledges anything.
    assert_eq!(http2.end().await, Some(0));
    // The stream has lived through some of these.
    assert!(events.is_quiet());
    drop(stream);
    events.expect(Gone).await;
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

async fn an_old_connection_is_told_to_go_and_its_calls_go_on(role: Role) {
    let max_connection_age = Duration::from_millis(500);
    let config = ConnectionsConfig { max_connection_age, ..ConnectionsConfig::default() };
    let (server, mut events) = start(role, config).await;
    let mut http2 = Http2::connect(server.address(), &[]).await;
    let body = frame(&ApiRequest { length: 1, after: 0 });
    let call = http2::call_headers(STREAM);
    http2.send(&http2::frame(kind::HEADERS, flag::END_HEADERS, 1, &call)).await.unwrap();
    http2.send(&http2::frame(kind::DATA, flag::END_STREAM, 1, &body)).await.unwrap();
    events.expect(Began).await;
    let goaway = http2.until(kind::GOAWAY).await.unwrap();
    assert_eq!(goaway.payload[4..8], [0; 4], "NO_ERROR");
    assert!(events.is_quiet(), "the stream goes on");

    // Over HTTP/1.1 the answer says it.
    let mut http1 = connect_http1(server.address()).await.unwrap();
    patiently("the last answer", async {
        let get = b"GET /no-such-file.css HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let mut answer = [0; 4096];
        while http1.write_all(get).await.is_ok()
            && http1.read(&mut answer).await.is_ok_and(|n| n > 0)
        {}
    })
    .await;
    is_none_the_worse(server.address()).await;
    drop(http2);
    events.expect(Gone).await;
    server.stop().await;
}

/// What a client still sends must not reset the connection, and with it an answer on its way.
#[tokio::test]
async fn an_answer_that_comes_before_the_request_has_ended_arrives_whole() {
    let (server, _events) = start(Role::Answers, ConnectionsConfig::default()).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = "GET / HTTP/1.1\r\nhost: localhost\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // Far more than a head may have; the refusal comes in the middle of it.
    for _ in 0..1000 {
        if stream.write_all(format!("x: {}\r\n", "y".repeat(1000)).as_bytes()).await.is_err() {
            break;
        }
    }
    let answer = until_closed(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    is_none_the_worse(server.address()).await;
    server.stop().await;
}
