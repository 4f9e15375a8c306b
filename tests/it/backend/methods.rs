//! What a backend's reflection says of its methods decides which rules hold for them, and names them in
//! the metrics.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, header};
use http_body_util::BodyExt as _;
use prost::Message;
use runnel::config::{ConnectionsConfig, ServeConfig};
use runnel_protos::api::{ApiRequest, HelloRequest};
use runnel_tests::{
    metrics::Metrics,
    patiently, python,
    server::TestServer,
    waiting,
    wire::{self, Protocol, frame},
};
use tonic::Code;
use tonic_reflection::pb::v1::{
    FileDescriptorResponse, ListServiceResponse, ServerReflectionResponse, ServiceResponse,
    server_reflection_response::MessageResponse,
};

use super::{
    Answer, Ask, config, handlers_until,
    odd::{Call, GRPC, Odd},
};

const UNARY: &str = "/rich.Rich/Unary";
const SERVER_STREAM: &str = "/rich.Rich/ServerStream";

fn post(path: &str, body: Vec<u8>) -> Request<Bytes> {
    let post = Request::post(path).header(header::CONTENT_TYPE, Protocol::GrpcWeb.content_type());
    post.body(body.into()).unwrap()
}

async fn call(front: &TestServer, path: &str, body: Vec<u8>) -> wire::Answer {
    wire::call(front.address(), Protocol::GrpcWeb, path, body).await
}

/// A stream, once it has begun.
async fn stream(
    front: &TestServer,
    path: &str,
    body: Vec<u8>,
) -> http::Response<hyper::body::Incoming> {
    let mut stream = wire::http1_request(front.address(), post(path, body)).await;
    let first = patiently("a message", stream.frame()).await.unwrap().unwrap();
    assert!(first.is_data());
    stream
}

fn one() -> Vec<u8> {
    frame(&Ask { messages: 1, ..Ask::default() })
}

fn waiting() -> Vec<u8> {
    frame(&Ask { messages: 1, wait: true, ..Ask::default() })
}

/// How many calls were counted for a method.
fn counted(metrics: &Metrics, method: &str) -> i64 {
    metrics.sum("grpc_server_started_total", &[&format!("grpc_method=\"{method}\"")])
}

/// Calls until calls of this method are counted as its own, or no longer.
pub(super) async fn until_counted_as(front: &TestServer, method: &str, path: &str, body: Vec<u8>) {
    patiently(&format!("calls counted for {method}"), async {
        let before = counted(&Metrics::read(front.admin_address()).await, method);
        while counted(&Metrics::read(front.admin_address()).await, method) == before {
            call(front, path, body.clone()).await;
        }
    })
    .await;
}

/// The Python server knows `v1alpha` of reflection only.
#[tokio::test]
async fn a_unary_call_has_the_unary_deadline_and_a_stream_has_not() {
    let rich = python::serve_with("rich_server.py", &["--reflection"]).await;
    let config =
        ServeConfig { unary_deadline: Some(Duration::from_secs(1)), ..config(&[&rich.url()]) };
    let front = TestServer::start_with(config).await;
    until_counted_as(&front, "Unary", UNARY, one()).await;

    let mut stream = stream(&front, SERVER_STREAM, waiting()).await;
    let answer = call(&front, UNARY, waiting()).await;
    assert_eq!(answer.code(), Some(Code::DeadlineExceeded), "{answer:?}");
    // It is older than the call that has just ended.
    assert!(stream.frame().now_or_never().is_none(), "the stream goes on");
    handlers_until(&rich, "one", |handlers| handlers.running == 1).await;
    drop(stream);
    front.stop().await;
}

