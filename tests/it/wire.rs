//! The three protocols, byte by byte.

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use runnel_protos::api::{ApiRequest, Hello, HelloRequest, Item, Items};
use runnel_tests::{
    patiently,
    server::TestServer,
    wire::{self, PROTOCOLS, Protocol, call, frame},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};
use tonic::Code;

fn request(length: i32, after: i32) -> Vec<u8> {
    frame(&ApiRequest { length, after })
}

#[tokio::test]
async fn every_rpc_answers_on_every_protocol() {
    let server = TestServer::start().await;
    for protocol in PROTOCOLS {
        let hello = frame(&HelloRequest { name: "世界".into() });
        let answer = call(server.address(), protocol, "/api.Api/sayHello", hello).await;
        assert_eq!(answer.http_status, StatusCode::OK, "{protocol:?}");
        assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?}");
        assert_eq!(answer.decode::<Hello>()[0].message, "Hello 世界!");

        let answer = call(server.address(), protocol, "/api.Api/getAll", request(3, 0)).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?}");
        let [all] = &answer.decode::<Items>()[..] else { panic!("one message: {answer:?}") };

        let answer = call(server.address(), protocol, "/api.Api/getStream", request(3, 0)).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?}");
        assert_eq!(answer.decode::<Item>(), all.items, "{protocol:?}");
    }
    server.stop().await;
}

/// Over HTTP/1.1 four chunks make a write, over HTTP/2 a chunk is a frame; what carries a stream must
/// reach the method for it.
#[tokio::test]
async fn a_stream_is_cut_to_what_carries_it() {
    const FRAME_BYTES: usize = 16 * 1024;
    let server = TestServer::start().await;
    let body = request(100_000, 0);
    let head = format!(
        "POST /api.Api/getStream HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc-web\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = BufReader::new(TcpStream::connect(server.address()).await.unwrap());
    stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert!(stream.read_line(&mut line).await.unwrap() > 0, "the head breaks off");
    }
    line.clear();
    stream.read_line(&mut line).await.unwrap();
    let over_http1 = usize::from_str_radix(line.trim(), 16).unwrap();
    assert!(4 * over_http1 > 40 * 1024 && 3 * over_http1 < 32 * 1024, "{over_http1}");

    let io = TokioIo::new(TcpStream::connect(server.address()).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("{}/api.Api/getStream", server.url()))
        .header(header::CONTENT_TYPE, "application/grpc-web")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let mut answer = sender.send_request(request).await.unwrap().into_body();
    let frame = answer.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(frame.len() <= FRAME_BYTES && frame.len() > FRAME_BYTES - 32, "{}", frame.len());
}

/// The bytes themselves, from the specification: message frames, then a trailer frame.
#[tokio::test]
async fn a_grpc_web_stream_is_these_bytes() {
    let server = TestServer::start().await;
    let post = Request::post("/api.Api/getStream")
        .header(header::CONTENT_TYPE, "application/grpc-web+proto")
        .body(Bytes::from_static(b"\0\0\0\0\x02\x08\x02"))
        .unwrap();
    let response = wire::http1_request(server.address(), post).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/grpc-web+proto");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    let expected = b"\0\0\0\0\x0a\x08\x01\x12\x06name 1\0\0\0\0\x0a\x08\x02\x12\x06name 2\
                     \x80\0\0\0\x0fgrpc-status:0\r\n";
    assert_eq!(body, &expected[..]);
    server.stop().await;
}

#[tokio::test]
async fn after_pages_through_the_items() {
    let server = TestServer::start().await;
    for protocol in PROTOCOLS {
        let answer = call(server.address(), protocol, "/api.Api/getStream", request(2, 40)).await;
        let ids: Vec<_> = answer.decode::<Item>().iter().map(|item| item.id).collect();
        assert_eq!(ids, [41, 42], "{protocol:?}");
    }
    server.stop().await;
}

