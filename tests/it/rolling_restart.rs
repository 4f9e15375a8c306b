//! Servers that are restarted one after the other behind a proxy, as in every deployment: nobody at a
//! page loses anything by it.

use runnel_tests::{
    binary::Binary,
    browser::{Browser, element, in_browser},
    fault_proxy::{Fault, FaultProxy},
    metrics::Metrics,
    nginx::Nginx,
    patiently,
};
use serde_json::json;

use crate::{
    browser::{open_and_settle, state},
    rows::{ends_with_every_row, status, stream},
};

const TABS: usize = 10;
/// Some 22 MB, so that a stream on a slow line lasts for a minute.
const LENGTH: u32 = 1_000_000;
const SLOW: Fault = Fault::Slow { bytes_per_second: 350_000 };

/// Greets again and again, each time the last greeting was answered, and notes what went wrong.
const UNARY_LOAD: &str = "(() => {
    window.greetings = 0;
    window.errors = [];
    new MutationObserver(() => {
        const error = document.querySelector('[data-testid=hello-error]');
        if (error) window.errors.push(error.innerText);
    }).observe(document.body, { childList: true, subtree: true });
    setInterval(() => {
        if (GREETED !== 'ready') return;
        window.greetings += 1;
        document.querySelector('[data-testid=hello-submit]').click();
    }, 50);
})()";

/// Waits until the streams of all tabs are open, at whichever server.
async fn all_are_open(servers: &[Binary]) {
    patiently("all streams to be open", async {
        let mut open = 0;
        while open != TABS {
            open = 0;
            for server in servers {
                let metrics = Metrics::read(server.admin_address().unwrap()).await;
                let streams = metrics.sum("runnel_open_calls", &["kind=\"stream\""]);
                open += usize::try_from(streams).unwrap();
            }
        }
    })
    .await;
}

/// All streams are open whenever a server is told to end, and none can end before both are back, for
/// its line is slow until then: so each stream is cut at least once.
#[tokio::test]
async fn a_rolling_restart_behind_nginx_loses_and_doubles_nothing() {
    let args = ["--drain-deadline", "1s"];
    let mut servers = [Binary::start(&args).await, Binary::start(&args).await];
    let nginx = Nginx::start(&servers.each_ref().map(Binary::address)).await;
    in_browser(async move |page: Browser| {
        let (mut tabs, mut lines) = (Vec::new(), Vec::new());
        for _ in 0..TABS {
            // Each on a line of its own: a browser opens few connections to one origin.
            let line = FaultProxy::start(&[nginx.address()]).await;
            tabs.push(page.open_tab().await);
            open_and_settle(&page, &line.url()).await;
            line.inject(std::iter::repeat_n(SLOW, 1000));
            lines.push(line);
            page.eval(&UNARY_LOAD.replace("GREETED", &state("greeting"))).await;
        }
        for tab in &tabs {
            page.to_tab(tab).await;
            stream(&page, LENGTH).await;
        }
        for turn in 0..servers.len() {
            all_are_open(&servers).await;
            let server = &mut servers[turn];
            server.signal("TERM").await;
            assert!(server.exit().await.success());
            *server = server.start_again().await;
        }
        lines.iter().for_each(FaultProxy::hurry);
        for tab in &tabs {
            page.to_tab(tab).await;
            ends_with_every_row(&page, LENGTH).await;
            let status = status(&page).await;
            assert!(status.contains("resumed"), "{status}");
            page.until("window.greetings > 10").await;
            assert_eq!(page.eval("window.errors").await, json!([]));
            assert!(page.eval(&element("hello-error")).await.is_null());
        }
    })
    .await;
}
