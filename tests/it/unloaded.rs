//! The page when a file of it is gone, as in the midst of a change to another version: it is loaded again,
//! once, and then says what to do.

use runnel_tests::{
    binary::Binary,
    browser::{Browser, in_browser},
};
use serde_json::{Value, json};

use crate::browser::open_and_settle;

const NOTICE: &str = "document.querySelector('#unloaded:not([hidden])').innerText";

async fn without(page: &Browser, urls: Value) {
    page.devtools("Network.enable", json!({})).await;
    page.devtools("Network.setBlockedURLs", json!({ "urls": urls })).await;
}

#[tokio::test]
async fn a_file_that_is_gone_is_asked_for_once_more_and_then_told() {
    let binary = Binary::start(&[]).await;
    in_browser(async move |page: Browser| {
        for file in ["*.wasm", "*/runnel-web*.js"] {
            without(&page, json!([file])).await;
            page.open(&binary.url()).await;
            page.until(&format!("{NOTICE}.includes('reload in a minute')")).await;
            let how = "performance.getEntriesByType('navigation')[0].type";
            assert_eq!(page.eval(how).await, json!("reload"), "{file}");

            // It is there again, and a person asks.
            without(&page, json!([])).await;
            page.eval("document.querySelector('#unloaded button').click()").await;
            page.until_text("greeting", "Hello Gonzalo!").await;
            assert_eq!(page.eval("sessionStorage.length").await, json!(0), "{file}");
            assert_eq!(page.eval("document.getElementById('unloaded').hidden").await, json!(true));
        }
    })
    .await;
}

/// Only the first time it is not there, as where the first request meets a server of the other version.
#[tokio::test]
async fn a_file_that_was_gone_once_costs_a_reload_and_no_more() {
    let binary = Binary::start(&[]).await;
    in_browser(async move |page: Browser| {
        page.devtools(
            "Page.addScriptToEvaluateOnNewDocument",
            json!({ "source": "
                const loads = Number(sessionStorage.getItem('loads') ?? 0) + 1;
                sessionStorage.setItem('loads', loads);
                const real = window.fetch;
                if (loads === 1) window.fetch = (...call) => real(...call).then(() =>
                    new Response('there is no such file', { status: 404 }));
            " }),
        )
        .await;
        open_and_settle(&page, &binary.url()).await;
        assert_eq!(page.eval("sessionStorage.getItem('loads')").await, json!("2"));
        assert_eq!(page.eval("sessionStorage.getItem('runnel-reloaded')").await, json!(null));
    })
    .await;
}

#[tokio::test]
async fn a_browser_without_web_assembly_is_told_so() {
    let binary = Binary::start(&[]).await;
    in_browser(async move |page: Browser| {
        let source = json!({ "source": "delete window.WebAssembly" });
        page.devtools("Page.addScriptToEvaluateOnNewDocument", source).await;
        page.open(&binary.url()).await;
        page.until(&format!("{NOTICE}.includes('does not run')")).await;
        let how = "performance.getEntriesByType('navigation')[0].type";
        assert_eq!(page.eval(how).await, json!("navigate"), "a reload would change nothing");
    })
    .await;
}
