//! The headers of the page's answers: what a browser is told that the page does not need.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use runnel::config::{AccessConfig, ServeConfig};
use runnel_tests::{
    binary::Binary,
    browser::{Browser, in_browser},
    patiently,
    server::TestServer,
    tls::{self, Authority, Files},
    wire,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn headers(binary: &Binary, method: Method, path: &str) -> (StatusCode, HeaderMap) {
    let request = Request::builder().method(method).uri(path).body(Bytes::new()).unwrap();
    let response = wire::http1_request(binary.address(), request).await;
    (response.status(), response.headers().clone())
}

#[tokio::test]
async fn every_answer_of_the_page_carries_them_errors_too() {
    let binary = Binary::start(&[]).await;
    let answers = [
        (Method::GET, "/", StatusCode::OK),
        (Method::HEAD, "/deep/link", StatusCode::OK),
        (Method::GET, "/missing.js", StatusCode::NOT_FOUND),
        (Method::POST, "/", StatusCode::METHOD_NOT_ALLOWED),
    ];
    for (method, path, status) in answers {
        let (answered, headers) = headers(&binary, method, path).await;
        assert_eq!(answered, status, "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["referrer-policy"], "same-origin");
        assert_eq!(headers["cross-origin-opener-policy"], "same-origin");
        assert_eq!(headers["cross-origin-resource-policy"], "same-origin");
        assert!(headers["permissions-policy"].to_str().unwrap().contains("camera=()"));
        let policy = headers["content-security-policy"].to_str().unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self' 'wasm-unsafe-eval' 'sha256-",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{part}: {policy}");
        }
        for hole in ["unsafe-inline", "'unsafe-eval'", "*", "http:", "https:", "data:"] {
            assert!(!policy.contains(hole), "{hole}: {policy}");
        }
        assert!(!headers.contains_key("strict-transport-security"), "no TLS, no HSTS");
    }
}

/// A browser that was told once comes by TLS alone, to every port of that host: so it is told over TLS
/// alone, and never of a host that others have, too.
#[tokio::test]
async fn over_tls_the_browser_is_told_to_come_by_tls_alone_but_to_no_name_of_its_own_machine() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue());
    let access =
        AccessConfig { allow_host: vec!["app.example".to_owned()], ..AccessConfig::default() };
    let config = ServeConfig { access, tls: files.config(), ..ServeConfig::default() };
    let server = TestServer::start_with(config).await;
    let client = authority.client(None, &["http/1.1"]);
    for (host, is_told) in [
        ("app.example", true),
        ("app.example:8443", true),
        ("localhost", false),
        ("app.localhost:8443", false),
        ("127.0.0.1:8443", false),
        ("[::1]", false),
    ] {
        let mut stream = tls::connect(&client, server.address()).await.unwrap();
        let get = format!("GET /missing.js HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(get.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        patiently("the answer", stream.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 "), "{host}: {answer}");
        let told = answer.contains("\r\nstrict-transport-security: max-age=31536000\r\n");
        assert_eq!(told, is_told, "{host}: {answer}");
    }
    server.stop().await;
}

/// That the page works under the policy, with nothing in the console, is what every browser test
/// shows; here, that the policy holds.
#[tokio::test]
async fn a_script_that_was_not_built_into_the_page_does_not_run() {
    let binary = Binary::start(&[]).await;
    let url = binary.url();
    in_browser(async move |page: Browser| {
        page.open(&url).await;
        page.until_text("greeting", "Hello").await;
        page.eval(
            "(() => {
                 addEventListener('securitypolicyviolation', event => {
                     (window.violations ??= []).push(event.effectiveDirective);
                 });
                 const script = document.createElement('script');
                 script.textContent = 'window.smuggled = true';
                 document.body.append(script);
                 const image = document.createElement('img');
                 image.src = 'http://127.0.0.1:9/stolen?secret';
                 document.body.append(image);
             })()",
        )
        .await;
        page.until("window.violations?.length >= 2").await;
        let violations = page.eval("window.violations.sort().join()").await;
        assert_eq!(violations, "img-src,script-src-elem");
        assert_eq!(page.eval("window.smuggled ?? false").await, false);
    })
    .await;
}
