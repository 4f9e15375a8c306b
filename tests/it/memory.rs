//! Clients that have the server hold bytes for them: requests that do not end, messages that are large once
//! unpacked, answers that nobody reads. What is held stays within its bounds, and meanwhile others are
//! answered: another address whatever it asks, and this one's small calls.

use std::{io::Write as _, net::SocketAddr, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{Request, header};
use runnel::config::{ConnectionsConfig, ServeConfig};
use runnel_protos::api::{ApiRequest, Hello, HelloRequest, Items};
use runnel_tests::{
    binary::Binary,
    http2::{self, Http2, flag, kind},
    metrics::Metrics,
    patiently,
    server::TestServer,
    wire::{self, Protocol, frame, is_none_the_worse},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};
use tonic::Code;

const HELLO: &str = "/api.Api/sayHello";
const ALL: &str = "/api.Api/getAll";

const MIB: usize = 1024 * 1024;

/// `SETTINGS_INITIAL_WINDOW_SIZE`: RFC 9113 section 6.5.2.
const INITIAL_WINDOW_SIZE: u16 = 4;

/// What one address may have here: two large messages, and not three.
const PER_ADDRESS: usize = 10 * MIB;

/// More of a thing than there is room for.
const MANY: usize = 16;

/// What a small server holds.
fn config() -> ServeConfig {
    ServeConfig {
        max_held_bytes: Some(2 * PER_ADDRESS),
        max_held_bytes_per_address: Some(PER_ADDRESS),
        ..ServeConfig::default()
    }
}

/// Almost four MiB.
fn large_request() -> ApiRequest {
    ApiRequest { length: 200_000, after: 0 }
}

fn held(metrics: &Metrics) -> usize {
    usize::try_from(metrics.sum("runnel_message_bytes_held", &[])).unwrap()
}

fn refused(metrics: &Metrics) -> i64 {
    metrics.sum("runnel_messages_refused_total", &["bound=\"max_held_bytes_per_address\""])
}

/// Once the server has refused what it has no room for: it holds no more than it may, answers others, and
/// holds nothing when the clients are `gone`.
async fn is_bounded<T>(server: &TestServer, clients: T) {
    let admin = server.admin_address();
    let metrics = Metrics::read_until(admin, "a refusal", |metrics| refused(metrics) > 0).await;
    assert!(held(&metrics) > PER_ADDRESS / 2, "something is held: {}", held(&metrics));
    assert!(held(&metrics) <= PER_ADDRESS, "{}", held(&metrics));

    is_none_the_worse(server.address()).await;
    let elsewhere = TcpSocket::new_v4().unwrap();
    elsewhere.bind(([127, 0, 0, 2], 0).into()).unwrap();
    let elsewhere = elsewhere.connect(server.address()).await.unwrap();
    let request = Request::post(ALL)
        .header(header::CONTENT_TYPE, Protocol::GrpcWeb.content_type())
        .body(Bytes::from(frame(&large_request())))
        .unwrap();
    let answer = wire::http1_over(elsewhere, server.address(), request).await;
    let answer = wire::answer(answer).await;
    assert_eq!(answer.code(), Some(Code::Ok), "{}", answer.message());
    assert_eq!(answer.decode::<Items>()[0].items.len(), 200_000);

    drop(clients);
    Metrics::read_until(admin, "nothing held", |metrics| held(metrics) == 0).await;
    let hello = frame(&HelloRequest { name: "x".repeat(3 * MIB) });
    let answer = wire::call(server.address(), Protocol::Grpc, HELLO, hello).await;
    assert_eq!(answer.decode::<Hello>()[0].message.len(), 3 * MIB + "Hello !".len());
}

/// Sends these bytes as the beginning of a request, which goes on.
async fn begin_http1(
    address: SocketAddr,
    content_type: &'static str,
    encoding: &'static str,
    body: Bytes,
) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {HELLO} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\n\
         grpc-encoding: {encoding}\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n",
        body.len()
    );
    // It may be refused before it was all sent.
    let _ = stream.write_all(&[head.as_bytes(), &body, b"\r\n"].concat()).await;
    stream
}

