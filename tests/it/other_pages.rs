//! Another page than our own, or none: `--page`, `--page-csp`.

use std::{fs, path::Path};

use http::{Method, StatusCode, header};
use runnel::config::{PageChoice, PageConfig, ServeConfig};
use runnel_protos::api::HelloRequest;
use runnel_tests::{
    binary::{self, Binary},
    browser::{Browser, in_browser},
    for_each_role, patiently,
    server::Role,
    wire::{PROTOCOLS, call, frame, is_none_the_worse},
};
use serde_json::json;
use tempfile::TempDir;
use tonic::Code;

use crate::page::{fetch, get};

for_each_role! {
    without_a_page_calls_are_answered_and_the_root_says_what_this_is,
}

/// A page as Vite builds it: names with hashes of its own, references from the root, a script that loads
/// another, a style and an image in the page, an import map.
fn vite() -> TempDir {
    let folder = TempDir::new().unwrap();
    let assets = folder.path().join("assets");
    fs::create_dir(&assets).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "index.html",
        r#"<!doctype html>
<html lang="en">
  <head>
    <title>A page of Vite</title>
    <script type="importmap">{ "imports": { "words": "/assets/words-D4k_9sQz.js" } }</script>
    <script>window.inline = "ran";</script>
    <script type="module" crossorigin src="/assets/index-B3xK9z1T.js"></script>
    <link rel="stylesheet" crossorigin href="/assets/index-C0ffEE_-.css">
    <link rel="icon" href="data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>">
    <style>h1 { font-weight: 700 }</style>
  </head>
  <body><h1></h1></body>
</html>
"#,
    );
    write("assets/words-D4k_9sQz.js", "export const words = 'Hello from';");
    write(
        "assets/index-B3xK9z1T.js",
        &format!(
            "import {{ words }} from 'words';
             const lazy = await import('/assets/lazy-A1b2C3d4.js');
             document.querySelector('h1').textContent = `${{words}} ${{lazy.place()}}`;
             // {}",
            "x".repeat(5000)
        ),
    );
    write("assets/lazy-A1b2C3d4.js", "export const place = () => location.pathname;");
    write("assets/index-C0ffEE_-.css", "h1 { letter-spacing: 3px }");
    folder
}

async fn serving(folder: &TempDir, args: &[&str]) -> Binary {
    let folder = folder.path().to_str().unwrap();
    Binary::start(&[&["--page", folder], args].concat()).await
}

#[tokio::test]
async fn a_page_of_vite_runs_in_a_browser_and_calls_the_server_it_came_from() {
    let folder = vite();
    let binary = serving(&folder, &[]).await;
    in_browser(async move |page: Browser| {
        for place in ["/", "/users/42"] {
            page.open(&format!("{}{place}", binary.url())).await;
            page.until(&format!(
                "document.querySelector('h1').textContent === 'Hello from {place}'"
            ))
            .await;
            assert_eq!(page.eval("window.inline").await, json!("ran"));
            let style = "getComputedStyle(document.querySelector('h1'))";
            assert_eq!(page.eval(&format!("{style}.letterSpacing")).await, json!("3px"));
            assert_eq!(page.eval(&format!("{style}.fontWeight")).await, json!("700"));
        }
        let call = "const done = arguments[arguments.length - 1];
             fetch('/api.Api/sayHello', {
                 method: 'POST',
                 headers: { 'content-type': 'application/grpc-web+proto' },
                 body: new Uint8Array([0, 0, 0, 0, 0]),
             }).then((answer) => answer.text()).then(done, (error) => done(String(error)));";
        let answer = page.run(call, vec![]).await.unwrap();
        assert!(answer.as_str().unwrap().contains("grpc-status:0"), "{answer}");
        assert_eq!(page.console().await, Vec::<String>::new());

        // What was not built into the page does not run.
        page.open(&binary.url()).await;
        let script = "const script = document.createElement('script');
             script.textContent = 'window.smuggled = true';
             document.head.append(script);
             arguments[arguments.length - 1](window.smuggled === true);";
        assert_eq!(page.run(script, vec![]).await, Ok(json!(false)));
        assert!(page.console().await.iter().all(|line| line.contains("Content Security Policy")));
    })
    .await;
}

