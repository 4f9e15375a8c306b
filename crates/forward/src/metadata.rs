//! Makes the metadata of a client valid before a backend gets it, and keeps it out of compression tables.
//!
//! All clients share the connections to a backend, and with each its HPACK table (RFC 7541, section 2.3).
//! Values of one client must not stay there for the calls of others: grpcio keeps a value that it could
//! not parse and fails every later call that refers to it. So every value that a client chose is marked as never
//! to be indexed, which also keeps that mark where the client had set it: h2 forgets it when it reads.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{self, Entry},
};
use tonic::Status;

/// How a binary value is read: padded or not, and with no stray bits, which grpcio takes for an error.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Makes metadata valid by <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.
///
/// A binary value (`-bin`) must be base64, several in one line are taken apart at the commas, and one that
/// is not base64 is `INVALID_ARGUMENT`: dropped, it would change what the call means. Text outside of
/// 0x20 to 0x7E is no error by the specification, so it is dropped, and so are names that gRPC does
/// not allow. Cookies become one line (RFC 9113, section 8.2.3).
pub(super) fn make_valid(headers: &mut HeaderMap) -> Result<(), Status> {
    if !headers.iter().all(|(name, value)| is_final(name, value)) {
        let mut valid = HeaderMap::with_capacity(headers.len());
        for (name, value) in headers.iter().filter(|(name, _)| is_name(name.as_str())) {
            if is_binary(name) {
                for value in value.as_bytes().split(|byte| *byte == b',') {
                    valid.append(name, binary(name, value)?);
                }
            } else if name == header::COOKIE {
                add_cookies(&mut valid, value);
            } else if let Some(value) = text(value.as_bytes()) {
                valid.append(name, value);
            }
        }
        *headers = valid;
    } else if headers.get_all(header::COOKIE).iter().nth(1).is_some() {
        let lines: Vec<HeaderValue> = headers.get_all(header::COOKIE).iter().cloned().collect();
        headers.remove(header::COOKIE);
        for line in &lines {
            add_cookies(headers, line);
        }
    }
    Ok(())
}

/// Marks every value as never to be put into a compression table (RFC 7541, section 6.2.3), but the two
/// content types that all calls have.
pub(super) fn never_index(headers: &mut HeaderMap) {
    for (name, value) in headers.iter_mut() {
        let is_common = *name == header::CONTENT_TYPE
            && (*value == "application/grpc" || *value == "application/grpc+proto");
        value.set_sensitive(!is_common);
    }
}

/// Whether a header may go on as it came.
fn is_final(name: &HeaderName, value: &HeaderValue) -> bool {
    let value = value.as_bytes();
    is_name(name.as_str())
        && if is_binary(name) {
            !value.contains(&b',')
                && value.trim_ascii() == value
                && !value.ends_with(b"=")
                && is_base64(value)
        } else {
            is_text(value) && value.trim_ascii() == value
        }
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'_' | b'-' | b'.'))
}

fn is_binary(name: &HeaderName) -> bool {
    name.as_str().ends_with("-bin")
}

