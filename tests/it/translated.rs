//! The page in another language: browsers translate by putting elements in the place of text, behind
//! the back of whatever wrote it.

use runnel_tests::{
    browser::{Browser, element},
    page::in_the_clear_and_over_tls,
};
use serde_json::json;

use crate::browser::{count, open_and_settle, until_state};

/// Translates as Chromium does, but all of it, marks or not: each text goes, and two elements with another
/// one come in its place. And goes on so with whatever is written later.
const TRANSLATE: &str = "(() => {
    const translate = (root) => {
        const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
        const found = [];
        while (texts.nextNode()) found.push(texts.currentNode);
        for (const text of found) {
            const element = text.parentElement;
            if (!text.data.trim() || !element || element.closest('font, script, style')) continue;
            const outer = document.createElement('font');
            outer.appendChild(document.createElement('font')).textContent = `«${text.data}»`;
            text.replaceWith(outer);
        }
    };
    translate(document.body);
    if (window.goOn) {
        new MutationObserver(() => translate(document.body))
            .observe(document.body, { childList: true, subtree: true, characterData: true });
    }
})()";

#[tokio::test]
async fn what_is_asked_for_is_shown_in_whatever_language_the_page_is() {
    in_the_clear_and_over_tls(&[], async |page: Browser, binary| {
        for goes_on in [false, true] {
            open_and_settle(&page, &binary.url()).await;
            page.eval(&format!("window.goOn = {goes_on}")).await;
            page.eval(TRANSLATE).await;
            page.until_text("greeting", "«Hello Gonzalo!»").await;

            for name in ["Ada", "Grace"] {
                page.fill("name-input", name).await;
                page.click("hello-submit").await;
                page.until_text("greeting", &format!("Hello {name}!")).await;
                page.until(&format!("!{}.innerText.includes('Gonzalo')", element("greeting")))
                    .await;
            }
            page.fill("all-length", "3").await;
            page.click("all-submit").await;
            page.until_text("all-status", "3 items").await;

            page.fill("stream-length", "10000001").await;
            page.until_text("stream-length", "").await;
            page.until("document.getElementById('stream-length-note').innerText.includes('rows')")
                .await;
            page.fill("stream-length", "-1").await;
            page.until("!document.getElementById('stream-length-note').innerText").await;
            page.click("stream-start").await;
            page.until_text("stream-error", "INVALID_ARGUMENT").await;
            page.until_text("stream-status", "Failed").await;
            page.fill("stream-length", "10000000").await;
            page.click("stream-start").await;
            page.until_text("stream-status", "Live").await;
            page.until(&format!("{} > 1000", count())).await;
            page.click("stream-pause").await;
            page.until_text("stream-status", "Paused").await;
            page.until_text("stream-resume", "Resume").await;
            let figure = format!(
                "{}.innerText.replace(/[«»,]/g, '') == {}",
                element("stream-count"),
                count()
            );
            page.until(&figure).await;
            page.click("stream-stop").await;
            page.until_text("stream-status", "Stopped").await;
            page.until_text("stream-pause", "Pause").await;
            page.until(&format!("!{}.innerText.includes('Live')", element("stream-status"))).await;

            page.fill("stream-length", "0").await;
            page.click("stream-start").await;
            until_state(&page, "stream-list", "finished").await;
            page.until_text("stream-list", "as you asked for none").await;
        }
    })
    .await;
}

/// Names, items and what a server says are not words of the page: a translator would change them.
#[tokio::test]
async fn data_is_marked_as_not_to_be_translated() {
    in_the_clear_and_over_tls(&[], async |page: Browser, binary| {
        open_and_settle(&page, &binary.url()).await;
        page.fill("stream-length", "-1").await;
        page.click("stream-start").await;
        page.until_text("stream-error", "INVALID_ARGUMENT").await;
        for data in [".greeting", ".row", ".method", ".code", ".violations", "h1"] {
            let marked = format!(
                "[...document.querySelectorAll('{data}')].map(element =>
                     Boolean(element.closest('.notranslate[translate=no]')))"
            );
            let marked = page.eval(&marked).await;
            let marked = marked.as_array().unwrap();
            assert!(!marked.is_empty() && marked.iter().all(|mark| *mark == json!(true)), "{data}");
        }
    })
    .await;
}
