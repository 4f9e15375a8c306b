//! What goes around tonic-web-wasm-client, in a browser: each answer given to our transport, and to
//! the library as it comes.
//!
//! A test named `upstream_…` holds the library to its fault. When it fails, the library has been
//! mended, and what stands in for that fault in `web/src/transport` can go.

#![cfg(target_arch = "wasm32")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod scripted;

use std::error::Error as _;
use std::pin::pin;

use futures_util::future::{Either, select};
use runnel_protos::api::api_client::ApiClient;
use runnel_protos::api::{ApiRequest, HelloRequest};
use runnel_web::transport::{FetchTransport, TransportError, Unary, by_fetch};
use scripted::{Answer, Scripted, Then, grpc_web};
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Status};
use tonic_web_wasm_client::Client;
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

const ORIGIN: &str = "http://server.test";
const LIMIT_BYTES: usize = 1000;

fn ours() -> FetchTransport {
    by_fetch(ORIGIN.to_owned(), LIMIT_BYTES)
}

fn bare() -> Client {
    Client::new(ORIGIN.to_owned())
}

/// What came of a `getStream`.
#[derive(Debug)]
struct Outcome {
    ids: Vec<u8>,
    end: Result<MetadataMap, Status>,
}

impl Outcome {
    fn code(&self) -> Code {
        self.end.as_ref().map_or_else(Status::code, |_| Code::Ok)
    }

    /// Why our transport failed, if the server did not say.
    fn cause(&self) -> Option<&TransportError> {
        self.end.as_ref().err()?.source()?.downcast_ref()
    }

    fn trailer(&self, name: &str) -> Vec<&str> {
        let all = self.end.as_ref().unwrap().get_all(name);
        all.iter().map(|value| value.to_str().unwrap()).collect()
    }
}

async fn stream<T>(transport: T, answer: &Answer) -> Outcome
where
    T: GrpcService<Body, Error: Into<StdError>> + Clone,
    T::ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
{
    let _scripted = Scripted::new(Some(answer.clone()));
    call(transport).await
}

async fn call<T>(transport: T) -> Outcome
where
    T: GrpcService<Body, Error: Into<StdError>> + Clone,
    T::ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
{
    let mut ids = Vec::new();
    let request = ApiRequest { length: 3, after: 0 };
    let mut items = match ApiClient::new(transport).get_stream(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Outcome { ids, end: Err(status) },
    };
    loop {
        match items.message().await {
            Ok(Some(item)) => ids.push(item.id.try_into().unwrap()),
            Ok(None) => break,
            Err(status) => return Outcome { ids, end: Err(status) },
        }
    }
    let end = items.trailers().await.map(Option::unwrap_or_default);
    Outcome { ids, end }
}

/// A greeting by our transport, as the page asks for one.
async fn greeting(answer: &Answer) -> Result<String, Status> {
    let _scripted = Scripted::new(Some(answer.clone()));
    let mut request = Request::new(HelloRequest { name: String::new() });
    request.extensions_mut().insert(Unary);
    let answer = ApiClient::new(ours()).say_hello(request).await?;
    Ok(answer.into_inner().message)
}

fn frame(flags: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[flags], &length[..], content].concat()
}

/// The message `Item { id, name: "n" }`, in its frame.
fn item(id: u8) -> Vec<u8> {
    frame(0, &[0x08, id, 0x12, 1, b'n'])
}

/// The message `Hello { message: "hi" }`, in its frame.
fn hello() -> Vec<u8> {
    frame(0, &[0x0a, 2, b'h', b'i'])
}

fn trailers(block: &str) -> Vec<u8> {
    frame(0x80, block.as_bytes())
}

fn ok() -> Vec<u8> {
    trailers("grpc-status:0\r\n")
}

fn with_headers(mut answer: Answer, headers: &[(&'static str, &'static str)]) -> Answer {
    answer.headers.extend(headers);
    answer
}

/// An answer that is split in two at this byte.
fn split_at(answer: &[u8], at: usize) -> Answer {
    let (first, second) = answer.split_at(at);
    grpc_web([first.to_vec(), second.to_vec()])
}

