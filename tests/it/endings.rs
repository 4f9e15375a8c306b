//! How calls end other than well: too late, given up by their client, one too many. Each ends with
//! exactly one right status, its handler is dropped, its place is free again.
//!
//! Where a handler must begin before its deadline passes, the deadline is long enough for a busy machine.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, header};
use prost::Message as _;
use runnel::config::ServeConfig;
use runnel_protos::api::{ApiRequest, HelloRequest, Item};
use runnel_tests::{
    for_each_role, patiently,
    server::{Role, TestServer},
    waiting::{
        self,
        Event::{Began, Gone},
        Events, length,
    },
    wire::{self, Answer, PROTOCOLS, Protocol, frame, is_none_the_worse},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Code;
use tonic_types::StatusExt as _;

// Not here is what is only for unary calls: of forwarded ones nobody knows which are. And where a deadline
// ends a forwarded stream that never waits, it does so within a message.
for_each_role! {
    a_call_ends_at_its_deadline_in_whatever_unit_it_is_given,
    a_malformed_deadline_is_refused,
    a_deadline_during_a_stream_comes_in_the_trailers_and_drops_the_producer,
    a_client_that_goes_away_takes_the_handler_with_it_even_while_it_waits,
    a_stream_too_many_is_refused_with_when_to_try_again,
    a_place_is_free_again_after_every_kind_of_end,
    a_body_that_never_ends_is_ended_by_its_deadline,
    a_compressed_bomb_is_refused,
    base64_is_an_error_wherever_it_is_cut,
}

const HELLO: &str = "/api.Api/sayHello";
const STREAM: &str = "/api.Api/getStream";

async fn start(role: Role, config: ServeConfig) -> (TestServer, Events) {
    let (services, events) = waiting::services();
    (role.start_services(services, config).await, events)
}

fn hello() -> Vec<u8> {
    frame(&HelloRequest { name: "Gonzalo".into() })
}

fn items(length: i32) -> Vec<u8> {
    frame(&ApiRequest { length, after: 0 })
}

async fn call_within(
    address: SocketAddr,
    protocol: Protocol,
    path: &str,
    body: Vec<u8>,
    timeout: &str,
) -> Answer {
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, protocol.content_type())
        .header("grpc-timeout", timeout)
        .body(protocol.encode(body))
        .unwrap();
    wire::send(address, protocol, request).await
}

async fn a_call_ends_at_its_deadline_in_whatever_unit_it_is_given(role: Role) {
    let (server, mut events) = start(role, ServeConfig::default()).await;
    for protocol in PROTOCOLS {
        for timeout in ["20m", "20000u", "20000000n"] {
            let answer = call_within(server.address(), protocol, HELLO, hello(), timeout).await;
            assert_eq!(answer.code(), Some(Code::DeadlineExceeded), "{protocol:?} {timeout}");
            assert!(answer.headers.contains_key("grpc-status"), "nothing was sent before");
            // On a busy machine the deadline may pass before the handler begins.
            let happened = events.so_far();
            assert!(matches!(happened[..], [] | [Began, Gone]), "{happened:?}");
        }
        // A deadline that has passed already: the handler does not begin.
        for timeout in ["0H", "0M", "0S", "0m"] {
            let answer = call_within(server.address(), protocol, HELLO, hello(), timeout).await;
            assert_eq!(answer.code(), Some(Code::DeadlineExceeded), "{protocol:?} {timeout}");
            assert!(events.is_quiet());
        }
        // And one that is far off changes nothing.
        for timeout in ["1H", "1M", "30S", "99999999H"] {
            let path = "/api.Api/getAll";
            let answer = call_within(server.address(), protocol, path, items(1), timeout).await;
            assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?} {timeout}");
        }
    }
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

async fn a_malformed_deadline_is_refused(role: Role) {
    let (server, events) = start(role, ServeConfig::default()).await;
    for protocol in PROTOCOLS {
        for timeout in ["", "1", "S", "1s", "-1S", "1.5S", "123456789", "forever"] {
            let answer = call_within(server.address(), protocol, HELLO, hello(), timeout).await;
            assert_eq!(answer.code(), Some(Code::InvalidArgument), "{protocol:?} {timeout:?}");
            assert!(answer.message().contains("grpc-timeout"), "{}", answer.message());
        }
    }
    assert!(events.is_quiet(), "no handler began");
    server.stop().await;
}

