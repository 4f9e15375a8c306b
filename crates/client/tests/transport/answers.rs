//! Answers, put together byte by byte.

use crate::scripted::{Answer, grpc_web};

pub(crate) fn frame(flags: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[flags], &length[..], content].concat()
}

/// The message `Entry { cursor, text: "n" }`, in its frame; the cursor is one digit.
pub(crate) fn entry(id: u8) -> Vec<u8> {
    frame(0, &[0x0a, 1, b'0' + id, 0x12, 1, b'n'])
}

pub(crate) fn trailers(block: &str) -> Vec<u8> {
    frame(0x80, block.as_bytes())
}

pub(crate) fn ok() -> Vec<u8> {
    trailers("grpc-status:0\r\n")
}

pub(crate) fn three_entries() -> Vec<u8> {
    [entry(1), entry(2), entry(3), trailers("grpc-status:0\r\nx-end:yes\r\n")].concat()
}

pub(crate) fn with_headers(mut answer: Answer, headers: &[(&'static str, &'static str)]) -> Answer {
    answer.headers.extend(headers);
    answer
}

/// An answer that is split in two at this byte.
pub(crate) fn split_at(answer: &[u8], at: usize) -> Answer {
    let (first, second) = answer.split_at(at);
    grpc_web([first.to_vec(), second.to_vec()])
}
