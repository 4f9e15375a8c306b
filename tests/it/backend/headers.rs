//! The head of a call as a backend gets it.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderName, Request, header};
use runnel::config::ServeConfig;
use runnel_tests::{
    binary::Binary,
    python,
    server::TestServer,
    wire::{self, PROTOCOLS, Protocol, frame},
};
use tonic::Code;

use super::{Answer, Ask, config, rich_and_front};

const CLAIMED: [(&str, &str); 6] = [
    ("x-forwarded-for", "203.0.113.1"),
    ("x-forwarded-proto", "https"),
    ("forwarded", "for=203.0.113.1"),
    ("via", "1.1 edge"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", "vendor=1"),
];

fn ask(protocol: Protocol, headers: &[(&'static str, &'static str)]) -> Request<Bytes> {
    let mut post = Request::post("/rich.Rich/Unary")
        .header(header::CONTENT_TYPE, protocol.content_type())
        .body(protocol.encode(frame(&Ask { messages: 1, ..Ask::default() })))
        .unwrap();
    for (name, value) in headers {
        post.headers_mut().append(HeaderName::from_static(name), value.parse().unwrap());
    }
    post
}

async fn received(front: &TestServer, protocol: Protocol, post: Request<Bytes>) -> Answer {
    let answer = wire::send(front.address(), protocol, post).await;
    assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?} {answer:?}");
    answer.decode::<Answer>().remove(0)
}

