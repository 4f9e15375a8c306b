//! What the fuzz targets of `tests/fuzz` do that are about the page or a whole call: given any bytes, nothing
//! panics, nor disagrees with a slower and plainer reading of the same rules. Not in any ordinary build; `cargo
//! test` runs the kept corpus through it, without a fuzzer.
//!
//! The inputs are text where that is possible, so that a seed can be read and written by hand.

mod call;

pub use call::call;

use http::{HeaderMap, HeaderValue, header};

/// The headers that a request for the page is answered by. Input: lines, each a value of
/// `accept-encoding` and one of `if-none-match`.
pub fn ui(input: &[u8]) {
    const ETAG: &str = "\"0123456789abcdef\"";
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n') {
        let matched = runnel_page::etag_matches(line, ETAG);
        let contains =
            |part: &str| line.windows(part.len()).any(|window| window == part.as_bytes());
        assert!(!matched || contains(ETAG) || contains("*"), "matched by nothing");
        if let Some(tags) = tags(line) {
            assert_eq!(matched, tags == ["*"] || tags.contains(&ETAG), "{tags:?}");
        }
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(header::ACCEPT_ENCODING, value);
        }
    }
    for coding in ["br", "gzip"] {
        let accepted = runnel_page::accepts(&headers, coding);
        if let Some(offers) = offers(&headers) {
            let named = offers.iter().find(|(name, _)| name == coding).map(|(_, wanted)| *wanted);
            let expected = named.unwrap_or_else(|| offers.contains(&("*".to_owned(), true)));
            assert_eq!(accepted, expected, "{coding} of {offers:?}");
        }
    }
}

/// The tags of a well-formed `if-none-match`, or `*`; None if it is malformed, or has what our own tags
/// never have: a comma, or bytes beyond ASCII.
fn tags(value: &[u8]) -> Option<Vec<&str>> {
    let value = str::from_utf8(value).ok()?;
    let list = || value.split(',').map(|tag| tag.trim_matches([' ', '\t']));
    if list().eq(["*"]) {
        return Some(vec!["*"]);
    }
    let opaque = |tag: &&str| {
        let inner = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        inner.is_some_and(|inner| inner.chars().all(|c| c.is_ascii_graphic() && c != '"'))
    };
    list()
        .filter(|tag| !tag.is_empty())
        .map(|tag| Some(tag.strip_prefix("W/").unwrap_or(tag)).filter(opaque))
        .collect()
}

/// The codings of a well-formed `accept-encoding`, lower-case, and whether each is wanted.
fn offers(headers: &HeaderMap) -> Option<Vec<(String, bool)>> {
    let space = [' ', '\t'];
    let mut offers = Vec::new();
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        let list = value.to_str().ok()?.split(',').map(|offer| offer.trim_matches(space));
        for offer in list.filter(|offer| !offer.is_empty()) {
            let (name, weight) = match offer.split_once(';') {
                Some((name, weight)) => (
                    name,
                    weight.trim_start_matches(space).strip_prefix(['q', 'Q'])?.strip_prefix('=')?,
                ),
                None => (offer, "1"),
            };
            let name = name.trim_end_matches(space);
            if name.is_empty() || name.contains(space) {
                return None;
            }
            let (whole, thousandths) = weight.split_once('.').unwrap_or((weight, ""));
            let digits = thousandths.len() <= 3 && thousandths.chars().all(|c| c.is_ascii_digit());
            let zero = thousandths.chars().all(|c| c == '0');
            let wanted = match whole {
                "0" if digits => !zero,
                "1" if digits && zero => true,
                _ => return None,
            };
            offers.push((name.to_ascii_lowercase(), wanted));
        }
    }
    Some(offers)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    fn run_corpus(name: &str, target: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus").join(name);
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
    fn the_corpus_of_ui_holds() {
        run_corpus("ui", super::ui);
    }

    #[test]
    fn the_corpus_of_call_holds() {
        run_corpus("call", super::call);
    }
}
