//! What says that a backend is down, and what only says that a call went wrong.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use h2::Reason;
use http::StatusCode;
use runnel_tests::{
    metrics::Metrics,
    patiently, python,
    server::TestServer,
    wire::{self, Protocol, frame},
};
use tokio::net::TcpListener;
use tonic::Code;

use super::{
    Ask, config,
    odd::{Call, Odd},
    ready, ready_is,
};

const UNARY: &str = "/rich.Rich/Unary";

/// A front that asks for its backend's health once and then no more of its own accord.
async fn incurious_front(url: &str) -> TestServer {
    let mut config = config(&[url]);
    config.backend.backend_health_interval = Duration::from_hours(1);
    config.backend.backend_reflection = false;
    TestServer::start_with(config).await
}

async fn call(front: &TestServer) -> Option<Code> {
    let ask = frame(&Ask { messages: 1, ..Ask::default() });
    wire::call(front.address(), Protocol::GrpcWeb, UNARY, ask).await.code()
}

/// A client without a token, one with too large a header, one that makes a handler panic: as often as
/// they like.
#[tokio::test]
async fn an_address_that_answers_or_resets_calls_is_up() {
    let (statuses, resets) = ([401, 429, 431, 503], [Reason::INTERNAL_ERROR, Reason::CANCEL]);
    let answers = statuses.map(Ok).into_iter().chain(resets.map(Err));
    for answer in answers {
        let backend = Odd::http2(move |mut call: Call| {
            match answer {
                Ok(status) => {
                    let mut head = Call::head(&[("content-type", "text/plain")]);
                    *head.status_mut() = StatusCode::from_u16(status).unwrap();
                    call.respond.send_response(head, true).map(drop).unwrap();
                }
                Err(reason) => call.respond.send_reset(reason),
            }
            async {}.boxed()
        });
        let backend = backend.await;
        let front = incurious_front(&backend.url()).await;
        ready_is(&front, StatusCode::OK).await;
        for _ in 0..10 {
            assert_ne!(call(&front).await, Some(Code::Ok), "{answer:?}");
        }
        let metrics = Metrics::read(front.admin_address()).await;
        assert_eq!(metrics.sum("runnel_backend_failures_total", &[]), 10, "{answer:?}");
        assert_eq!(metrics.sum("runnel_backend_down_total", &[]), 0, "{answer:?}");
        assert_eq!(ready(front.admin_address()).await, StatusCode::OK, "{answer:?}");
        front.stop().await;
    }
}

/// A client may have brought that about, or the backend has crashed: its own health tells.
#[tokio::test]
async fn an_address_whose_connection_ends_under_a_call_is_asked_for_its_health_at_once() {
    let sick = Arc::new(AtomicBool::new(false));
    let sickened = Arc::clone(&sick);
    let backend = Odd::start(move |_, stream| {
        let sick = Arc::clone(&sick);
        async move {
            super::odd::serve_http2(stream, "/none", move |call| {
                let is_health = call.path().starts_with("/grpc.health.");
                if is_health && !sick.load(Ordering::Relaxed) {
                    call.refuse("12");
                    return async {}.boxed();
                }
                call.break_connection().boxed()
            })
            .await;
        }
    });
    let backend = backend.await;
    let front = incurious_front(&backend.url()).await;
    ready_is(&front, StatusCode::OK).await;

    for _ in 0..10 {
        assert_eq!(call(&front).await, Some(Code::Unavailable));
    }
    let metrics = Metrics::read(front.admin_address()).await;
    assert_eq!(metrics.sum("runnel_backend_down_total", &[]), 0, "its health check is answered");

    sickened.store(true, Ordering::Relaxed);
    assert_eq!(call(&front).await, Some(Code::Unavailable));
    ready_is(&front, StatusCode::SERVICE_UNAVAILABLE).await;
    front.stop().await;
}

/// However long the interval is between the checks of one that is up.
#[tokio::test]
async fn an_address_that_a_call_found_down_is_asked_every_second() {
    let backend = python::serve("rich_server.py").await;
    let (port, url) = (backend.port, backend.url());
    let front = incurious_front(&url).await;
    ready_is(&front, StatusCode::OK).await;
    backend.kill().await;
    patiently("the call that finds it down", async {
        while ready(front.admin_address()).await == StatusCode::OK {
            assert_eq!(call(&front).await, Some(Code::Unavailable));
        }
    })
    .await;
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let accepted = patiently("the front", listener.accept()).await.unwrap();
    drop((accepted, listener));
    let _backend = python::serve_with("rich_server.py", &["--port", &port.to_string()]).await;
    ready_is(&front, StatusCode::OK).await;
    front.stop().await;
}
