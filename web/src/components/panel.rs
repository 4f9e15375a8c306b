//! The frame around each of the three calls: its title, its method, its phase.

use crate::phase::Phase;
use leptos::prelude::*;

/// A titled section whose `data-state` tells the phase of its call.
#[component]
pub(crate) fn Panel(
    /// Names the panel in the DOM: `greeting`, `list` or `stream`.
    id: &'static str,
    title: &'static str,
    /// The method's path on the wire.
    method: &'static str,
    #[prop(into)] phase: Signal<Phase>,
    children: Children,
) -> impl IntoView {
    let heading = format!("{id}-title");
    view! {
        <section
            class=format!("panel panel-{id}")
            aria-labelledby=heading
            data-state=move || phase.with(Phase::name)
        >
            <header class="panel-head">
                <h2 id=heading.clone()>{title}</h2>
                <code class="method notranslate" translate="no">
                    {method}
                </code>
            </header>
            {children()}
        </section>
    }
}
