//! What a request says about the form it wants: which codings the client accepts, which version it has.

use http::{HeaderMap, header};

/// Whether `accept-encoding` accepts a coding, by its name or by `*`, with a weight other than zero (RFC
/// 9110 section 12.5.3).
pub fn accepts(headers: &HeaderMap, coding: &str) -> bool {
    let offers = headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|offer| {
            let (name, parameters) = offer.split_once(';').unwrap_or((offer, ""));
            let weight =
                parameters.trim().strip_prefix(['q', 'Q']).and_then(|q| q.strip_prefix('='));
            let weight = weight.map_or(Ok(1.0), str::parse::<f32>);
            (name.trim(), weight.is_ok_and(|weight| weight > 0.0))
        });
    let mut any = false;
    for (name, accepted) in offers {
        if name.eq_ignore_ascii_case(coding) {
            return accepted;
        }
        any |= name == "*" && accepted;
    }
    any
}

/// Whether a value of `if-none-match` contains this tag, by the weak comparison of RFC 9110 section 13.1.2.
/// `etag` has its quotes.
pub fn etag_matches(if_none_match: &[u8], etag: &str) -> bool {
    std::str::from_utf8(if_none_match).is_ok_and(|tags| {
        let mut tags_in_list = tags.split(',').map(str::trim);
        tags.trim() == "*" || tags_in_list.any(|tag| tag.trim_start_matches("W/") == etag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, value.parse().unwrap())])
    }

    #[test]
    fn a_coding_is_sent_to_those_who_take_it() {
        assert!(accepts(&accepting("gzip, deflate, br"), "br"));
        assert!(accepts(&accepting("gzip;q=0.5, BR;q=0.1"), "br"));
        assert!(accepts(&accepting("*"), "br"));
        assert!(!accepts(&accepting("gzip, deflate"), "br"));
        assert!(!accepts(&accepting("br;q=0"), "br"));
        assert!(!accepts(&accepting("br;Q=0"), "br"));
        assert!(!accepts(&accepting("br;q=0, *"), "br"));
        assert!(!accepts(&accepting("br;q=nonsense"), "br"));
        assert!(!accepts(&HeaderMap::new(), "br"));
    }

    #[test]
    fn a_tag_is_recognised_in_a_list_and_when_weak() {
        assert!(etag_matches(b"\"a\", W/\"b\"", "\"b\""));
        assert!(etag_matches(b"*", "\"b\""));
        assert!(!etag_matches(b"\"bb\"", "\"b\""));
        assert!(!etag_matches(b"\xff", "\"b\""));
        // A tag may hold commas and stars; only a star alone means any.
        assert!(!etag_matches(b"\"a,*,c\"", "\"b\""));
    }
}
