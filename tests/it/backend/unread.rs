//! Answers that pile up in front of a backend because their clients read nothing. How far a backend may run
//! ahead of a reader is bounded for all readers together, and nobody is refused for it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use h2::SendStream;
use http::{HeaderMap, HeaderValue, Request, header};
use runnel_tests::{
    http2::{self, Http2, flag, kind},
    patiently,
    server::TestServer,
    wire::{self, PROTOCOLS, Protocol, frame},
};
use tokio::net::TcpSocket;
use tonic::Code;

use super::{
    config,
    odd::{Call, GRPC, Odd},
};

const MIB: usize = 1024 * 1024;

/// What may be on its way to a reader, and what may where too much is held already.
const LARGE_WINDOW_BYTES: usize = 128 * 1024;
const SMALL_WINDOW_BYTES: usize = 16 * 1024;

/// What one address may have here: 80 large windows.
const PER_ADDRESS: usize = 10 * MIB;
const LARGE_WINDOWS: usize = PER_ADDRESS / LARGE_WINDOW_BYTES;

/// On each of two connections.
const CALLS: u32 = 100;

/// `SETTINGS_INITIAL_WINDOW_SIZE`: RFC 9113 section 6.5.2.
const INITIAL_WINDOW_SIZE: u16 = 4;

/// Sends bytes for as long as its client takes them.
async fn send_all(answer: &mut SendStream<Bytes>, mut bytes: Bytes, sent: &AtomicUsize) {
    while !bytes.is_empty() {
        answer.reserve_capacity(bytes.len());
        let Some(Ok(capacity)) = std::future::poll_fn(|cx| answer.poll_capacity(cx)).await else {
            return;
        };
        let piece = bytes.split_to(capacity.min(bytes.len()));
        let length = piece.len();
        if answer.send_data(piece, false).is_err() {
            return;
        }
        sent.fetch_add(length, Ordering::SeqCst);
    }
}

/// A backend that answers `/test.Test/Endless` with more than anybody reads, and anything else with a MiB;
/// and how much of the endless answers it could send.
async fn generous() -> (Odd, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let backend = Odd::http2(move |mut call: Call| {
        let count = Arc::clone(&count);
        async move {
            let mut answer = call.respond.send_response(Call::head(&[GRPC]), false).unwrap();
            if call.path().ends_with("/Endless") {
                send_all(&mut answer, vec![0; 4 * MIB].into(), &count).await;
                return;
            }
            let length = u32::try_from(MIB).unwrap().to_be_bytes();
            let message = [&[0], &length[..], &vec![7; MIB]].concat();
            send_all(&mut answer, message.into(), &AtomicUsize::new(0)).await;
            let ok = HeaderMap::from_iter([(
                header::HeaderName::from_static("grpc-status"),
                HeaderValue::from_static("0"),
            )]);
            answer.send_trailers(ok).unwrap();
        }
        .boxed()
    });
    (backend.await, sent)
}

/// Begins calls whose answers it leaves no room for.
async fn read_nothing(front: &TestServer) -> Http2 {
    let mut http2 = Http2::connect(front.address(), &[(INITIAL_WINDOW_SIZE, 0)]).await;
    for call in 0..CALLS {
        let stream = 2 * call + 1;
        let headers = http2::call_headers("/test.Test/Endless");
        let head = http2::frame(kind::HEADERS, flag::END_HEADERS, stream, &headers);
        http2.send(&head).await.unwrap();
        let body = http2::frame(kind::DATA, flag::END_STREAM, stream, &[0; 5]);
        http2.send(&body).await.unwrap();
    }
    http2
}

#[tokio::test]
async fn answers_that_nobody_reads_are_bounded_and_everybody_is_answered() {
    let (backend, sent) = generous().await;
    let mut config = config(&[&backend.url()]);
    config.backend.backend_reflection = false;
    config.max_held_bytes = Some(2 * PER_ADDRESS);
    config.max_held_bytes_per_address = Some(PER_ADDRESS);
    let front = TestServer::start_with(config).await;
    let readers = [read_nothing(&front).await, read_nothing(&front).await];
    let small_windows = 2 * CALLS as usize - LARGE_WINDOWS;
    let may_come = LARGE_WINDOWS * LARGE_WINDOW_BYTES + small_windows * SMALL_WINDOW_BYTES;
    patiently("the windows to be full", async {
        while sent.load(Ordering::SeqCst) < may_come {
            tokio::task::yield_now().await;
        }
    })
    .await;

    for protocol in PROTOCOLS {
        let call = wire::call(front.address(), protocol, "/test.Test/Answer", frame(&()));
        let answer = patiently("an answer", call).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?} {}", answer.message());
        assert_eq!(answer.messages[0].len(), MIB, "{protocol:?}");
    }
    let elsewhere = TcpSocket::new_v4().unwrap();
    elsewhere.bind(([127, 0, 0, 2], 0).into()).unwrap();
    let elsewhere = elsewhere.connect(front.address()).await.unwrap();
    let request = Request::post("/test.Test/Answer")
        .header(header::CONTENT_TYPE, Protocol::GrpcWeb.content_type())
        .body(Bytes::from(frame(&())))
        .unwrap();
    let answer = wire::answer(wire::http1_over(elsewhere, front.address(), request).await).await;
    assert_eq!(answer.code(), Some(Code::Ok), "{}", answer.message());

    assert_eq!(sent.load(Ordering::SeqCst), may_come, "and no more came meanwhile");
    drop(readers);
    front.stop().await;
}
