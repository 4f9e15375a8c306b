//! A page of files in memory, over HTTP.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use runnel_page::{Needs, Page, Policy};

const HTML: &str = "<script>a()</script><link rel=\"stylesheet\" href=\"./app.css\">";

fn page() -> Page {
    let files =
        [("index.html", HTML), ("app.css", "p { }"), ("app.css.br", "br"), ("index.html.gz", "gz")];
    Page::of_files(files.map(|(name, text)| (name.to_owned(), text.as_bytes().into())))
}

async fn ask(
    page: &Page,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (Response<()>, Bytes) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, body) = page.respond(&request.body(()).unwrap()).await.into_parts();
    (Response::from_parts(head, ()), body.collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn a_deep_link_is_the_page_with_references_to_the_root() {
    let page = page();
    for (path, reference) in [
        ("/", "./app.css"),
        ("/stream", "./app.css"),
        ("/a/", "../app.css"),
        ("/a/b/c", "../../app.css"),
    ] {
        // The compressed form has references as they are at the root.
        for accepted in ["", "gzip"] {
            let headers = [("accept-encoding", accepted)];
            let (head, body) = ask(&page, Method::GET, path, &headers).await;
            assert_eq!(head.status(), StatusCode::OK, "{path}");
            if accepted == "gzip" && reference == "./app.css" {
                assert_eq!(
                    (&*body, &head.headers()[header::CONTENT_ENCODING]),
                    (&b"gz"[..], &HeaderValue::from_static("gzip"))
                );
                continue;
            }
            let html = String::from_utf8(body.to_vec()).unwrap();
            assert!(html.contains(&format!("href=\"{reference}\"")), "{path}: {html}");
            assert_eq!(head.headers().get(header::CONTENT_ENCODING), None);
            let etag = head.headers()[header::ETAG].to_str().unwrap();
            let (known, _) = ask(&page, Method::GET, path, &[("if-none-match", etag)]).await;
            assert_eq!(known.status(), StatusCode::NOT_MODIFIED, "{path}");
        }
    }
}

#[tokio::test]
async fn a_page_with_references_from_the_root_is_the_same_everywhere() {
    let html = "<script src=\"/assets/app.js\"></script>";
    let page = Page::of_files([
        ("index.html".to_owned(), html.as_bytes().into()),
        ("index.html.br".to_owned(), b"br"[..].into()),
    ]);
    let (head, body) = ask(&page, Method::GET, "/a/b/c", &[("accept-encoding", "br")]).await;
    assert_eq!(
        (&*body, &head.headers()[header::CONTENT_ENCODING]),
        (&b"br"[..], &HeaderValue::from_static("br"))
    );
    assert_eq!(ask(&page, Method::GET, "/a/b/c", &[]).await.1, html);
}

#[tokio::test]
async fn an_embedded_file_without_a_compressed_form_gets_one() {
    let script = "a();".repeat(100);
    let page = Page::of_files([
        ("app.js".to_owned(), script.clone().into_bytes().into()),
        ("done.js".to_owned(), script.clone().into_bytes().into()),
        ("done.js.br".to_owned(), b"br"[..].into()),
        ("small.js".to_owned(), b"a()"[..].into()),
    ]);
    let coding = async |path, accepted| {
        let (head, _) = ask(&page, Method::GET, path, &[("accept-encoding", accepted)]).await;
        assert_eq!(head.status(), StatusCode::OK);
        head.headers().get(header::CONTENT_ENCODING).cloned()
    };
    let gzip = Some(HeaderValue::from_static("gzip"));
    assert_eq!(coding("/app.js", "br, gzip").await, gzip);
    assert_eq!(coding("/done.js", "gzip").await, None, "whoever built it has chosen its forms");
    assert_eq!(coding("/small.js", "gzip").await, None, "it would be larger");
    assert_eq!(ask(&page, Method::GET, "/app.js", &[]).await.1, script);
}

#[tokio::test]
async fn head_has_the_length_and_no_body() {
    let (head, body) = ask(&page(), Method::HEAD, "/", &[]).await;
    assert_eq!(head.headers()[header::CONTENT_LENGTH], HTML.len().to_string());
    assert_eq!(body, "");
    let (head, body) = ask(&page(), Method::HEAD, "/missing.js", &[]).await;
    assert_eq!((head.status(), &*body), (StatusCode::NOT_FOUND, &b""[..]));
    assert_ne!(head.headers()[header::CONTENT_LENGTH], "0");
}

#[tokio::test]
async fn other_verbs_are_refused() {
    let (head, _) = ask(&page(), Method::POST, "/", &[]).await;
    assert_eq!(head.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(head.headers()[header::ALLOW], "GET, HEAD");
}

#[tokio::test]
async fn the_policy_is_the_one_that_was_set_on_every_answer() {
    let policy = async |page: Page| {
        let mut policies = Vec::new();
        for path in ["/", "/app.css", "/missing.js"] {
            let (head, _) = ask(&page, Method::GET, path, &[]).await;
            assert_eq!(head.headers()["x-content-type-options"], "nosniff");
            let policy = head.headers().get(header::CONTENT_SECURITY_POLICY);
            policies.push(policy.map(|policy| policy.to_str().unwrap().to_owned()));
        }
        policies.dedup();
        assert_eq!(policies.len(), 1, "{policies:?}");
        policies.remove(0)
    };
    let fixed = HeaderValue::from_static("default-src *");
    assert_eq!(policy(page().with_policy(Policy::Fixed(fixed))).await.unwrap(), "default-src *");
    assert_eq!(policy(page().with_policy(Policy::Omitted)).await, None);
    let common = policy(page()).await.unwrap();
    let least = policy(page().with_needs(Needs::Least)).await.unwrap();
    // echo -n 'a()' | openssl sha256 -binary | base64
    let script = "'sha256-qVpDBgj7bpq5hMAcGp3AOc79J3Y1Z4HvySTwKrWDoy4='";
    for policy in [&common, &least] {
        assert!(policy.contains(script), "{policy}");
    }
    assert!(common.contains("font-src 'self' data:") && !least.contains("font-src"));
}