#[tokio::test]
async fn files_of_a_folder_are_compressed_and_revalidated_by_their_tags() {
    let folder = vite();
    let binary = serving(&folder, &[]).await;
    let script = "/assets/index-B3xK9z1T.js";
    let mut tags = Vec::new();
    for (accepted, coding) in [("gzip, br", "gzip"), ("br", ""), ("gzip;q=0", ""), ("", "")] {
        let headers = [("accept-encoding", accepted)];
        let got = fetch(&binary, Method::GET, script, &headers).await;
        assert_eq!(got.head.status(), StatusCode::OK);
        assert_eq!(got.header(header::CONTENT_ENCODING), coding, "{accepted}");
        assert_eq!(got.header(header::CONTENT_TYPE), "text/javascript; charset=utf-8");
        assert_eq!(got.header(header::VARY), "accept-encoding");
        // Its name carries no hash that can be checked.
        assert_eq!(got.header(header::CACHE_CONTROL), "no-cache");
        assert_eq!(got.header(header::CONTENT_LENGTH), got.body.len().to_string());
        assert_eq!(got.body.len() > 5000, coding.is_empty(), "{accepted}");

        let head = fetch(&binary, Method::HEAD, script, &headers).await;
        assert_eq!(head.header(header::CONTENT_LENGTH), got.body.len().to_string());
        assert_eq!((head.header(header::ETAG), head.body.len()), (got.header(header::ETAG), 0));

        let known = [headers[0], ("if-none-match", got.header(header::ETAG))];
        let known = fetch(&binary, Method::GET, script, &known).await;
        assert_eq!((known.head.status(), known.body.len()), (StatusCode::NOT_MODIFIED, 0));
        tags.push((coding, got.header(header::ETAG).to_owned()));
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 2, "one for each form: {tags:?}");
}