/// So that nothing ends earlier on the day when somebody adds reflection.
#[tokio::test]
async fn the_unary_deadline_holds_with_reflection_and_without() {
    for flags in [&["--reflection"][..], &[]] {
        let rich = python::serve_with("rich_server.py", flags).await;
        let config =
            ServeConfig { unary_deadline: Some(Duration::from_secs(1)), ..config(&[&rich.url()]) };
        let front = TestServer::start_with(config).await;
        let is_known = !flags.is_empty();
        if is_known {
            until_counted_as(&front, "Unary", UNARY, one()).await;
        }
        let mut stream = stream(&front, SERVER_STREAM, waiting()).await;
        let answer = call(&front, UNARY, waiting()).await;
        assert_eq!(answer.code(), Some(Code::DeadlineExceeded), "{flags:?} {answer:?}");
        assert!(stream.frame().now_or_never().is_none(), "{flags:?}: the stream goes on");

        // A backend would hold the whole of a call to what it is told, which may be a stream.
        let left_ms = call(&front, UNARY, one()).await.decode::<Answer>()[0].left_ms;
        let told = if is_known { 0..=1000 } else { -1..=-1 };
        assert!(told.contains(&left_ms), "{flags:?}: {left_ms}");
        drop(stream);
        front.stop().await;
    }
}

#[tokio::test]
async fn nobody_but_its_client_sets_a_forwarded_call_a_deadline_unless_told_to() {
    let rich = python::serve_with("rich_server.py", &["--reflection"]).await;
    let front = TestServer::start_with(config(&[&rich.url()])).await;
    until_counted_as(&front, "Unary", UNARY, one()).await;
    let answer = call(&front, UNARY, one()).await;
    assert_eq!(answer.decode::<Answer>()[0].left_ms, -1);
    front.stop().await;
}

#[tokio::test]
async fn a_request_that_has_come_is_not_late_though_its_client_does_not_end_it() {
    let backend = TestServer::start().await;
    let config = config(&[&backend.url()]);
    let connections =
        ConnectionsConfig { request_timeout: Duration::from_millis(500), ..config.connections };
    let front = TestServer::start_with(ServeConfig { connections, ..config }).await;
    let items = frame(&ApiRequest { length: 3, after: 0 });
    until_counted_as(&front, "getStream", "/api.Api/getStream", items.clone()).await;
    let answer = wire::answer_to_a_request_without_an_end(front.address(), &items).await;
    assert!(answer.contains("name 3") && answer.contains("grpc-status:0"), "{answer}");
    front.stop().await;
    backend.stop().await;
}

/// Our own server as the backend: it knows `v1`.
#[tokio::test]
async fn the_newer_reflection_tells_the_same() {
    let (services, _events) = waiting::services();
    let backend = TestServer::start_services(services, ServeConfig::default()).await;
    let config =
        ServeConfig { unary_deadline: Some(Duration::from_secs(1)), ..config(&[&backend.url()]) };
    let front = TestServer::start_with(config).await;
    let items = |length| frame(&ApiRequest { length, after: 0 });
    until_counted_as(&front, "getAll", "/api.Api/getAll", items(1)).await;

    let mut stream = stream(&front, "/api.Api/getStream", items(1)).await;
    let hello = frame(&HelloRequest { name: String::new() });
    let answer = call(&front, "/api.Api/sayHello", hello).await;
    assert_eq!(answer.code(), Some(Code::DeadlineExceeded), "{answer:?}");
    assert!(stream.frame().now_or_never().is_none(), "the stream goes on");
    drop(stream);
    front.stop().await;
    backend.stop().await;
}

#[tokio::test]
async fn unary_calls_and_streams_are_bounded_apart_and_counted_by_their_names() {
    let rich = python::serve_with("rich_server.py", &["--reflection"]).await;
    let config = ServeConfig { max_calls: 1, max_streams: 1, ..config(&[&rich.url()]) };
    let front = TestServer::start_with(config).await;
    until_counted_as(&front, "Unary", UNARY, one()).await;

    let mut open_call = Box::pin(call(&front, UNARY, waiting()));
    tokio::select! {
        answer = &mut open_call => panic!("it waits, and does not answer {answer:?}"),
        () = handlers_until(&rich, "running", |handlers| handlers.running == 1) => {}
    }
    let refused = call(&front, UNARY, one()).await;
    assert_eq!(refused.code(), Some(Code::ResourceExhausted), "{refused:?}");
    let open_stream = stream(&front, SERVER_STREAM, waiting()).await;
    let refused = call(&front, SERVER_STREAM, one()).await;
    assert_eq!(refused.code(), Some(Code::ResourceExhausted), "{refused:?}");

    let metrics = Metrics::read(front.admin_address()).await;
    for (kind, bound) in [("unary", "max_calls"), ("stream", "max_streams")] {
        let open = metrics.sum("runnel_open_calls", &[&format!("kind=\"{kind}\"")]);
        assert_eq!(open, 1, "{kind}");
        let refused = metrics.sum("runnel_calls_refused_total", &[&format!("bound=\"{bound}\"")]);
        assert!(refused >= 1, "{bound}");
    }
    let labels = ["grpc_type=\"server_stream\"", "grpc_service=\"rich.Rich\""];
    assert_eq!(metrics.sum("grpc_server_started_total", &labels), 2);
    drop((open_call, open_stream));
    front.stop().await;
}

