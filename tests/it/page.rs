//! The page as HTTP serves it, from the release binary with the page embedded.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use runnel_tests::{binary::Binary, wire};

pub(crate) struct Fetched {
    pub(crate) head: Response<()>,
    pub(crate) body: Bytes,
}

impl Fetched {
    pub(crate) fn header(&self, name: header::HeaderName) -> &str {
        self.head.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) async fn fetch(
    binary: &Binary,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Fetched {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = wire::http1_request(binary.address(), request.body(Bytes::new()).unwrap()).await;
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Fetched { head: Response::from_parts(head, ()), body }
}

pub(crate) async fn get(binary: &Binary, path: &str) -> Fetched {
    fetch(binary, Method::GET, path, &[]).await
}

/// The paths of the files that index.html asks for, opened at `place`.
fn assets_at(place: &str, index: &Fetched) -> Vec<String> {
    let place: http::Uri = format!("http://localhost{place}").parse().unwrap();
    let html = std::str::from_utf8(&index.body).unwrap();
    let references = html.split(['"', '\'']).filter(|text| text.starts_with('.'));
    let mut paths: Vec<_> = references.map(|reference| resolve(place.path(), reference)).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// Where a relative reference leads to (RFC 3986 section 5.2.4).
fn resolve(place: &str, reference: &str) -> String {
    let mut parts: Vec<_> = place.split('/').collect();
    parts.pop();
    for part in reference.split('/') {
        match part {
            "." => (),
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// The paths of the files that index.html asks for, opened at the root.
fn assets(index: &Fetched) -> Vec<String> {
    assets_at("/", index)
}

#[tokio::test]
async fn the_root_and_deep_links_are_the_page() {
    let binary = Binary::start(&[]).await;
    let root = get(&binary, "/").await;
    assert_eq!(root.head.status(), StatusCode::OK);
    assert_eq!(root.header(header::CONTENT_TYPE), "text/html; charset=utf-8");
    assert_eq!(root.header(header::CACHE_CONTROL), "no-cache");
    let files = assets(&root);
    assert!(files.len() > 5, "{files:?}");
    for path in ["/stream", "/stream/42?length=7", "/stream/42/", "/index.html"] {
        let deep = get(&binary, path).await;
        assert_eq!(deep.head.status(), StatusCode::OK, "{path}");
        assert_eq!(assets_at(path, &deep), files, "{path}");
        // Where references are the same, so is all else.
        let is_deep = path.matches('/').count() > 1;
        assert_eq!(deep.body != root.body, is_deep, "{path}");
    }
}

#[tokio::test]
async fn a_missing_file_is_404_and_not_the_page() {
    let binary = Binary::start(&[]).await;
    for path in ["/missing.js", "/assets/missing.wasm", "/index.html.br", "/../Cargo.toml", "/.env"]
    {
        let missing = get(&binary, path).await;
        assert_eq!(missing.head.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(missing.header(header::CONTENT_TYPE), "text/plain; charset=utf-8", "{path}");
    }
}

#[tokio::test]
async fn every_file_of_the_page_is_there_typed_and_cached_for_good() {
    let binary = Binary::start(&[]).await;
    let index = get(&binary, "/").await;
    let assets = assets(&index);
    for extension in ["js", "wasm", "css", "svg"] {
        let mime_type = match extension {
            "js" => "text/javascript; charset=utf-8",
            "wasm" => "application/wasm",
            "css" => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        };
        let suffix = format!(".{extension}");
        let with_suffix: Vec<_> = assets.iter().filter(|path| path.ends_with(&suffix)).collect();
        assert!(!with_suffix.is_empty(), "no {extension} in {assets:?}");
        for path in with_suffix {
            let asset = get(&binary, path).await;
            assert_eq!(asset.head.status(), StatusCode::OK, "{path}");
            assert_eq!(asset.header(header::CONTENT_TYPE), mime_type, "{path}");
            assert_eq!(
                asset.header(header::CACHE_CONTROL),
                "public, max-age=31536000, immutable",
                "{path}"
            );
            assert_eq!(asset.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        }
    }
}

#[tokio::test]
async fn whoever_takes_brotli_or_gzip_gets_it_and_the_same_bytes() {
    let binary = Binary::start(&[]).await;
    let index = get(&binary, "/").await;
    let wasm = assets(&index).into_iter().find(|path| path.contains(".wasm")).unwrap();
    let plain = get(&binary, &wasm).await;
    assert_eq!(plain.header(header::CONTENT_ENCODING), "");
    assert_eq!(&plain.body[..4], b"\0asm");

    let coded =
        async |accepted| fetch(&binary, Method::GET, &wasm, &[("accept-encoding", accepted)]).await;
    for (accepted, coding) in [("gzip, deflate, br", "br"), ("gzip", "gzip"), ("br;q=0", "")] {
        let answer = coded(accepted).await;
        assert_eq!(answer.header(header::CONTENT_ENCODING), coding, "{accepted}");
        assert_eq!(answer.header(header::VARY), "accept-encoding");
        assert_eq!(answer.header(header::CONTENT_TYPE), "application/wasm");
        assert_eq!(answer.header(header::CONTENT_LENGTH), answer.body.len().to_string());
        assert_eq!(coding.is_empty(), answer.body.len() == plain.body.len());
    }
    let tag = |answer: &Fetched| answer.header(header::ETAG).to_owned();
    assert_ne!(tag(&coded("br").await), tag(&plain), "two representations, two tags");
}

#[tokio::test]
async fn a_cached_page_is_revalidated_by_its_tag() {
    let binary = Binary::start(&[]).await;
    let etag = get(&binary, "/").await.header(header::ETAG).to_owned();
    assert!(etag.len() > 2);
    let unchanged = fetch(&binary, Method::GET, "/", &[("if-none-match", &etag)]).await;
    assert_eq!(unchanged.head.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(unchanged.body, Bytes::new());
    let changed = fetch(&binary, Method::GET, "/", &[("if-none-match", "\"other\"")]).await;
    assert_eq!(changed.head.status(), StatusCode::OK);
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let binary = Binary::start(&[]).await;
    let got = get(&binary, "/").await;
    let head = fetch(&binary, Method::HEAD, "/", &[]).await;
    assert_eq!(head.head.status(), StatusCode::OK);
    assert_eq!(head.body, Bytes::new());
    assert_eq!(head.header(header::CONTENT_LENGTH), got.body.len().to_string());
}

/// Over HTTP/2 nobody but the server itself keeps a body from following.
#[tokio::test]
async fn head_has_no_body_over_http2_either_where_there_is_no_such_file() {
    let binary = Binary::start(&[]).await;
    for (path, status) in [("/", StatusCode::OK), ("/no.such", StatusCode::NOT_FOUND)] {
        let request = Request::head(path).body(Bytes::new()).unwrap();
        let response = wire::http2_request(binary.address(), request).await;
        assert_eq!(response.status(), status);
        assert_ne!(response.headers()[header::CONTENT_LENGTH], "0");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), Bytes::new());
    }
}

/// Before the WASM arrives, and where it cannot run, the page already says what it is.
#[tokio::test]
async fn the_page_says_what_it_is_before_the_wasm_arrives() {
    let binary = Binary::start(&[]).await;
    let index = get(&binary, "/").await;
    let html = String::from_utf8(index.body.to_vec()).unwrap();
    for needed in ["<title>", "<h1", "<noscript>", "lang=\"en\"", "name=\"viewport\""] {
        assert!(html.contains(needed), "index.html has no {needed}");
    }
}
