//! Clients that mean harm, over HTTP/1.1 and HTTP/2. Each does what it can for a bounded while; then the
//! server must answer a normal call. Where the specification or an advisory says how such a connection
//! ends, it must have ended so.

use std::{net::SocketAddr, time::Duration};

use runnel::config::{ConnectionsConfig, ServeConfig};
use runnel_protos::api::ApiRequest;
use runnel_tests::{
    for_each_role,
    http2::{self, Http2, flag, kind},
    patiently,
    server::{Role, TestServer},
    waiting::{self, Event::Began, length},
    wire::{self, PROTOCOLS, frame, is_none_the_worse},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Code;

for_each_role! {
    rapid_reset_ends_the_connection,
    streams_that_the_server_is_made_to_reset_end_the_connection,
    headers_in_endless_continuations_end_the_connection,
    pings_and_settings_whose_answers_nobody_reads_are_not_kept,
    a_reader_with_a_closed_window_holds_up_nobody_else,
    an_endless_list_of_headers_is_refused,
    a_request_whose_end_is_in_doubt_is_refused_and_nothing_behind_it_is_answered,
    http1_headers_in_http2_are_refused,
}

const HELLO: &str = "/api.Api/sayHello";
const ALL: &str = "/api.Api/getAll";
const STREAM: &str = "/api.Api/getStream";

/// RFC 9113 section 7.
const PROTOCOL_ERROR: u32 = 1;
const ENHANCE_YOUR_CALM: u32 = 11;

/// `SETTINGS_INITIAL_WINDOW_SIZE`: RFC 9113 section 6.5.2.
const INITIAL_WINDOW_SIZE: u16 = 4;

/// Sends `bytes` again and again, up to a bound, until the server hangs up; whether it did.
async fn flood(http2: &mut Http2, times: u32, bytes: impl Fn(u32) -> Vec<u8>) -> bool {
    for time in 0..times {
        if http2.send(&bytes(time)).await.is_err() {
            return true;
        }
    }
    false
}

/// The number of the stream that a client opens as its n-th.
const fn stream(n: u32) -> u32 {
    2 * n + 1
}

/// CVE-2023-44487: a stream that is reset at once counts as none, so there may be any number of them.
async fn rapid_reset_ends_the_connection(role: Role) {
    let server = role.start(ServeConfig::default()).await;
    let mut http2 = Http2::connect(server.address(), &[]).await;
    let call = http2::call_headers(STREAM);
    flood(&mut http2, 10_000, |n| {
        let open = http2::frame(kind::HEADERS, flag::END_HEADERS, stream(n), &call);
        [open, http2::frame(kind::RST_STREAM, flag::NONE, stream(n), &[0, 0, 0, 8])].concat()
    })
    .await;
    assert_eq!(http2.end().await, Some(ENHANCE_YOUR_CALM));
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

/// CVE-2025-8671: the client has the server reset its streams, by breaking the protocol in each.
async fn streams_that_the_server_is_made_to_reset_end_the_connection(role: Role) {
    let server = role.start(ServeConfig::default()).await;
    let mut http2 = Http2::connect(server.address(), &[]).await;
    let call = http2::call_headers(STREAM);
    flood(&mut http2, 10_000, |n| {
        let open = http2::frame(kind::HEADERS, flag::END_HEADERS, stream(n), &call);
        // A window that is opened too far is an error of the stream: RFC 9113 section 6.9.1.
        let too_far = 0x7fff_ffff_u32.to_be_bytes();
        [open, http2::frame(kind::WINDOW_UPDATE, flag::NONE, stream(n), &too_far)].concat()
    })
    .await;
    assert_eq!(http2.end().await, Some(ENHANCE_YOUR_CALM));
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

/// CVE-2024-27316: headers that never end, in any number of frames.
async fn headers_in_endless_continuations_end_the_connection(role: Role) {
    let server = role.start(ServeConfig::default()).await;
    for payload in [vec![], http2::headers(&[("x-flood", &"x".repeat(100))]).repeat(100)] {
        let mut http2 = Http2::connect(server.address(), &[]).await;
        let begin = http2::frame(kind::HEADERS, flag::NONE, 1, &http2::call_headers(ALL));
        http2.send(&begin).await.unwrap();
        let hung_up = flood(&mut http2, 10_000, |_| {
            http2::frame(kind::CONTINUATION, flag::NONE, 1, &payload)
        })
        .await;
        let code = http2.end().await;
        assert!(hung_up || code.is_some(), "it took all of them");
        assert!(matches!(code, None | Some(ENHANCE_YOUR_CALM)), "{code:?}");
        is_none_the_worse(server.address()).await;
    }
    server.stop().await;
}

/// CVE-2019-9512 and CVE-2019-9515: frames that must each be answered, by a client that reads nothing.
/// The server must not keep the answers; it stops reading instead.
async fn pings_and_settings_whose_answers_nobody_reads_are_not_kept(role: Role) {
    let server = role.start(ServeConfig::default()).await;
    let ping = http2::frame(kind::PING, flag::NONE, 0, &[0; 8]);
    let settings = http2::frame(kind::SETTINGS, flag::NONE, 0, &[]);
    for one in [ping, settings] {
        let mut http2 = Http2::connect(server.address(), &[]).await;
        let many = one.repeat(1000);
        let mut sent = 0;
        // Kernels hold some megabytes either way, and no more comes through.
        let stuck = async {
            while http2.send(&many).await.is_ok() {
                sent += 1;
            }
        };
        let stuck = tokio::time::timeout(Duration::from_secs(3), stuck).await;
        assert!(stuck.is_err() || sent < 10_000, "it took {sent} thousand");
        is_none_the_worse(server.address()).await;
    }
    server.stop().await;
}

/// A reader whose window is closed, for the connection or for a stream, holds its own calls up and no
/// others.
async fn a_reader_with_a_closed_window_holds_up_nobody_else(role: Role) {
    let (services, mut events) = waiting::services();
    let server = role.start_services(services, ServeConfig::default()).await;
    let mut readers = Vec::new();
    for _ in 0..20 {
        let mut http2 = Http2::connect(server.address(), &[(INITIAL_WINDOW_SIZE, 0)]).await;
        let call = http2::call_headers(STREAM);
        http2.send(&http2::frame(kind::HEADERS, flag::END_HEADERS, 1, &call)).await.unwrap();
        let body = frame(&ApiRequest { length: length::ENDLESS, after: 0 });
        http2.send(&http2::frame(kind::DATA, flag::END_STREAM, 1, &body)).await.unwrap();
        events.expect(Began).await;
        let head = http2.until(kind::HEADERS).await.unwrap();
        assert_eq!(head.stream, 1);
        readers.push(http2);
    }
    is_none_the_worse(server.address()).await;
    // Its connection still answers.
    let ping = http2::frame(kind::PING, flag::NONE, 0, b"are you?");
    readers[0].send(&ping).await.unwrap();
    assert_eq!(readers[0].until(kind::PING).await.unwrap().payload, b"are you?");
    server.stop().await;
}

async fn an_endless_list_of_headers_is_refused(role: Role) {
    let server = role.start(ServeConfig::default()).await;
    let mut http2 = Http2::connect(server.address(), &[]).await;
    let many = http2::headers(&[("x-flood", &"x".repeat(100))]).repeat(600);
    let call = [http2::call_headers(ALL), many].concat();
    let mut parts = call.chunks(16_000);
    let first = parts.next().unwrap();
    http2.send(&http2::frame(kind::HEADERS, flag::END_STREAM, 1, first)).await.unwrap();
    for part in parts.by_ref() {
        http2.send(&http2::frame(kind::CONTINUATION, flag::NONE, 1, part)).await.unwrap();
    }
    let end = http2::frame(kind::CONTINUATION, flag::END_HEADERS, 1, &[]);
    http2.send(&end).await.unwrap();
    let answer = http2.until(kind::HEADERS).await.unwrap();
    // 431, a literal: `:status` is entry 8 of the static table, RFC 7541 appendix A.
    assert!(answer.payload.windows(3).any(|bytes| bytes == b"431") || answer.payload.len() < 16);
    drop(http2);

    let mut http1 = TcpStream::connect(server.address()).await.unwrap();
    http1.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n").await.unwrap();
    for _ in 0..10_000 {
        if http1.write_all(b"x-flood: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n").await.is_err() {
            break;
        }
    }
    let mut answer = String::new();
    let _ = patiently("the refusal", http1.read_to_string(&mut answer)).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer:?}");
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

/// Sends a request and what is smuggled behind it; reads until the server closes, which it must.
async fn smuggle(address: SocketAddr, head: &str, rest: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST {ALL} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc-web\r\n{head}\r\n{rest}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = patiently("the end of the connection", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// RFC 9112 sections 6.1 and 6.3: where two readers could disagree on where a request ends, the
/// connection must not go on behind it.
async fn a_request_whose_end_is_in_doubt_is_refused_and_nothing_behind_it_is_answered(role: Role) {
    let server = role.start(ServeConfig::default()).await;
    let hidden = "GET /hidden.css HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let length = hidden.len();
    for head in [
        "content-length: 7\r\ncontent-length: 0\r\n".to_owned(),
        "content-length: 7, 0\r\n".to_owned(),
        "transfer-encoding: chunked, identity\r\n".to_owned(),
        "transfer-encoding: xchunked\r\n".to_owned(),
        "content-length: +7\r\n".to_owned(),
        "content-length: 0x7\r\n".to_owned(),
        "content-length: -1\r\n".to_owned(),
        "content-length : 7\r\n".to_owned(),
        "content-length: 18446744073709551616\r\n".to_owned(),
        "x: y\r\n folded: z\r\ncontent-length: 0\r\n".to_owned(),
    ] {
        let answer = smuggle(server.address(), &head, &format!("0\r\n\r\n{hidden}")).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{head:?}: {answer}");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head:?}: {answer}");
    }
    // These may be read as chunks, but the connection must close behind them.
    for head in [
        format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
        format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n"),
    ] {
        let answer = smuggle(server.address(), &head, &format!("0\r\n\r\n{hidden}")).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{head:?}: {answer}");
    }
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

/// In HTTP/2 lengths and connection headers are data like any other, and refused: RFC 9113 section 8.
async fn http1_headers_in_http2_are_refused(role: Role) {
    let server = role.start(ServeConfig::default()).await;
    for (name, value) in [
        ("transfer-encoding", "chunked"),
        ("connection", "keep-alive"),
        ("content-length", "1"),
        ("x-bad\r\nname", "x"),
        ("X-Upper", "x"),
    ] {
        let mut http2 = Http2::connect(server.address(), &[]).await;
        let call = [http2::call_headers(ALL), http2::headers(&[(name, value)])].concat();
        http2.send(&http2::frame(kind::HEADERS, flag::END_HEADERS, 1, &call)).await.unwrap();
        let body = frame(&ApiRequest { length: 1, after: 0 });
        http2.send(&http2::frame(kind::DATA, flag::END_STREAM, 1, &body)).await.unwrap();
        patiently("the refusal", async {
            // The stream is reset, or the connection ends; there is no answer.
            while let Some(frame) = http2.next().await {
                assert_ne!(frame.kind, kind::HEADERS, "{name} was answered");
                if frame.kind == kind::RST_STREAM {
                    assert_eq!(frame.payload, PROTOCOL_ERROR.to_be_bytes(), "{name}");
                    return;
                }
            }
        })
        .await;
    }
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

/// The head is whole, so no timeout of heads ends it; the deadline of the call must.
#[tokio::test]
async fn a_request_body_that_trickles_in_is_ended() {
    let connections = ConnectionsConfig {
        request_timeout: Duration::from_millis(500),
        ..ConnectionsConfig::default()
    };
    let unary_deadline = Some(Duration::from_millis(500));
    let config = ServeConfig { unary_deadline, connections, ..ServeConfig::default() };
    let server = TestServer::start_with(config).await;
    for path in [HELLO, STREAM] {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc-web\r\n\
             content-length: 1000000\r\n\r\n\0\0\x0f\x42\x3b"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let (mut reads, mut writes) = stream.split();
        let drips = async {
            while writes.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let mut answer = [0; 4096];
        let read = async {
            tokio::select! {
                () = drips => 0,
                read = reads.read(&mut answer) => read.unwrap(),
            }
        };
        let read = patiently("the refusal", read).await;
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert!(answer.contains("grpc-status: 4\r\n"), "{path}: {answer}");
    }
    for protocol in PROTOCOLS {
        let body = frame(&ApiRequest { length: 1, after: 0 });
        let answer = wire::call(server.address(), protocol, ALL, body).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?}");
    }
    server.stop().await;
}

/// The message has come, so it is not late; that the client says no more cannot hold up the answer for ever.
#[tokio::test]
async fn a_request_that_has_come_is_not_late_though_its_client_does_not_end_it() {
    let connections = ConnectionsConfig {
        request_timeout: Duration::from_millis(500),
        ..ConnectionsConfig::default()
    };
    let server =
        TestServer::start_with(ServeConfig { connections, ..ServeConfig::default() }).await;
    let items = frame(&ApiRequest { length: 3, after: 0 });
    let answer = wire::answer_to_a_request_without_an_end(server.address(), &items).await;
    assert!(answer.contains("name 3") && answer.contains("grpc-status:0"), "{answer}");
    server.stop().await;
}
