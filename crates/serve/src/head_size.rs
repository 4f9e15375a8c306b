//! How large the head of a request may be: one limit for both versions of HTTP. hyper keeps it over
//! HTTP/1.1, and closes the connection behind its refusal. Over HTTP/2 it would have room for no more
//! than the bare status, so more is taken in there than is allowed, and refused here in words.

use http::{
    HeaderValue, Request, Response, StatusCode, header,
    uri::{Authority, PathAndQuery},
};
use runnel_wire::CONTENT_TYPE_PREFIX;
use tonic::{Status, body::Body};

/// What each header counts beside its own bytes: RFC 9113 section 6.5.2.
const BYTES_PER_HEADER: usize = 32;

/// The largest head of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimit(usize);

impl HeadLimit {
    pub(crate) const fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// In bytes.
    pub(crate) const fn bytes(self) -> usize {
        self.0
    }

    /// The largest list of headers that hyper takes in over HTTP/2, in bytes; of a larger one it knows
    /// nothing but that it was. The number of CONTINUATION frames that a head may come in follows from
    /// it; more are a GOAWAY (CVE-2024-27316).
    pub(crate) fn taken_in_over_http2(self) -> u32 {
        u32::try_from(self.0.saturating_mul(2)).unwrap_or(u32::MAX)
    }

    /// The refusal of a request whose head is too large. It is a gRPC status as well, if it is a gRPC
    /// client that asks: those that read it prefer it to the HTTP status.
    pub(crate) fn refusal<B>(self, request: &Request<B>) -> Option<Response<Body>> {
        let (head_bytes, limit_bytes) = (list_bytes(request), self.bytes());
        if head_bytes <= limit_bytes {
            return None;
        }
        let why = format!(
            "the headers have {head_bytes} bytes, {BYTES_PER_HEADER} for each beside its own; \
             {limit_bytes} are allowed"
        );
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let mut response = if let Some(content_type) = content_type.filter(|value| is_grpc(value)) {
            let mut response = Status::resource_exhausted(why).into_http();
            response.headers_mut().insert(header::CONTENT_TYPE, content_type.clone());
            response
        } else {
            let mut response = Response::new(Body::new(http_body_util::Full::from(why + "\n")));
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, text);
            response
        };
        *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        Some(response)
    }
}

fn is_grpc(content_type: &HeaderValue) -> bool {
    let start = content_type.as_bytes().get(..CONTENT_TYPE_PREFIX.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(CONTENT_TYPE_PREFIX))
}

/// A list of headers as RFC 9113 section 6.5.2 counts it, those of section 8.3.1 included.
fn list_bytes<B>(request: &Request<B>) -> usize {
    let uri = request.uri();
    let pseudo = [
        (":method", Some(request.method().as_str())),
        (":scheme", uri.scheme_str()),
        (":authority", uri.authority().map(Authority::as_str)),
        (":path", uri.path_and_query().map(PathAndQuery::as_str)),
    ];
    let pseudo = pseudo.iter().filter_map(|(name, value)| Some(name.len() + (*value)?.len()));
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| name.as_str().len() + value.len());
    pseudo.chain(headers).map(|bytes| bytes + BYTES_PER_HEADER).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_count_as_the_rfc_counts_them() {
        let request = Request::get("http://a.example/path?x").header("name", "value");
        let request = request.body(()).unwrap();
        // `:method` GET, `:scheme` http, `:authority` a.example, `:path` /path?x, and a header.
        let bytes = (7 + 3) + (7 + 4) + (10 + 9) + (5 + 7) + (4 + 5) + 5 * 32;
        assert_eq!(list_bytes(&request), bytes);
        let limit = HeadLimit::new;
        assert!(limit(bytes).refusal(&request).is_none());
        assert!(limit(bytes - 1).refusal(&request).is_some());
    }

    #[test]
    fn a_grpc_client_is_told_by_a_grpc_status_and_any_other_in_plain_text() {
        let refusal = |content_type: &str| {
            let request = Request::post("/a.B/c").header(header::CONTENT_TYPE, content_type);
            HeadLimit::new(10).refusal(&request.body(()).unwrap()).unwrap()
        };
        for content_type in ["application/grpc", "application/grpc-web+proto"] {
            let response = refusal(content_type);
            assert_eq!(response.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
            assert_eq!(response.headers()["grpc-status"], "8");
            assert_eq!(response.headers()[header::CONTENT_TYPE], content_type);
        }
        let response = refusal("text/html");
        assert!(!response.headers().contains_key("grpc-status"));
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
    }
}
