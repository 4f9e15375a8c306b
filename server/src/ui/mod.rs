//! The page: what `cargo xtask build` left in `dist/`, embedded in a release build and read from disk
//! in a debug build.
//!
//! - A path without a file extension is a place in the page: `index.html`, never cached unchecked.
//! - A file whose name carries the hash of its own bytes never changes: cached for good. The name is
//!   checked against the bytes, so a file that merely looks hashed is not.
//! - A file that is not there is a 404, not the page; so is what only the admin port knows.
//! - Every answer tells the browser how little the page needs ([`security`]).
//! - `.br` and `.gz` beside a file are its precompressed forms, sent to whoever accepts them.

mod security;

use std::fmt::Write as _;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "../dist"]
// The server builds, and is tested, before there is a page.
#[allow_missing = true]
struct Dist;

/// File extensions of precompressed forms, best first, with the content coding they are.
const PRECOMPRESSED: [(&str, &str); 2] = [("br", "br"), ("gz", "gzip")];

const INDEX: &str = "index.html";

/// Where probes and scrapers ask: the names of Kubernetes and Prometheus. Whoever asks for them on this
/// port has taken it for the admin port, and would take the page for "all is well".
const PROBES: [&str; 4] = ["healthz", "livez", "metrics", "readyz"];

/// Answers a request for the page or one of its files.
pub(crate) fn respond<B>(request: &Request<B>) -> Response<Body> {
    let mut response = answer(request);
    security::add(response.headers_mut(), request);
    response
}

fn answer<B>(request: &Request<B>) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "the page is read by GET\n");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    if asks_for_a_websocket(request.headers()) {
        let words = "there are no WebSockets here: a stream is the answer to a call of gRPC-Web\n";
        return plain(StatusCode::BAD_REQUEST, words);
    }
    let path = request.uri().path().trim_start_matches('/');
    if path.split('/').next().is_some_and(|first| PROBES.contains(&first)) {
        let words = "/livez, /readyz and /metrics are on the admin port, --admin-listen\n";
        return plain(StatusCode::NOT_FOUND, words);
    }
    let name = if is_file_name(path) { path } else { INDEX };
    match Asset::find(name, request.headers()) {
        Some(asset) => asset.into_response(request.headers()),
        None if name == INDEX => {
            plain(StatusCode::NOT_FOUND, "the page is not built; run `cargo xtask build`\n")
        }
        None => plain(StatusCode::NOT_FOUND, "there is no such file\n"),
    }
}

/// A hidden name (`/.well-known/…`, `/.git/…`) is never a place: whoever asks for one wants to know
/// whether it is there.
fn is_file_name(path: &str) -> bool {
    path.split('/').any(|name| name.starts_with('.'))
        || path.rsplit('/').next().is_some_and(|last| last.contains('.'))
}

/// Whether a request wants to turn into a WebSocket (RFC 6455 section 4.2.1).
fn asks_for_a_websocket(headers: &HeaderMap) -> bool {
    let protocols = headers.get_all(header::UPGRADE).iter().filter_map(|line| line.to_str().ok());
    let mut protocols = protocols.flat_map(|line| line.split(','));
    protocols.any(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
}

/// A file of the page, in the form this client gets it.
struct Asset {
    file: EmbeddedFile,
    content_type: HeaderValue,
    coding: Option<&'static str>,
    immutable: bool,
}

impl Asset {
    fn find(name: &str, request: &HeaderMap) -> Option<Self> {
        // A compressed form is not a file of its own.
        if PRECOMPRESSED.iter().any(|(extension, _)| name.ends_with(&format!(".{extension}"))) {
            return None;
        }
        let plain = Dist::get(name)?;
        let content_type = content_type(plain.metadata.mimetype());
        let immutable = carries_hash(name, &hex(&plain.metadata.sha256_hash()));
        let (coding, file) = PRECOMPRESSED
            .into_iter()
            .filter(|(_, coding)| accepts(request, coding))
            .find_map(|(extension, coding)| {
                Some((Some(coding), Dist::get(&format!("{name}.{extension}"))?))
            })
            .unwrap_or((None, plain));
        Some(Self { file, content_type, coding, immutable })
    }

    fn into_response(self, request: &HeaderMap) -> Response<Body> {
        let etag = format!("\"{}\"", &hex(&self.file.metadata.sha256_hash())[..HASH_DIGITS]);
        let fresh = request
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .any(|known| etag_matches(known.as_bytes(), &etag));
        let body = if fresh { Body::empty() } else { Body::from(self.file.data) };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        // Hexadecimal digits between quotes are always a valid header value.
        if let Ok(etag) = HeaderValue::try_from(etag) {
            headers.insert(header::ETAG, etag);
        }
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static(if self.immutable {
                "public, max-age=31536000, immutable"
            } else {
                "no-cache"
            }),
        );
        if fresh {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(header::CONTENT_TYPE, self.content_type);
        if let Some(coding) = self.coding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        response
    }
}

/// How much of a SHA-256 a name or an ETag carries, in hexadecimal digits.
const HASH_DIGITS: usize = 16;

/// Whether a name is `{stem}-{hash}.{extension}` with the file's own hash.
fn carries_hash(name: &str, hash: &str) -> bool {
    name.rsplit_once('.')
        .and_then(|(stem, _extension)| stem.rsplit_once('-'))
        .is_some_and(|(_stem, in_name)| in_name == &hash[..HASH_DIGITS])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Text is UTF-8 and says so; browsers would guess otherwise.
fn content_type(mime_type: &str) -> HeaderValue {
    let text = mime_type.starts_with("text/");
    HeaderValue::try_from(format!("{mime_type}{}", if text { "; charset=utf-8" } else { "" }))
        .unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// Whether `accept-encoding` takes a coding: named, or covered by `*`, and not with a weight of zero
/// (RFC 9110 section 12.5.3).
pub(crate) fn accepts(headers: &HeaderMap, coding: &str) -> bool {
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

/// Whether an `if-none-match` names this tag, weakly compared as RFC 9110 section 13.1.2 wants.
pub(crate) fn etag_matches(if_none_match: &[u8], etag: &str) -> bool {
    std::str::from_utf8(if_none_match).is_ok_and(|tags| {
        let mut tags_in_list = tags.split(',').map(str::trim);
        tags.trim() == "*" || tags_in_list.any(|tag| tag.trim_start_matches("W/") == etag)
    })
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
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
    fn only_a_name_with_the_hash_of_its_own_bytes_is_immutable() {
        let hash = hex(&[0xab; 32]);
        assert!(carries_hash("page-abababababababab.js", &hash));
        assert!(!carries_hash("page-cdcdcdcdcdcdcdcd.js", &hash));
        assert!(!carries_hash("page.js", &hash));
        assert!(!carries_hash("page-abababababababab", &hash));
        assert!(!carries_hash("index.html", &hash));
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

    #[test]
    fn deep_links_are_places_in_the_page_and_file_names_are_files() {
        for place in ["", "stream", "stream/42", "v1.2/stream"] {
            assert!(!is_file_name(place), "{place}");
        }
        for file in [
            "app.js",
            "nested/app.wasm",
            "favicon.ico",
            ".well-known/change-password",
            ".git/config",
        ] {
            assert!(is_file_name(file), "{file}");
        }
    }
}