/// Another version of it is started in its place, one that describes itself or does not.
#[tokio::test]
async fn a_backend_that_was_away_is_asked_again() {
    let rich = python::serve("rich_server.py").await;
    let port = rich.port.to_string();
    let front = super::front(&[&rich.url()]).await;
    let answer = call(&front, UNARY, one()).await;
    assert_eq!(answer.code(), Some(Code::Ok), "{answer:?}");
    let metrics = Metrics::read(front.admin_address()).await;
    assert_eq!((counted(&metrics, "unknown"), counted(&metrics, "Unary")), (1, 0));

    rich.kill().await;
    let args = ["--reflection", "--port", &port];
    let rich = python::serve_with("rich_server.py", &args).await;
    until_counted_as(&front, "Unary", UNARY, one()).await;
    rich.kill().await;
    let _rich = python::serve_with("rich_server.py", &["--port", &port]).await;
    until_counted_as(&front, "unknown", UNARY, one()).await;
    front.stop().await;
}

/// A backend whose reflection answers with these, call by call.
async fn describing(answers: Vec<Vec<Bytes>>) -> (Odd, Arc<AtomicUsize>) {
    let (asked, answers) = (Arc::new(AtomicUsize::new(0)), Arc::new(answers));
    let counting = Arc::clone(&asked);
    let backend = Odd::http2_with_reflection(move |mut call: Call| {
        let (asked, answers) = (Arc::clone(&counting), Arc::clone(&answers));
        async move {
            if !call.path().starts_with("/grpc.reflection.") {
                call.refuse("0");
                return;
            }
            let number = asked.fetch_add(1, Ordering::Relaxed);
            let mut body = call.respond.send_response(Call::head(&[GRPC]), false).unwrap();
            for piece in answers.get(number).into_iter().flatten() {
                // An Err says that it is not wanted any more.
                let _ = body.send_data(piece.clone(), false);
            }
            let _ = std::future::poll_fn(|cx| body.poll_reset(cx)).await;
        }
        .boxed()
    });
    (backend.await, asked)
}

fn said(response: MessageResponse) -> Bytes {
    let message_response = Some(response);
    frame(&ServerReflectionResponse { message_response, ..Default::default() }).into()
}

fn lists(services: impl IntoIterator<Item = String>) -> Bytes {
    let service = services.into_iter().map(|name| ServiceResponse { name }).collect();
    said(MessageResponse::ListServicesResponse(ListServiceResponse { service }))
}

fn describes(file: Vec<u8>) -> Bytes {
    let file_descriptor_proto = vec![file];
    said(MessageResponse::FileDescriptorResponse(FileDescriptorResponse { file_descriptor_proto }))
}

/// `google.protobuf.FileDescriptorProto`, as much of it as is needed.
#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(string, tag = 2)]
    package: String,
    #[prost(message, repeated, tag = 6)]
    service: Vec<Service>,
}

#[derive(Clone, PartialEq, Message)]
struct Service {
    #[prost(string, tag = 1)]
    name: String,
    #[prost(message, repeated, tag = 2)]
    method: Vec<Method>,
}

#[derive(Clone, PartialEq, Message)]
struct Method {
    #[prost(string, tag = 1)]
    name: String,
}

/// A description of `rich.Rich` with these methods, all of them unary.
fn rich_with(methods: impl IntoIterator<Item = String>) -> Vec<u8> {
    let method = methods.into_iter().map(|name| Method { name }).collect();
    let service = vec![Service { name: "Rich".into(), method }];
    File { package: "rich".into(), service }.encode_to_vec()
}