async fn a_deadline_during_a_stream_comes_in_the_trailers_and_drops_the_producer(role: Role) {
    let (server, mut events) = start(role, ServeConfig::default()).await;
    for protocol in PROTOCOLS {
        let answer = call_within(server.address(), protocol, STREAM, items(3), "1000m").await;
        assert_eq!(answer.decode::<Item>().len(), 3, "{protocol:?}");
        assert_eq!(answer.code(), Some(Code::DeadlineExceeded), "{protocol:?}");
        assert!(!answer.headers.contains_key("grpc-status"), "the head was out");
        events.expect(Began).await;
        events.expect(Gone).await;
    }
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

/// A stream that always has a next item is never waited for, and would outlive a deadline that is only
/// looked at while waiting.
#[tokio::test]
async fn a_deadline_ends_a_stream_that_never_waits() {
    let (server, mut events) = start(Role::Answers, ServeConfig::default()).await;
    for protocol in PROTOCOLS {
        let body = items(length::ENDLESS);
        let answer = call_within(server.address(), protocol, STREAM, body, "500m").await;
        assert_eq!(answer.code(), Some(Code::DeadlineExceeded), "{protocol:?}");
        events.expect(Began).await;
        events.expect(Gone).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn the_operators_cap_is_for_unary_calls() {
    let unary_deadline = Some(Duration::from_millis(500));
    let config = ServeConfig { unary_deadline, ..ServeConfig::default() };
    let (server, mut events) = start(Role::Answers, config).await;
    let mut stream = server.client().get_stream(1).await.unwrap();
    events.expect(Began).await;
    stream.next().await.unwrap().unwrap();

    for protocol in PROTOCOLS {
        let answer = wire::call(server.address(), protocol, HELLO, hello()).await;
        assert_eq!(answer.code(), Some(Code::DeadlineExceeded), "{protocol:?}");
        let answer = call_within(server.address(), protocol, HELLO, hello(), "1H").await;
        assert_eq!(answer.code(), Some(Code::DeadlineExceeded), "the client cannot lift it");
        for event in [Began, Gone, Began, Gone] {
            events.expect(event).await;
        }
    }
    // The stream has lived through six such deadlines.
    assert!(events.is_quiet());
    drop(stream);
    events.expect(Gone).await;
    server.stop().await;
}

async fn a_client_that_goes_away_takes_the_handler_with_it_even_while_it_waits(role: Role) {
    let (server, mut events) = start(role, ServeConfig::default()).await;
    for (path, body) in [(HELLO, hello()), (STREAM, items(1))] {
        for reset in [false, true] {
            let mut stream = TcpStream::connect(server.address()).await.unwrap();
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc-web\r\n\
                 content-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
            events.expect(Began).await;
            if reset {
                stream.set_zero_linger().unwrap();
            }
            drop(stream);
            events.expect(Gone).await;
        }
    }
    // Over HTTP/2 it is a RST_STREAM; the connection goes on.
    let client = server.client();
    let mut stream = client.get_stream(1).await.unwrap();
    events.expect(Began).await;
    stream.next().await.unwrap().unwrap();
    drop(stream);
    events.expect(Gone).await;
    let unanswered = tokio::spawn(async move { client.say_hello("x").await });
    events.expect(Began).await;
    unanswered.abort();
    events.expect(Gone).await;
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

async fn a_stream_too_many_is_refused_with_when_to_try_again(role: Role) {
    let config = ServeConfig { max_streams: 2, ..ServeConfig::default() };
    let (server, mut events) = start(role, config).await;
    let client = server.client();
    let open = [client.get_stream(1).await.unwrap(), client.get_stream(1).await.unwrap()];
    events.expect(Began).await;
    events.expect(Began).await;

    for protocol in PROTOCOLS {
        let answer = wire::call(server.address(), protocol, STREAM, items(1)).await;
        assert_eq!(answer.code(), Some(Code::ResourceExhausted), "{protocol:?}");
        assert!(answer.trailers.contains_key("grpc-status-details-bin"), "{protocol:?}");
    }
    let status = tonic_status(&server).await;
    let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
    assert_eq!(retry, Some(Duration::from_secs(1)));
    assert!(events.is_quiet(), "no handler began");
    if role == Role::Answers {
        // Unary calls have places of their own.
        is_none_the_worse(server.address()).await;
    }
    drop(open);
    server.stop().await;
}

async fn tonic_status(server: &TestServer) -> tonic::Status {
    let mut client = runnel_protos::api::api_client::ApiClient::new(server.channel());
    client.get_stream(ApiRequest { length: 1, after: 0 }).await.unwrap_err()
}

#[tokio::test]
async fn unary_calls_and_addresses_have_bounds_of_their_own() {
    for config in [
        ServeConfig { max_calls: 1, ..ServeConfig::default() },
        ServeConfig { max_calls_per_address: 1, ..ServeConfig::default() },
    ] {
        let (server, mut events) = start(Role::Answers, config).await;
        let client = server.client();
        let unanswered = tokio::spawn(async move { client.say_hello("x").await });
        events.expect(Began).await;
        for protocol in PROTOCOLS {
            let answer = wire::call(server.address(), protocol, HELLO, hello()).await;
            assert_eq!(answer.code(), Some(Code::ResourceExhausted), "{protocol:?}");
        }
        unanswered.abort();
        events.expect(Gone).await;
        until_admitted(server.address(), "/api.Api/getAll", items(0)).await;
        server.stop().await;
    }
}

/// One place, and every way a stream can end: after each it can be taken again.
async fn a_place_is_free_again_after_every_kind_of_end(role: Role) {
    let config = ServeConfig { max_streams: 1, ..ServeConfig::default() };
    let (server, mut events) = start(role, config).await;
    for protocol in PROTOCOLS {
        // A good end, a failure, a deadline before and after the first item.
        for (length, timeout, code) in [
            (0, "1H", Code::Ok),
            (length::FAILING, "1H", Code::DataLoss),
            (1, "500m", Code::DeadlineExceeded),
            (length::ENDLESS, "500m", Code::DeadlineExceeded),
        ] {
            if role == Role::Forwards && length == length::ENDLESS {
                continue;
            }
            let answer = until_admitted_within(&server, protocol, items(length), timeout).await;
            assert_eq!(answer.code(), Some(code), "{protocol:?} {length}");
            events.expect(Began).await;
            events.expect(Gone).await;
        }
        // Refusals take no place: a bad deadline, a body that is no message.
        let bad = call_within(server.address(), protocol, STREAM, items(1), "never").await;
        assert_eq!(bad.code(), Some(Code::InvalidArgument));
        let bad = until_admitted_within(&server, protocol, b"\0\0\0".to_vec(), "1H").await;
        assert_eq!(bad.code(), Some(Code::Internal), "{protocol:?}");
        assert!(events.is_quiet());
    }
    // A client that goes away.
    let mut stream = loop {
        if let Ok(stream) = server.client().get_stream(1).await {
            break stream;
        }
    };
    events.expect(Began).await;
    stream.next().await.unwrap().unwrap();
    drop(stream);
    events.expect(Gone).await;
    until_admitted_within(&server, Protocol::GrpcWeb, items(0), "1H").await;
    server.stop().await;
}

/// The place is given back a moment after the client has seen the end, so a refusal is asked again.
async fn until_admitted(address: SocketAddr, path: &str, body: Vec<u8>) -> Answer {
    patiently("admission", async {
        loop {
            let answer = wire::call(address, Protocol::GrpcWeb, path, body.clone()).await;
            if answer.code() != Some(Code::ResourceExhausted) {
                return answer;
            }
        }
    })
    .await
}

async fn until_admitted_within(
    server: &TestServer,
    protocol: Protocol,
    body: Vec<u8>,
    timeout: &str,
) -> Answer {
    patiently("admission", async {
        loop {
            let address = server.address();
            let answer = call_within(address, protocol, STREAM, body.clone(), timeout).await;
            if answer.code() != Some(Code::ResourceExhausted) {
                return answer;
            }
        }
    })
    .await
}

async fn a_body_that_never_ends_is_ended_by_its_deadline(role: Role) {
    let (server, events) = start(role, ServeConfig::default()).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = "POST /api.Api/sayHello HTTP/1.1\r\nhost: localhost\r\n\
                content-type: application/grpc-web\r\ngrpc-timeout: 50m\r\n\
                transfer-encoding: chunked\r\n\r\n2\r\n\0\0\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 1024];
    let read = patiently("an answer", stream.read(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.contains("grpc-status: 4\r\n"), "{answer}");
    assert!(events.is_quiet(), "no handler began");
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

async fn a_compressed_bomb_is_refused(role: Role) {
    let server = role.start(ServeConfig::default()).await;
    let zeros = HelloRequest { name: "\0".repeat(64 << 20) }.encode_to_vec();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gzip, &zeros).unwrap();
    let bomb = gzip.finish().unwrap();
    let length = u32::try_from(bomb.len()).unwrap();
    assert!(length < 1 << 20, "a small message: {length} bytes");
    let body = [&[1][..], &length.to_be_bytes(), &bomb].concat();
    for protocol in PROTOCOLS {
        let request = Request::post(HELLO)
            .header(header::CONTENT_TYPE, protocol.content_type())
            .header("grpc-encoding", "gzip")
            .body(protocol.encode(body.clone()))
            .unwrap();
        let answer = wire::send(server.address(), protocol, request).await;
        assert_eq!(answer.code(), Some(Code::ResourceExhausted), "{protocol:?}");
        // Not because of what the handler made of it: it was never inflated that far.
        assert!(answer.message().contains("decompressing"), "{}", answer.message());
    }
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

#[tokio::test]
async fn several_messages_or_garbage_after_one_are_refused() {
    let server = TestServer::start().await;
    for protocol in PROTOCOLS {
        for garbage in [&hello()[..], b"\0", b"\0\0\0\0\x01", b"garbage", b"\xff\xff\xff\xff\xff"] {
            let body = [&hello()[..], garbage].concat();
            let answer = wire::call(server.address(), protocol, HELLO, body).await;
            assert_eq!(answer.code(), Some(Code::Unimplemented), "{protocol:?} {garbage:?}");
        }
    }
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

async fn base64_is_an_error_wherever_it_is_cut(role: Role) {
    let server = role.start(ServeConfig::default()).await;
    let whole = Protocol::GrpcWebText.encode(hello());
    for cut in 1..whole.len() {
        let request = Request::post(HELLO)
            .header(header::CONTENT_TYPE, "application/grpc-web-text")
            .body(Bytes::copy_from_slice(&whole[..cut]))
            .unwrap();
        let answer = wire::send(server.address(), Protocol::GrpcWebText, request).await;
        assert_eq!(answer.code(), Some(Code::Internal), "cut at {cut}");
    }
    is_none_the_worse(server.address()).await;
    server.stop().await;
}
