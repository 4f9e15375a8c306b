//! The field that asks how many items.

use leptos::prelude::*;

/// A labelled field for a number of items, with an error or a hint below it.
#[component]
pub(crate) fn LengthField(
    /// Names the field in the DOM, for its label and for tests.
    id: &'static str,
    text: RwSignal<String>,
    /// The error of the last attempt to send, if there was one.
    #[prop(into)]
    error: Signal<Option<String>>,
    /// A hint, shown if there is no error.
    #[prop(into, optional)]
    hint: MaybeProp<String>,
) -> impl IntoView {
    let note_id = format!("{id}-note");
    view! {
        <div class="field">
            <label for=id>"How many items"</label>
            <input
                id=id
                class="input number"
                type="text"
                inputmode="numeric"
                autocomplete="off"
                spellcheck="false"
                data-testid=id
                bind:value=text
                aria-describedby=note_id.clone()
                aria-invalid=move || error.with(Option::is_some).to_string()
            />
        </div>
        <p
            id=note_id
            class="field-note"
            role="status"
            class:wrong=move || error.with(Option::is_some)
            prop:textContent=move || error.get().or_else(|| hint.get()).unwrap_or_default()
        ></p>
    }
}
