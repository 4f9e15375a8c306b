//! What an operator can count of each address of a backend.

use std::time::Duration;

use futures_util::FutureExt as _;
use h2::Reason;
use http::{Request, header};
use http_body_util::BodyExt as _;
use runnel_tests::{
    metrics::Metrics,
    patiently, python,
    server::TestServer,
    wire::{self, Protocol, frame},
};
use tokio::net::TcpListener;
use tonic::Code;

use super::{
    Ask, config, front,
    odd::{Call, Odd},
};

const UNARY: &str = "/rich.Rich/Unary";

async fn call(front: &TestServer) -> Option<Code> {
    let ask = frame(&Ask { messages: 1, ..Ask::default() });
    wire::call(front.address(), Protocol::GrpcWeb, UNARY, ask).await.code()
}

/// One value of one address.
fn value(metrics: &Metrics, name: &str, url: &str, more: &[&str]) -> i64 {
    let address = url.trim_start_matches("http://");
    let labels = [format!("backend=\"{url}\""), format!("address=\"{address}\"")];
    let labels: Vec<_> = labels.iter().map(String::as_str).chain(more.iter().copied()).collect();
    metrics.sum(&format!("runnel_backend_{name}"), &labels)
}

#[tokio::test]
async fn each_address_has_its_calls_connections_and_state() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone_url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let rich = python::serve("rich_server.py").await;
    let front = front(&[&rich.url(), &gone_url, "http://no-such-host.invalid:1"]).await;
    for _ in 0..5 {
        assert_eq!(call(&front).await, Some(Code::Ok));
    }
    let waiting = frame(&Ask { messages: 1, wait: true, ..Ask::default() });
    let post = Request::post("/rich.Rich/ServerStream")
        .header(header::CONTENT_TYPE, Protocol::GrpcWeb.content_type())
        .body(waiting.into())
        .unwrap();
    let mut stream = wire::http1_request(front.address(), post).await;
    patiently("a message", stream.frame()).await.unwrap().unwrap();

    // A health check is a call that is open, too.
    let metrics = Metrics::read_until(front.admin_address(), "one open call", |metrics| {
        value(metrics, "open_calls", &rich.url(), &[]) == 1
            && value(metrics, "connect_failures_total", &gone_url, &["fault=\"connect\""]) > 0
    })
    .await;
    let of_rich = |name| value(&metrics, name, &rich.url(), &[]);
    let of_gone = |name| value(&metrics, name, &gone_url, &[]);
    assert_eq!((of_rich("up"), of_gone("up")), (1, 0));
    assert_eq!((of_rich("calls_total"), of_gone("calls_total")), (6, 0));
    assert_eq!((of_rich("connections_open"), of_gone("connections_open")), (1, 0));
    assert_eq!((of_rich("connections_total"), of_gone("connections_total")), (1, 0));
    assert_eq!((of_rich("down_total"), of_gone("down_total")), (0, 1));
    assert_eq!(of_rich("connect_failures_total"), 0);
    assert_eq!(of_rich("failures_total"), 0);
    for (url, addresses) in
        [(rich.url(), 1), (gone_url.clone(), 1), ("http://no-such-host.invalid:1".into(), 0)]
    {
        let label = format!("runnel_backend_addresses{{backend=\"{url}\"}}");
        let found = metrics.series().find(|(series, _)| *series == label);
        assert_eq!(found, Some((label.as_str(), addresses.to_string().as_str())));
    }

    drop(stream);
    Metrics::read_until(front.admin_address(), "no open call", |metrics| {
        value(metrics, "open_calls", &rich.url(), &[]) == 0
    })
    .await;
    front.stop().await;
}

/// Broken calls by their fault. The address is none the worse for them: a client can bring them about.
#[tokio::test]
async fn broken_calls_are_counted_by_why() {
    let reset = |reason: Reason| {
        Odd::http2(move |mut call: Call| async move { call.respond.send_reset(reason) }.boxed())
    };
    let backend = reset(Reason::INTERNAL_ERROR).await;
    // Calls of our own that are answered would come between the broken ones.
    let mut config = config(&[&backend.url()]);
    config.backend.backend_health_interval = Duration::from_hours(1);
    config.backend.backend_reflection = false;
    let broken = TestServer::start_with(config).await;
    Metrics::read_until(broken.admin_address(), "the health check", |metrics| {
        value(metrics, "up", &backend.url(), &[]) == 1
    })
    .await;
    for _ in 0..5 {
        assert_eq!(call(&broken).await, Some(Code::Internal));
    }
    let metrics = Metrics::read(broken.admin_address()).await;
    let by_reset = ["fault=\"reset\""];
    assert_eq!(value(&metrics, "failures_total", &backend.url(), &by_reset), 5);
    assert_eq!(value(&metrics, "failures_total", &backend.url(), &[]), 5);
    assert_eq!(value(&metrics, "down_total", &backend.url(), &[]), 0);
    assert_eq!(value(&metrics, "retries_total", &backend.url(), &[]), 0);
    broken.stop().await;

    let backend = reset(Reason::REFUSED_STREAM).await;
    let refusing = front(&[&backend.url()]).await;
    assert_eq!(call(&refusing).await, Some(Code::Unavailable));
    let metrics = Metrics::read(refusing.admin_address()).await;
    assert_eq!(value(&metrics, "retries_total", &backend.url(), &[]), 1);
    assert_eq!(value(&metrics, "calls_total", &backend.url(), &[]), 2);
    refusing.stop().await;
}
