//! Backends that are not there, or not what they should be: the right code, words that name the backend
//! and the reason, in bounded time.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt as _;
use h2::Reason;
use http::{Request, header};
use http_body_util::BodyExt as _;
use runnel_tests::{
    patiently, python,
    server::TestServer,
    wire::{self, PROTOCOLS, Protocol, frame},
};
use tokio::{io::AsyncWriteExt as _, net::TcpListener, sync::Notify};
use tonic::Code;

use super::{
    Ask, CONNECT_TIMEOUT, config, front, handlers_until,
    odd::{Call, GRPC, Odd},
};

const UNARY: &str = "/rich.Rich/Unary";

fn one() -> Vec<u8> {
    frame(&Ask { messages: 1, ..Ask::default() })
}

/// Calls on each protocol; the code and the words must be these.
async fn answers(front: &TestServer, code: Code, backend: &str, why: &str) {
    for protocol in PROTOCOLS {
        let call = wire::call(front.address(), protocol, UNARY, one());
        // Twice what it may take: bounded, not measured.
        let answer = tokio::time::timeout(2 * CONNECT_TIMEOUT + Duration::from_secs(5), call).await;
        let answer = answer.unwrap_or_else(|_| panic!("{protocol:?}: no answer"));
        let message = percent_decoded(answer.message());
        assert_eq!(answer.code(), Some(code), "{protocol:?} {message}");
        assert!(message.starts_with(&format!("backend {backend}")), "{protocol:?} {message}");
        assert!(message.contains(why), "{protocol:?} {message:?} is not about {why:?}");
    }
}

fn percent_decoded(text: &str) -> String {
    text.replace("%20", " ").replace("%3A", ":").replace("%22", "\"")
}

#[tokio::test]
async fn a_backend_that_is_not_there_is_unavailable_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let front = front(&[&url]).await;
    answers(&front, Code::Unavailable, &url, "Connection refused").await;
    front.stop().await;
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_unavailable() {
    let url = "http://no-such-host.invalid:50051";
    let front = front(&[url]).await;
    answers(&front, Code::Unavailable, url, "its name does not resolve").await;
    front.stop().await;
}

/// The kernel accepts; the process does not, as one that is stopped would.
#[tokio::test]
async fn a_backend_that_hangs_is_unavailable_within_the_connect_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let front = front(&[&url]).await;
    answers(&front, Code::Unavailable, &url, "").await;
    front.stop().await;
}