fn three_items() -> Vec<u8> {
    [item(1), item(2), item(3), trailers("grpc-status:0\r\nx-end:yes\r\n")].concat()
}

#[wasm_bindgen_test]
async fn an_answer_may_be_split_at_every_byte() {
    let answer = three_items();
    for at in 0..=answer.len() {
        let outcome = stream(ours(), &split_at(&answer, at)).await;
        assert_eq!(outcome.ids, [1, 2, 3], "split at {at}");
        assert_eq!(outcome.trailer("x-end"), ["yes"], "split at {at}");
    }
    let bytes = answer.iter().map(|&byte| vec![byte]);
    let outcome = stream(ours(), &grpc_web(bytes)).await;
    assert_eq!((&outcome.ids[..], outcome.code()), (&[1, 2, 3][..], Code::Ok));
}

#[wasm_bindgen_test]
async fn upstream_loses_trailers_that_two_chunks_share() {
    let answer = three_items();
    let within = answer.len() - 3;
    assert_eq!(stream(bare(), &split_at(&answer, within)).await.code(), Code::Unknown);
}

#[wasm_bindgen_test]
async fn every_value_of_a_repeated_trailer_arrives() {
    let answer = grpc_web([trailers("x-a:1\r\nx-a:2\r\ngrpc-status:0\r\n")]);
    assert_eq!(stream(ours(), &answer).await.trailer("x-a"), ["1", "2"]);
}

#[wasm_bindgen_test]
async fn upstream_keeps_the_last_value_of_a_repeated_trailer() {
    let answer = grpc_web([trailers("x-a:1\r\nx-a:2\r\ngrpc-status:0\r\n")]);
    assert_eq!(stream(bare(), &answer).await.trailer("x-a"), ["2"]);
}

fn a_hundred_trailers() -> Answer {
    let lines: Vec<String> = (0..100).map(|n| format!("x-{n}:{n}\r\n")).collect();
    grpc_web([trailers(&format!("{}grpc-status:0\r\n", lines.concat()))])
}

#[wasm_bindgen_test]
async fn a_hundred_trailers_arrive() {
    assert_eq!(stream(ours(), &a_hundred_trailers()).await.trailer("x-99"), ["99"]);
}

#[wasm_bindgen_test]
async fn upstream_fails_on_a_hundred_trailers() {
    assert_eq!(stream(bare(), &a_hundred_trailers()).await.code(), Code::Unknown);
}

/// Values of the header `x-a` that leave the browser when both 1 and 2 are to be sent.
async fn sent<T>(transport: T) -> Option<String>
where
    T: GrpcService<Body, Error: Into<StdError>> + Clone,
    T::ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
{
    let scripted = Scripted::new(Some(grpc_web([ok()])));
    let mut request = Request::new(ApiRequest::default());
    for value in ["1", "2"] {
        request.metadata_mut().append("x-a", value.parse().unwrap());
    }
    ApiClient::new(transport).get_stream(request).await.unwrap();
    let headers = scripted.asked.borrow().headers.clone();
    headers.unwrap().get("x-a").unwrap()
}

#[wasm_bindgen_test]
async fn every_value_of_a_repeated_request_header_is_sent() {
    assert_eq!(sent(ours()).await.as_deref(), Some("1, 2"));
}

#[wasm_bindgen_test]
async fn upstream_sends_the_last_value_of_a_repeated_request_header() {
    assert_eq!(sent(bare()).await.as_deref(), Some("2"));
}

#[wasm_bindgen_test]
async fn an_answer_without_its_trailers_was_cut_off() {
    let whole = [item(1), item(2), ok()].concat();
    for end in [0, 3, 20, 21, 24, whole.len() - 1] {
        let outcome = stream(ours(), &grpc_web([whole[..end].to_vec()])).await;
        assert_eq!(outcome.cause(), Some(&TransportError::CutOff), "cut off at {end}");
    }
    let outcome = stream(ours(), &grpc_web([item(1), item(2)])).await;
    assert_eq!((&outcome.ids[..], outcome.code()), (&[1, 2][..], Code::Internal));

    let no_status = stream(ours(), &grpc_web([item(1), trailers("x-a:1\r\n")])).await;
    assert_eq!(no_status.cause(), Some(&TransportError::NoStatus));
}

