//! What the fuzz targets of `tests/fuzz` do: each parser, given any bytes, neither panics nor
//! disagrees with a slower and plainer reading of the same rules. Not in any ordinary build; `cargo
//! test` runs the kept corpus through it, without a fuzzer.
//!
//! The inputs are text where that is possible, so that a seed can be read and written by hand.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version, header};

use super::{
    deadline::parse_timeout,
    envelope::{EnvelopeWalk, Fault},
    normalize::{Formats, Protocol, Refusal, normalize},
};

/// A walk over a request's messages, in whatever pieces. Input: whether one message is wanted, the
/// limit, the sizes of four pieces that repeat, then the messages.
pub fn envelope(input: &[u8]) {
    let Some(([single, limit, sizes @ ..], bytes)) = input.split_first_chunk::<6>() else {
        return;
    };
    let (single, limit_bytes) = (single % 2 == 1, usize::from(*limit));
    let (fault_at, expected) = whole_envelopes(bytes, limit_bytes, single);

    let mut walk = EnvelopeWalk::new(limit_bytes, single);
    let mut sizes = sizes.iter().cycle().map(|size| usize::from(*size).max(1));
    let (mut at, mut walked) = (0, Ok(()));
    while at < bytes.len() && walked.is_ok() {
        let piece = &bytes[at..][..sizes.next().unwrap_or(1).min(bytes.len() - at)];
        let sound_bytes;
        (sound_bytes, walked) = walk.walk(piece);
        // What of a faulty message's prefix came in pieces before cannot be taken back.
        let expected_bytes = match &walked {
            Ok(()) => piece.len(),
            Err(_) => fault_at.saturating_sub(at),
        };
        assert_eq!(sound_bytes, expected_bytes, "in the piece of {} at {at}", piece.len());
        at += piece.len();
    }
    assert_eq!(walked.and_then(|()| walk.end()), expected);
}

/// What [`EnvelopeWalk`] must say, read from the whole; and where the message at fault begins.
fn whole_envelopes(bytes: &[u8], limit_bytes: usize, single: bool) -> (usize, Result<(), Fault>) {
    let (mut at, mut messages) = (0, 0);
    while let Some((_flag, rest)) = bytes[at.min(bytes.len())..].split_first() {
        if single && messages == 1 {
            return (at, Err(Fault::SeveralMessages));
        }
        let Some(length) = rest.first_chunk() else {
            return (at, Ok(()));
        };
        let message_bytes = u32::from_be_bytes(*length) as usize;
        if message_bytes > limit_bytes {
            return (at, Err(Fault::TooLarge { message_bytes, limit_bytes }));
        }
        messages += 1;
        at += 1 + length.len() + message_bytes;
    }
    (at, if single && messages == 0 { Err(Fault::NoMessage) } else { Ok(()) })
}

/// A value of `grpc-timeout`. Input: the value.
pub fn deadline(input: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(input) else {
        return;
    };
    assert_eq!(parse_timeout(&value).ok().map(|timeout| timeout.as_nanos()), nanoseconds(input));
}

/// What [`parse_timeout`] must say, counted in one unit.
fn nanoseconds(value: &[u8]) -> Option<u128> {
    let value = str::from_utf8(value).ok()?;
    let (unit, second) = (value.chars().next_back()?, Duration::from_secs(1).as_nanos());
    let digits = value.strip_suffix(unit)?;
    if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    // What is more than can be counted is as far away as can be.
    let furthest = u128::from(u64::MAX);
    let amount = digits.parse().unwrap_or(furthest).min(furthest);
    Some(match unit {
        'H' => (amount * 3600).min(furthest) * second,
        'M' => (amount * 60).min(furthest) * second,
        'S' => amount * second,
        'm' => amount * (second / 1000),
        'u' => amount * (second / 1_000_000),
        'n' => amount,
        _ => return None,
    })
}

/// The verb, version and media types of a call. Input: three lines, `POST HTTP/2`, the content type and
/// what is accepted.
pub fn normalize_head(input: &[u8]) {
    let mut lines = input.splitn(3, |byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let mut request = Request::new(());
    *request.method_mut() =
        if first.starts_with(b"POST ") { Method::POST } else { Method::OPTIONS };
    *request.version_mut() =
        if first.ends_with(b" HTTP/1.1") { Version::HTTP_11 } else { Version::HTTP_2 };
    for (name, value) in [header::CONTENT_TYPE, header::ACCEPT].into_iter().zip(lines) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            request.headers_mut().insert(name, value);
        }
    }

    let expected = protocols(&request);
    let normalized = normalize(&mut request, Formats::Protobuf).map(|_| {
        let spelling = |name| text(request.headers(), &name).unwrap_or_default().to_owned();
        (spelling(header::CONTENT_TYPE), spelling(header::ACCEPT))
    });
    let plain = |protocol: Protocol| protocol.content_type().to_owned();
    // `application/grpc` stays what it is.
    let normalized = normalized.map(|(call, answer)| {
        (if call == "application/grpc" { plain(Protocol::Grpc) } else { call }, answer)
    });
    assert_eq!(normalized, expected.map(|(call, answer)| (plain(call), plain(answer))));
    if normalized.is_ok() {
        assert_eq!(protocols(&request), expected, "normalising changed what is meant");
    }
}

/// What [`normalize`] must find: the protocol of the call and that of its answer.
fn protocols(request: &Request<()>) -> Result<(Protocol, Protocol), Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal::Method);
    }
    let content_type = text(request.headers(), &header::CONTENT_TYPE).unwrap_or_default();
    let call = protocol(content_type).ok_or(Refusal::ContentType)?;
    if call == Protocol::Grpc && request.version() == Version::HTTP_11 {
        return Err(Refusal::HttpVersion);
    }
    let accept = text(request.headers(), &header::ACCEPT).unwrap_or_default();
    let answer = match accept.split(',').find_map(protocol) {
        None | Some(Protocol::Grpc) => call,
        Some(web) => web,
    };
    Ok((call, answer))
}

fn protocol(media_type: &str) -> Option<Protocol> {
    let lower = media_type.to_ascii_lowercase();
    let essence = lower.find(';').map_or(&lower[..], |at| &lower[..at]).trim();
    let flavour = essence.strip_prefix("application/grpc")?;
    match flavour.strip_suffix("+proto").unwrap_or(flavour) {
        "" => Some(Protocol::Grpc),
        "-web" => Some(Protocol::GrpcWeb),
        "-web-text" => Some(Protocol::GrpcWebText),
        _ => None,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    fn run_corpus(name: &str, target: fn(&[u8])) {
        let corpus =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(name);
        let mut inputs = 0;
        for entry in fs::read_dir(corpus).unwrap() {
            let path = entry.unwrap().path();
            // Shown only if the target panics.
            println!("{}", path.display());
            target(&fs::read(path).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0);
    }

    #[test]
    fn the_corpus_of_envelope_holds() {
        run_corpus("envelope", super::envelope);
    }

    #[test]
    fn the_corpus_of_deadline_holds() {
        run_corpus("deadline", super::deadline);
    }

    #[test]
    fn the_corpus_of_normalize_holds() {
        run_corpus("normalize", super::normalize_head);
    }
}
