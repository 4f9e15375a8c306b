//! Several backends: calls are spread over those that are up, and find another where one failed them.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::{FutureExt as _, future::join_all};
use h2::Reason;
use http::{Request, StatusCode};
use runnel_tests::{
    patiently, python,
    server::TestServer,
    wire::{self, PROTOCOLS, Protocol, frame},
};
use tokio::net::TcpListener;
use tonic::Code;

use super::{
    Ask, front, handlers,
    odd::{Call, Odd},
    ready, ready_is,
};

const UNARY: &str = "/rich.Rich/Unary";

async fn call(front: &TestServer, protocol: Protocol) -> wire::Answer {
    let ask = frame(&Ask { messages: 1, ..Ask::default() });
    wire::call(front.address(), protocol, UNARY, ask).await
}

/// A backend that counts its calls, and ends each as told by its number.
async fn counting(
    end: impl Fn(usize, Call) + Clone + Send + Sync + 'static,
) -> (Odd, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let backend = Odd::http2(move |call| {
        let number = counted.fetch_add(1, Ordering::Relaxed);
        end(number, call);
        async {}.boxed()
    });
    (backend.await, calls)
}

#[tokio::test]
async fn calls_are_spread_over_all_backends() {
    let (one, of_one) = counting(|_, call| call.refuse("0")).await;
    let (two, of_two) = counting(|_, call| call.refuse("0")).await;
    let front = front(&[&one.url(), &two.url()]).await;
    for _ in 0..20 {
        assert_eq!(call(&front, Protocol::GrpcWeb).await.code(), Some(Code::Ok));
    }
    let (of_one, of_two) = (of_one.load(Ordering::Relaxed), of_two.load(Ordering::Relaxed));
    assert_eq!(of_one + of_two, 20);
    assert!(of_one >= 5 && of_two >= 5, "{of_one} and {of_two}");
    front.stop().await;
}

/// Ten streams that stay open are five for each.
#[tokio::test]
async fn the_backend_with_the_fewest_open_calls_is_called() {
    let one = python::serve("rich_server.py").await;
    let two = python::serve("rich_server.py").await;
    let front = front(&[&one.url(), &two.url()]).await;
    let waiting = frame(&Ask { messages: 1, wait: true, ..Ask::default() });
    let streams = (0..10).map(|_| {
        let post = Request::post("/rich.Rich/ServerStream")
            .header("content-type", "application/grpc-web")
            .body(waiting.clone().into())
            .unwrap();
        wire::http1_request(front.address(), post)
    });
    let streams = join_all(streams).await;
    let running = [handlers(&one).await.running, handlers(&two).await.running];
    // A health check that is open when a stream comes counts as a call, too.
    assert_eq!(running.iter().sum::<i32>(), 10);
    assert!(running.iter().all(|running| (4..=6).contains(running)), "{running:?}");
    drop(streams);
    front.stop().await;
}

#[tokio::test]
async fn a_backend_that_is_not_there_costs_no_call() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone_url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let (there, _) = counting(|_, call| call.refuse("0")).await;
    let front = front(&[&gone_url, &there.url()]).await;
    for protocol in PROTOCOLS.repeat(5) {
        assert_eq!(call(&front, protocol).await.code(), Some(Code::Ok), "{protocol:?}");
    }
    ready_is(&front, StatusCode::OK).await;
    front.stop().await;
}

/// `localhost` is `127.0.0.1` and, on most machines, `::1`, where nobody listens.
#[tokio::test]
async fn a_name_stands_for_all_its_addresses() {
    let (backend, _) = counting(|_, call| call.refuse("0")).await;
    let url = format!("http://localhost:{}", backend.address.port());
    let front = front(&[&url]).await;
    for _ in 0..10 {
        assert_eq!(call(&front, Protocol::GrpcWeb).await.code(), Some(Code::Ok));
    }
    front.stop().await;
}

