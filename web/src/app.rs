//! The page as a whole: where it mounts, and the three panels it is made of.

use leptos::prelude::*;

use crate::browser::transport::same_origin;
use crate::components::greeting::Greeting;
use crate::components::listing::Listing;
use crate::components::streaming::Streaming;
use runnel_client::BrowserNetwork;

/// Puts the page in the place of the static shell that index.html shows until now.
pub(crate) fn mount() {
    let Some(root) = document().get_element_by_id("app") else {
        leptos::logging::error!("index.html has no #app to mount into");
        return;
    };
    root.replace_children_with_node_0();
    let _ = root.remove_attribute("aria-busy");
    mount_to(wasm_bindgen::JsCast::unchecked_into(root), || view! { <App /> }).forget();
}

#[component]
fn App() -> impl IntoView {
    let network = BrowserNetwork::follow();
    let api = same_origin(&network);
    view! {
        <Greeting api=api.clone() />
        <Listing api=api.clone() />
        <Streaming api network />
    }
}
