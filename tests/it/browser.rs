//! The page in a real browser, against the release binary.

use std::{collections::BTreeSet, time::Duration};

use runnel_tests::{
    binary::Binary,
    browser::{Browser, element},
    metrics::Metrics,
    page::in_the_clear_and_over_tls,
};
use serde_json::{Value, json};
use tokio::time::timeout;

/// The ids of the rows that the list shows, in the order it shows them.
pub(crate) fn ids(list: &str) -> String {
    format!("[...{}.querySelectorAll('.row')].map(row => Number(row.dataset.id))", element(list))
}

/// The state of the panel around an element: idle, loading, ready, streaming, stopped, finished, error.
pub(crate) fn state(test_id: &str) -> String {
    format!("{}.closest('[data-state]').dataset.state", element(test_id))
}

pub(crate) fn count() -> String {
    format!("Number({}.dataset.count)", element("stream-count"))
}

pub(crate) async fn until_state(page: &Browser, test_id: &str, wanted: &str) {
    page.until(&format!("{} === '{wanted}'", state(test_id))).await;
}

/// The page as it is once it has done what it does on load.
pub(crate) async fn open_and_settle(page: &Browser, url: &str) {
    page.open(url).await;
    page.until_text("greeting", "Hello").await;
    until_state(page, "all-list", "ready").await;
    until_state(page, "stream-list", "finished").await;
}

/// Takes out of the console what a test expects there.
pub(crate) async fn only_says(page: &Browser, expected: &str) {
    let console = page.console().await;
    assert!(console.iter().all(|line| line.contains(expected)), "{console:?}");
}

/// Every row in the document, which a long list must not fill.
async fn rows_in_document(page: &Browser) -> u64 {
    page.eval("document.querySelectorAll('.row').length").await.as_u64().unwrap()
}

#[tokio::test]
async fn on_load_it_greets_lists_ten_and_streams_five() {
    in_the_clear_and_over_tls(&[], async |page: Browser, binary: Binary| {
        open_and_settle(&page, &binary.url()).await;
        page.until_text("greeting", "Hello Gonzalo!").await;
        assert_eq!(page.eval(&ids("all-list")).await, json!((1..=10).collect::<Vec<_>>()));
        assert_eq!(page.eval(&ids("stream-list")).await, json!([1, 2, 3, 4, 5]));
        page.until_text("all-list", "name 10").await;
        page.until_text("stream-list", "name 5").await;

        // Over HTTP/2 the calls share a connection.
        let spoken = "[...new Set(performance.getEntriesByType('resource')
            .map(entry => entry.nextHopProtocol))]";
        let best = if binary.scheme() == "https" { "h2" } else { "http/1.1" };
        assert_eq!(page.eval(spoken).await, json!([best]));
        assert_eq!(page.requested_origins().await, BTreeSet::from([binary.url()]));
    })
    .await;
}

#[tokio::test]
async fn it_greets_whoever_is_named() {
    in_the_clear_and_over_tls(&[], async |page: Browser, binary: Binary| {
        open_and_settle(&page, &binary.url()).await;
        for name in ["Ada", "Ζωή <b>世界</b>"] {
            page.fill("name-input", name).await;
            page.click("hello-submit").await;
            page.until_text("greeting", &format!("Hello {name}!")).await;
        }
    })
    .await;
}

#[tokio::test]
async fn it_lists_as_many_as_asked_for_even_none() {
    in_the_clear_and_over_tls(&[], async |page: Browser, binary: Binary| {
        open_and_settle(&page, &binary.url()).await;
        page.fill("all-length", "3").await;
        page.click("all-submit").await;
        page.until(&format!("{}.join() === '1,2,3'", ids("all-list"))).await;

        page.fill("all-length", "0").await;
        page.click("all-submit").await;
        page.until("!document.querySelector('[data-testid=all-list] .row')").await;
        until_state(&page, "all-status", "ready").await;
    })
    .await;
}

