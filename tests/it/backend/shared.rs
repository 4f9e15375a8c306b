//! What the clients of a backend share: the windows and the patience of its connections. One client that
//! uses them up does not take them from the others.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use h2::{SendStream, client};
use http::{Request, header};
use runnel_tests::{
    go::{self, Transport},
    metrics::Metrics,
    patiently,
    server::TestServer,
    wire::{self, PROTOCOLS, Protocol, frame},
};
use tokio::net::{TcpSocket, TcpStream};
use tonic::{Code, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use super::{Answer, Ask, front, tonic_server};

const UNARY: &str = "/rich.Rich/Unary";

/// Begins calls that send four MiB to a handler that reads nothing, and sends on in the background.
struct Hog {
    client: client::SendRequest<Bytes>,
    calls: Vec<(client::ResponseFuture, tokio::task::JoinHandle<()>)>,
}

impl Hog {
    /// From another address than the other clients have.
    async fn connect_from(host: u8, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into()).unwrap();
        let stream: TcpStream = socket.connect(address).await.unwrap();
        let (client, connection) = client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self { client, calls: Vec::new() }
    }

    async fn begin(&mut self, path: &str) {
        let mut client = self.client.clone().ready().await.unwrap();
        let (answer, body) = client.send_request(post(path, "0s"), false).unwrap();
        let sending =
            tokio::spawn(send(body, frame(&Ask { payload: vec![7; 4_000_000], ..Ask::default() })));
        self.calls.push((answer, sending));
    }
}

/// For `test.Http` of the Go backend, whose slow method takes so long.
fn post(path: &str, slow: &str) -> Request<()> {
    Request::post(format!("http://localhost{path}"))
        .header(header::CONTENT_TYPE, Protocol::Grpc.content_type())
        .header(header::TE, "trailers")
        .header("x-slow", slow)
        .body(())
        .unwrap()
}

async fn send(mut body: SendStream<Bytes>, bytes: Vec<u8>) {
    let mut bytes = Bytes::from(bytes);
    while !bytes.is_empty() {
        body.reserve_capacity(bytes.len().min(16 * 1024));
        let Some(Ok(_)) = std::future::poll_fn(|cx| body.poll_capacity(cx)).await else {
            return;
        };
        let piece = bytes.split_to(body.capacity().min(bytes.len()));
        if body.send_data(piece, false).is_err() {
            return;
        }
    }
    // It never ends.
    let _ = std::future::poll_fn(|cx| body.poll_reset(cx)).await;
}

async fn answers_everybody(front: &TestServer, bytes: usize) {
    let ask = frame(&Ask { messages: 1, payload: vec![7; bytes], ..Ask::default() });
    for protocol in PROTOCOLS {
        let call = wire::call(front.address(), protocol, UNARY, ask.clone());
        let answer = patiently("an answer", call).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?} {}", answer.message());
    }
}

/// A conversation that began on the same connection, before it was used up.
async fn conversation(
    front: &TestServer,
) -> (tokio::sync::mpsc::Sender<Ask>, tonic::codec::Streaming<Answer>) {
    let (asks, receiver) = tokio::sync::mpsc::channel(1);
    let receiver = stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|ask| (ask, receiver))
    });
    asks.send(Ask { messages: 1, ..Ask::default() }).await.unwrap();
    let mut client: Grpc<Channel> = Grpc::new(front.channel());
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/rich.Rich/Bidi");
    let codec = ProstCodec::<Ask, Answer>::default();
    let call = client.streaming(tonic::Request::new(receiver.boxed()), path, codec);
    let mut answers = patiently("an answer", call).await.unwrap().into_inner();
    patiently("a message", answers.message()).await.unwrap().unwrap();
    (asks, answers)
}

/// Go's `net/http` has one window of a MiB for a stream and for its connection.
#[tokio::test]
async fn a_request_that_a_go_backend_does_not_read_holds_up_nobody_else() {
    let backend = go::serve(Transport::NetHttp, &[]).await;
    unread_requests_hold_up_nobody_else(&backend.url()).await;
}

