//! The messages of an answer: in a coding that was asked for, of a size that is held, as many as the
//! method gives.

use std::pin::pin;

use futures_util::future::{Either, select};
use runnel_client::transport::TransportError;
use tonic::Code;
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::answers::{entry, ok, trailers, with_headers};
use crate::calls::{LIMIT_BYTES, bare, last, ours, stream};
use crate::scripted::{Answer, Then, grpc_web};

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

/// An answer that begins a message of 1 GiB, and never goes on.
fn too_large() -> Answer {
    Answer { then: Then::Wait, ..grpc_web([entry(1), vec![0, 0x40, 0, 0, 0]]) }
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

/// A turn of the browser, by the end of which everything that can happen has happened.
async fn turn() {
    let promise = js_sys::Promise::new(&mut |resolve, _| {
        let window = web_sys::window().unwrap();
        window.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, 50).unwrap();
    });
    JsFuture::from(promise).await.unwrap();
}

#[wasm_bindgen_test]
async fn a_compression_that_was_not_asked_for_is_refused() {
    let answer = with_headers(grpc_web([entry(1), ok()]), &[("grpc-encoding", "snappy")]);
    let encoding = "snappy".to_owned();
    assert_eq!(stream(ours(), &answer).await.cause(), Some(&TransportError::Encoding { encoding }));
    let answer = with_headers(grpc_web([entry(1), ok()]), &[("grpc-encoding", "identity")]);
    assert_eq!(stream(ours(), &answer).await.ids, [1]);
}

#[wasm_bindgen_test]
async fn a_unary_answer_has_one_message() {
    assert_eq!(last(&grpc_web([entry(1), ok()])).await.unwrap(), "n");
    for answer in [
        grpc_web([ok()]),
        grpc_web([entry(1), entry(1), ok()]),
        with_headers(grpc_web([]), &[("grpc-status", "0")]),
    ] {
        assert_eq!(last(&answer).await.unwrap_err().code(), Code::Unimplemented);
    }
    // A failure has none, and that is in order.
    let failure = grpc_web([trailers("grpc-status:5\r\n")]);
    assert_eq!(last(&failure).await.unwrap_err().code(), Code::NotFound);
}