/// The heart of it: rows are on the screen while the answer is still coming, and stopping here stops
/// the server too.
#[tokio::test]
async fn rows_appear_while_the_stream_is_open_and_stop_ends_it_at_the_server() {
    in_the_clear_and_over_tls(&[], async |page: Browser, mut binary: Binary| {
        open_and_settle(&page, &binary.url()).await;
        binary.call_line("getStream").await;

        page.fill("stream-length", "10000000").await;
        page.click("stream-start").await;
        // In one look: the stream is open, and its rows are there.
        page.until(&format!(
            "{} === 'streaming' && {}.length > 5 && {} > 5",
            state("stream-list"),
            ids("stream-list"),
            count()
        ))
        .await;
        page.click("stream-stop").await;
        until_state(&page, "stream-list", "stopped").await;

        let line = binary.call_line("getStream").await;
        assert_eq!(line["code"], "CANCELLED", "{line}");
        let items = page.eval(&count()).await.as_u64().unwrap();
        assert!(items < 10_000_000, "it was stopped before its end");
        assert!(rows_in_document(&page).await < 300);
    })
    .await;
}

/// Whether it reads, or has paused and the server waits for room.
#[tokio::test]
async fn closing_the_tab_ends_the_stream_at_the_server_within_a_second() {
    in_the_clear_and_over_tls(&[], async |page: Browser, binary: Binary| {
        let admin = binary.admin_address().unwrap();
        let open = |metrics: &Metrics| metrics.sum("runnel_open_calls", &["kind=\"stream\""]);
        let other = page.tab().await;
        for state in ["streaming", "paused"] {
            page.open_tab().await;
            open_and_settle(&page, &binary.url()).await;
            page.fill("stream-length", "10000000").await;
            page.click("stream-start").await;
            page.until(&format!("{} > 5", count())).await;
            if state == "paused" {
                page.click("stream-pause").await;
            }
            until_state(&page, "stream-list", state).await;
            assert_eq!(open(&Metrics::read(admin).await), 1, "{state}");
            page.close_tab(&other).await;
            // A bound of the product, some twenty times what it takes.
            let gone = Metrics::read_until(admin, "the end of it", |metrics| open(metrics) == 0);
            assert!(timeout(Duration::from_secs(1), gone).await.is_ok(), "{state}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_million_rows_are_all_there_and_few_are_in_the_document() {
    in_the_clear_and_over_tls(&[], async |page: Browser, binary: Binary| {
        open_and_settle(&page, &binary.url()).await;
        page.fill("stream-length", "1000000").await;
        page.click("stream-start").await;
        page.until(&format!("{} === 1000000", count())).await;
        until_state(&page, "stream-list", "finished").await;

        let list = element("stream-list");
        for (scroll_top, row) in [("0", 1), (&*format!("{list}.scrollHeight"), 1_000_000)] {
            page.eval(&format!("{list}.scrollTop = {scroll_top}")).await;
            page.until(&format!("{}.includes({row})", ids("stream-list"))).await;
            page.until_text("stream-list", &format!("name {row}")).await;
            assert!(rows_in_document(&page).await < 300);
        }
        // Neighbours are neighbours wherever one looks.
        page.eval(&format!("{list}.scrollTop = {list}.scrollHeight / 2")).await;
        page.until(&format!(
            "{}[0] > 400000 && {}[0] < 600000",
            ids("stream-list"),
            ids("stream-list")
        ))
        .await;
        let Value::Array(shown) = page.eval(&ids("stream-list")).await else { panic!("ids") };
        let shown: Vec<_> = shown.iter().map(|id| id.as_u64().unwrap()).collect();
        assert!(shown.windows(2).all(|pair| pair[1] == pair[0] + 1), "{shown:?}");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_is_shown_in_words_with_its_code_and_field() {
    in_the_clear_and_over_tls(&[], async |page: Browser, binary: Binary| {
        open_and_settle(&page, &binary.url()).await;
        page.fill("all-length", "-1").await;
        page.click("all-submit").await;
        page.until_text("all-error", "length must be 0 or more, not -1").await;
        page.until_text("all-error", "INVALID_ARGUMENT").await;

        page.fill("all-length", "1000000").await;
        page.click("all-submit").await;
        page.until_text("all-error", "getStream").await;
        page.until_text("all-error", "RESOURCE_EXHAUSTED").await;

        page.fill("stream-length", "-1").await;
        page.click("stream-start").await;
        page.until_text("stream-error", "INVALID_ARGUMENT").await;

        // After a refusal the next call works as ever.
        page.fill("all-length", "2").await;
        page.click("all-submit").await;
        page.until(&format!("{}.join() === '1,2'", ids("all-list"))).await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_went_away_is_told_and_retry_works_once_it_is_back() {
    in_the_clear_and_over_tls(&[], async |page: Browser, mut binary: Binary| {
        open_and_settle(&page, &binary.url()).await;
        binary.signal("TERM").await;
        binary.exit().await;

        page.fill("name-input", "Ada").await;
        page.click("hello-submit").await;
        page.until_text("hello-error", "The server did not answer").await;

        let _back = binary.start_again().await;
        page.click("retry").await;
        page.until_text("greeting", "Hello Ada!").await;
        only_says(&page, "net::ERR_").await;
    })
    .await;
}

/// What someone sees on a slow line, or in a browser without WebAssembly.
#[tokio::test]
async fn before_the_wasm_arrives_the_page_already_says_what_it_is() {
    in_the_clear_and_over_tls(&[], async |page: Browser, binary: Binary| {
        page.devtools("Network.enable", json!({})).await;
        page.devtools("Network.setBlockedURLs", json!({ "urls": ["*.wasm"] })).await;
        page.open(&binary.url()).await;
        page.until("document.querySelector('h1').innerText.length > 0").await;
        page.until("document.querySelector('#app').innerText.length > 0").await;
        // Only the app takes this mark away, and it has not come.
        page.until("document.querySelector('#app').getAttribute('aria-busy') === 'true'").await;
        assert_eq!(page.eval(&element("greeting")).await, Value::Null);
        only_says(&page, "Failed to fetch").await;
    })
    .await;
}

/// What stands over the edge of its panel, by its test id, class or text.
const OVER_THE_EDGE: &str = "[...document.querySelectorAll('.panel')].flatMap(panel => {
    const { left, right } = panel.getBoundingClientRect();
    const { paddingLeft, paddingRight } = getComputedStyle(panel);
    return [...panel.querySelectorAll(':scope *:not(.list *)')].filter(element => {
        const box = element.getBoundingClientRect();
        return box.width > 0 && (box.left < left + parseFloat(paddingLeft) - 0.5
            || box.right > right - parseFloat(paddingRight) + 0.5);
    }).map(element => element.dataset.testid || element.className || element.textContent);
})";

#[tokio::test]
async fn it_fits_a_phone_and_both_colour_schemes() {
    in_the_clear_and_over_tls(&[], async |page: Browser, binary: Binary| {
        let metrics =
            json!({ "width": 320, "height": 640, "deviceScaleFactor": 2, "mobile": true });
        page.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        let mut backgrounds = BTreeSet::new();
        for scheme in ["light", "dark"] {
            let feature = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
            page.devtools("Emulation.setEmulatedMedia", json!({ "features": feature })).await;
            open_and_settle(&page, &binary.url()).await;
            let overflow = "document.documentElement.scrollWidth - innerWidth";
            assert_eq!(page.eval(overflow).await, json!(0), "{scheme}");
            assert_eq!(page.eval(OVER_THE_EDGE).await, json!([]), "{scheme}");
            for (field, button) in [("all-length", "all-submit"), ("stream-length", "stream-start")]
            {
                page.fill(field, "-1").await;
                page.click(button).await;
            }
            page.until_text("all-error", "INVALID_ARGUMENT").await;
            page.until_text("stream-error", "INVALID_ARGUMENT").await;
            assert_eq!(page.eval(OVER_THE_EDGE).await, json!([]), "{scheme}, failed");
            let background =
                page.eval("getComputedStyle(document.documentElement).backgroundColor").await;
            backgrounds.insert(background.to_string());
        }
        assert_eq!(backgrounds.len(), 2, "light and dark differ: {backgrounds:?}");
    })
    .await;
}
