//! Two clients, one connection to the backend: whatever the one sends, the other's calls end as they do
//! when it is alone.

use std::io::Write as _;

use bytes::Bytes;
use fastrand::Rng;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderName, HeaderValue, Request, header};
use prost::Message as _;
use runnel_protos::api::{Hello, HelloRequest};
use runnel_tests::{
    go::{self, Transport},
    python,
    server::TestServer,
    wire::{self, Protocol, frame},
};

use super::{Answer, Ask, front};

/// How often each backend is tried, each time with another seed.
const ROUNDS: u64 = 40;

/// Names that a gRPC server parses, names that it passes on, and names that gRPC has none of.
const NAMES: [&str; 20] = [
    "x-user-bin",
    "x-user",
    "x-other-bin",
    "grpc-trace-bin",
    "grpc-tags-bin",
    "lb-cost-bin",
    "lb-token",
    "grpc-encoding",
    "grpc-accept-encoding",
    "grpc-timeout",
    "grpc-previous-rpc-attempts",
    "grpc-retry-pushback-ms",
    "grpc-status",
    "authorization",
    "cookie",
    "user-agent",
    "content-type",
    "traceparent",
    "x-forwarded-for",
    "x!odd",
];

const VALUES: [&[u8]; 16] = [
    b"",
    b"!",
    b"AAE",
    b"AAE, AAI",
    b"AAF=",
    b"zstd",
    b"gzip",
    b"identity",
    b"-1",
    b"1m",
    b"99999999999999999999S",
    b"application/grpc+json",
    b"Bearer other",
    b"a=1; b=2",
    b"caf\xc3\xa9",
    b"\xff\tx",
];

const PATHS: [&str; 6] = [
    "/rich.Rich/Unary",
    "/rich.Rich/ServerStream",
    "/rich.Rich/Bidi",
    "/api.Api/sayHello",
    "/no.Such/Method",
    "/rich.Rich/Unary?x=1",
];

/// A call as the noisy client makes it, and after how many turns it loses interest.
fn noise(rng: &mut Rng) -> (Protocol, Request<Bytes>, Option<u32>) {
    let protocol = if rng.bool() { Protocol::Grpc } else { Protocol::GrpcWeb };
    let is_given_up = rng.u8(..4) == 0;
    let ask = Ask {
        messages: rng.i32(0..3),
        message_bytes: rng.i32(0..20_000),
        code: if rng.bool() { 0 } else { rng.i32(0..17) },
        metadata: rng.bool(),
        wait: is_given_up,
        payload: vec![7; rng.usize(0..100_000)],
        ..Ask::default()
    };
    let mut body = frame(&ask);
    match rng.u8(..6) {
        // Compressed, as it says, and it is not; or cut off.
        0 => body[0] = rng.u8(1..),
        1 => body.truncate(rng.usize(..body.len())),
        _ => {}
    }
    let mut post = Request::post(PATHS[rng.usize(..PATHS.len())])
        .header(header::CONTENT_TYPE, protocol.content_type())
        .header(header::TE, "trailers")
        .body(Bytes::from(body))
        .unwrap();
    for _ in 0..rng.u8(1..6) {
        let name = HeaderName::from_static(NAMES[rng.usize(..NAMES.len())]);
        let value = match rng.u8(..5) {
            0 => vec![b'a'; rng.usize(..3000)],
            _ => VALUES[rng.usize(..VALUES.len())].to_vec(),
        };
        post.headers_mut().append(name, HeaderValue::from_bytes(&value).unwrap());
    }
    // What asks for no end gets one.
    if !is_given_up {
        post.headers_mut().append("grpc-timeout", HeaderValue::from_static("20S"));
    }
    (protocol, post, is_given_up.then(|| rng.u32(..300)))
}

async fn make(front: std::net::SocketAddr, noise: (Protocol, Request<Bytes>, Option<u32>)) {
    let (protocol, post, turns) = noise;
    // It may be cut off, which fails the helper, and is no business of the other's.
    let call = tokio::spawn(wire::send(front, protocol, post));
    match turns {
        None => drop(call.await),
        Some(turns) => {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            call.abort();
        }
    }
}

