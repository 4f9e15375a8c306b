//! What a client says is valid when a backend hears it, and says what the client said.

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use runnel::config::BackendConfig;
use runnel_tests::{
    server::TestServer,
    wire::{self, PROTOCOLS, Protocol, frame},
};
use tonic::Code;

use super::{Answer, Ask, config, front, recorder::Recorder, rich_and_front};

fn post(protocol: Protocol, headers: &[(&'static str, &[u8])]) -> Request<Bytes> {
    let mut post = Request::post("/rich.Rich/Unary")
        .header(header::CONTENT_TYPE, protocol.content_type())
        .body(protocol.encode(frame(&Ask { messages: 1, ..Ask::default() })))
        .unwrap();
    for (name, value) in headers {
        post.headers_mut().append(*name, HeaderValue::from_bytes(value).unwrap());
    }
    post
}

/// In front of grpcio, whose table of headers once kept what it could not parse, for everybody.
#[tokio::test]
async fn a_binary_value_that_is_none_is_refused_and_harms_nobody_else() {
    let (_rich, front) = rich_and_front().await;
    for protocol in PROTOCOLS {
        for name in ["x-user-bin", "grpc-trace-bin", "grpc-tags-bin"] {
            let answer =
                wire::send(front.address(), protocol, post(protocol, &[(name, b"!")])).await;
            assert_eq!(answer.code(), Some(Code::InvalidArgument), "{protocol:?} {answer:?}");
            assert!(answer.message().contains(name), "{}", answer.message());
        }
        let good = post(protocol, &[("x-user-bin", b"AAE"), ("grpc-trace-bin", b"AAE=")]);
        let answer = wire::send(front.address(), protocol, good).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?} {answer:?}");
    }
    front.stop().await;
}

/// A browser makes one line of a repeated header.
#[tokio::test]
async fn binary_values_that_were_joined_arrive_one_by_one() {
    let (_rich, front) = rich_and_front().await;
    for protocol in PROTOCOLS {
        let joined = post(protocol, &[("x-user-bin", b"AAE, AAI=")]);
        let answer = wire::send(front.address(), protocol, joined).await;
        let answer = answer.decode::<Answer>().remove(0);
        assert_eq!(answer.received("x-user-bin"), ["\0\u{1}", "\0\u{2}"], "{protocol:?}");
    }
    front.stop().await;
}

/// An encoding that no backend knows fails the call that says so, and no other that says another.
#[tokio::test]
async fn an_encoding_that_the_backend_does_not_know_is_its_callers_alone() {
    let (_rich, front) = rich_and_front().await;
    for protocol in PROTOCOLS {
        let code = async |encoding: &'static [u8]| {
            let call = post(protocol, &[("grpc-encoding", encoding)]);
            wire::send(front.address(), protocol, call).await.code()
        };
        for encoding in [&b"zstd"[..], b"GZIP", b"gzip, zstd"] {
            code(encoding).await;
            assert_eq!(code(b"gzip").await, Some(Code::Ok), "{protocol:?} {encoding:?}");
        }
    }
    front.stop().await;
}

#[tokio::test]
async fn text_that_grpc_does_not_allow_is_dropped_and_the_call_goes_on() {
    let mut backend = Recorder::start().await;
    let front = front(&[&backend.url]).await;
    for protocol in PROTOCOLS {
        let headers = [("x-latin", &b"caf\xe9"[..]), ("x!odd", b"1"), ("x-good", b"1")];
        let answer = wire::send(front.address(), protocol, post(protocol, &headers)).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?}");
        let heard = backend.next().await.headers;
        assert_eq!(heard["x-good"], "1");
        assert!(!heard.contains_key("x-latin") && !heard.contains_key("x!odd"), "{heard:?}");
    }
    front.stop().await;
}

/// RFC 9113, section 8.2.3: over HTTP/2 a browser may send each cookie by itself.
#[tokio::test]
async fn cookies_reach_a_backend_in_one_line() {
    let mut backend = Recorder::start().await;
    let front = front(&[&backend.url]).await;
    for protocol in PROTOCOLS {
        let cookies = [("cookie", &b"a=1"[..]), ("cookie", b"b=2; c=3"), ("cookie", b"d=4")];
        wire::send(front.address(), protocol, post(protocol, &cookies)).await;
        let heard = backend.next().await.headers;
        let heard: Vec<_> = heard.get_all(header::COOKIE).iter().collect();
        assert_eq!(heard, ["a=1; b=2; c=3; d=4"], "{protocol:?}");
    }
    front.stop().await;
}

