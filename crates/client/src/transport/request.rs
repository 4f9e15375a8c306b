//! A request's headers as `fetch` can send them.
//!
//! Fault of tonic-web-wasm-client 0.9.2 that this stands in for: of a repeated header it sends the
//! last value only.

use http::{HeaderMap, HeaderValue};

/// Makes one value of the values of each name, which HTTP and gRPC both take for the same, as
/// `Headers.append` of the browser does: <https://fetch.spec.whatwg.org/#concept-header-list-append>.
pub fn join_repeated(headers: &mut HeaderMap) {
    // A map without repeated names has as many names as values.
    if headers.keys_len() == headers.len() {
        return;
    }
    let names: Vec<_> = headers.keys().cloned().collect();
    for name in names {
        let values: Vec<_> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
        if values.len() < 2 {
            continue;
        }
        // What is joined of valid values is valid.
        if let Ok(joined) = HeaderValue::from_bytes(&values.join(&b", "[..])) {
            headers.insert(name, joined);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_a_repeated_header_is_sent() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-a", "1"), ("x-b", "2"), ("x-a", "3"), ("x-a", "4")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        join_repeated(&mut headers);
        assert_eq!(headers["x-a"], "1, 3, 4");
        assert_eq!(headers["x-b"], "2");
        assert_eq!(headers.len(), 2);
    }
}
