//! The page as a document: how it was loaded, and how to load it again.

use js_sys::Reflect;
use leptos::prelude::window;

/// Loads the page again.
pub(crate) fn reload() {
    // It fails only where there is no page to load.
    let _ = window().location().reload();
}

/// Whether the page came over HTTP/1.1, of which a browser opens six connections to a server.
pub(crate) fn is_over_http1() -> bool {
    let spoken = window().performance().and_then(|performance| {
        let navigation = performance.get_entries_by_type("navigation").get(0);
        Reflect::get(&navigation, &"nextHopProtocol".into()).ok()?.as_string()
    });
    spoken.is_some_and(|protocol| protocol.starts_with("http/1"))
}
