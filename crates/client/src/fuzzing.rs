//! What the fuzz target `answer` of `tests/fuzz` does: our reading of an answer, given any bytes in any
//! pieces, neither panics nor disagrees with a plainer reading of the whole. Not in any ordinary build;
//! `cargo test` runs the kept corpus through it, without a fuzzer.

use tonic::{Code, Status};

use crate::transport::TransportError;
use crate::transport::answer::{Answer, Ending, Head};
use crate::transport::trailers;

/// The body of an answer, in whatever pieces. Input: whether the head has a status, the limit, the
/// sizes of four pieces that repeat, then the body.
pub fn answer(input: &[u8]) {
    let Some(([in_head, limit_bytes, sizes @ ..], body)) = input.split_first_chunk::<6>() else {
        return;
    };
    let (in_head, limit_bytes) = (in_head % 2 == 1, usize::from(*limit_bytes));
    let head = Head {
        http_status: 200,
        content_type: Some("application/grpc-web+proto"),
        grpc_status: in_head.then_some("8"),
    };
    let Ok(mut answer) = Answer::begin(head, limit_bytes) else {
        panic!("it says that it is gRPC-Web");
    };
    let mut sizes = sizes.iter().cycle().map(|size| usize::from(*size).max(1));
    let (mut at, mut passed, mut ending) = (0, Vec::new(), None);
    while at < body.len() && ending.is_none() {
        let piece = &body[at..][..sizes.next().unwrap_or(1).min(body.len() - at)];
        let message_bytes;
        (message_bytes, ending) = answer.piece(piece);
        passed.extend_from_slice(&piece[..message_bytes]);
        at += piece.len();
    }
    let ending = ending.unwrap_or_else(|| answer.end());

    let (messages_end, expected) = whole(body, limit_bytes, in_head);
    assert_eq!(ending, expected);
    // What of a faulty frame's prefix came in pieces before cannot be taken back.
    let passed_end = if expected.is_ok() { messages_end } else { passed.len() };
    assert_eq!(passed, body[..passed_end]);
    if let Ok(Ending::Trailers { trailers, .. }) = &ending {
        let status = Status::from_header_map(trailers).map(|status| status.code());
        let code = trailers.get(trailers::STATUS).map(|status| Code::from_bytes(status.as_bytes()));
        assert_eq!(status, code);
    }
}

/// What [`Answer`] must say, read from the whole; and where its messages end.
fn whole(
    body: &[u8],
    limit_bytes: usize,
    in_head: bool,
) -> (usize, Result<Ending, TransportError>) {
    if body.is_empty() && in_head {
        return (0, Ok(Ending::HeadOnly));
    }
    let (mut at, mut messages) = (0, 0);
    loop {
        let frame = &body[at.min(body.len())..];
        let Some(&flags) = frame.first() else {
            return (body.len(), Err(TransportError::CutOff));
        };
        if ![0, 1, 0x80].contains(&flags) {
            return (at, Err(TransportError::Flags { flags }));
        }
        let Some(length) = frame.get(1..5) else {
            return (at, Err(TransportError::CutOff));
        };
        let frame_bytes = length.iter().fold(0, |bytes, byte| bytes << 8 | u32::from(*byte));
        let limit_bytes = if flags == 0x80 { 256 * 1024 } else { limit_bytes };
        let length_bytes = frame_bytes as usize;
        if length_bytes > limit_bytes {
            return (at, Err(TransportError::TooLarge { frame_bytes, limit_bytes }));
        }
        if flags == 0x80 {
            let Some(block) = frame.get(5..5 + length_bytes) else {
                return (at, Err(TransportError::CutOff));
            };
            let trailers = trailers::parse(block);
            let known = trailers.contains_key(trailers::STATUS);
            let ending = Ending::Trailers { trailers, messages };
            return (at, if known { Ok(ending) } else { Err(TransportError::NoStatus) });
        }
        at += 5 + length_bytes;
        messages += 1;
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "natively there are files"
)]
mod tests {
    use std::{fs, path::Path};

    #[test]
    fn the_corpus_of_answer_holds() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus/answer");
        let mut inputs = 0;
        for entry in fs::read_dir(corpus).unwrap() {
            let path = entry.unwrap().path();
            // Shown only if the target panics.
            println!("{}", path.display());
            super::answer(&fs::read(path).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0);
    }
}
