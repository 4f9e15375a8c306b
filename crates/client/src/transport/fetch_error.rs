//! The errors that `fetch` gives, and the stream of a body that it read.

use js_sys::Reflect;
use wasm_bindgen::{JsCast as _, JsValue};

/// Whether a request was aborted by the page, rather than failed.
pub(super) fn is_abort(error: &JsValue) -> bool {
    let name = Reflect::get(error, &"name".into()).unwrap_or_default();
    name == "AbortError"
}

/// The browser's words for an error, such as `TypeError: Failed to fetch`.
pub(super) fn words(error: &JsValue) -> String {
    String::from(error.unchecked_ref::<js_sys::Object>().to_string())
}
