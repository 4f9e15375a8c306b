//! What clients get wrong, or do on purpose: each time a clear error with the right code, and a server
//! that answers the next call.

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use prost::Message as _;
use runnel_protos::api::{ApiRequest, Hello, HelloRequest, Items};
use runnel_tests::{
    patiently,
    server::TestServer,
    wire::{self, PROTOCOLS, Protocol, call, frame, is_none_the_worse},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Code;

const LIMIT_BYTES: usize = runnel_wire::DEFAULT_MESSAGE_LIMIT_BYTES;

#[tokio::test]
async fn lengths_and_afters_out_of_bounds_are_invalid_arguments() {
    let server = TestServer::start().await;
    for protocol in PROTOCOLS {
        for (length, after, field) in [
            (-1, 0, "length"),
            (i32::MIN, 0, "length"),
            (0, -1, "after"),
            (1, i32::MIN, "after"),
            (i32::MAX, 1, "length"),
            (1, i32::MAX, "length"),
        ] {
            for rpc in ["/api.Api/getAll", "/api.Api/getStream"] {
                let request = frame(&ApiRequest { length, after });
                let answer = call(server.address(), protocol, rpc, request).await;
                let what = format!("{protocol:?} {rpc} length {length} after {after}");
                assert_eq!(answer.code(), Some(Code::InvalidArgument), "{what}");
                assert!(answer.message().contains(field), "{what}: {}", answer.message());
                assert!(answer.trailers.contains_key("grpc-status-details-bin"), "{what}");
            }
        }
    }
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

#[tokio::test]
async fn zero_and_one_item_are_fine_and_so_is_the_last() {
    let server = TestServer::start().await;
    for protocol in PROTOCOLS {
        for (length, after, ids) in [
            (0, 0, vec![]),
            (1, 0, vec![1]),
            (1, i32::MAX - 1, vec![i32::MAX]),
            (0, i32::MAX, vec![]),
        ] {
            let request = frame(&ApiRequest { length, after });
            let answer = call(server.address(), protocol, "/api.Api/getAll", request).await;
            assert_eq!(answer.code(), Some(Code::Ok));
            let items = &answer.decode::<Items>()[0].items;
            assert_eq!(items.iter().map(|item| item.id).collect::<Vec<_>>(), ids);
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_list_too_long_for_a_message_is_told_to_stream() {
    let server = TestServer::start().await;
    for protocol in PROTOCOLS {
        for length in [1_000_000, i32::MAX] {
            let request = frame(&ApiRequest { length, after: 0 });
            let answer = call(server.address(), protocol, "/api.Api/getAll", request).await;
            assert_eq!(answer.code(), Some(Code::ResourceExhausted), "{protocol:?} {length}");
            assert!(answer.message().contains("getStream"), "{}", answer.message());
        }
    }
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

#[tokio::test]
async fn names_of_every_script_come_back_whole() {
    let server = TestServer::start().await;
    let long = "é".repeat(1_000_000);
    for protocol in PROTOCOLS {
        for name in ["", " ", "O'Brien <b>&amp;", "Ω≈ç√", "שלום", "日本語", "👩‍👩‍👧‍👦", "\0\r\n\t", &long]
        {
            let request = frame(&HelloRequest { name: name.into() });
            let answer = call(server.address(), protocol, "/api.Api/sayHello", request).await;
            assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?}");
            assert_eq!(answer.decode::<Hello>()[0].message, format!("Hello {name}!"));
        }
    }
    server.stop().await;
}

/// A client that is still sending when the answer comes must get the answer, not a broken pipe.
#[tokio::test]
async fn a_name_over_the_message_limit_is_resource_exhausted() {
    let server = TestServer::start().await;
    for protocol in PROTOCOLS {
        for bytes in [LIMIT_BYTES - 11, LIMIT_BYTES, LIMIT_BYTES + 1, LIMIT_BYTES * 3 / 2] {
            let request = frame(&HelloRequest { name: "x".repeat(bytes) });
            let answer = call(server.address(), protocol, "/api.Api/sayHello", request).await;
            assert_eq!(answer.code(), Some(Code::ResourceExhausted), "{protocol:?} {bytes}");
            assert!(answer.message().contains("4194304"), "{}", answer.message());
        }
    }
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

/// The refusal comes at the first bytes, and hyper would close the connection under a client that is
/// still writing. This one writes everything before it reads, and then uses the connection again.
#[tokio::test]
async fn a_client_that_reads_only_after_writing_gets_its_refusal_and_keeps_its_connection() {
    let server = TestServer::start().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    for bytes in [LIMIT_BYTES * 3 / 2, 7] {
        let body = frame(&HelloRequest { name: "x".repeat(bytes) });
        let head = format!(
            "POST /api.Api/sayHello HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc-web\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.expect("the connection takes the whole body");
        let mut answer = vec![0; 4096];
        let read = patiently("an answer", stream.read(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert_eq!(answer.contains("grpc-status: 8\r\n"), bytes > LIMIT_BYTES, "{answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_frame_cut_short_is_an_error_wherever_it_is_cut() {
    let server = TestServer::start().await;
    let whole = frame(&HelloRequest { name: "Gonzalo".into() });
    for protocol in PROTOCOLS {
        for cut in 1..whole.len() {
            let body = whole[..cut].to_vec();
            let answer = call(server.address(), protocol, "/api.Api/sayHello", body).await;
            assert_eq!(answer.code(), Some(Code::Internal), "{protocol:?} cut at {cut}");
        }
        let answer = call(server.address(), protocol, "/api.Api/sayHello", Vec::new()).await;
        assert_eq!(answer.code(), Some(Code::Unimplemented), "{protocol:?} without a message");
    }
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_length_prefix_is_an_error() {
    let server = TestServer::start().await;
    let payload = HelloRequest { name: "Gonzalo".into() }.encode_to_vec();
    let length = u32::try_from(payload.len()).unwrap();
    for protocol in PROTOCOLS {
        for (prefix, expected) in [
            (length + 1, Code::Internal),        // more than there is
            (length - 1, Code::Internal),        // the message ends inside its field
            (u32::MAX, Code::ResourceExhausted), // 4 GiB: refused before it is waited for
        ] {
            let body = [&[0][..], &prefix.to_be_bytes(), &payload].concat();
            let answer = call(server.address(), protocol, "/api.Api/sayHello", body).await;
            assert_eq!(answer.code(), Some(expected), "{protocol:?} {prefix}");
        }
    }
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

#[tokio::test]
async fn bytes_that_are_no_message_are_an_error() {
    let server = TestServer::start().await;
    for protocol in PROTOCOLS {
        // A flag that does not exist; a compressed message without an encoding; a bad field; not UTF-8.
        for body in [
            &b"\x07\0\0\0\0"[..],
            b"\x01\0\0\0\x01x",
            b"\0\0\0\0\x02\xff\xff",
            b"\0\0\0\0\x03\x0a\x01\xff",
        ] {
            let answer = call(server.address(), protocol, "/api.Api/sayHello", body.to_vec()).await;
            assert_eq!(answer.code(), Some(Code::Internal), "{protocol:?} {body:?}");
        }
    }
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

#[tokio::test]
async fn base64_that_is_none_is_an_error() {
    let server = TestServer::start().await;
    for body in ["AAAAAAI", "!!!!", "AAAAAAIIAg==x"] {
        let post = Request::post("/api.Api/getAll")
            .header(header::CONTENT_TYPE, "application/grpc-web-text")
            .body(Bytes::from(body))
            .unwrap();
        let answer = wire::send(server.address(), Protocol::GrpcWebText, post).await;
        assert_eq!(answer.code(), Some(Code::Internal), "{body}");
    }
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

#[tokio::test]
async fn the_wrong_verb_or_content_type_is_a_plain_http_error() {
    let server = TestServer::start().await;
    let status = async |method: Method, path: &str, content_type: &str| {
        let mut request = Request::builder().method(method).uri(path);
        if !content_type.is_empty() {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let request = request.body(Bytes::new()).unwrap();
        wire::http1_request(server.address(), request).await
    };
    for path in ["/api.Api/getAll", "/api.Api/noSuchMethod", "/grpc.health.v1.Health/Check"] {
        for content_type in ["", "application/json", "application/grpc-web+json", "text/html"] {
            let response = status(Method::POST, path, content_type).await;
            assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
        }
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let response = status(method.clone(), path, "application/grpc-web").await;
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
            assert_eq!(response.headers()[header::ALLOW], "POST");
        }
        let response = status(Method::GET, path, "").await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "a browser's address bar");
    }
    // gRPC proper cannot be spoken over HTTP/1.1: there are no trailers to speak of.
    let response = status(Method::POST, "/api.Api/getAll", "application/grpc").await;
    assert_eq!(response.status(), StatusCode::HTTP_VERSION_NOT_SUPPORTED);

    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let response = status(method.clone(), "/", "").await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(response.headers()[header::ALLOW], "GET, HEAD");
    }
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

#[tokio::test]
async fn an_over_long_header_is_431() {
    let server = TestServer::start().await;
    // A list several times as long as the limit costs the connection.
    for (protocol, bytes) in [(Protocol::GrpcWeb, 100_000), (Protocol::Grpc, 100_000)] {
        let post = Request::post("/api.Api/getAll")
            .header(header::CONTENT_TYPE, protocol.content_type())
            .header("x-long", "x".repeat(bytes))
            .body(frame(&ApiRequest { length: 1, after: 0 }).into())
            .unwrap();
        let answer = wire::send(server.address(), protocol, post).await;
        let expected = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        assert_eq!(answer.http_status, expected, "{protocol:?}");
    }
    is_none_the_worse(server.address()).await;
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_http_is_400_or_closed() {
    let server = TestServer::start().await;
    for nonsense in
        [&b"hello\r\n\r\n"[..], b"\x16\x03\x01\x02\0\x01\0\x01\xfc", b"GET / HTTP/9.9\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(nonsense).await.unwrap();
        // Nothing more will come, so that a server which waits for more can tell.
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        patiently("the end of the connection", stream.read_to_end(&mut answer)).await.unwrap();
        let text = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || text.starts_with("HTTP/1.1 400"), "{nonsense:?}: {text}");
    }
    is_none_the_worse(server.address()).await;
    server.stop().await;
}
