//! The page for those who have no mouse, and for those who see by colours of their own.

use runnel_tests::{
    browser::{Browser, element},
    page::in_the_clear_and_over_tls,
};
use serde_json::json;

use crate::browser::{count, only_says, open_and_settle, until_state};

/// The test id of what has the focus.
const FOCUSED: &str = "document.activeElement.dataset.testid";

/// Presses what has this test id, as Enter does.
async fn press(page: &Browser, test_id: &str) {
    page.eval(&format!("{}.focus()", element(test_id))).await;
    for kind in ["keyDown", "keyUp"] {
        let key = json!({
            "type": kind, "key": "Enter", "code": "Enter", "text": "\r", "windowsVirtualKeyCode": 13,
        });
        page.devtools("Input.dispatchKeyEvent", key).await;
    }
}

#[tokio::test]
async fn what_is_pressed_by_key_keeps_the_focus_or_hands_it_on() {
    in_the_clear_and_over_tls(&[], async |page: Browser, binary| {
        open_and_settle(&page, &binary.url()).await;
        page.fill("stream-length", "10000000").await;
        for (button, then, focused) in [
            ("stream-start", "streaming", "stream-start"),
            ("stream-pause", "paused", "stream-resume"),
            ("stream-resume", "streaming", "stream-pause"),
            ("stream-stop", "stopped", "stream-stop"),
        ] {
            press(&page, button).await;
            until_state(&page, "stream-list", then).await;
            assert_eq!(page.eval(FOCUSED).await, json!(focused), "{button}");
        }
        // Nothing runs, so there is nothing to stop or pause.
        let rows = page.eval(&count()).await;
        for button in ["stream-stop", "stream-pause"] {
            assert_eq!(
                page.eval(&format!("{}.ariaDisabled", element(button))).await,
                json!("true")
            );
            press(&page, button).await;
            until_state(&page, "stream-list", "stopped").await;
        }
        assert_eq!(page.eval(&count()).await, rows);

        // A button that goes with its problem.
        page.fill("all-length", "-1").await;
        page.click("all-submit").await;
        page.until_text("all-error", "INVALID_ARGUMENT").await;
        page.fill("all-length", "3").await;
        press(&page, "retry").await;
        until_state(&page, "all-list", "ready").await;
        assert_eq!(page.eval(FOCUSED).await, json!("all-submit"));
        only_says(&page, "net::ERR_").await;
    })
    .await;
}

/// There, backgrounds are the system's: whatever is drawn by its background alone is gone unless it says
/// that its colours are of the system already, or has a border.
#[tokio::test]
async fn in_forced_colours_the_meter_and_the_dots_are_seen() {
    in_the_clear_and_over_tls(&[], async |page: Browser, binary| {
        let forced = json!([{ "name": "forced-colors", "value": "active" }]);
        page.devtools("Emulation.setEmulatedMedia", json!({ "features": forced })).await;
        open_and_settle(&page, &binary.url()).await;
        for (selector, pseudo) in [(".progress", ""), (".panel-stream .status", "::before")] {
            let style = format!(
                "(style => [style.forcedColorAdjust, parseFloat(style.borderTopWidth) > 0,
                     style.borderTopColor !== getComputedStyle(document.body).backgroundColor])
                 (getComputedStyle(document.querySelector('{selector}'), '{pseudo}'))"
            );
            assert_eq!(page.eval(&style).await, json!(["none", true, true]), "{selector}");
        }
    })
    .await;
}

#[tokio::test]
async fn too_much_is_told_in_the_words_of_the_call_it_was() {
    in_the_clear_and_over_tls(&[], async |page: Browser, binary| {
        open_and_settle(&page, &binary.url()).await;
        page.eval(&format!(
            "(field => {{
                 field.value = 'x'.repeat(4_200_000);
                 field.dispatchEvent(new Event('input', {{ bubbles: true }}));
             }})({})",
            element("name-input")
        ))
        .await;
        page.click("hello-submit").await;
        page.until_text("hello-error", "RESOURCE_EXHAUSTED").await;
        page.until_text("hello-error", "Shorten the name").await;
        page.fill("all-length", "1000000").await;
        page.click("all-submit").await;
        page.until_text("all-error", "Ask for fewer items, or use the stream").await;
    })
    .await;
}