#[wasm_bindgen_test]
async fn a_broken_connection_is_told_from_one_that_never_was() {
    let answer = Answer { then: Then::Break, ..grpc_web([item(1), item(2)]) };
    let outcome = stream(ours(), &answer).await;
    assert_eq!((&outcome.ids[..], outcome.code()), (&[1, 2][..], Code::Unavailable));
    let detail = "TypeError: network error".to_owned();
    assert_eq!(outcome.cause(), Some(&TransportError::Broken { detail }));

    let _no_network = Scripted::new(None);
    let outcome = call(ours()).await;
    assert_eq!(outcome.code(), Code::Unavailable);
    let detail = "TypeError: Failed to fetch".to_owned();
    assert_eq!(outcome.cause(), Some(&TransportError::NoAnswer { detail }));
}

#[wasm_bindgen_test]
async fn upstream_calls_every_failure_of_the_network_unknown() {
    let answer = Answer { then: Then::Break, ..grpc_web([item(1)]) };
    assert_eq!(stream(bare(), &answer).await.code(), Code::Unknown);
    let _no_network = Scripted::new(None);
    assert_eq!(call(bare()).await.code(), Code::Unknown);
}

fn error_page(status: u16) -> Answer {
    let chunks = vec![b"<html>Bad Gateway</html>".to_vec()];
    let headers = vec![("content-type", "text/html")];
    Answer { status, headers, chunks, then: Then::End }
}

#[wasm_bindgen_test]
async fn a_proxys_error_page_has_the_code_of_its_http_status_and_says_so() {
    let outcome = stream(ours(), &error_page(502)).await;
    let status = outcome.end.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "HTTP 502 with text/html, where gRPC-Web was expected");
    for (http_status, code) in
        [(200, Code::Unknown), (401, Code::Unauthenticated), (404, Code::Unimplemented)]
    {
        assert_eq!(stream(ours(), &error_page(http_status)).await.code(), code);
        let empty = Answer { chunks: vec![], ..error_page(http_status) };
        assert_eq!(stream(ours(), &empty).await.code(), code);
    }
}

#[wasm_bindgen_test]
async fn upstream_loses_the_http_status() {
    assert_eq!(stream(bare(), &error_page(502)).await.code(), Code::Unknown);
}

fn text_mode() -> Answer {
    let headers = vec![("content-type", "application/grpc-web-text+proto")];
    let chunks = vec![b"gAAAAA9ncnBjLXN0YXR1czowDQo=".to_vec()];
    Answer { status: 200, headers, chunks, then: Then::End }
}

#[wasm_bindgen_test]
async fn an_answer_in_text_mode_is_refused_with_words() {
    let status = stream(ours(), &text_mode()).await.end.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
    assert!(status.message().contains("application/grpc-web-text+proto"), "{status:?}");
}

#[wasm_bindgen_test]
#[should_panic(expected = "split_to out of bounds")]
async fn upstream_panics_in_text_mode() {
    stream(bare(), &text_mode()).await;
}

#[wasm_bindgen_test]
async fn details_that_are_no_base64_do_not_cost_the_status() {
    let block = "grpc-status:8\r\ngrpc-message:full\r\ngrpc-status-details-bin:!\r\n";
    let in_body = grpc_web([trailers(block)]);
    let in_head = with_headers(
        grpc_web([]),
        &[("grpc-status", "8"), ("grpc-message", "full"), ("grpc-status-details-bin", "!")],
    );
    for answer in [in_body, in_head] {
        let status = stream(ours(), &answer).await.end.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "full"));
    }
}

/// An answer that begins a message of 1 GiB, and never goes on.
fn too_large() -> Answer {
    Answer { then: Then::Wait, ..grpc_web([item(1), vec![0, 0x40, 0, 0, 0]]) }
}

#[wasm_bindgen_test]
async fn a_message_over_the_limit_is_refused_before_it_is_received() {
    let outcome = stream(ours(), &too_large()).await;
    assert_eq!((&outcome.ids[..], outcome.code()), (&[1][..], Code::ResourceExhausted));
    let error = TransportError::TooLarge { frame_bytes: 1 << 30, limit_bytes: LIMIT_BYTES };
    assert_eq!(outcome.cause(), Some(&error));
}