/// Waits until so many questions came, and has every method that metrics name.
async fn named_after(
    front: &TestServer,
    asked: &AtomicUsize,
    questions: usize,
) -> BTreeSet<String> {
    patiently("the questions", async {
        while asked.load(Ordering::Relaxed) < questions {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for name in ["Unary", &long_name()].repeat(5) {
        let answer = call(front, &format!("/rich.Rich/{name}"), one()).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{answer:?}");
    }
    let metrics = Metrics::read(front.admin_address()).await;
    let label =
        |series: &str| series.split("grpc_method=\"").nth(1)?.split('"').next().map(str::to_owned);
    metrics.series().filter_map(|(series, _)| label(series)).collect()
}

/// Of a method that somebody might describe, and call.
fn long_name() -> String {
    "long".repeat(100)
}

fn only_unknown() -> BTreeSet<String> {
    BTreeSet::from(["unknown".to_owned()])
}

#[tokio::test]
async fn reflection_that_makes_no_sense_changes_nothing() {
    let rich = || lists(["rich.Rich".to_owned()]);
    let cut_off = |message: Bytes| message.slice(..message.len() - 1);
    let endless = {
        let mut head = vec![0];
        head.extend(u32::MAX.to_be_bytes());
        Bytes::from(head)
    };
    for (what, answers, questions) in [
        ("nothing", vec![vec![]], 1),
        ("no protobuf", vec![vec![Bytes::from_static(b"\0\0\0\0\x01\xff")]], 1),
        ("half a list", vec![vec![cut_off(rich())]], 1),
        ("a list of four gigabytes", vec![vec![endless.clone()]], 1),
        ("something else", vec![vec![describes(vec![])]], 1),
        ("an invalid descriptor", vec![vec![rich()], vec![describes(vec![0xff; 100])]], 2),
        ("a list in place of a descriptor", vec![vec![rich()], vec![rich()]], 2),
        ("half a descriptor", vec![vec![rich()], vec![cut_off(describes(vec![0; 9]))]], 2),
        ("a very long name", vec![vec![rich()], vec![describes(rich_with([long_name()]))]], 2),
        (
            "a service that it does not list",
            {
                vec![
                    vec![lists(["rich.Other".to_owned()])],
                    vec![describes(rich_with(["Unary".to_owned()]))],
                ]
            },
            2,
        ),
    ] {
        let (backend, asked) = describing(answers).await;
        let front = super::front(&[&backend.url()]).await;
        let named = named_after(&front, &asked, questions).await;
        assert_eq!(named, only_unknown(), "{what}");
        front.stop().await;
    }
}

/// More methods than are counted apart; each of them is called.
#[tokio::test]
async fn a_backend_with_very_many_methods_makes_no_more_series_than_there_may_be() {
    let names = |count| (0..count).map(|number| format!("M{number}"));
    let services = (0..30_000).map(|number| format!("rich.S{number}"));
    let answers = vec![
        vec![lists(["rich.Rich".to_owned()].into_iter().chain(services))],
        vec![describes(rich_with(["Unary".to_owned()].into_iter().chain(names(20_000))))],
    ];
    let (backend, asked) = describing(answers).await;
    let front = super::front(&[&backend.url()]).await;
    named_after(&front, &asked, 2).await;
    until_counted_as(&front, "Unary", UNARY, one()).await;
    for name in names(1100) {
        let answer = call(&front, &format!("/rich.Rich/{name}"), one()).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{answer:?}");
    }
    let named = named_after(&front, &asked, 2).await;
    assert_eq!(named.len(), 1000 + 1, "and the unknown");
    front.stop().await;
}

#[tokio::test]
async fn a_backend_is_not_asked_if_that_is_not_wanted() {
    let (backend, asked) = describing(vec![]).await;
    let mut config = config(&[&backend.url()]);
    config.backend.backend_reflection = false;
    let front = TestServer::start_with(config).await;
    assert_eq!(named_after(&front, &asked, 0).await, only_unknown());
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    front.stop().await;
}
