//! The end of the server: what is open may finish, then it is told, then it is cut off.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use runnel::config::ServeConfig;
use runnel_protos::api::{
    ApiRequest, Hello, HelloRequest, Item, Items,
    api_server::{Api, ApiServer},
};
use runnel_rpc::Services;
use runnel_tests::{
    binary::Binary,
    for_each_role, patiently,
    server::{Role, TestServer},
    waiting::{
        self,
        Event::{Began, Gone},
        Events, length,
    },
    wire::{self, PROTOCOLS, Protocol, frame},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};
use tonic::{Code, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

for_each_role! {
    open_calls_end_as_unavailable_at_the_drain_deadline,
    a_call_that_was_begun_is_answered_and_its_connection_closed,
    an_idle_connection_is_closed_soon_and_http2_gets_a_goaway,
    readers_that_are_stuck_do_not_hold_up_the_end,
    health_watchers_are_told_and_the_watch_does_not_hold_up_the_end,
}

const HELLO: &str = "/api.Api/sayHello";
const ALL: &str = "/api.Api/getAll";
const STREAM: &str = "/api.Api/getStream";

/// Longer than any test waits.
const NEVER: Duration = Duration::from_hours(1);

async fn start(role: Role, drain_deadline: Duration) -> (TestServer, Events) {
    let (services, events) = waiting::services();
    let config = ServeConfig { drain_deadline, ..ServeConfig::default() };
    (role.start_services(services, config).await, events)
}

fn items(length: i32) -> Vec<u8> {
    frame(&ApiRequest { length, after: 0 })
}

/// Waits until nobody is let in any more, which is when the drain has begun.
async fn until_closed(address: SocketAddr) {
    patiently("the end of accepting", async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn open_calls_end_as_unavailable_at_the_drain_deadline(role: Role) {
    for protocol in PROTOCOLS {
        // A stream that waits, one that never does, and a unary call that has not answered.
        for (path, body, at_least) in [
            (STREAM, items(3), 3),
            (STREAM, items(length::ENDLESS), 1),
            (HELLO, frame(&HelloRequest::default()), 0),
        ] {
            if role == Role::Forwards && body == items(length::ENDLESS) {
                // It ends within a message, and so breaks off.
                continue;
            }
            let (mut server, mut events) = start(role, Duration::from_millis(500)).await;
            let call = tokio::spawn(wire::call(server.address(), protocol, path, body));
            events.expect(Began).await;
            server.begin_shutdown();
            let answer = patiently("the end of the call", call).await.unwrap();
            assert_eq!(answer.http_status, StatusCode::OK);
            assert_eq!(answer.code(), Some(Code::Unavailable), "{protocol:?} {path}");
            assert!(answer.message().contains("shutting%20down"), "{}", answer.message());
            assert!(answer.decode::<Item>().len() >= at_least, "{protocol:?} {path}");
            let in_the_head = answer.headers.contains_key("grpc-status");
            assert_eq!(in_the_head, path == HELLO, "{protocol:?} {path}");
            events.expect(Gone).await;
            server.ended().await;
        }
    }
}

async fn a_call_that_was_begun_is_answered_and_its_connection_closed(role: Role) {
    let (mut server, _events) = start(role, NEVER).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let body = items(1);
    let head = format!(
        "POST {ALL} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc-web\r\n\
         expect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // This comes when somebody asks for the body: the call has begun.
    let mut go_on = [0; 25];
    patiently("100 Continue", stream.read_exact(&mut go_on)).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    server.begin_shutdown();
    until_closed(server.address()).await;
    stream.write_all(&body).await.unwrap();
    let mut answer = Vec::new();
    patiently("the answer", stream.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(answer.ends_with("grpc-status:0\r\n\r\n0\r\n\r\n"), "{answer}");
    server.ended().await;
}

async fn an_idle_connection_is_closed_soon_and_http2_gets_a_goaway(role: Role) {
    let (mut server, mut events) = start(role, NEVER).await;
    let mut idle = TcpStream::connect(server.address()).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    idle.read_u8().await.unwrap();
    // A call that stays keeps its connection.
    let mut stream = server.client().get_stream(1).await.unwrap();
    events.expect(Began).await;
    stream.next().await.unwrap().unwrap();
    let mut http2 = TcpStream::connect(server.address()).await.unwrap();
    http2.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    http2.read_u8().await.unwrap();

    server.begin_shutdown();
    patiently("the close", idle.read_to_end(&mut Vec::new())).await.unwrap();
    // The last stream it may still open, none, and NO_ERROR: RFC 9113 section 6.8.
    let goaway = b"\0\0\x08\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\0";
    let mut frames = Vec::new();
    patiently("GOAWAY", async {
        while !frames.windows(goaway.len()).any(|window| window == goaway) {
            assert_ne!(http2.read_buf(&mut frames).await.unwrap(), 0, "{frames:?}");
        }
    })
    .await;
    assert!(events.is_quiet(), "the stream goes on");
    drop((stream, http2));
    server.ended().await;
}

async fn health_watchers_are_told_and_the_watch_does_not_hold_up_the_end(role: Role) {
    let (mut server, _events) = start(role, NEVER).await;
    let request = HealthCheckRequest { service: "api.Api".into() };
    let watch = HealthClient::new(server.channel()).watch(request).await;
    let mut watch = watch.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    server.begin_shutdown();
    if role == Role::Answers {
        let told = patiently("the news", watch.message()).await.unwrap().unwrap();
        assert_eq!(told.status(), ServingStatus::NotServing);
    }
    // A forwarded watch is of the backend's health, which is as it was.
    let end = patiently("the end of the watch", watch.message()).await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable);
    server.ended().await;
}

/// They ask for more than every buffer on the way holds, and read nothing.
async fn stuck_readers(address: SocketAddr, events: &mut Events) -> Vec<Box<dyn Send>> {
    let mut stuck: Vec<Box<dyn Send>> = Vec::new();
    for protocol in [Protocol::GrpcWeb, Protocol::Grpc] {
        for _ in 0..10 {
            let request = Request::post(STREAM)
                .header(header::CONTENT_TYPE, protocol.content_type())
                .body(Bytes::from(items(length::ENDLESS)))
                .unwrap();
            let response = match protocol {
                Protocol::Grpc => wire::http2_request(address, request).await,
                _ => wire::http1_request(address, request).await,
            };
            events.expect(Began).await;
            stuck.push(Box::new(response));
        }
    }
    stuck
}

async fn readers_that_are_stuck_do_not_hold_up_the_end(role: Role) {
    let (mut server, mut events) = start(role, Duration::from_millis(100)).await;
    let stuck = stuck_readers(server.address(), &mut events).await;
    assert_eq!(stuck.len(), 20);
    server.begin_shutdown();
    server.ended().await;
    for _ in 0..20 {
        events.expect(Gone).await;
    }
}

#[tokio::test]
async fn the_process_ends_with_exit_code_0_whoever_is_stuck() {
    let backend = TestServer::start().await;
    let backend_url = backend.url();
    for role in [&[][..], &["--backend", &backend_url]] {
        let args = [&["--drain-deadline", "100ms"], role].concat();
        let mut binary = Binary::start(&args).await;
        let mut stuck = Vec::new();
        for _ in 0..20 {
            let request = Request::post(STREAM)
                .header(header::CONTENT_TYPE, "application/grpc-web")
                .body(Bytes::from(items(i32::MAX)))
                .unwrap();
            stuck.push(wire::http1_request(binary.address(), request).await);
        }
        binary.signal("TERM").await;
        assert_eq!(binary.exit().await.code(), Some(0));
    }
    backend.stop().await;
}

/// Answers `getAll` after a moment, and counts how often it began to.
struct Counting(Arc<AtomicUsize>);

#[tonic::async_trait]
impl Api for Counting {
    async fn say_hello(&self, _: tonic::Request<HelloRequest>) -> Result<Response<Hello>, Status> {
        Err(Status::unimplemented("not counted"))
    }

    async fn get_all(&self, _: tonic::Request<ApiRequest>) -> Result<Response<Items>, Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        // Others are admitted meanwhile, so that the drain finds calls in every state.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let item = |id| Item { id, name: "x".repeat(100) };
        Ok(Response::new(Items { items: (0..100).map(item).collect() }))
    }

    type getStreamStream = stream::Empty<Result<Item, Status>>;

    async fn get_stream(
        &self,
        _: tonic::Request<ApiRequest>,
    ) -> Result<Response<Self::getStreamStream>, Status> {
        Err(Status::unimplemented("not counted"))
    }
}

/// Calls one after another until the connection takes no more; gives how many were answered.
async fn call_on<S, F>(address: SocketAddr, mut send: S, answered: Arc<AtomicUsize>)
where
    S: FnMut(Request<Full<Bytes>>) -> F,
    F: Future<Output = hyper::Result<http::Response<hyper::body::Incoming>>>,
{
    loop {
        let request = Request::post(format!("http://{address}{ALL}"))
            .header(header::HOST, address.to_string())
            .header(header::CONTENT_TYPE, "application/grpc-web")
            .body(Full::new(Bytes::from(items(1))))
            .unwrap();
        let Ok(response) = send(request).await else { return };
        // Begun, and so it must be whole.
        let answer = wire::answer(response).await;
        assert_eq!(answer.code(), Some(Code::Ok));
        answered.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_under_load_loses_no_unary_call_that_was_admitted() {
    for role in [Role::Answers, Role::Forwards].repeat(5) {
        let (begun, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let services = Services::new()
            .add_service(ApiServer::new(Counting(Arc::clone(&begun))))
            .describe(runnel_protos::DESCRIPTOR_SET);
        let mut server = role.start_services(services, ServeConfig::default()).await;
        let mut callers = JoinSet::new();
        for _ in 0..8 {
            let io = TokioIo::new(TcpStream::connect(server.address()).await.unwrap());
            let (mut sender, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            let send = move |request| sender.send_request(request);
            callers.spawn(call_on(server.address(), send, Arc::clone(&answered)));
            let io = TokioIo::new(TcpStream::connect(server.address()).await.unwrap());
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            for _ in 0..8 {
                let mut sender = sender.clone();
                let send = move |request| sender.send_request(request);
                callers.spawn(call_on(server.address(), send, Arc::clone(&answered)));
            }
        }
        patiently("some load", async {
            while answered.load(Ordering::SeqCst) < 500 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        server.begin_shutdown();
        patiently("the end of every caller", async {
            while let Some(caller) = callers.join_next().await {
                caller.unwrap();
            }
        })
        .await;
        server.ended().await;
        assert_eq!(answered.load(Ordering::SeqCst), begun.load(Ordering::SeqCst));
    }
}