#[wasm_bindgen_test]
async fn upstream_receives_a_message_of_any_size() {
    let outcome = async { stream(bare(), &too_large()).await };
    assert!(matches!(select(pin!(outcome), pin!(turn())).await, Either::Right(_)));
}

#[wasm_bindgen_test]
async fn a_status_in_the_head_counts_unless_a_body_follows() {
    let refusal = with_headers(grpc_web([]), &[("grpc-status", "8"), ("x-a", "1")]);
    let status = stream(ours(), &refusal).await.end.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.metadata().get("x-a").unwrap(), "1");
    assert!(status.source().is_none(), "the server's own word");

    let contradicted = with_headers(grpc_web([item(1), ok()]), &[("grpc-status", "8")]);
    let outcome = stream(ours(), &contradicted).await;
    assert_eq!((&outcome.ids[..], outcome.code()), (&[1][..], Code::Ok));
}

#[wasm_bindgen_test]
async fn upstream_believes_a_status_in_the_head_whatever_follows() {
    let contradicted = with_headers(grpc_web([item(1), ok()]), &[("grpc-status", "8")]);
    assert_eq!(stream(bare(), &contradicted).await.code(), Code::ResourceExhausted);
}

#[wasm_bindgen_test]
async fn a_compression_that_was_not_asked_for_is_refused() {
    let answer = with_headers(grpc_web([hello(), ok()]), &[("grpc-encoding", "snappy")]);
    let encoding = "snappy".to_owned();
    assert_eq!(stream(ours(), &answer).await.cause(), Some(&TransportError::Encoding { encoding }));
    let answer = with_headers(grpc_web([item(1), ok()]), &[("grpc-encoding", "identity")]);
    assert_eq!(stream(ours(), &answer).await.ids, [1]);
}

#[wasm_bindgen_test]
async fn a_unary_answer_has_one_message() {
    assert_eq!(greeting(&grpc_web([hello(), ok()])).await.unwrap(), "hi");
    for answer in [
        grpc_web([ok()]),
        grpc_web([hello(), hello(), ok()]),
        with_headers(grpc_web([]), &[("grpc-status", "0")]),
    ] {
        assert_eq!(greeting(&answer).await.unwrap_err().code(), Code::Unimplemented);
    }
    // A failure has none, and that is in order.
    let failure = grpc_web([trailers("grpc-status:5\r\n")]);
    assert_eq!(greeting(&failure).await.unwrap_err().code(), Code::NotFound);
}

#[wasm_bindgen_test]
async fn a_dropped_stream_aborts_its_request() {
    let scripted = Scripted::new(Some(Answer { then: Then::Wait, ..grpc_web([item(1)]) }));
    let request = ApiRequest { length: 3, after: 0 };
    let mut items = ApiClient::new(ours()).get_stream(request).await.unwrap().into_inner();
    assert_eq!(items.message().await.unwrap().unwrap().id, 1);
    let signal = scripted.asked.borrow().signal.clone().unwrap();
    assert!(!signal.aborted());
    drop(items);
    assert!(signal.aborted());
}

#[wasm_bindgen_test]
async fn nobody_else_sees_a_fetch_of_ours() {
    let scripted = Scripted::new(Some(Answer { then: Then::Wait, ..grpc_web([item(1)]) }));
    let request = ApiRequest { length: 3, after: 0 };
    let mut client = ApiClient::new(ours());
    let mut answer = pin!(client.get_stream(request));
    // Between any two polls.
    let items = std::future::poll_fn(|cx| {
        let polled = answer.as_mut().poll(cx);
        assert!(scripted.is_global());
        polled
    });
    let mut items = items.await.unwrap().into_inner();
    items.message().await.unwrap();
    assert!(scripted.is_global());
}

/// A turn of the browser, by the end of which everything that can happen has happened.
async fn turn() {
    let promise = js_sys::Promise::new(&mut |resolve, _| {
        let window = web_sys::window().unwrap();
        window.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, 50).unwrap();
    });
    JsFuture::from(promise).await.unwrap();
}
