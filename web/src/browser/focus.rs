//! Moves the keyboard focus when the element that has it is removed.

use wasm_bindgen::JsCast as _;
use web_sys::{FocusOptions, HtmlElement};

/// Moves the focus from `leaving`, which is about to be removed, to the submit button of its panel.
/// Otherwise the focus would go to the top of the page.
pub(crate) fn keep_focus_in_panel(leaving: &HtmlElement) {
    let submit = leaving
        .closest(".panel")
        .ok()
        .flatten()
        .and_then(|panel| panel.query_selector("button[type=submit]").ok().flatten())
        .and_then(|button| button.dyn_into::<HtmlElement>().ok());
    if let Some(submit) = submit {
        let options = FocusOptions::new();
        // Who pressed it with a mouse looks at the answer, not at the form.
        options.set_prevent_scroll(true);
        // It fails for what is no longer in the page, which then has no focus to lose.
        let _ = submit.focus_with_options(&options);
    }
}
