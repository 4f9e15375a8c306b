//! How a response ended, reported by the server, by a proxy instead of it, or by the network.

use std::error::Error as _;

use runnel_client::transport::TransportError;
use tonic::Code;
use wasm_bindgen_test::wasm_bindgen_test;
use web_sys::RequestRedirect;

use crate::answers::{entry, ok, trailers, with_headers};
use crate::calls::{bare, call, ours, stream};
use crate::scripted::{Answer, Scripted, Then, grpc_web};

#[wasm_bindgen_test]
async fn a_broken_connection_is_told_from_one_that_never_was() {
    let answer = Answer { then: Then::Break, ..grpc_web([entry(1), entry(2)]) };
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
    let answer = Answer { then: Then::Break, ..grpc_web([entry(1)]) };
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
async fn a_redirect_is_not_followed_and_told_from_a_lost_network() {
    let fetch = Scripted::new(Some(error_page(0)));
    let outcome = call(ours()).await;
    assert_eq!(outcome.cause(), Some(&TransportError::Redirect));
    assert_eq!(fetch.asked.borrow().redirect, Some(RequestRedirect::Manual));
}

#[wasm_bindgen_test]
async fn upstream_loses_the_http_status() {
    assert_eq!(stream(bare(), &error_page(502)).await.code(), Code::Unknown);
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

#[wasm_bindgen_test]
async fn a_status_in_the_head_counts_unless_a_body_follows() {
    let refusal = with_headers(grpc_web([]), &[("grpc-status", "8"), ("x-a", "1")]);
    let status = stream(ours(), &refusal).await.end.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.metadata().get("x-a").unwrap(), "1");
    assert!(status.source().is_none(), "the server's own word");

    let contradicted = with_headers(grpc_web([entry(1), ok()]), &[("grpc-status", "8")]);
    let outcome = stream(ours(), &contradicted).await;
    assert_eq!((&outcome.ids[..], outcome.code()), (&[1][..], Code::Ok));
}

#[wasm_bindgen_test]
async fn upstream_believes_a_status_in_the_head_whatever_follows() {
    let contradicted = with_headers(grpc_web([entry(1), ok()]), &[("grpc-status", "8")]);
    assert_eq!(stream(bare(), &contradicted).await.code(), Code::ResourceExhausted);
}