/// CVE-2022-31813 was of this kind.
#[tokio::test]
async fn a_connection_header_removes_nothing_that_is_added_here() {
    let mut backend = Recorder::start().await;
    let front = front(&[&backend.url]).await;
    let protocol = Protocol::GrpcWeb;
    let names = b"close, x-forwarded-for, x-forwarded-proto, x-forwarded-host, forwarded, via, \
                  traceparent, content-type, te, grpc-timeout, grpc-encoding, host, x-mine";
    let headers = [
        ("connection", &names[..]),
        ("grpc-timeout", b"30S"),
        ("grpc-encoding", b"gzip"),
        ("x-mine", b"1"),
    ];
    let answer = wire::send(front.address(), protocol, post(protocol, &headers)).await;
    assert_eq!(answer.code(), Some(Code::Ok));
    let heard = backend.next().await.headers;
    for name in [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "forwarded",
        "via",
        "traceparent",
        "content-type",
        "te",
        "grpc-timeout",
        "grpc-encoding",
    ] {
        assert_eq!(heard.get_all(name).iter().count(), 1, "{name}: {heard:?}");
    }
    assert!(!heard.contains_key("x-mine") && !heard.contains_key("connection"), "{heard:?}");
    front.stop().await;
}

/// Nothing is decoded here, so a backend reads what its caller wrote.
#[tokio::test]
async fn the_format_of_messages_is_for_the_caller_and_the_backend_to_know() {
    let mut backend = Recorder::start().await;
    let front = front(&[&backend.url]).await;
    for format in ["", "+proto", "+json", "+flatbuffers", "+vnd.shop-2"] {
        for protocol in PROTOCOLS {
            let said = format!("{}{format}", protocol.content_type());
            let mut post = post(protocol, &[]);
            post.headers_mut().insert(header::CONTENT_TYPE, said.parse().unwrap());
            let answer = wire::send(front.address(), protocol, post).await;
            assert_eq!(answer.code(), Some(Code::Ok), "{said}");
            let heard = backend.next().await.headers[header::CONTENT_TYPE].clone();
            let is_protobuf = ["", "+proto"].contains(&format);
            if protocol == Protocol::Grpc || !is_protobuf {
                assert_eq!(heard, format!("application/grpc{format}"), "{said}");
                assert_eq!(answer.headers[header::CONTENT_TYPE], said);
            } else {
                assert!(heard.as_bytes().starts_with(b"application/grpc"), "{heard:?}");
                assert!(!heard.as_bytes().starts_with(b"application/grpc-web"), "{heard:?}");
            }
        }
    }
    front.stop().await;
}

/// What the JavaScript client writes for two days.
#[tokio::test]
async fn a_deadline_of_more_than_eight_digits_reaches_the_backend_as_one_of_eight() {
    let mut backend = Recorder::start().await;
    let front = front(&[&backend.url]).await;
    for protocol in PROTOCOLS {
        let far = post(protocol, &[("grpc-timeout", b"172800000m")]);
        let answer = wire::send(front.address(), protocol, far).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?}");
        let heard = backend.next().await.headers["grpc-timeout"].clone();
        let seconds = heard.to_str().unwrap().strip_suffix('S').expect("seconds");
        assert!((1..=172_800).contains(&seconds.parse::<u32>().unwrap()), "{heard:?}");
        let unitless = post(protocol, &[("grpc-timeout", &[b'9'; 40])]);
        let answer = wire::send(front.address(), protocol, unitless).await;
        assert_eq!(answer.code(), Some(Code::InvalidArgument), "{protocol:?}");
    }
    front.stop().await;
}

#[tokio::test]
async fn a_call_is_for_whom_the_operator_says() {
    for (authority, expected) in [(None, None), (Some("shop.example:81"), Some("shop.example:81"))]
    {
        let mut backend = Recorder::start().await;
        let front = front_for(&backend.url, authority).await;
        let expected = expected.unwrap_or(&backend.url["http://".len()..]).to_owned();
        for protocol in PROTOCOLS {
            wire::send(front.address(), protocol, post(protocol, &[])).await;
            assert_eq!(backend.next().await.uri.authority().unwrap(), &expected, "{protocol:?}");
        }
        assert_eq!(backend.next_own().await.uri.authority().unwrap(), &expected, "health");
        front.stop().await;
    }
}

#[tokio::test]
async fn a_call_may_be_for_whom_its_client_called() {
    let mut backend = Recorder::start().await;
    let front = front_for(&backend.url, Some("client")).await;
    let called = front.address().to_string();
    for protocol in PROTOCOLS {
        wire::send(front.address(), protocol, post(protocol, &[])).await;
        assert_eq!(backend.next().await.uri.authority().unwrap(), &called, "{protocol:?}");
    }
    let own = backend.next_own().await;
    assert_eq!(own.uri.authority().unwrap(), &backend.url["http://".len()..], "health");
    front.stop().await;
}

async fn front_for(backend: &str, authority: Option<&str>) -> TestServer {
    let mut config = config(&[backend]);
    let backend_authority = authority.map(|authority| authority.parse().unwrap());
    config.backend = BackendConfig { backend_authority, ..config.backend };
    TestServer::start_with(config).await
}