/// So has tonic.
#[tokio::test]
async fn a_request_that_a_tonic_backend_does_not_read_holds_up_nobody_else() {
    let backend = tonic_server::serve().await;
    unread_requests_hold_up_nobody_else(&backend.url).await;
}

async fn unread_requests_hold_up_nobody_else(backend_url: &str) {
    let front = front(&[backend_url]).await;
    let (asks, mut answers) = conversation(&front).await;
    let mut hog = Hog::connect_from(2, front.address()).await;
    hog.begin("/test.Http/ReadNothing").await;
    patiently("the hog's head", &mut hog.calls[0].0).await.unwrap();
    for bytes in [10, 100_000, 3_000_000] {
        answers_everybody(&front, bytes).await;
    }
    for round in 0..10_u8 {
        asks.send(Ask { payload: vec![round; 10_000], ..Ask::default() }).await.unwrap();
        patiently("more of the conversation", answers.message()).await.unwrap().unwrap();
    }
    for _ in 0..40 {
        hog.begin("/test.Http/ReadNothing").await;
    }
    for (answer, _) in &mut hog.calls[1..] {
        patiently("a head for each", answer).await.unwrap();
    }
    for round in 10..20_u8 {
        asks.send(Ask { payload: vec![round; 10_000], ..Ask::default() }).await.unwrap();
        patiently("more of the conversation", answers.message()).await.unwrap().unwrap();
    }
    answers_everybody(&front, 3_000_000).await;
    let metrics = Metrics::read(front.admin_address()).await;
    assert_eq!(metrics.sum("runnel_backend_down_total", &[]), 0);
    front.stop().await;
}

/// Whatever the windows are like: what is read goes on.
#[tokio::test]
async fn a_long_request_that_is_read_is_sent_to_its_end() {
    for transport in [Transport::NetHttp, Transport::Grpc] {
        let backend = go::serve(transport, &[]).await;
        let front = front(&[&backend.url()]).await;
        answers_everybody(&front, 4_000_000).await;
        front.stop().await;
    }
    let (_rich, front) = super::rich_and_front().await;
    answers_everybody(&front, 4_000_000).await;
    front.stop().await;
}

/// `net/http` allows four times as many handlers to wait as streams to be open, and closes the
/// connection of a client that begins and cancels more: under all its calls.
#[tokio::test]
async fn calls_that_some_clients_cancel_end_nobody_elses() {
    let backend = go::serve(Transport::NetHttp, &["--max-streams", "100"]).await;
    let mut config = super::config(&[&backend.url()]);
    config.backend.backend_reflection = false;
    let front = TestServer::start_with(config).await;
    let (asks, mut answers) = conversation(&front).await;
    let slow = |host: u8| {
        let address = front.address();
        async move {
            let hog = Hog::connect_from(host, address).await;
            let mut calls = Vec::new();
            for _ in 0..50 {
                let mut client = hog.client.clone().ready().await.unwrap();
                let (answer, mut body) =
                    client.send_request(post("/test.Http/Slow", "30s"), false).unwrap();
                body.send_data(frame(&Ask::default()).into(), true).unwrap();
                calls.push((answer, body));
            }
            calls
        }
    };
    // By many clients, each of whom may cancel some.
    for host in 0..20 {
        let calls = slow(2 + host).await;
        let begun = i64::from(host + 1) * 50 + 1;
        Metrics::read_until(front.admin_address(), "the calls at the backend", |metrics| {
            metrics.sum("runnel_backend_calls_total", &[]) >= begun
        })
        .await;
        drop(calls);
    }
    asks.send(Ask { payload: vec![1], ..Ask::default() }).await.unwrap();
    patiently("an answer", answers.message()).await.unwrap().unwrap();
    answers_everybody(&front, 10).await;
    let metrics = Metrics::read(front.admin_address()).await;
    assert_eq!(metrics.sum("runnel_backend_failures_total", &[]), 0);
    front.stop().await;
}
