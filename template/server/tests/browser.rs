//! The page in a real browser, against the real server. `trunk build` first.

use runnel_tests::{binary::Binary, browser::in_browser};

#[tokio::test]
async fn the_page_greets_and_spells_a_name() {
    let server = Binary::start_program(env!("CARGO_BIN_EXE_my-product").as_ref(), &[]).await;
    in_browser(async move |page| {
        page.open(&server.url()).await;
        page.until_text("greeting", "").await;
        page.fill("name", "Ada").await;
        page.click("greet").await;
        page.until_text("greeting", "Hello Ada!").await;
        page.until("document.querySelector('main:has(button:enabled) li:nth-child(3)')").await;
        page.fill("name", " ").await;
        page.click("greet").await;
        page.until_text("problem", "a name is needed").await;
    })
    .await;
}
