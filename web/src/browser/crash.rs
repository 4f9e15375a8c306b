//! A panic ends the app but leaves its last frame on screen, which looks alive. This says so.

use std::panic;

use leptos::prelude::document;

/// Reports panics to the console and shows index.html's `#crash` notice.
pub(crate) fn install() {
    panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        if let Some(notice) = document().get_element_by_id("crash") {
            let _ = notice.remove_attribute("hidden");
        }
    }));
}
