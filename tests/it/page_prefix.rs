//! `--page-prefix`: behind a proxy that passes requests on below a path.

use http::{Method, StatusCode, header};
use runnel::config::{PageConfig, ServeConfig};
use runnel_protos::api::{Hello, HelloRequest};
use runnel_tests::{
    binary::Binary,
    browser::{Browser, in_browser},
    for_each_role,
    server::Role,
    wire::{PROTOCOLS, call, frame},
};
use tonic::Code;

use crate::{
    browser::open_and_settle,
    page::{fetch, get},
};

for_each_role! {
    calls_are_answered_with_the_prefix_and_without,
}

async fn calls_are_answered_with_the_prefix_and_without(role: Role) {
    let page_prefix = Some("/apps/runnel".parse().unwrap());
    let page = PageConfig { page_prefix, ..PageConfig::default() };
    let server = role.start(ServeConfig { page, ..ServeConfig::default() }).await;
    for protocol in PROTOCOLS {
        let ask = async |path: &str| {
            let request = frame(&HelloRequest { name: "Gonzalo".into() });
            call(server.address(), protocol, path, request).await
        };
        for path in ["/apps/runnel/api.Api/sayHello", "/api.Api/sayHello"] {
            let answer = ask(path).await;
            assert_eq!(answer.code(), Some(Code::Ok), "{protocol:?} {path}");
            assert_eq!(answer.decode::<Hello>()[0].message, "Hello Gonzalo!");
        }
        for path in ["/apps/runnel/api.Api/noSuchMethod", "/apps/api.Api/sayHello", "/apps/runnel"]
        {
            let answer = ask(path).await;
            assert_eq!(answer.code(), Some(Code::Unimplemented), "{protocol:?} {path}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn the_page_is_answered_with_the_prefix_and_without() {
    let binary = Binary::start(&["--page-prefix", "/runnel/"]).await;
    let root = get(&binary, "/").await;
    for path in ["/runnel/", "/runnel/?a=b", "/runnel/index.html"] {
        assert_eq!(get(&binary, path).await.body, root.body, "{path}");
    }
    // Of these, browsers and proxies see other paths than the server does.
    assert_eq!(get(&binary, "/runnel/a/b").await.body, get(&binary, "/a/b").await.body);
    for (path, status) in [
        ("/runnel/missing.js", StatusCode::NOT_FOUND),
        ("/runnel/metrics", StatusCode::NOT_FOUND),
        ("/runnel/../Cargo.toml", StatusCode::NOT_FOUND),
        ("/runnel/api.Api/getAll", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        assert_eq!(get(&binary, path).await.head.status(), status, "{path}");
    }
    for method in [Method::GET, Method::HEAD] {
        let without_slash = fetch(&binary, method, "/runnel?a=b", &[]).await;
        assert_eq!(without_slash.head.status(), StatusCode::PERMANENT_REDIRECT);
        assert_eq!(without_slash.header(header::LOCATION), "runnel/?a=b");
    }
}

#[tokio::test]
async fn the_page_works_below_its_prefix_and_at_places_in_it() {
    let binary = Binary::start(&["--page-prefix", "/runnel"]).await;
    in_browser(async move |page: Browser| {
        for place in ["/runnel", "/runnel/", "/runnel/stream", "/runnel/stream/42/", "/", "/a/b/c"] {
            open_and_settle(&page, &format!("{}{place}", binary.url())).await;
            let path = if place == "/runnel" { "/runnel/" } else { place };
            assert_eq!(page.eval("location.pathname").await, path);
            // Every file and every call was asked for below the prefix, if the page was.
            let strays = "performance.getEntriesByType('resource').map((entry) => new URL(entry.name).pathname)
                 .filter((path) => path.startsWith('/runnel/') !== location.pathname.startsWith('/runnel/'))";
            assert_eq!(page.eval(strays).await, serde_json::json!([]), "{place}");
            assert_eq!(page.console().await, Vec::<String>::new());
        }
    })
    .await;
}
