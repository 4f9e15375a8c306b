//! Answers that are over while the request's body is still on its way. Over HTTP/2 a reset that follows
//! at once is by the book (RFC 9113 section 8.1), and older clients lose the answer to it.

use runnel::config::ServeConfig;
use runnel_tests::{
    for_each_role,
    http2::{self, Frame, Http2, flag, kind},
    patiently,
    server::Role,
    wire::is_none_the_worse,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

for_each_role! {
    a_refused_call_over_http2_may_still_send_its_body,
    a_body_that_never_comes_is_not_waited_for_for_ever,
    what_the_page_refuses_over_http1_may_still_send_its_body,
}

/// Requests that are answered at their head: no such method, a page that takes no POST, no such type.
fn refused() -> [Vec<u8>; 3] {
    let page = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "localhost"),
        ("content-type", "text/plain"),
    ];
    let mut wrong_type = page;
    wrong_type[2].1 = "/api.Api/getAll";
    [
        http2::call_headers("/grpc.reflection.v1.ServerReflection/noSuchMethod"),
        http2::headers(&page),
        http2::headers(&wrong_type),
    ]
}

/// Reads until the server has done all that what was sent so far made it do.
async fn all_so_far(http2: &mut Http2) -> Vec<Frame> {
    let ping = http2::frame(kind::PING, flag::NONE, 0, b"so far..");
    http2.send(&ping).await.unwrap();
    let mut frames = Vec::new();
    loop {
        let frame = http2.next().await.unwrap();
        if frame.kind == kind::PING && frame.payload == b"so far.." {
            return frames;
        }
        frames.push(frame);
    }
}

/// Sends a head and waits for the end of the answer.
async fn until_answered(http2: &mut Http2, head: &[u8]) {
    http2.send(&http2::frame(kind::HEADERS, flag::END_HEADERS, 1, head)).await.unwrap();
    loop {
        let frame = http2.next().await.unwrap();
        assert_ne!(frame.kind, kind::RST_STREAM, "before the answer is over");
        if frame.stream == 1 && frame.flags & flag::END_STREAM != 0 {
            return;
        }
    }
}

async fn a_refused_call_over_http2_may_still_send_its_body(role: Role) {
    let server = role.start(ServeConfig::default()).await;
    for head in refused() {
        let mut http2 = Http2::connect(server.address(), &[]).await;
        until_answered(&mut http2, &head).await;
        let mut frames = all_so_far(&mut http2).await;
        for flags in [flag::NONE, flag::END_STREAM] {
            http2.send(&http2::frame(kind::DATA, flags, 1, &[0; 1000])).await.unwrap();
            frames.extend(all_so_far(&mut http2).await);
        }
        assert!(frames.iter().all(|frame| frame.kind != kind::RST_STREAM), "{frames:?}");
    }
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

async fn a_body_that_never_comes_is_not_waited_for_for_ever(role: Role) {
    let server = role.start(ServeConfig::default()).await;
    let mut http2 = Http2::connect(server.address(), &[]).await;
    until_answered(&mut http2, &refused()[0]).await;
    let reset = http2.until(kind::RST_STREAM).await.unwrap();
    assert_eq!(reset.payload, [0; 4], "NO_ERROR");
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

async fn what_the_page_refuses_over_http1_may_still_send_its_body(role: Role) {
    const BODY_BYTES: usize = 6 * 1024 * 1024;
    let server = role.start(ServeConfig::default()).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    for _ in 0..2 {
        let head =
            format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {BODY_BYTES}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![0; BODY_BYTES]).await.unwrap();
        let mut answer = vec![0; 4096];
        let read = patiently("an answer", stream.read(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    }
    server.stop().await;
}
