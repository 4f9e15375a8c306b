//! Servers that are restarted one after the other behind a proxy, as in every deployment: nobody at a
//! page loses anything by it.

use runnel_tests::{
    binary::Binary,
    browser::{Browser, element, in_browser},
    fault_proxy::{Fault, FaultProxy},
    nginx::Nginx,
};
use serde_json::json;

use crate::{
    browser::{open_and_settle, state},
    faults::{ends_with_every_row, stream},
};

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

#[tokio::test]
async fn a_rolling_restart_behind_nginx_loses_and_doubles_nothing() {
    const TABS: usize = 10;
    const LENGTH: u32 = 1_000_000;
    // At this rate the streams last for longer than the restarts, whatever the buffers on the way hold.
    const SLOW: Fault = Fault::Slow { bytes_per_second: 1_000_000 };
    let args = ["--drain-deadline", "1s"];
    let mut servers = [Binary::start(&args).await, Binary::start(&args).await];
    let nginx = Nginx::start(&servers.each_ref().map(Binary::address)).await;
    in_browser(async move |page: Browser| {
        let (mut tabs, mut lines) = (Vec::new(), Vec::new());
        for _ in 0..TABS {
            // Each on a slow line of its own: a browser opens few connections to one origin.
            let line = FaultProxy::start(&[nginx.address()]).await;
            line.inject(std::iter::repeat_n(SLOW, 1000));
            tabs.push(page.open_tab().await);
            open_and_settle(&page, &line.url()).await;
            lines.push(line);
            page.eval(&UNARY_LOAD.replace("GREETED", &state("greeting"))).await;
        }
        for tab in &tabs {
            page.to_tab(tab).await;
            stream(&page, LENGTH).await;
        }
        for server in &mut servers {
            server.signal("TERM").await;
            assert!(server.exit().await.success());
            *server = Binary::start_at(server.address(), &args).await;
        }
        let mut resumed = 0;
        for tab in &tabs {
            page.to_tab(tab).await;
            ends_with_every_row(&page, LENGTH).await;
            let status = page.eval(&format!("{}.innerText", element("stream-status"))).await;
            resumed += usize::from(status.as_str().unwrap().contains("resumed"));
            assert_eq!(page.eval("window.errors").await, json!([]));
            page.until("window.greetings > 10").await;
            let gone = page.eval(&element("hello-error")).await;
            assert!(gone.is_null());
        }
        // Streams whose rest was already on its way need not be.
        assert!(resumed > 0, "no stream was open during the restarts");
    })
    .await;
}
