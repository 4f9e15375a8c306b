//! The list: one unary call, `getAll`, whose items come in one message.

use leptos::ev::SubmitEvent;
use leptos::prelude::*;
use runnel_client::CallError;
use runnel_web::api::Item;
use runnel_web::input::parse_length;
use runnel_web::words;

use super::length_field::LengthField;
use super::panel::Panel;
use super::problem::Problem;
use super::virtual_list::VirtualList;
use crate::browser::task::Task;
use crate::browser::transport::Api;
use crate::feed::{Feed, Sink};
use crate::phase::Phase;

/// Items asked for on load.
const DEFAULT_LENGTH: &str = "10";

/// Lists as many items as the form asks for; on load, [`DEFAULT_LENGTH`].
#[component]
pub(crate) fn Listing(api: Api) -> impl IntoView {
    let api = StoredValue::new_local(api);
    let text = RwSignal::new(DEFAULT_LENGTH.to_owned());
    let wrong = RwSignal::new(None::<String>);
    let phase = RwSignal::new(Phase::Idle);
    let feed = Feed::new();
    let task = Task::new();

    let list = move || {
        let length = match parse_length(&text.get_untracked()) {
            Ok(length) => length,
            Err(error) => return wrong.set(Some(error.to_string())),
        };
        wrong.set(None);
        let api = api.get_value();
        let sink = feed.begin();
        phase.set(Phase::Loading);
        task.start(async move {
            let answer = api.get_all(length).await.and_then(|items| fill(&sink, &items));
            feed.end();
            phase.set(answer.map_or_else(Phase::Failed, |()| Phase::Ready));
        });
    };
    list();

    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        list();
    };
    let status = move || match phase.get() {
        Phase::Loading => "Calling".to_owned(),
        Phase::Ready => {
            let progress = feed.progress.get();
            format!("{} in {}", words::items(progress.count), words::duration(progress.elapsed_ms))
        }
        phase => phase.word().to_owned(),
    };
    let nothing = Signal::derive(move || match phase.get() {
        Phase::Loading => "Waiting for the items",
        Phase::Ready => "No items, as you asked for none",
        _ => "No items",
    });
    view! {
        <Panel id="list" title="List" method="api.Api/getAll" phase>
            <form class="form" on:submit=submit>
                <LengthField id="all-length" text error=wrong />
                <button type="submit" class="button primary" data-testid="all-submit">
                    "List"
                </button>
            </form>
            <p class="status" role="status" data-testid="all-status">
                <span prop:textContent=status></span>
            </p>
            <div class="results">
                {move || {
                    phase
                        .with(Phase::error)
                        .map(|error| {
                            view! {
                                <Problem
                                    error
                                    testid="all-error"
                                    less="Ask for fewer items, or use the stream."
                                    retry=list
                                />
                            }
                        })
                }}
                <VirtualList feed label="Items of the list" testid="all-list" nothing phase />
            </div>
        </Panel>
    }
}

fn fill(sink: &Sink, items: &[Item]) -> Result<(), CallError> {
    for item in items {
        sink.push(item.id, &item.name)?;
    }
    Ok(())
}