fn is_text(value: &[u8]) -> bool {
    value.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

/// The value without blanks around it, which HTTP/2 forbids (RFC 9113, section 8.2.1).
fn text(value: &[u8]) -> Option<HeaderValue> {
    Some(value.trim_ascii()).filter(|value| is_text(value)).and_then(header_value)
}

fn header_value(value: &[u8]) -> Option<HeaderValue> {
    HeaderValue::from_bytes(value).ok()
}

fn is_base64(value: &[u8]) -> bool {
    // Values are short: nearly always this is all of it.
    let mut decoded = [0; 256];
    if value.len() <= 256 {
        BASE64.decode_slice(value, &mut decoded).is_ok()
    } else {
        BASE64.decode(value).is_ok()
    }
}

/// One binary value, in the spelling that every server takes: without padding.
fn binary(name: &HeaderName, value: &[u8]) -> Result<HeaderValue, Status> {
    let value = value.trim_ascii();
    let padding = value.iter().rev().take_while(|byte| **byte == b'=').count();
    let unpadded = &value[..value.len() - padding];
    Some(unpadded).filter(|_| is_base64(value)).and_then(header_value).ok_or_else(|| {
        Status::invalid_argument(format!("{name} is not base64, as -bin metadata is"))
    })
}

/// Adds the cookies of a line to the line that is there. One that is no text is dropped without the
/// others: they may be another application's of the same site.
fn add_cookies(headers: &mut HeaderMap, line: &HeaderValue) {
    let mut cookies: Vec<&[u8]> = line.as_bytes().split(|byte| *byte == b';').collect();
    for cookie in &mut cookies {
        *cookie = cookie.trim_ascii();
    }
    cookies.retain(|cookie| !cookie.is_empty() && is_text(cookie));
    if cookies.is_empty() {
        return;
    }
    let added = cookies.join(&b"; "[..]);
    match headers.entry(header::COOKIE) {
        Entry::Vacant(entry) => {
            if let Some(line) = header_value(&added) {
                entry.insert(line);
            }
        }
        Entry::Occupied(mut entry) => {
            if let Some(line) = header_value(&[entry.get().as_bytes(), &added].join(&b"; "[..])) {
                entry.insert(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(headers: &[(&'static str, &[u8])]) -> Result<Vec<(String, String)>, Status> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        make_valid(&mut map)?;
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        Ok(map.iter().map(text).collect())
    }

    fn values(headers: &[(&'static str, &[u8])]) -> Vec<String> {
        valid(headers).unwrap().into_iter().map(|(_, value)| value).collect()
    }

    #[test]
    fn binary_values_are_taken_apart_and_lose_their_padding() {
        assert_eq!(values(&[("x-bin", b"AAE, AAI=,,AA==")]), ["AAE", "AAI", "", "AA"]);
        assert_eq!(values(&[("x-bin", b"AAE"), ("x-bin", b"AAI=")]), ["AAE", "AAI"]);
        assert_eq!(values(&[("x-bin", b"")]), [""]);
        let long = "A".repeat(1000);
        assert_eq!(values(&[("x-bin", long.as_bytes())]), [long]);
    }

    #[test]
    fn a_binary_value_that_is_not_base64_is_refused_by_name() {
        for value in ["!", "A", "AAE, !", "AAF", "A A", "AAE=AAE=", "=", "====", "_-8", "AAE;AAI"] {
            let refusal = valid(&[("x-user-bin", value.as_bytes())]).unwrap_err();
            assert_eq!(refusal.code(), tonic::Code::InvalidArgument, "{value}");
            assert!(refusal.message().contains("x-user-bin"), "{refusal}");
        }
    }

    #[test]
    fn what_grpc_does_not_know_as_a_name_or_as_text_is_dropped_alone() {
        let kept = values(&[
            ("x-a", b"1"),
            ("x-b", b"caf\xc3\xa9"),
            ("x-c", b"a\tb"),
            ("x!d", b"2"),
            ("x-e", b" ~ "),
            ("x_1.f", b"3"),
        ]);
        assert_eq!(kept, ["1", "~", "3"]);
    }

    #[test]
    fn cookies_become_one_line_without_those_that_are_no_text() {
        let cookie = |lines: &[&'static [u8]]| {
            values(&lines.iter().map(|line| ("cookie", *line)).collect::<Vec<_>>())
        };
        assert_eq!(cookie(&[b"a=1", b"b=2; c=3", b"d=4"]), ["a=1; b=2; c=3; d=4"]);
        assert_eq!(cookie(&[b"a=1; b=\xc3\xa9; c=3", b"d=4"]), ["a=1; c=3; d=4"]);
        assert_eq!(cookie(&[b"a=\xff"]), [""; 0]);
    }
}
