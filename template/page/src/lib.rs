//! The page of MyProduct.
#![cfg(target_arch = "wasm32")]

use leptos::{ev::SubmitEvent, prelude::*};
use my_product_proto::{Name, my_product_client::MyProductClient};
use runnel_client::{CallError, Calls, Retry, same_origin};

#[wasm_bindgen::prelude::wasm_bindgen(start)]
fn main() {
    mount_to_body(App);
}

#[component]
fn App() -> impl IntoView {
    let (name, greeting) = (RwSignal::new("World".to_owned()), RwSignal::new(String::new()));
    let letters = RwSignal::new(Vec::new());
    let greet = Action::new_local(move |_: &()| call(name.get_untracked(), greeting, letters));
    let problem = move || greet.value().get()?.err().map(|error| error.to_string());
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        greet.dispatch(());
    };
    let letter = |letter: String| view! { <li>{letter}</li> };
    view! {
        <main>
            <h1>"MyProduct"</h1>
            <form on:submit=submit>
                <input aria-label="Name" data-testid="name" bind:value=name />
                <button data-testid="greet" disabled=greet.pending()>"Greet"</button>
            </form>
            <p role="status" data-testid="greeting">{greeting}</p>
            <p role="alert" data-testid="problem">{problem}</p>
            <ol data-testid="letters">
                {move || letters.get().into_iter().map(letter).collect_view()}
            </ol>
        </main>
    }
}

/// Greets by a unary call, then shows the letters of a stream as they come.
async fn call(
    name: String,
    greeting: RwSignal<String>,
    letters: RwSignal<Vec<String>>,
) -> Result<(), CallError> {
    let (calls, client) = (Calls::new(), MyProductClient::new(same_origin()));
    let name = Name { name };
    let greet = async |request| client.clone().greet(request).await;
    greeting.set(calls.unary(Retry::Idempotent, name.clone(), greet).await?.into_inner().text);
    letters.set(Vec::new());
    let spell = async |request| client.clone().spell(request).await;
    let mut spelled = calls.stream(Retry::Idempotent, name, spell).await?;
    while let Some(message) = spelled.next().await {
        let letter = message?.letter;
        letters.update(|letters| letters.push(letter));
    }
    Ok(())
}