/// A backend that says `REFUSED_STREAM` has not begun the call.
#[tokio::test]
async fn a_call_that_no_backend_began_is_made_once_more() {
    let (backend, calls) = counting(|number, mut call| {
        if number % 2 == 0 {
            call.respond.send_reset(Reason::REFUSED_STREAM);
        } else {
            call.refuse("0");
        }
    })
    .await;
    let front = front(&[&backend.url()]).await;
    for protocol in PROTOCOLS {
        assert_eq!(call(&front, protocol).await.code(), Some(Code::Ok), "{protocol:?}");
    }
    assert_eq!(calls.load(Ordering::Relaxed), 6);
    front.stop().await;
}

#[tokio::test]
async fn it_is_made_elsewhere_if_there_is_an_elsewhere_and_only_once() {
    let refuse = |_, mut call: Call| call.respond.send_reset(Reason::REFUSED_STREAM);
    let (one, of_one) = counting(refuse).await;
    let (two, of_two) = counting(refuse).await;
    let front = front(&[&one.url(), &two.url()]).await;
    let answer = call(&front, Protocol::GrpcWeb).await;
    assert_eq!(answer.code(), Some(Code::Unavailable), "{answer:?}");
    assert_eq!(of_one.load(Ordering::Relaxed), 1);
    assert_eq!(of_two.load(Ordering::Relaxed), 1);
    front.stop().await;
}

/// A backend that began a call may have done what was asked; nobody asks twice.
#[tokio::test]
async fn a_call_that_a_backend_began_is_not_made_again() {
    for reason in [Reason::CANCEL, Reason::INTERNAL_ERROR, Reason::ENHANCE_YOUR_CALM] {
        let (backend, calls) = counting(move |_, mut call| call.respond.send_reset(reason)).await;
        let front = front(&[&backend.url()]).await;
        assert_ne!(call(&front, Protocol::GrpcWeb).await.code(), Some(Code::Ok));
        assert_eq!(calls.load(Ordering::Relaxed), 1, "{reason}");
        front.stop().await;
    }
}

/// `grpc.health.v1` of the backends decides: one that says NOT_SERVING is called no more, and again once
/// it serves; the front is ready while one of them is.
#[tokio::test]
async fn calls_and_readiness_follow_the_backends_health() {
    let mut one = python::serve_with("rich_server.py", &["--health"]).await;
    let mut two = python::serve_with("rich_server.py", &["--health"]).await;
    let front = front(&[&one.url(), &two.url()]).await;
    ready_is(&front, StatusCode::OK).await;

    one.tell("NOT_SERVING").await;
    patiently("calls to go to the other only", async {
        loop {
            let before = handlers(&one).await.produced_messages;
            for _ in 0..4 {
                assert_eq!(call(&front, Protocol::GrpcWeb).await.code(), Some(Code::Ok));
            }
            if handlers(&one).await.produced_messages == before {
                return;
            }
        }
    })
    .await;
    assert_eq!(ready(front.admin_address()).await, StatusCode::OK);

    two.tell("NOT_SERVING").await;
    ready_is(&front, StatusCode::SERVICE_UNAVAILABLE).await;
    // Health chooses between backends. It fails no call that one of them still answers.
    assert_eq!(call(&front, Protocol::GrpcWeb).await.code(), Some(Code::Ok));

    one.tell("SERVING").await;
    ready_is(&front, StatusCode::OK).await;
    let before = handlers(&one).await.produced_messages;
    assert_eq!(call(&front, Protocol::GrpcWeb).await.code(), Some(Code::Ok));
    assert_eq!(handlers(&one).await.produced_messages, before + 1);
    front.stop().await;
}

/// The original has no health service; that it answers says that it is up.
#[tokio::test]
async fn readiness_comes_and_goes_with_a_backend_without_a_health_service() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    drop(listener);
    let front = front(&[&format!("http://{address}")]).await;
    assert_eq!(ready(front.admin_address()).await, StatusCode::SERVICE_UNAVAILABLE);
    let port = address.port().to_string();
    let backend = python::serve_with("rich_server.py", &["--port", &port]).await;
    ready_is(&front, StatusCode::OK).await;
    backend.kill().await;
    ready_is(&front, StatusCode::SERVICE_UNAVAILABLE).await;
    front.stop().await;
}