#[tokio::test]
async fn a_backend_learns_where_a_call_came_from_and_not_what_its_client_claims() {
    let (_rich, front) = rich_and_front().await;
    let host = front.address().to_string();
    for protocol in PROTOCOLS {
        let answer = received(&front, protocol, ask(protocol, &CLAIMED)).await;
        let version = if protocol == Protocol::Grpc { "2.0" } else { "1.1" };
        assert_eq!(answer.received("x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(answer.received("x-forwarded-proto"), ["http"]);
        assert_eq!(answer.received("x-forwarded-host"), [host.as_str()]);
        let forwarded = format!("for=127.0.0.1;host=\"{host}\";proto=http");
        assert_eq!(answer.received("forwarded"), [forwarded]);
        let [via] = &answer.received("via")[..] else { panic!("one via") };
        assert!(via.starts_with(&format!("{version} runnel-")), "{via}");
        assert_eq!(answer.received("tracestate"), [""; 0]);
        let [trace] = &answer.received("traceparent")[..] else { panic!("one traceparent") };
        assert_ne!(trace, CLAIMED[4].1);
    }
    front.stop().await;
}

#[tokio::test]
async fn what_a_trusted_proxy_says_reaches_the_backend() {
    let rich = python::serve("rich_server.py").await;
    let mut config = config(&[&rich.url()]);
    config.access.trusted_proxies = vec![IpAddr::from([127, 0, 0, 1]).into()];
    let front = TestServer::start_with(config).await;
    for protocol in PROTOCOLS {
        let answer = received(&front, protocol, ask(protocol, &CLAIMED)).await;
        assert_eq!(answer.received("x-forwarded-for"), ["203.0.113.1, 127.0.0.1"]);
        assert_eq!(answer.received("x-forwarded-proto"), ["https"]);
        assert_eq!(answer.received("traceparent"), [CLAIMED[4].1]);
        assert_eq!(answer.received("tracestate"), ["vendor=1"]);
        let [via] = &answer.received("via")[..] else { panic!("one via") };
        assert!(via.starts_with("1.1 edge, "), "{via}");
    }
    front.stop().await;
}

/// A person who reads the log finds the call in the backend's log too.
#[tokio::test]
async fn the_backend_has_the_trace_that_the_log_line_has() {
    let rich = python::serve("rich_server.py").await;
    let claimed = &CLAIMED[4].1[3..35];
    for (trusted, sent, is_claimed) in
        [(false, &CLAIMED[..], false), (true, &CLAIMED[..], true), (true, &[], false)]
    {
        let mut args = vec!["--backend".to_owned(), rich.url()];
        if trusted {
            args.extend(["--trusted-proxy".to_owned(), "127.0.0.1".to_owned()]);
        }
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let mut binary = Binary::start(&args).await;
        let protocol = Protocol::GrpcWeb;
        let answer = wire::send(binary.address(), protocol, ask(protocol, sent)).await;
        let answer = answer.decode::<Answer>().remove(0);
        let [received] = &answer.received("traceparent")[..] else { panic!("one traceparent") };
        let is_call = |line: &serde_json::Value| line["method"] == "/rich.Rich/Unary";
        let line = binary.log("the call", |line| is_call(line).then(|| line.clone())).await;
        assert_eq!(line["trace_id"], received[3..35], "{line}");
        assert_eq!(&received[3..35] == claimed, is_claimed, "{trusted} {received}");
    }
}

/// A stray `connection: close, x-mine` from an HTTP/1.1 client must not break HTTP/2, which knows no
/// such header, and what it names goes no further.
#[tokio::test]
async fn what_concerns_only_the_clients_connection_goes_no_further() {
    let (_rich, front) = rich_and_front().await;
    let protocol = Protocol::GrpcWeb;
    let hop_by_hop = [
        ("connection", "close, x-mine"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("upgrade", "h2c"),
        ("x-mine", "1"),
        ("x-yours", "1"),
    ];
    let answer = received(&front, protocol, ask(protocol, &hop_by_hop)).await;
    assert_eq!(answer.received("x-yours"), ["1"]);
    for name in ["connection", "keep-alive", "proxy-connection", "upgrade", "x-mine", "host"] {
        assert_eq!(answer.received(name), [""; 0], "{name}");
    }
    front.stop().await;
}

/// The backend gets no more time than is left, and knows it.
#[tokio::test]
async fn the_timeout_that_a_backend_gets_is_what_is_left() {
    let (_rich, front) = rich_and_front().await;
    for protocol in PROTOCOLS {
        let answer = received(&front, protocol, ask(protocol, &[("grpc-timeout", "90S")])).await;
        assert!((1..=90_000).contains(&answer.left_ms), "{protocol:?} {}", answer.left_ms);
        let answer = received(&front, protocol, ask(protocol, &[])).await;
        assert_eq!(answer.left_ms, -1, "{protocol:?}");
    }
    front.stop().await;
}

#[tokio::test]
async fn a_deadline_ends_the_call_here_and_the_handler_there() {
    let (rich, front) = rich_and_front().await;
    for protocol in PROTOCOLS {
        let ask = Ask { messages: 1, wait: true, ..Ask::default() };
        let post = Request::post("/rich.Rich/ServerStream")
            .header(header::CONTENT_TYPE, protocol.content_type())
            .header("grpc-timeout", "1S")
            .body(protocol.encode(frame(&ask)))
            .unwrap();
        let answer = wire::send(front.address(), protocol, post).await;
        assert_eq!(answer.code(), Some(Code::DeadlineExceeded), "{protocol:?}");
        assert_eq!(answer.messages.len(), 1, "{protocol:?}");
        super::handlers_until(&rich, "gone", |handlers| handlers.running == 0).await;
    }
    front.stop().await;
}

/// The limits of every other call hold for forwarded ones, too.
#[tokio::test]
async fn a_message_over_the_limit_is_refused_here() {
    let rich = python::serve("rich_server.py").await;
    let config = ServeConfig { message_limit_bytes: 100, ..config(&[&rich.url()]) };
    let front = TestServer::start_with(config).await;
    let body = frame(&Ask { payload: vec![0; 200], ..Ask::default() });
    for protocol in PROTOCOLS {
        let answer = wire::call(front.address(), protocol, "/rich.Rich/Unary", body.clone()).await;
        assert_eq!(answer.code(), Some(Code::ResourceExhausted), "{protocol:?}");
    }
    front.stop().await;
}