#[tokio::test]
async fn nothing_but_the_page_is_served_of_the_disk() {
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("secret.txt"), "secret").unwrap();
    let folder = vite();
    let write = |name: &str| fs::write(folder.path().join(name), "secret").unwrap();
    write(".env");
    write("assets/.htpasswd.txt");
    std::os::unix::fs::symlink(outside.path(), folder.path().join("out")).unwrap();
    let binary = serving(&folder, &[]).await;
    let up = "../".repeat(8);
    for path in [
        &format!("/{up}etc/hostname.txt")[..],
        &format!("/assets/{up}etc/passwd"),
        "/..%2f..%2f..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/assets/%2E%2E/%2e%2e/secret.txt",
        "/..\\..\\etc\\passwd",
        "//etc/hosts.txt",
        "/etc/hosts.txt",
        "/out/secret.txt",
        "/.env",
        "/assets/.htpasswd.txt",
        "/assets/%2ehtpasswd.txt",
        "/index.html%00.js",
        "/assets/index-B3xK9z1T.js/x.js",
        "/assets/missing.js",
    ] {
        let got = get(&binary, path).await;
        assert_eq!(got.head.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(!String::from_utf8_lossy(&got.body).contains("secret"), "{path}");
        assert_eq!(got.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    }
    is_none_the_worse(binary.address()).await;
}

#[tokio::test]
async fn a_page_that_is_built_anew_is_served_from_then_on() {
    let folder = vite();
    let binary = serving(&folder, &[]).await;
    let before = get(&binary, "/deep/link").await;
    let html = fs::read_to_string(folder.path().join("index.html")).unwrap();
    let html = html.replace("index-B3xK9z1T", "index-NEWnew12").replace("\"ran\"", "\"anew\"");
    fs::write(folder.path().join("assets/index-NEWnew12.js"), "built.anew()").unwrap();
    fs::write(folder.path().join("index.html"), &html).unwrap();
    fs::remove_file(folder.path().join("assets/index-B3xK9z1T.js")).unwrap();

    let known = [("if-none-match", before.header(header::ETAG))];
    let after = fetch(&binary, Method::GET, "/deep/link", &known).await;
    assert_eq!((after.head.status(), &*after.body), (StatusCode::OK, html.as_bytes()));
    let policy = header::CONTENT_SECURITY_POLICY;
    assert_ne!(after.header(policy.clone()), before.header(policy), "another script, another hash");
    assert_eq!(get(&binary, "/assets/index-NEWnew12.js").await.body, "built.anew()");
    let gone = get(&binary, "/assets/index-B3xK9z1T.js").await;
    assert_eq!(gone.head.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_policy_can_be_set_and_left_out_of_any_page() {
    let folder = vite();
    let policy = async |args: &[&str]| {
        let binary = Binary::start(args).await;
        let mut policies = Vec::new();
        for path in ["/", "/deep/link", "/missing.js"] {
            let headers = get(&binary, path).await;
            assert_eq!(headers.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
            policies.push(headers.header(header::CONTENT_SECURITY_POLICY).to_owned());
        }
        policies.dedup();
        policies
    };
    let wide = "default-src 'self' https://cdn.example; font-src https:";
    let at = folder.path().to_str().unwrap();
    for page in ["embedded", at] {
        assert_eq!(policy(&["--page", page, "--page-csp", wide]).await, [wide]);
        assert_eq!(policy(&["--page", page, "--page-csp", "none"]).await, [""]);
        let computed = policy(&["--page", page]).await;
        assert!(
            computed[0].contains("script-src 'self' 'wasm-unsafe-eval' 'sha256-"),
            "{computed:?}"
        );
    }
}

async fn without_a_page_calls_are_answered_and_the_root_says_what_this_is(role: Role) {
    let page = PageConfig { page: PageChoice::None, ..PageConfig::default() };
    let server = role.start(ServeConfig { page, ..ServeConfig::default() }).await;
    let ask = async |method: Method, path: &str| {
        let request = http::Request::builder().method(method).uri(path).body(bytes::Bytes::new());
        let (head, body) = runnel_tests::wire::http1_request(server.address(), request.unwrap())
            .await
            .into_parts();
        let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
        (head, String::from_utf8(body.to_vec()).unwrap())
    };
    let (head, words) = ask(Method::GET, "/").await;
    assert_eq!(
        (head.status, &head.headers["content-type"]),
        (StatusCode::OK, &"text/plain; charset=utf-8".parse().unwrap())
    );
    assert!(words.contains("gRPC") && words.contains("--page none"), "{words}");
    assert_eq!(words.lines().count(), 1);
    assert_eq!(ask(Method::HEAD, "/").await.1, "");
    for path in ["/index.html", "/stream/42", "/.env", "/metrics"] {
        assert_eq!(ask(Method::GET, path).await.0.status, StatusCode::NOT_FOUND, "{path}");
    }
    let (head, _) = ask(Method::PUT, "/").await;
    assert_eq!(head.status, StatusCode::METHOD_NOT_ALLOWED);
    for protocol in PROTOCOLS {
        let request = frame(&HelloRequest { name: "Gonzalo".into() });
        let answer = call(server.address(), protocol, "/api.Api/sayHello", request).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_page_is_bad_usage_and_the_words_say_why() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("file"), "").unwrap();
    fs::create_dir(at("empty")).unwrap();
    fs::create_dir(at("outside")).unwrap();
    std::os::unix::fs::symlink("loop", at("loop")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", at("outside/index.html")).unwrap();
    let refused = async |args: &[&str]| {
        let mut command = binary::command();
        command.args(["--listen", "127.0.0.1:0"]).args(args);
        let output = patiently("the end", command.output()).await.unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {words}");
        words
    };
    for (page, why) in [
        (at("missing"), "there is no folder"),
        (at("file"), "is not a folder"),
        (at("empty"), "there is no index.html in"),
        (at("outside"), "there is no index.html in"),
        (at("loop"), "cannot be read"),
    ] {
        let words = refused(&["--page", &page]).await;
        assert!(words.contains("--page: ") && words.contains(why), "{words}");
        assert!(words.contains(&page), "{words}");
    }
    for (args, why) in [
        (["--page", ""], "--page"),
        (["--page-csp", ""], "`none` sends none"),
        (["--page-csp", "default-src\nx: y"], "one line of ASCII"),
        (["--page-prefix", ""], "cannot be empty"),
        (["--page-prefix", "/"], "at / already"),
        (["--page-prefix", "runnel"], "begins with a slash"),
        (["--page-prefix", "/a/../b"], "no . or .."),
        (["--page-prefix", "/a//b"], "two slashes"),
    ] {
        let words = refused(&args).await;
        assert!(words.contains(why), "{args:?}: {words}");
    }
    // Root may read every file.
    if fs::read(Path::new("/etc/shadow")).is_err() {
        let folder = vite();
        let index = folder.path().join("index.html");
        fs::set_permissions(&index, std::os::unix::fs::PermissionsExt::from_mode(0o0)).unwrap();
        let words = refused(&["--page", folder.path().to_str().unwrap()]).await;
        assert!(words.contains("cannot be read"), "{words}");
    }
}
