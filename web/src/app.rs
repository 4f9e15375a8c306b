//! The page as a whole: where it mounts, and the three panels it is made of.

use leptos::prelude::*;

use crate::browser::transport::{Api, same_origin};
use crate::components::greeting::Greeting;
use crate::components::listing::Listing;
use crate::components::streaming::Streaming;

/// Puts the page in the place of the static shell that index.html shows until now.
pub(crate) fn mount() {
    let Some(root) = document().get_element_by_id("app") else {
        leptos::logging::error!("index.html has no #app to mount into");
        return;
    };
    let api = same_origin();
    root.replace_children_with_node_0();
    let _ = root.remove_attribute("aria-busy");
    mount_to(wasm_bindgen::JsCast::unchecked_into(root), move || view! { <App api /> }).forget();
}

#[component]
fn App(api: Api) -> impl IntoView {
    view! {
        <Greeting api=api.clone() />
        <Listing api=api.clone() />
        <Streaming api />
    }
}