#[tokio::test]
async fn a_backend_that_speaks_http_1_is_told_from_others() {
    let backend = Odd::start(async |_, mut stream: tokio::net::TcpStream| {
        let answer = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let _ = stream.write_all(answer.as_bytes()).await;
        // Until the other side hangs up.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    });
    let backend = backend.await;
    let front = front(&[&backend.url()]).await;
    answers(&front, Code::Unavailable, &backend.url(), "does not speak HTTP/2").await;
    front.stop().await;
}

/// The codes are those of the gRPC specification's table.
#[tokio::test]
async fn a_reset_becomes_the_code_that_grpc_gives_it() {
    for (reason, code) in [
        (Reason::REFUSED_STREAM, Code::Unavailable),
        (Reason::CANCEL, Code::Cancelled),
        (Reason::ENHANCE_YOUR_CALM, Code::ResourceExhausted),
        (Reason::INADEQUATE_SECURITY, Code::PermissionDenied),
        (Reason::INTERNAL_ERROR, Code::Internal),
        (Reason::PROTOCOL_ERROR, Code::Internal),
    ] {
        let backend =
            Odd::http2(move |mut call| async move { call.respond.send_reset(reason) }.boxed());
        let backend = backend.await;
        let front = front(&[&backend.url()]).await;
        answers(&front, code, &backend.url(), "it reset the call").await;
        front.stop().await;
    }
}

#[tokio::test]
async fn an_answer_that_is_no_grpc_becomes_a_status() {
    for (status, content_type, code, why) in [
        (503, "text/plain", Code::Unavailable, "HTTP 503"),
        (404, "text/html", Code::Unimplemented, "HTTP 404"),
        (401, "text/html", Code::Unauthenticated, "HTTP 401"),
        (403, "text/html", Code::PermissionDenied, "HTTP 403"),
        (400, "text/html", Code::Internal, "HTTP 400"),
        (302, "text/html", Code::Unknown, "HTTP 302"),
        (200, "text/html", Code::Unknown, "text/html"),
    ] {
        let backend = Odd::http2(move |mut call| {
            let mut head = Call::head(&[("content-type", content_type)]);
            *head.status_mut() = http::StatusCode::from_u16(status).unwrap();
            async move {
                let mut body = call.respond.send_response(head, false).unwrap();
                body.send_data(Bytes::from_static(b"<h1>no</h1>"), true).unwrap();
            }
            .boxed()
        });
        let backend = backend.await;
        let front = front(&[&backend.url()]).await;
        answers(&front, code, &backend.url(), why).await;
        front.stop().await;
    }
}

#[tokio::test]
async fn an_answer_without_a_status_is_told_so() {
    let backend = Odd::http2(|mut call| {
        async move {
            let mut body = call.respond.send_response(Call::head(&[GRPC]), false).unwrap();
            body.send_data(Bytes::from_static(b"\0\0\0\0\0"), true).unwrap();
        }
        .boxed()
    });
    let backend = backend.await;
    let front = front(&[&backend.url()]).await;
    answers(&front, Code::Internal, &backend.url(), "without a grpc-status").await;
    front.stop().await;
}

/// What was sent stays, the end is told behind it.
#[tokio::test]
async fn a_stream_that_breaks_between_messages_ends_with_a_status() {
    let backend = Odd::http2(|mut call| {
        async move {
            let mut body = call.respond.send_response(Call::head(&[GRPC]), false).unwrap();
            body.send_data(Bytes::from_static(b"\0\0\0\0\0"), false).unwrap();
            call.break_connection().await;
            drop(body);
        }
        .boxed()
    });
    let backend = backend.await;
    let front = front(&[&backend.url()]).await;
    for protocol in PROTOCOLS {
        let answer = wire::call(front.address(), protocol, UNARY, one()).await;
        assert_eq!(answer.code(), Some(Code::Unavailable), "{protocol:?} {answer:?}");
        assert!(answer.message().contains("lost"), "{protocol:?} {answer:?}");
        assert_eq!(answer.messages.len(), 1, "{protocol:?} {answer:?}");
    }
    front.stop().await;
}

/// A trailer frame behind half a message would be taken for the rest of the message. The answer breaks
/// off instead, which a browser sees as the broken connection it is.
#[tokio::test]
async fn a_stream_that_breaks_within_a_message_breaks_for_a_browser_too() {
    let seen = Arc::new(Notify::new());
    let half_is_seen = Arc::clone(&seen);
    let backend = Odd::http2(move |mut call| {
        let seen = Arc::clone(&seen);
        async move {
            let mut body = call.respond.send_response(Call::head(&[GRPC]), false).unwrap();
            body.send_data(Bytes::from_static(b"\0\0\0\0\x0ahalf"), false).unwrap();
            seen.notified().await;
            call.break_connection().await;
            drop(body);
        }
        .boxed()
    });
    let backend = backend.await;
    let front = front(&[&backend.url()]).await;
    let post = Request::post(UNARY)
        .header(header::CONTENT_TYPE, Protocol::GrpcWeb.content_type())
        .body(one().into())
        .unwrap();
    let mut response = wire::http1_request(front.address(), post).await;
    patiently("half a message", response.frame()).await.unwrap().unwrap();
    half_is_seen.notify_one();
    let body = patiently("the end", response.into_body().collect()).await;
    assert!(body.is_err(), "{body:?}");
    front.stop().await;
}

/// The same when it is us who end the call: over native gRPC the trailers are apart from the messages,
/// over gRPC-Web they would complete the half one.
#[tokio::test]
async fn a_deadline_within_a_message_breaks_a_browsers_answer_off() {
    let backend = Odd::http2(|mut call| {
        async move {
            let mut body = call.respond.send_response(Call::head(&[GRPC]), false).unwrap();
            body.send_data(Bytes::from_static(b"\0\0\0\0\x0ahalf"), false).unwrap();
            std::future::pending::<()>().await;
        }
        .boxed()
    });
    let backend = backend.await;
    let front = front(&[&backend.url()]).await;
    let post = |protocol: Protocol| {
        Request::post(UNARY)
            .header(header::CONTENT_TYPE, protocol.content_type())
            .header("grpc-timeout", "800m")
            .body(protocol.encode(one()))
            .unwrap()
    };
    for protocol in [Protocol::GrpcWeb, Protocol::GrpcWebText] {
        let mut response = wire::http1_request(front.address(), post(protocol)).await;
        patiently("half a message", response.frame()).await.unwrap().unwrap();
        let rest = patiently("the end", response.into_body().collect()).await;
        assert!(rest.is_err(), "{protocol:?}: {rest:?}");
    }
    front.stop().await;
}

/// A backend that answers and closes while the client still sends.
#[tokio::test]
async fn an_answer_before_the_end_of_the_request_passes() {
    let backend = Odd::http2(|call| async move { call.refuse("7") }.boxed()).await;
    let front = front(&[&backend.url()]).await;
    let large = frame(&Ask { payload: vec![0; 3_000_000], ..Ask::default() });
    for protocol in PROTOCOLS {
        let answer = wire::call(front.address(), protocol, UNARY, large.clone()).await;
        assert_eq!(answer.code(), Some(Code::PermissionDenied), "{protocol:?}");
    }
    front.stop().await;
}

/// Killed and started again on the same port, with a stream open: the stream ends as UNAVAILABLE, calls
/// while it is away do so at once, and calls after work, all without our doing anything.
#[tokio::test]
async fn a_backend_that_is_killed_and_comes_back_is_found_again() {
    let rich = python::serve("rich_server.py").await;
    let (port, url) = (rich.port.to_string(), rich.url());
    let front = front(&[&url]).await;
    let post = Request::post("/rich.Rich/ServerStream")
        .header(header::CONTENT_TYPE, Protocol::GrpcWeb.content_type())
        .body(frame(&Ask { messages: 1, wait: true, ..Ask::default() }).into())
        .unwrap();
    let mut stream = wire::http1_request(front.address(), post).await;
    patiently("a message", stream.frame()).await.unwrap().unwrap();

    rich.kill().await;
    let rest = patiently("the end", stream.into_body().collect()).await.unwrap().to_bytes();
    let rest = String::from_utf8_lossy(&rest).into_owned();
    assert!(rest.contains("grpc-status:14") && rest.contains(&url[7..]), "{rest}");
    answers(&front, Code::Unavailable, &url, "Connection refused").await;

    let rich = python::serve_with("rich_server.py", &["--port", &port]).await;
    let answer = wire::call(front.address(), Protocol::GrpcWeb, UNARY, one()).await;
    assert_eq!(answer.code(), Some(Code::Ok), "{}", answer.message());
    drop(rich);
    front.stop().await;
}

/// Its process is stopped: the kernel keeps the connection, and nobody answers on it.
#[tokio::test]
async fn a_backend_that_stops_in_the_middle_of_calls_ends_them() {
    let rich = python::serve("rich_server.py").await;
    let front = front(&[&rich.url()]).await;
    let waiting = Ask { messages: 1, wait: true, ..Ask::default() };
    let post = Request::post("/rich.Rich/ServerStream")
        .header(header::CONTENT_TYPE, Protocol::GrpcWeb.content_type())
        .body(frame(&waiting).into())
        .unwrap();
    let mut stream = wire::http1_request(front.address(), post).await;
    patiently("a message", stream.frame()).await.unwrap().unwrap();
    rich.signal("STOP").await;
    let rest = patiently("the end", stream.into_body().collect()).await.unwrap().to_bytes();
    let rest = String::from_utf8_lossy(&rest).into_owned();
    assert!(
        rest.contains("grpc-status:14") && percent_decoded(&rest).contains("sign of life"),
        "{rest}"
    );
    rich.signal("CONT").await;
    handlers_until(&rich, "gone", |handlers| handlers.running == 0).await;
    let answer = wire::call(front.address(), Protocol::GrpcWeb, UNARY, one()).await;
    assert_eq!(answer.code(), Some(Code::Ok), "{}", answer.message());
    front.stop().await;
}

/// Slow is not hung: a call takes as long as its deadline allows.
#[tokio::test]
async fn a_slow_backend_is_waited_for() {
    let backend = Odd::http2(|call| {
        async move {
            tokio::time::sleep(2 * CONNECT_TIMEOUT).await;
            call.refuse("0");
        }
        .boxed()
    });
    let backend = backend.await;
    let front = front(&[&backend.url()]).await;
    let answer = wire::call(front.address(), Protocol::GrpcWeb, UNARY, one()).await;
    assert_eq!(answer.code(), Some(Code::Ok), "{}", answer.message());
    front.stop().await;
}

/// Nothing to trust, no key for a certificate, and the like: said at the start, not at the first call.
#[tokio::test]
async fn files_that_are_not_there_are_told_at_once() {
    let mut config = config(&["https://127.0.0.1:1"]);
    config.backend.backend_ca = Some("/no/such/file.pem".into());
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let error = runnel::serve(listener, config, std::future::pending()).await.unwrap_err();
    assert!(error.to_string().contains("/no/such/file.pem"), "{error}");
}