/// All but the end of a message of four MiB.
fn unfinished() -> Vec<u8> {
    let whole = frame(&HelloRequest { name: "x".repeat(4 * MIB - 100) });
    whole[..whole.len() - 10].to_vec()
}

#[tokio::test]
async fn unfinished_requests_are_bounded_over_http1() {
    for protocol in [Protocol::GrpcWeb, Protocol::GrpcWebText] {
        let server = TestServer::start_with(config()).await;
        let body = protocol.encode(unfinished());
        let begin =
            || begin_http1(server.address(), protocol.content_type(), "identity", body.clone());
        let clients: JoinSet<_> = (0..MANY).map(|_| begin()).collect();
        is_bounded(&server, clients).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn unfinished_requests_are_bounded_over_http2_and_a_refusal_says_when_to_come_again() {
    let server = TestServer::start_with(config()).await;
    let address = server.address();
    let clients: Vec<_> = (0..MANY)
        .map(|_| {
            let name = "x".repeat(4 * MIB - 100);
            tokio::spawn(async move {
                // It has sent all but its end, which it never says.
                let (sender, body) = tokio::sync::mpsc::channel::<Bytes>(1);
                let call = tokio::spawn(call_with_body(address, body));
                sender.send(frame(&HelloRequest { name }).into()).await.unwrap();
                let answer = call.await.unwrap();
                drop(sender);
                answer
            })
        })
        .collect();
    let admin = server.admin_address();
    let metrics = Metrics::read_until(admin, "refusals", |metrics| {
        refused(metrics) >= i64::try_from(MANY).unwrap() - 2
    })
    .await;
    assert!(held(&metrics) <= PER_ADDRESS, "{}", held(&metrics));
    is_none_the_worse(address).await;
    let mut refusals = 0;
    for client in clients {
        if client.is_finished() {
            let answer = client.await.unwrap();
            assert_eq!(answer.code(), Some(Code::ResourceExhausted));
            assert!(answer.trailers.contains_key("grpc-status-details-bin"), "RetryInfo");
            refusals += 1;
        } else {
            client.abort();
        }
    }
    assert!(refusals >= MANY - 3, "{refusals}");
    server.stop().await;
}

/// A call over HTTP/2 whose request's body is what comes.
async fn call_with_body(
    address: SocketAddr,
    mut body: tokio::sync::mpsc::Receiver<Bytes>,
) -> wire::Answer {
    use http_body_util::StreamBody;
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let stream = TcpStream::connect(address).await.unwrap();
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let pieces = futures_util::stream::poll_fn(move |cx| {
        body.poll_recv(cx)
            .map(|piece| piece.map(|piece| Ok::<_, std::io::Error>(http_body::Frame::data(piece))))
    });
    let request = Request::post(format!("http://{address}{HELLO}"))
        .header(header::CONTENT_TYPE, Protocol::Grpc.content_type())
        .body(StreamBody::new(pieces))
        .unwrap();
    wire::answer(sender.send_request(request).await.unwrap()).await
}

#[tokio::test]
async fn messages_that_are_large_once_unpacked_are_bounded() {
    let message = frame(&HelloRequest { name: "x".repeat(4 * MIB - 100) });
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&message[5..]).unwrap();
    let packed = packed.finish().unwrap();
    let length = u32::try_from(packed.len()).unwrap().to_be_bytes();
    let packed = [&[1][..], &length, &packed].concat();
    assert!(packed.len() < 16 * 1024, "it is small on its way");

    let server = TestServer::start_with(config()).await;
    let (content_type, packed) = (Protocol::GrpcWeb.content_type(), Bytes::from(packed));
    let begin = || begin_http1(server.address(), content_type, "gzip", packed.clone());
    let clients: JoinSet<_> = (0..MANY).map(|_| begin()).collect();
    is_bounded(&server, clients).await;
    server.stop().await;
}

/// Asks for a large answer and reads none of it.
async fn ask_http1(address: SocketAddr, protocol: Protocol) -> TcpStream {
    // With a small buffer, so that not much of it is gone from the server.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let body = protocol.encode(frame(&large_request()));
    let head = format!(
        "POST {ALL} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n",
        protocol.content_type(),
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
    stream
}

/// The same over HTTP/2, with a window of so many bytes; the answers of several calls on one connection.
async fn ask_http2(address: SocketAddr, window_bytes: u32, calls: u32) -> Http2 {
    ask_http2_for(address, window_bytes, calls, large_request()).await
}

async fn ask_http2_for(
    address: SocketAddr,
    window_bytes: u32,
    calls: u32,
    request: ApiRequest,
) -> Http2 {
    let mut http2 = Http2::connect(address, &[(INITIAL_WINDOW_SIZE, window_bytes)]).await;
    for call in 0..calls {
        let stream = 2 * call + 1;
        let headers = http2::call_headers(ALL);
        http2
            .send(&http2::frame(kind::HEADERS, flag::END_HEADERS, stream, &headers))
            .await
            .unwrap();
        let body = frame(&request);
        http2.send(&http2::frame(kind::DATA, flag::END_STREAM, stream, &body)).await.unwrap();
    }
    http2
}

#[tokio::test]
async fn answers_that_nobody_reads_are_bounded_over_http1() {
    for protocol in [Protocol::GrpcWeb, Protocol::GrpcWebText] {
        let server = TestServer::start_with(config()).await;
        let mut clients = Vec::new();
        for _ in 0..MANY {
            clients.push(ask_http1(server.address(), protocol).await);
        }
        is_bounded(&server, clients).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn answers_that_nobody_reads_are_bounded_over_http2() {
    // One byte of window has hyper take a whole piece.
    for window_bytes in [0, 1, 65_535] {
        let server = TestServer::start_with(config()).await;
        let calls = u32::try_from(MANY).unwrap();
        let client = ask_http2(server.address(), window_bytes, calls).await;
        is_bounded(&server, client).await;
        server.stop().await;
    }
}

fn impatient() -> ServeConfig {
    let answer_timeout = Duration::from_millis(500);
    let connections = ConnectionsConfig { answer_timeout, ..ConnectionsConfig::default() };
    ServeConfig { connections, ..ServeConfig::default() }
}

/// Its place, its memory and its stream or connection are free again.
#[tokio::test]
async fn a_unary_answer_that_nobody_reads_ends() {
    let server = TestServer::start_with(impatient()).await;
    let mut http1 = Vec::new();
    for protocol in [Protocol::GrpcWeb, Protocol::GrpcWebText] {
        http1.push(ask_http1(server.address(), protocol).await);
    }
    let mut http2 = ask_http2(server.address(), 1000, 1).await;
    let reset = http2.until(kind::RST_STREAM).await.expect("a reset, and no end of the connection");
    assert_eq!(reset.stream, 1);
    let ping = http2::frame(kind::PING, flag::NONE, 0, b"are you?");
    http2.send(&ping).await.unwrap();
    assert_eq!(http2.until(kind::PING).await.unwrap().payload, b"are you?");

    Metrics::read_until(server.admin_address(), "no call and nothing held", |metrics| {
        held(metrics) == 0 && metrics.sum("runnel_open_calls", &[]) == 0
    })
    .await;
    for mut client in http1 {
        let mut answer = Vec::new();
        // An Err says that it was reset.
        let _ = patiently("the end", client.read_to_end(&mut answer)).await;
        assert!(!String::from_utf8_lossy(&answer).contains("grpc-status"), "it was cut off");
    }
    server.stop().await;
}

/// Small answers are no larger than what waits in a connection's buffers, and many of them are not small.
#[tokio::test]
async fn small_answers_that_nobody_reads_end_but_for_a_few() {
    const CALLS: usize = 150;
    let server = TestServer::start_with(impatient()).await;
    let request = ApiRequest { length: 700, after: 0 };
    let answer_bytes = frame(&request).len().max(700 * 12);
    let calls = u32::try_from(CALLS).unwrap();
    let mut http2 = ask_http2_for(server.address(), 1, calls, request).await;
    // What a connection may keep of calls that are over.
    let kept = 64 * 1024 / answer_bytes + 1;
    for reset in 0..CALLS - kept {
        assert!(http2.until(kind::RST_STREAM).await.is_some(), "after {reset} resets");
    }
    Metrics::read_until(server.admin_address(), "no call", |metrics| {
        metrics.sum("runnel_open_calls", &[]) == 0
    })
    .await;
    server.stop().await;
}

/// A client on a slow line reads for longer than that, and always something.
#[tokio::test]
async fn a_unary_answer_that_is_read_slowly_comes_whole() {
    let server = TestServer::start_with(impatient()).await;
    for protocol in [Protocol::GrpcWeb, Protocol::GrpcWebText] {
        let mut client = ask_http1(server.address(), protocol).await;
        let (mut answer, mut part) = (Vec::new(), vec![0; 64 * 1024]);
        while !answer.ends_with(b"0\r\n\r\n") {
            let read = patiently("more", client.read(&mut part)).await.unwrap();
            assert_ne!(read, 0, "it was cut off after {} bytes", answer.len());
            answer.extend_from_slice(&part[..read]);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    server.stop().await;
}

/// A reader of a stream may pause: that is what streams are for.
#[tokio::test]
async fn a_stream_that_is_not_read_does_not_end() {
    let server = TestServer::start_with(impatient()).await;
    let mut stream = server.client().get_stream(1_000_000).await.unwrap();
    // A unary answer that nobody reads is given up three times meanwhile.
    for _ in 0..3 {
        let mut http2 = ask_http2(server.address(), 1000, 1).await;
        http2.until(kind::RST_STREAM).await.unwrap();
    }
    let mut items = 0;
    while let Some(item) = stream.next().await {
        item.unwrap();
        items += 1;
    }
    assert_eq!(items, 1_000_000);
    server.stop().await;
}

/// What the process itself has: everything that was attacked above, in a container's size.
#[tokio::test]
async fn the_process_stays_small() {
    const CLIENTS: usize = 200;
    let server = Binary::start(&["--max-held-bytes", "67108864"]).await;
    let admin = server.admin_address().unwrap();
    let resident = |metrics: &Metrics| {
        let bytes = metrics.sum("process_resident_memory_bytes", &[]);
        usize::try_from(bytes).unwrap()
    };
    let before = resident(&Metrics::read(admin).await);
    let (content_type, body) = (Protocol::GrpcWeb.content_type(), Bytes::from(unfinished()));
    let begin = || begin_http1(server.address(), content_type, "identity", body.clone());
    let clients: JoinSet<_> = (0..CLIENTS).map(|_| begin()).collect();
    let mut readers = Vec::new();
    for _ in 0..CLIENTS {
        readers.push(ask_http2(server.address(), 1, 1).await);
    }
    let after = Metrics::read_until(admin, "refusals", |metrics| {
        let open = metrics.sum("runnel_open_calls", &[]);
        metrics.sum("runnel_messages_refused_total", &[]) > 0 && open < 100
    })
    .await;
    let grown = resident(&after).saturating_sub(before);
    assert!(grown < 256 * MIB, "by {} MiB", grown / MIB);
    is_none_the_worse(server.address()).await;
    drop((clients, readers));
    Metrics::read_until(admin, "nothing held", |metrics| held(metrics) == 0).await;
}