/// What the other client sees of its calls: one with all that servers parse, one that is compressed.
async fn outcome(front: std::net::SocketAddr, path: &str) -> Vec<String> {
    let mut seen = Vec::new();
    for protocol in [Protocol::Grpc, Protocol::GrpcWeb] {
        for encoding in ["identity", "gzip"] {
            let message = if path.starts_with("/api.") {
                HelloRequest { name: "Gonzalo".to_owned() }.encode_to_vec()
            } else {
                Ask { messages: 1, metadata: true, payload: vec![1; 5000], ..Ask::default() }
                    .encode_to_vec()
            };
            let (flag, message) = match encoding {
                "gzip" => (1, zipped(&message)),
                _ => (0, message),
            };
            let length = u32::try_from(message.len()).unwrap().to_be_bytes();
            let post = Request::post(path)
                .header(header::CONTENT_TYPE, protocol.content_type())
                .header("x-user-bin", "AAE")
                .header("x-user", "honest")
                .header("x-other-bin", "AAI")
                .header("grpc-trace-bin", "AAE")
                .header("grpc-tags-bin", "AAE")
                .header("grpc-encoding", encoding)
                .header("grpc-accept-encoding", "identity")
                .header("grpc-timeout", "59S")
                .header("grpc-previous-rpc-attempts", "1")
                .header("authorization", "Bearer honest")
                .header("cookie", "a=honest")
                .header("user-agent", "honest")
                .body(Bytes::from([&[flag][..], &length, &message].concat()))
                .unwrap();
            let answer = wire::send(front, protocol, post).await;
            seen.push(format!("{protocol:?} {encoding} {:?} {}", answer.code(), answer.message()));
            if path.starts_with("/api.") {
                seen.extend(answer.decode::<Hello>().into_iter().map(|hello| hello.message));
                continue;
            }
            for answer in answer.decode::<Answer>() {
                let mut received = answer.received;
                received.retain(|metadata| metadata.name != "traceparent");
                received.sort_by(|a, b| (&a.name, &a.value).cmp(&(&b.name, &b.value)));
                seen.push(format!("{} {received:?}", answer.payload.len()));
            }
        }
    }
    seen
}

fn zipped(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(message).unwrap();
    encoder.finish().unwrap()
}

/// Tries a backend that answers `path`.
async fn nobody_is_harmed(backend: &str, path: &str) {
    let front = front(&[backend]).await;
    let alone = outcome(front.address(), path).await;
    assert!(alone.iter().filter(|seen| seen.contains("Some(Ok)")).count() == 4, "{alone:#?}");
    for seed in 0..ROUNDS {
        let mut rng = Rng::with_seed(seed);
        let noises: Vec<_> = (0..4).map(|_| noise(&mut rng)).collect();
        let said: Vec<_> = noises.iter().map(|(_, post, _)| post.headers().clone()).collect();
        let making = noises.into_iter().map(|noise| make(front.address(), noise));
        let (during, _) =
            tokio::join!(outcome(front.address(), path), futures_util::future::join_all(making));
        let after = outcome(front.address(), path).await;
        assert_eq!((&during, &after), (&alone, &alone), "seed {seed}: {said:#?}");
    }
    front.stop().await;
}

#[tokio::test]
async fn in_front_of_grpcio_nobody_is_harmed() {
    let backend = python::serve("rich_server.py").await;
    nobody_is_harmed(&backend.url(), "/rich.Rich/Unary").await;
}

#[tokio::test]
async fn in_front_of_grpc_go_nobody_is_harmed() {
    let backend = go::serve(Transport::Grpc, &[]).await;
    nobody_is_harmed(&backend.url(), "/rich.Rich/Unary").await;
}

#[tokio::test]
async fn in_front_of_net_http_nobody_is_harmed() {
    let backend = go::serve(Transport::NetHttp, &[]).await;
    nobody_is_harmed(&backend.url(), "/rich.Rich/Unary").await;
}

#[tokio::test]
async fn in_front_of_tonic_nobody_is_harmed() {
    let backend = TestServer::start().await;
    nobody_is_harmed(&backend.url(), "/api.Api/sayHello").await;
    backend.stop().await;
}
