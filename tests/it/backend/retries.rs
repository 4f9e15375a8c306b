//! What is made once more, and what is not: a backend that goes away under a call says how far it came.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::FutureExt as _;
use h2::Reason;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use runnel_tests::{
    http2::{self, Http2, flag, kind},
    metrics::Metrics,
    server::TestServer,
    wire::{self, PROTOCOLS, Protocol, frame},
};
use tokio::net::TcpStream;
use tonic::Code;

use super::{
    Ask, config,
    odd::{Call, Odd},
    ready_is,
};

const UNARY: &str = "/rich.Rich/Unary";

/// A request of this many bytes in all.
fn request(bytes: usize) -> Vec<u8> {
    let around = frame(&Ask { payload: vec![7; bytes], ..Ask::default() }).len() - bytes;
    let request = frame(&Ask { payload: vec![7; bytes - around], ..Ask::default() });
    assert_eq!(request.len(), bytes);
    request
}

/// A backend that takes each request to its end, refuses the first call, and answers the others.
async fn refuses_once() -> (Odd, Arc<Mutex<Vec<Vec<u8>>>>) {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    let backend = Odd::http2(move |mut call: Call| {
        let seen = Arc::clone(&seen);
        async move {
            let request = call.read_request().await;
            let is_first = {
                let mut seen = seen.lock().unwrap();
                seen.push(request);
                seen.len() == 1
            };
            if is_first {
                call.respond.send_reset(Reason::REFUSED_STREAM);
            } else {
                call.refuse("0");
            }
        }
        .boxed()
    });
    (backend.await, requests)
}

#[tokio::test]
async fn a_request_of_64_kib_is_sent_again_from_its_beginning() {
    for protocol in PROTOCOLS {
        let (backend, requests) = refuses_once().await;
        let front = super::front(&[&backend.url()]).await;
        let request = request(64 * 1024);
        let answer = wire::call(front.address(), protocol, UNARY, request.clone()).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?} {}", answer.message());
        assert!(*requests.lock().unwrap() == [request.clone(), request], "{protocol:?}");
        front.stop().await;
    }
}

#[tokio::test]
async fn a_longer_request_is_not_kept_and_its_call_is_unavailable() {
    for protocol in PROTOCOLS {
        let (backend, requests) = refuses_once().await;
        let front = super::front(&[&backend.url()]).await;
        let answer = wire::call(front.address(), protocol, UNARY, request(64 * 1024 + 1)).await;
        assert_eq!(answer.code(), Some(Code::Unavailable), "{protocol:?}");
        let words = answer.message().replace("%20", " ");
        assert!(words.contains("too long to be kept and sent again"), "{protocol:?} {words}");
        assert_eq!(requests.lock().unwrap().len(), 1, "{protocol:?}");
        front.stop().await;
    }
}

/// What a backend does when it goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// It closes the connection at once.
    Closes,
    /// It begins to answer the call that is there, and goes on with it.
    Lasts,
}

