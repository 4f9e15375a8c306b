//! The page on a laptop that sleeps: the clock says that much time has passed, and nobody waited.

use runnel_tests::{
    binary::Binary,
    browser::{Browser, in_browser},
    fault_proxy::{Fault, FaultProxy},
};

use crate::{
    browser::{count, open_and_settle, until_state},
    rows::{ends_with_every_row, stream},
};

/// Lets the page's clock be set forward, and counts its calls.
const TAKE_THE_CLOCK: &str = "(() => {
    const now = performance.now.bind(performance);
    const real = window.fetch;
    Object.assign(window, { slept: 0, calls: 0 });
    performance.now = () => now() + window.slept;
    window.fetch = (...call) => { window.calls += 1; return real(...call); };
})()";

/// The machine sleeps for ten minutes.
const SLEEP: &str = "window.slept += 600000";

#[tokio::test]
async fn a_laptop_that_slept_while_resuming_has_used_up_no_patience() {
    const LENGTH: u32 = 1_000_000;
    let mut binary = Binary::start(&[]).await;
    let proxy = FaultProxy::start(&[binary.address()]).await;
    in_browser(async move |page: Browser| {
        open_and_settle(&page, &proxy.url()).await;
        page.eval(TAKE_THE_CLOCK).await;
        proxy.inject([Fault::Slow { bytes_per_second: 4_000_000 }; 99]);
        stream(&page, LENGTH).await;
        page.until(&format!("{} > 5", count())).await;
        binary.signal("KILL").await;
        binary.exit().await;
        until_state(&page, "stream-list", "resuming").await;
        for _ in 0..3 {
            page.eval(SLEEP).await;
            page.eval("window.calls = 0").await;
            // It tries again, and again after that: neither failure was the last.
            page.until("window.calls >= 2").await;
        }
        until_state(&page, "stream-list", "resuming").await;
        let _back = binary.start_again().await;
        ends_with_every_row(&page, LENGTH).await;
    })
    .await;
}

#[tokio::test]
async fn a_laptop_that_slept_during_a_call_has_used_up_none_of_its_deadline() {
    let binary = Binary::start(&[]).await;
    let proxy = FaultProxy::start(&[binary.address()]).await;
    in_browser(async move |page: Browser| {
        open_and_settle(&page, &proxy.url()).await;
        page.eval(TAKE_THE_CLOCK).await;
        proxy.inject([Fault::Stall { after: 0 }]);
        page.fill("name-input", "Ada").await;
        page.click("hello-submit").await;
        page.until("window.calls === 1").await;
        page.eval(SLEEP).await;
        // The connection did not outlive it, and the call is made again.
        proxy.inject([]);
        page.until_text("greeting", "Hello Ada!").await;
    })
    .await;
}
