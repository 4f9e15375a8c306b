//! The page when something on the way answers in the server's place: a proxy that does not reach it, or
//! one that wants a person to sign in.

use runnel_tests::{
    binary::Binary,
    browser::in_browser,
    browser::{Browser, element},
    fault_proxy::{Fault, FaultProxy},
};
use serde_json::json;

use crate::{
    browser::{count, open_and_settle, state, until_state},
    rows::{ends_with_every_row, stream},
};

/// So slow that a stream of this many items is not over before something happened to it.
const SLOW: Fault = Fault::Slow { bytes_per_second: 4_000_000 };
const LENGTH: u32 = 1_000_000;

/// A stream that is on its way, before a proxy that now does this.
async fn streaming(page: &Browser, proxy: &FaultProxy) {
    open_and_settle(page, &proxy.url()).await;
    proxy.inject([SLOW; 10]);
    stream(page, LENGTH).await;
    page.until(&format!("{} > 5", count())).await;
}

#[tokio::test]
async fn whatever_a_proxy_says_between_a_stream_goes_on() {
    let binary = Binary::start(&[]).await;
    let proxy = FaultProxy::start(&[binary.address()]).await;
    in_browser(async move |page: Browser| {
        for statuses in [[500, 408, 520], [530, 404, 425], [200, 405, 507]] {
            streaming(&page, &proxy).await;
            proxy.inject(statuses.map(|status| Fault::Instead { status }));
            ends_with_every_row(&page, LENGTH).await;
            assert_eq!(proxy.faults_left(), 0, "{statuses:?}");
        }
    })
    .await;
}

/// How often the page called since [`counting`].
const CALLS: &str = "window.calls";

async fn counting(page: &Browser) {
    page.eval(
        "(() => {
            const real = window.fetch;
            window.calls = 0;
            window.fetch = (...call) => { window.calls += 1; return real(...call); };
        })()",
    )
    .await;
}

#[tokio::test]
async fn a_redirect_is_told_at_once_and_a_reload_follows_it() {
    let binary = Binary::start(&[]).await;
    let proxy = FaultProxy::start(&[binary.address()]).await;
    in_browser(async move |page: Browser| {
        for status in [302, 307, 303] {
            streaming(&page, &proxy).await;
            counting(&page).await;
            // Whatever is called from now on is sent to another host, to sign in.
            proxy.inject([Fault::Instead { status }; 20]);
            page.until_text("stream-error", "The server sends you elsewhere").await;
            page.until_text("stream-error", "sign in").await;
            assert_eq!(page.eval(CALLS).await, json!(1), "it tries no second time: {status}");
            page.click("hello-submit").await;
            page.until_text("hello-error", "The server sends you elsewhere").await;
            assert_eq!(page.eval(CALLS).await, json!(2), "{status}");

            // Who signed in in another tab goes on with what is here.
            let rows = page.eval(&count()).await;
            proxy.inject([]);
            let retry = "document.querySelector('[data-testid=stream-error] [data-testid=retry]')";
            page.eval(&format!("{retry}.click()")).await;
            ends_with_every_row(&page, LENGTH).await;
            assert!(rows.as_u64().unwrap() > 0);
        }
        proxy.inject([Fault::Instead { status: 302 }]);
        page.click("hello-submit").await;
        page.until_text("hello-error", "The server sends you elsewhere").await;
        page.click("reload").await;
        page.until_text("greeting", "Hello Gonzalo!").await;
        until_state(&page, "stream-list", "finished").await;
        assert_eq!(page.eval(&state("all-list")).await, json!("ready"));
        assert_eq!(page.eval(&element("hello-error")).await, json!(null));
    })
    .await;
}
