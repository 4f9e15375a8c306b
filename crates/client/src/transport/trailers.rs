//! Trailers as gRPC-Web sends them, a block of lines in the body; and what in a status tonic would
//! stumble over, mended, so that the rest of it is not lost.
//!
//! Faults of tonic-web-wasm-client 0.9.2 that this stands in for: it fails on more than 64 trailers
//! and on any line that is no header, and of a repeated one it keeps the last value.
//! Faults of tonic 0.14.9: it panics on `grpc-status-details-bin` that is not base64, and for a
//! `grpc-message` that is not UTF-8 it gives up the code too.

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

/// The status code.
pub(crate) const STATUS: &str = "grpc-status";
/// Its message, percent-encoded.
pub(super) const MESSAGE: &str = "grpc-message";
/// The encoded `google.rpc.Status`, in base64.
pub(super) const DETAILS: &str = "grpc-status-details-bin";

/// With padding or without, as gRPC has it, and as tonic reads it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The trailers of a block, all values of each in order. A line that is no header is left out: the
/// status beside it still counts.
#[must_use]
pub fn parse(block: &[u8]) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    for line in block.split(|&byte| byte == b'\n') {
        let mut halves = line.splitn(2, |&byte| byte == b':');
        let (Some(name), Some(value)) = (halves.next(), halves.next()) else {
            continue;
        };
        let name = HeaderName::from_bytes(name.trim_ascii());
        let value = HeaderValue::from_bytes(value.trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            trailers.append(name, value);
        }
    }
    mend_status(&mut trailers);
    trailers
}

/// Leaves of a status what tonic can read: details only if they are base64, a message that is UTF-8.
/// "When decoding invalid values, implementations MUST NOT error or throw away the message":
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses>
pub fn mend_status(headers: &mut HeaderMap) {
    if headers.get(DETAILS).is_some_and(|details| BASE64.decode(details).is_err()) {
        headers.remove(DETAILS);
    }
    let Some(message) = headers.get(MESSAGE) else {
        return;
    };
    let decoded = percent_decode(message.as_bytes());
    if decoded.clone().decode_utf8().is_ok() {
        return;
    }
    let readable = utf8_percent_encode(&decoded.decode_utf8_lossy(), NON_ALPHANUMERIC).to_string();
    match HeaderValue::try_from(readable) {
        Ok(readable) => headers.insert(MESSAGE, readable),
        // Cannot be: percent-encoded text is ASCII.
        Err(_) => headers.remove(MESSAGE),
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tonic::{Code, Status};

    use super::*;

    fn status(block: &str) -> Status {
        Status::from_header_map(&parse(block.as_bytes())).unwrap()
    }

    #[test]
    fn every_value_of_a_repeated_trailer_is_kept() {
        let trailers = parse(b"x-a: 1\r\nX-A:2\r\nx-b:\r\nx-a: 3, 4");
        let values: Vec<_> = trailers.get_all("x-a").iter().collect();
        assert_eq!(values, ["1", "2", "3, 4"]);
        assert_eq!(trailers["x-b"], "");
    }

    #[test]
    fn a_hundred_trailers_are_kept() {
        let lines: Vec<String> = (0..100).map(|n| format!("x-{n}: {n}\r\n")).collect();
        let trailers = parse(format!("{}grpc-status: 5\r\n", lines.concat()).as_bytes());
        assert_eq!(trailers.len(), 101);
        assert_eq!(trailers["x-99"], "99");
        assert_eq!(trailers[STATUS], "5");
    }

    #[test]
    fn a_line_that_is_no_header_does_not_cost_the_status() {
        let status = status("garbage\r\n: x\r\na b: c\r\nx: \u{1}\r\n\r\ngrpc-status: 9\r\n");
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert!(status.metadata().is_empty());
    }

    #[test]
    fn details_that_are_no_base64_are_left_out_and_the_status_stays() {
        for details in ["!", "not base64", "AAA AAA", "A", "=", "AA-_"] {
            let block = format!("grpc-status: 8\r\ngrpc-message: full\r\n{DETAILS}: {details}");
            let status = status(&block);
            assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "full"));
            assert_eq!(status.details(), b"", "{details}");
        }
        for details in ["CAgSBGZ1bGw=", "CAgSBGZ1bGw"] {
            let status = status(&format!("grpc-status: 8\r\n{DETAILS}: {details}"));
            assert_eq!(status.details(), b"\x08\x08\x12\x04full", "{details}");
        }
    }

    #[test]
    fn a_message_that_is_not_utf_8_is_read_as_far_as_it_goes() {
        let broken = status("grpc-status: 8\r\ngrpc-message: caf%C3%A9 %FF");
        assert_eq!((broken.code(), broken.message()), (Code::ResourceExhausted, "café \u{fffd}"));
        let sound = status("grpc-status: 8\r\ngrpc-message: caf%C3%A9 %");
        assert_eq!((sound.code(), sound.message()), (Code::ResourceExhausted, "café %"));
    }

    /// When this fails, tonic has been mended, and the mend above for it can go.
    #[test]
    fn tonic_still_needs_both_mends() {
        let mut headers = HeaderMap::new();
        headers.insert(STATUS, HeaderValue::from_static("8"));
        headers.insert(MESSAGE, HeaderValue::from_static("%FF"));
        let status = Status::from_header_map(&headers).unwrap();
        assert_eq!(status.code(), Code::Unknown, "the code is given up with the message");

        headers.insert(MESSAGE, HeaderValue::from_static("full"));
        headers.insert(DETAILS, HeaderValue::from_static("!"));
        let read = std::panic::catch_unwind(|| Status::from_header_map(&headers));
        assert!(read.is_err(), "tonic panics on the details");
    }

    proptest! {
        #[test]
        fn whatever_the_block_tonic_reads_a_status_of_it(
            block in prop::collection::vec(any::<u8>(), 0..200),
            details in "[ -~]{0,20}",
            message in "(%[0-9A-F]{2}|[ -~]){0,20}",
        ) {
            let lines = format!("\r\ngrpc-status: 8\r\n{DETAILS}: {details}\r\n{MESSAGE}: {message}");
            let trailers = parse(&[block, lines.into_bytes()].concat());
            let status = Status::from_header_map(&trailers);
            prop_assert!(status.is_some());
        }
    }
}