/// Proxies add `; charset=utf-8` and change case; tonic-web alone answers such a call with a 400.
#[tokio::test]
async fn a_content_type_with_parameters_is_understood() {
    let server = TestServer::start().await;
    for content_type in ["application/grpc-web+proto; charset=utf-8", "Application/gRPC-Web"] {
        let post = Request::post("/api.Api/getAll")
            .header(header::CONTENT_TYPE, content_type)
            .body(request(1, 0).into())
            .unwrap();
        let answer = wire::send(server.address(), Protocol::GrpcWeb, post).await;
        assert_eq!(
            (answer.http_status, answer.code()),
            (StatusCode::OK, Some(Code::Ok)),
            "{content_type}"
        );
    }
    server.stop().await;
}

/// A text call may ask for a binary answer and the other way round, as Envoy allows.
#[tokio::test]
async fn accept_chooses_the_encoding_of_the_answer() {
    let server = TestServer::start().await;
    for (accept, answered) in [
        ("application/grpc-web-text", "application/grpc-web-text+proto"),
        ("application/grpc-web", "application/grpc-web+proto"),
        ("*/*", "application/grpc-web+proto"),
    ] {
        let post = Request::post("/api.Api/getAll")
            .header(header::CONTENT_TYPE, "application/grpc-web")
            .header(header::ACCEPT, accept)
            .body(request(2, 0).into())
            .unwrap();
        let answer = wire::send(server.address(), Protocol::GrpcWeb, post).await;
        assert_eq!(answer.headers[header::CONTENT_TYPE], answered);
        assert_eq!(answer.decode::<Items>()[0].items.len(), 2, "{accept}");
    }
    server.stop().await;
}

/// What .NET's client writes pads where each part of a message ends; the network cuts it anywhere.
#[tokio::test]
async fn text_may_be_padded_wherever_a_message_ends_and_come_in_any_pieces() {
    let server = TestServer::start().await;
    let body = b"AAAAAAI=CAE=";
    let head = format!(
        "POST /api.Api/getAll HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/grpc-web-text\r\naccept: application/grpc-web\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    for cut in 0..body.len() {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (first, second) = body.split_at(cut);
        stream.write_all(&[head.as_bytes(), first].concat()).await.unwrap();
        stream.write_all(second).await.unwrap();
        let mut answer = Vec::new();
        patiently("an answer", stream.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains("name 1") && answer.contains("grpc-status:0"), "{cut}: {answer}");
    }
    server.stop().await;
}

/// HTTP/2 is not only for native gRPC: behind TLS browsers speak gRPC-Web over it.
#[tokio::test]
async fn grpc_web_works_over_http2() {
    let server = TestServer::start().await;
    let post = Request::post("/api.Api/getAll")
        .header(header::CONTENT_TYPE, "application/grpc-web")
        .body(request(2, 0).into())
        .unwrap();
    let answer = wire::send(server.address(), Protocol::Grpc, post).await;
    assert_eq!(answer.code(), Some(Code::Ok));
    assert_eq!(answer.decode::<Items>()[0].items.len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn an_unknown_rpc_is_unimplemented_on_every_protocol() {
    let server = TestServer::start().await;
    for protocol in PROTOCOLS {
        for path in ["/api.Api/noSuchMethod", "/no.such.Service/method", "/", "/index.html"] {
            let answer = call(server.address(), protocol, path, request(1, 0)).await;
            assert_eq!(answer.http_status, StatusCode::OK, "{protocol:?} {path}");
            assert_eq!(answer.code(), Some(Code::Unimplemented), "{protocol:?} {path}");
        }
    }
    server.stop().await;
}

/// A field our contract does not have is skipped, as protobuf asks: newer clients keep working.
#[tokio::test]
async fn fields_of_a_newer_contract_are_ignored() {
    let server = TestServer::start().await;
    let mut message = ApiRequest { length: 1, after: 0 }.encode_to_vec();
    message.extend(b"\x9a\x06\x03new"); // field 99, length-delimited
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    let answer = call(server.address(), Protocol::GrpcWeb, "/api.Api/getAll", body).await;
    assert_eq!(answer.code(), Some(Code::Ok));
    server.stop().await;
}
