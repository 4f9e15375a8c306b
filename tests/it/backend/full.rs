//! A backend that takes no more calls at once is not a backend that is down.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use http::{Request, StatusCode};
use runnel_tests::{
    metrics::Metrics,
    patiently,
    server::TestServer,
    wire::{self, PROTOCOLS, Protocol, frame},
};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;
use tonic::Code;

use super::{
    Ask, front,
    odd::{Call, Odd},
    ready,
};

/// `backend/peer.rs` has as many connections to one address.
const CONNECTIONS: usize = 64;

/// A backend with one stream to a connection. It answers the calls of `/test.Test/Answer` only, and
/// counts how many it holds.
async fn narrow() -> (Odd, Arc<AtomicUsize>) {
    /// A call that is held.
    struct Held(Arc<AtomicUsize>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let held = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&held);
    let backend = Odd::http2_with_streams(1, move |mut call: Call| {
        if call.path().ends_with("/Answer") {
            call.refuse("0");
            return async {}.boxed();
        }
        count.fetch_add(1, Ordering::SeqCst);
        let held = Held(Arc::clone(&count));
        async move {
            let _held = held;
            let head = Call::head(&[super::odd::GRPC]);
            let mut answer = call.respond.send_response(head, false).unwrap();
            // Until the client goes.
            let _ = std::future::poll_fn(|cx| answer.poll_reset(cx)).await;
        }
        .boxed()
    });
    (backend.await, held)
}

/// A call that lasts until this is dropped.
struct Open(#[expect(dead_code, reason = "what matters is its end")] AbortOnDropHandle<()>);

fn open(front: SocketAddr) -> Open {
    let opened: JoinHandle<()> = tokio::spawn(async move {
        let post = Request::post("/test.Test/Hold")
            .header("content-type", Protocol::GrpcWeb.content_type())
            .body(frame(&Ask::default()).into())
            .unwrap();
        let _answer = wire::http1_request(front, post).await;
        std::future::pending::<()>().await;
    });
    Open(AbortOnDropHandle::new(opened))
}

async fn held_are(held: &AtomicUsize, count: usize) {
    patiently(&format!("{count} calls"), async {
        while held.load(Ordering::SeqCst) != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn answer(front: &TestServer, protocol: Protocol) -> wire::Answer {
    wire::call(front.address(), protocol, "/test.Test/Answer", frame(&Ask::default())).await
}

#[tokio::test]
async fn a_call_that_finds_no_place_is_told_so_and_the_backend_stays_up() {
    let (backend, held) = narrow().await;
    let front = front(&[&backend.url()]).await;
    let mut calls: Vec<_> = (0..CONNECTIONS).map(|_| open(front.address())).collect();
    held_are(&held, CONNECTIONS).await;
    for protocol in PROTOCOLS {
        let answer = patiently("an answer", answer(&front, protocol)).await;
        assert_eq!(answer.code(), Some(Code::ResourceExhausted), "{protocol:?} {answer:?}");
        let words = answer.message().replace("%20", " ").replace("%3A", ":");
        assert!(words.contains(&backend.url()), "{protocol:?} {words}");
        assert!(words.contains("64 connections"), "{protocol:?} {words}");
        // google.rpc.RetryInfo.
        assert!(answer.trailers.contains_key("grpc-status-details-bin"), "{protocol:?}");
        assert_eq!(ready(front.admin_address()).await, StatusCode::OK, "{protocol:?}");
    }
    let metrics = Metrics::read(front.admin_address()).await;
    assert_eq!(metrics.sum("runnel_backend_down_total", &[]), 0);

    calls.pop();
    held_are(&held, CONNECTIONS - 1).await;
    for protocol in PROTOCOLS {
        assert_eq!(answer(&front, protocol).await.code(), Some(Code::Ok), "{protocol:?}");
    }
    front.stop().await;
}

/// A call that waits for a place and is cancelled leaves it to the next.
#[tokio::test]
async fn a_place_goes_to_a_call_that_still_waits() {
    let (backend, held) = narrow().await;
    let mut config = super::config(&[&backend.url()]);
    // Nobody waits so long.
    config.backend.backend_connect_timeout = Duration::from_mins(10);
    let front = TestServer::start_with(config).await;
    let mut calls: Vec<_> = (0..CONNECTIONS).map(|_| open(front.address())).collect();
    held_are(&held, CONNECTIONS).await;

    let waiting: Vec<_> = (0..10).map(|_| open(front.address())).collect();
    // They wait, as their metric says.
    Metrics::read_until(front.admin_address(), "ten calls that wait", |metrics| {
        metrics.sum("runnel_backend_waiting_calls", &[]) == 10
    })
    .await;
    drop(waiting);
    Metrics::read_until(front.admin_address(), "none", |metrics| {
        metrics.sum("runnel_backend_waiting_calls", &[]) == 0
    })
    .await;
    let address = front.address();
    let last = tokio::spawn(async move {
        wire::call(address, Protocol::Grpc, "/test.Test/Answer", frame(&Ask::default())).await
    });
    Metrics::read_until(front.admin_address(), "one call that waits", |metrics| {
        metrics.sum("runnel_backend_waiting_calls", &[]) == 1
    })
    .await;
    calls.pop();
    assert_eq!(patiently("its answer", last).await.unwrap().code(), Some(Code::Ok));
    front.stop().await;
}
