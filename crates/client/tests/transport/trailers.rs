//! The trailers behind an answer: whole, all of them, or the answer was cut off.

use runnel_client::transport::TransportError;
use tonic::Code;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::answers::{entry, ok, split_at, three_entries, trailers};
use crate::calls::{bare, ours, stream};
use crate::scripted::{Answer, grpc_web};

#[wasm_bindgen_test]
async fn an_answer_may_be_split_at_every_byte() {
    let answer = three_entries();
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
    let answer = three_entries();
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

#[wasm_bindgen_test]
async fn an_answer_without_its_trailers_was_cut_off() {
    let whole = [entry(1), entry(2), ok()].concat();
    for end in [0, 3, 20, 21, 24, whole.len() - 1] {
        let outcome = stream(ours(), &grpc_web([whole[..end].to_vec()])).await;
        assert_eq!(outcome.cause(), Some(&TransportError::CutOff), "cut off at {end}");
    }
    let outcome = stream(ours(), &grpc_web([entry(1), entry(2)])).await;
    assert_eq!((&outcome.ids[..], outcome.code()), (&[1, 2][..], Code::Internal));

    let no_status = stream(ours(), &grpc_web([entry(1), trailers("x-a:1\r\n")])).await;
    assert_eq!(no_status.cause(), Some(&TransportError::NoStatus));
}
