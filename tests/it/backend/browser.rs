//! The page in a real browser, from the release binary, in front of the original Python server.

use runnel_tests::{
    binary::Binary,
    browser::{Browser, element, in_browser},
    python,
};

/// It greets, lists and streams as ever; a long stream comes bit by bit.
#[tokio::test]
async fn the_page_works_in_front_of_the_original_python_server() {
    let original = python::serve("server.py").await;
    let port = original.port.to_string();
    // The two names of the original's compose file; a flag would do as well.
    let binary = Binary::start(&["--backend-host", "127.0.0.1", "--backend-port", &port]).await;
    let url = binary.url();
    in_browser(async move |page: Browser| {
        page.open(&url).await;
        page.until_text("greeting", "Hello Gonzalo!").await;
        page.until_text("all-list", "name 10").await;
        page.until_text("stream-list", "name 5").await;

        // Python takes many seconds for all of these.
        page.fill("stream-length", "1000000").await;
        page.click("stream-start").await;
        let count = format!("Number({}.dataset.count)", element("stream-count"));
        let streaming = format!(
            "{}.closest('[data-state]').dataset.state === 'streaming'",
            element("stream-list")
        );
        page.until(&format!("{streaming} && {count} > 0")).await;
        let first = page.eval(&count).await.as_i64().unwrap();
        page.until(&format!("{streaming} && {count} > {first}")).await;
        assert!(first < 1_000_000, "the first items come long before the last");
        page.click("stream-stop").await;
        page.until(&format!("!({streaming})")).await;
        assert_eq!(page.console().await, Vec::<String>::new());
    })
    .await;
}
