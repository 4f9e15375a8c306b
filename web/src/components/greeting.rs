//! The greeting: one unary call, `sayHello`.

use leptos::ev::SubmitEvent;
use leptos::prelude::*;

use super::panel::Panel;
use super::problem::Problem;
use crate::browser::task::Task;
use crate::browser::transport::Api;
use crate::phase::Phase;

/// The name that is greeted when the page loads.
const DEFAULT_NAME: &str = "Gonzalo";

/// Greets the name in the form; when the page loads, [`DEFAULT_NAME`].
#[component]
pub(crate) fn Greeting(api: Api) -> impl IntoView {
    let api = StoredValue::new_local(api);
    let name = RwSignal::new(DEFAULT_NAME.to_owned());
    let greeting = RwSignal::new(String::new());
    let phase = RwSignal::new(Phase::Idle);
    let task = Task::new();

    let greet = move || {
        let api = api.get_value();
        let name = name.get_untracked();
        phase.set(Phase::Loading);
        task.start(async move {
            match api.say_hello(&name).await {
                Ok(message) => {
                    greeting.set(message);
                    phase.set(Phase::Ready);
                }
                Err(error) => phase.set(Phase::Failed(error)),
            }
        });
    };
    greet();

    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        greet();
    };
    view! {
        <Panel id="greeting" title="Greeting" method="api.Api/sayHello" phase>
            <form class="form" on:submit=submit>
                <div class="field">
                    <label for="name-input">"Name"</label>
                    <input
                        id="name-input"
                        class="input"
                        type="text"
                        autocomplete="off"
                        spellcheck="false"
                        data-testid="name-input"
                        bind:value=name
                    />
                </div>
                <button type="submit" class="button primary" data-testid="hello-submit">
                    "Greet"
                </button>
            </form>
            <div class="greeting-answer">
                {move || match phase.with(Phase::error) {
                    Some(error) => {
                        view! {
                            <Problem
                                error
                                testid="hello-error"
                                less="Shorten the name, then try again."
                                retry=greet
                            />
                        }
                            .into_any()
                    }
                    None => {
                        view! {
                            <p
                                class="greeting notranslate"
                                translate="no"
                                role="status"
                                data-testid="greeting"
                                prop:textContent=greeting
                            ></p>
                        }
                            .into_any()
                    }
                }}
            </div>
        </Panel>
    }
}
