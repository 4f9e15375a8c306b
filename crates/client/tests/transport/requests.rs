//! What leaves the browser, and that it is called back when nobody waits for an answer any more.

use std::pin::pin;

use journal::ReadRequest;
use journal::journal_client::JournalClient;
use tonic::Request;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::answers::{entry, ok};
use crate::calls::{bare, ours};
use crate::scripted::{Answer, Scripted, Then, grpc_web};

/// Values of the header `x-a` that leave the browser when both 1 and 2 are to be sent.
async fn sent<T>(transport: T) -> Option<String>
where
    T: GrpcService<Body, Error: Into<StdError>> + Clone,
    T::ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
{
    let scripted = Scripted::new(Some(grpc_web([ok()])));
    let mut request = Request::new(ReadRequest::default());
    for value in ["1", "2"] {
        request.metadata_mut().append("x-a", value.parse().unwrap());
    }
    JournalClient::new(transport).read(request).await.unwrap();
    let asked = scripted.asked.borrow();
    asked.requests[0].headers().get("x-a").unwrap()
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
async fn a_dropped_stream_aborts_its_request() {
    let scripted = Scripted::new(Some(Answer { then: Then::Wait, ..grpc_web([entry(1)]) }));
    let request = ReadRequest::default();
    let mut entries = JournalClient::new(ours()).read(request).await.unwrap().into_inner();
    assert_eq!(entries.message().await.unwrap().unwrap().cursor, "1");
    let signal = scripted.asked.borrow().signal.clone().unwrap();
    assert!(!signal.aborted());
    drop(entries);
    assert!(signal.aborted());
}

#[wasm_bindgen_test]
async fn nobody_else_sees_a_fetch_of_ours() {
    let scripted = Scripted::new(Some(Answer { then: Then::Wait, ..grpc_web([entry(1)]) }));
    let request = ReadRequest::default();
    let mut client = JournalClient::new(ours());
    let mut answer = pin!(client.read(request));
    // Between any two polls.
    let entries = std::future::poll_fn(|cx| {
        let polled = answer.as_mut().poll(cx);
        assert!(scripted.is_global());
        polled
    });
    let mut entries = entries.await.unwrap().into_inner();
    entries.message().await.unwrap();
    assert!(scripted.is_global());
}
