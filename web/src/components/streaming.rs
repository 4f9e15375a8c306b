//! The stream: one server-streaming call, `getStream`, whose items are shown as they come.

use leptos::ev::SubmitEvent;
use leptos::prelude::*;
use runnel_web::api::ApiError;
use runnel_web::input::parse_length;
use runnel_web::words;

use super::length_field::LengthField;
use super::meter::Meter;
use super::panel::Panel;
use super::phase::Phase;
use super::problem::Problem;
use super::virtual_list::VirtualList;
use crate::browser::clock::Budget;
use crate::browser::task::Task;
use crate::browser::transport::Api;
use crate::browser::turns::Turns;
use crate::feed::{Feed, Sink};

/// Items asked for on load.
const DEFAULT_LENGTH: &str = "5";

/// Rows the page keeps, which take some 180 MB. A longer stream is stopped there.
const MAX_ROWS: usize = 10_000_000;

/// Streams as many items as the form asks for; on load, [`DEFAULT_LENGTH`].
#[component]
pub(crate) fn Streaming(api: Api) -> impl IntoView {
    let api = StoredValue::new_local(api);
    let text = RwSignal::new(DEFAULT_LENGTH.to_owned());
    let wrong = RwSignal::new(None::<String>);
    let wanted = RwSignal::new(0);
    let phase = RwSignal::new(Phase::Idle);
    let follow = RwSignal::new(false);
    let feed = Feed::new();
    let task = Task::new();

    let start = move || {
        let length = match parse_length(&text.get_untracked()) {
            Ok(length) => length,
            Err(error) => return wrong.set(Some(error.to_string())),
        };
        wrong.set(None);
        wanted.set(length);
        let api = api.get_value();
        let sink = feed.begin();
        phase.set(Phase::Loading);
        task.start(async move {
            let end = receive(&api, length, &sink, phase).await;
            feed.end();
            phase.set(end.unwrap_or_else(Phase::Failed));
        });
    };
    let stop = move || {
        task.cancel();
        feed.end();
        phase.set(Phase::Stopped);
    };
    start();

    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        start();
    };
    let hint = Signal::derive(move || {
        let length = usize::try_from(parse_length(&text.get()).unwrap_or(0)).unwrap_or(0);
        (length > MAX_ROWS).then(|| {
            format!(
                "This page keeps {} rows at most. It will stop the stream there.",
                words::count(MAX_ROWS)
            )
        })
    });
    let nothing = Signal::derive(move || match phase.get() {
        Phase::Loading | Phase::Streaming => "Waiting for the first item",
        Phase::Finished => "No items, as you asked for none",
        _ => "No items",
    });
    view! {
        <Panel id="stream" title="Stream" method="api.Api/getStream" phase>
            <form class="form" on:submit=submit>
                <LengthField id="stream-length" text error=wrong hint />
                <div class="buttons">
                    <button type="submit" class="button primary" data-testid="stream-start">
                        "Start"
                    </button>
                    <button
                        type="button"
                        class="button"
                        data-testid="stream-stop"
                        disabled=move || !phase.with(Phase::is_running)
                        on:click=move |_| stop()
                    >
                        "Stop"
                    </button>
                </div>
            </form>
            <div class="stream-line">
                <p class="status" role="status" data-testid="stream-status">
                    {move || phase.with(Phase::word)}
                </p>
                <label class="follow">
                    <input type="checkbox" data-testid="stream-follow" bind:checked=follow />
                    "Follow the newest"
                </label>
            </div>
            <Meter feed wanted />
            <div class="results">
                {move || {
                    phase
                        .with(Phase::error)
                        .map(|error| view! { <Problem error testid="stream-error" retry=start /> })
                }}
                <VirtualList
                    feed
                    label="Items of the stream"
                    testid="stream-list"
                    nothing
                    phase
                    follow
                />
            </div>
        </Panel>
    }
}

/// Receives the stream into `sink`; the phase it ends in. Dropped, it cancels the call.
async fn receive(
    api: &Api,
    length: i32,
    sink: &Sink,
    phase: RwSignal<Phase>,
) -> Result<Phase, ApiError> {
    let turns = Turns::new().ok();
    let mut items = api.get_stream(length).await?;
    phase.set(Phase::Streaming);

    let mut budget = Budget::new();
    while let Some(item) = items.next().await {
        let item = item?;
        sink.push(item.id, &item.name)?;
        if sink.len() >= MAX_ROWS && usize::try_from(length).is_ok_and(|n| n > MAX_ROWS) {
            return Ok(Phase::Full);
        }
        if budget.spend() {
            if let Some(turns) = &turns {
                turns.next().await;
            }
            budget.renew();
        }
    }
    Ok(Phase::Finished)
}
