//! Every field of every answer, beside what a direct client sees.

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use runnel::config::ServeConfig;
use runnel_client::Transport;
use runnel_tests::{
    python,
    server::TestServer,
    transport,
    wire::{self, PROTOCOLS, Protocol, frame},
};
use runnel_web::api::{ApiClient, Item};
use serde_json::Value;
use tonic::Code;

use super::{Answer, Ask, front, methods::until_counted_as, ready_is, rich_and_front};

/// What we add to an answer: the date and, without a body, its length, as HTTP servers do; and nginx
/// must not buffer.
const ADDED_TO_ANSWERS: [&str; 3] = ["content-length", "date", "x-accel-buffering"];

/// What we add to a call, each tested in `headers`.
const ADDED_TO_CALLS: [&str; 6] =
    ["forwarded", "traceparent", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

/// All four kinds of RPC, each of the codes, metadata of every sort, large messages, errors before and
/// after the first message, compression: through grpcio, which has its own ideas of HTTP/2.
#[tokio::test]
async fn a_native_client_sees_what_it_would_see_without_us() {
    let (rich, front) = rich_and_front().await;
    let direct = seen_by_a_native_client(format!("127.0.0.1:{}", rich.port)).await;
    let forwarded = seen_by_a_native_client(front.address().to_string()).await;
    are_alike(&direct, forwarded);
    front.stop().await;
}

/// What the methods are is known here, and each front adds what it has to say.
#[tokio::test]
async fn nor_does_it_see_two_of_us_nor_that_we_know_the_methods() {
    let rich = python::serve_with("rich_server.py", &["--reflection"]).await;
    let inner = front(&[&rich.url()]).await;
    let outer = front(&[&inner.url()]).await;
    for front in [&inner, &outer] {
        let ask = frame(&Ask { messages: 1, ..Ask::default() });
        until_counted_as(front, "Unary", "/rich.Rich/Unary", ask).await;
    }
    let direct = seen_by_a_native_client(format!("127.0.0.1:{}", rich.port)).await;
    let forwarded = seen_by_a_native_client(outer.address().to_string()).await;
    are_alike(&direct, forwarded);
    outer.stop().await;
    inner.stop().await;
}

type Seen = serde_json::Map<String, Value>;

async fn seen_by_a_native_client(address: String) -> Seen {
    serde_json::from_str(&python::run("rich_client.py", &[&address]).await).unwrap()
}

fn are_alike(direct: &Seen, mut forwarded: Seen) {
    assert!(direct.len() > 80, "{}", direct.len());
    assert_eq!(direct.keys().collect::<Vec<_>>(), forwarded.keys().collect::<Vec<_>>());
    for (call, seen) in &mut forwarded {
        remove_what_we_added(seen);
        assert_eq!(*seen, direct[call], "{call}");
    }
}

fn remove_what_we_added(seen: &mut Value) {
    let without = |names: &[&str], list: &mut Value| {
        let list = list.as_array_mut().into_iter();
        list.for_each(|list| list.retain(|pair| !names.contains(&pair[0].as_str().unwrap())));
    };
    if seen.is_array() {
        return; // the unknown method: a code and a text
    }
    for message in seen["messages"].as_array_mut().unwrap() {
        without(&ADDED_TO_CALLS, &mut message["received"]);
    }
    for metadata in ["initial", "trailing"] {
        without(&ADDED_TO_ANSWERS, &mut seen[metadata]);
    }
}

/// The same over gRPC-Web, compared with the bytes that a native client gets.
#[tokio::test]
async fn a_browser_sees_what_a_native_client_sees_without_us() {
    let (rich, front) = rich_and_front().await;
    let direct_address = ([127, 0, 0, 1], rich.port).into();
    let base = Ask { messages: 1, ..Ask::default() };
    let mut asks = vec![
        base.clone(),
        Ask { messages: 0, ..base.clone() },
        Ask { messages: 3, metadata: true, ..base.clone() },
        Ask { messages: 2, message_bytes: 3_000_000, payload: vec![7; 2_000_000], ..base.clone() },
        Ask {
            messages: 0,
            code: 9,
            text: "no: 100 % 世界\n".into(),
            details: (0..=255).collect(),
            metadata: true,
            ..base.clone()
        },
        Ask { messages: 3, message_bytes: 100_000, code: 15, metadata: true, ..base },
    ];
    asks.extend((1..=16).map(|code| Ask { code, text: format!("code {code}"), ..Ask::default() }));
    for path in ["/rich.Rich/Unary", "/rich.Rich/ServerStream"] {
        for ask in &asks {
            let direct = call(direct_address, Protocol::Grpc, path, ask).await;
            for protocol in PROTOCOLS {
                let forwarded = call(front.address(), protocol, path, ask).await;
                let what = format!("{protocol:?} {path} {}", ask.code);
                assert_eq!(forwarded.http_status, direct.http_status, "{what}");
                assert_eq!(payloads(&forwarded), payloads(&direct), "{what}");
                assert_eq!(metadata(&forwarded.headers), metadata(&direct.headers), "{what}");
                assert_eq!(trailers(&forwarded), trailers(&direct), "{what}");
                for answer in forwarded.decode::<Answer>().iter().filter(|_| ask.messages > 0) {
                    assert_eq!(answer.received("x-sent"), ["one", "two"], "{what}");
                    assert_eq!(answer.received("x-sent-bin"), ["\u{0}\u{1}"], "{what}");
                    assert_eq!(answer.received("x-sent-empty"), [""], "{what}");
                }
            }
        }
    }
    front.stop().await;
}

async fn call(
    address: std::net::SocketAddr,
    protocol: Protocol,
    path: &str,
    ask: &Ask,
) -> wire::Answer {
    let post = Request::post(path)
        .header(header::CONTENT_TYPE, protocol.content_type())
        .header(header::TE, "trailers")
        .header("x-sent", "one")
        .header("x-sent", "two")
        .header("x-sent-empty", "")
        .header("x-sent-bin", "AAE")
        .body(protocol.encode(frame(ask)))
        .unwrap();
    wire::send(address, protocol, post).await
}

fn payloads(answer: &wire::Answer) -> Vec<(i32, Vec<u8>)> {
    let answers = answer.decode::<Answer>().into_iter();
    answers.map(|answer| (answer.number, answer.payload)).collect()
}

/// What the service sends, every value in its place.
fn metadata(headers: &HeaderMap) -> Vec<(String, Vec<&[u8]>)> {
    let names = headers.keys().map(ToString::to_string);
    let mut metadata: Vec<_> = names
        .filter(|name| name.starts_with("x-") && !ADDED_TO_ANSWERS.contains(&name.as_str()))
        .map(|name| {
            let values = headers.get_all(&name).iter().map(http::HeaderValue::as_bytes).collect();
            (name, values)
        })
        .collect();
    metadata.sort();
    metadata
}

fn trailers(answer: &wire::Answer) -> Vec<(String, String)> {
    let kept = |name: &str| {
        name.starts_with("grpc-") || name.starts_with("x-") && !ADDED_TO_ANSWERS.contains(&name)
    };
    let mut trailers = answer.all_trailers.clone();
    trailers.retain(|(name, _)| kept(name) && name != "grpc-accept-encoding");
    // By name only: the values of one name keep their order.
    trailers.sort_by(|(a, _), (b, _)| a.cmp(b));
    trailers
}

#[tokio::test]
async fn the_original_python_server_works_behind_us_unchanged() {
    let original = python::serve("server.py").await;
    let front = front(&[&original.url()]).await;
    the_contract_is_answered(front.client()).await;
    the_contract_is_answered(ApiClient::new(transport::grpc_web(&front.url()))).await;
    front.stop().await;
}

async fn the_contract_is_answered<T: Transport>(client: ApiClient<T>) {
    let ten: Vec<Item> = (1..=10).map(|id| Item { id, name: format!("name {id}") }).collect();
    assert_eq!(client.say_hello("世界").await.unwrap(), "Hello 世界!");
    assert_eq!(client.get_all(10).await.unwrap(), ten);
    let mut stream = client.get_stream(10).await.unwrap();
    for item in ten {
        assert_eq!(stream.next().await.unwrap().unwrap(), item);
    }
    assert!(stream.next().await.is_none());
}

/// Health, reflection and every check of the contract: another Runnel answers them, through us.
#[tokio::test]
async fn a_python_client_works_through_us() {
    let backend = TestServer::start().await;
    let front = front(&[&backend.url()]).await;
    let printed = python::run("client.py", &[&front.address().to_string()]).await;
    let direct = python::run("client.py", &[&backend.address().to_string()]).await;
    assert_eq!(printed, direct);

    // What does not exist there does not exist here: the backend says so.
    let answer =
        wire::call(front.address(), Protocol::GrpcWeb, "/no.Such/method", vec![0; 5]).await;
    assert_eq!(answer.code(), Some(Code::Unimplemented));
    front.stop().await;
    backend.stop().await;
}

/// The page is served as ever: only what calls itself gRPC is forwarded.
#[tokio::test]
async fn what_is_no_call_is_not_forwarded() {
    let (_rich, front) = rich_and_front().await;
    let path = "/rich.Rich/Unary";
    let get = Request::get(path).body(Bytes::new()).unwrap();
    let response = wire::http1_request(front.address(), get).await;
    assert!(!response.headers().contains_key("grpc-status"));
    for (content_type, status) in [
        ("application/json", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("application/grpc", StatusCode::HTTP_VERSION_NOT_SUPPORTED),
    ] {
        let post = Request::post(path).header(header::CONTENT_TYPE, content_type);
        let post = post.body(Bytes::new()).unwrap();
        let response = wire::http1_request(front.address(), post).await;
        assert_eq!(response.status(), status, "{content_type}");
    }
    front.stop().await;
}

/// The container's health check, where the backend has no health service and where it is not there.
#[tokio::test]
async fn a_front_is_healthy_when_its_backend_answers() {
    let original = python::serve("server.py").await;
    let front = front(&[&original.url()]).await;
    let check = async || {
        let config = ServeConfig { listen: front.address(), ..ServeConfig::default() };
        runnel::healthcheck::check(&config).await
    };
    ready_is(&front, StatusCode::OK).await;
    check().await.unwrap();
    original.kill().await;
    ready_is(&front, StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(check().await.is_err());
    front.stop().await;
}