/// Goes away from its first connection at the second stream on it, which is number 3, as one that has
/// taken everything up to `last`. Answers all other streams. Gives how many streams there were in all.
async fn goes_away(last: u32, leaving: Leaving) -> (Odd, Arc<AtomicUsize>) {
    let streams = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&streams);
    let backend = Odd::start(move |number, stream: TcpStream| {
        let seen = Arc::clone(&seen);
        async move {
            let mut http2 = Http2::accept(stream).await;
            while let Some(came) = http2.next().await {
                let is_ack = came.flags & flag::ACK != 0;
                let answer = match came.kind {
                    kind::SETTINGS if !is_ack => http2::frame(kind::SETTINGS, flag::ACK, 0, &[]),
                    kind::PING if !is_ack => http2::frame(kind::PING, flag::ACK, 0, &came.payload),
                    kind::HEADERS => {
                        seen.fetch_add(1, Ordering::Relaxed);
                        let head = [(":status", "200"), ("content-type", "application/grpc")];
                        let begun = http2::headers(&head);
                        if number == 0 && came.stream > 3 {
                            continue; // too late
                        }
                        if number == 0 && came.stream == 3 {
                            let payload = [last.to_be_bytes(), [0; 4]].concat();
                            let goaway = http2::frame(kind::GOAWAY, flag::NONE, 0, &payload);
                            if leaving == Leaving::Closes {
                                http2.send(&goaway).await.unwrap();
                                return;
                            }
                            let flags = flag::END_HEADERS;
                            let head = http2::frame(kind::HEADERS, flags, came.stream, &begun);
                            [head, goaway].concat()
                        } else {
                            let status = http2::headers(&[("grpc-status", "0")]);
                            let answer = [begun, status].concat();
                            let flags = flag::END_HEADERS | flag::END_STREAM;
                            http2::frame(kind::HEADERS, flags, came.stream, &answer)
                        }
                    }
                    _ => continue,
                };
                http2.send(&answer).await.unwrap();
            }
        }
    });
    (backend.await, streams)
}

/// A front that makes no calls of its own but the first health check, once that is over.
async fn quiet_front(backend: &Odd) -> TestServer {
    let mut config = config(&[&backend.url()]);
    config.backend.backend_health_interval = std::time::Duration::from_hours(1);
    config.backend.backend_reflection = false;
    let front = TestServer::start_with(config).await;
    ready_is(&front, StatusCode::OK).await;
    front
}

/// RFC 9113, section 6.8: what is above the last stream was not and will not be looked at.
#[tokio::test]
async fn a_call_above_the_last_stream_of_a_goaway_is_made_once_more() {
    for protocol in PROTOCOLS {
        let (backend, streams) = goes_away(1, Leaving::Closes).await;
        let front = quiet_front(&backend).await;
        let answer = wire::call(front.address(), protocol, UNARY, request(100)).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?} {}", answer.message());
        // The health check, the call, and the call again.
        assert_eq!(streams.load(Ordering::Relaxed), 3, "{protocol:?}");
        let metrics = Metrics::read(front.admin_address()).await;
        assert_eq!(metrics.sum("runnel_backend_retries_total", &[]), 1, "{protocol:?}");
        front.stop().await;
    }
}

#[tokio::test]
async fn a_call_that_a_goaway_counts_among_the_begun_is_not_made_again() {
    let (backend, streams) = goes_away(3, Leaving::Closes).await;
    let front = quiet_front(&backend).await;
    let answer = wire::call(front.address(), Protocol::GrpcWeb, UNARY, request(100)).await;
    assert_eq!(answer.code(), Some(Code::Unavailable), "{}", answer.message());
    assert_eq!(streams.load(Ordering::Relaxed), 2);
    front.stop().await;
}

/// As servers do that let no connection grow old: a stream goes on where it is, calls go elsewhere.
#[tokio::test]
async fn calls_take_another_connection_while_a_stream_lasts_on_one_that_goes_away() {
    let (backend, streams) = goes_away(3, Leaving::Lasts).await;
    let front = quiet_front(&backend).await;
    let post = Request::post("/rich.Rich/ServerStream")
        .header("content-type", Protocol::GrpcWeb.content_type())
        .body(request(100).into())
        .unwrap();
    let mut stream = wire::http1_request(front.address(), post).await;
    for protocol in PROTOCOLS.repeat(2) {
        let answer = wire::call(front.address(), protocol, UNARY, request(100)).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?} {}", answer.message());
    }
    assert!(stream.frame().now_or_never().is_none(), "the stream goes on");
    // The health check, the stream, and the calls; the first of these perhaps twice.
    assert!((8..=9).contains(&streams.load(Ordering::Relaxed)));
    let metrics = Metrics::read(front.admin_address()).await;
    assert_eq!(metrics.sum("runnel_backend_connections_total", &[]), 2);
    drop(stream);
    front.stop().await;
}
