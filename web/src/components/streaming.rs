//! The stream: one server-streaming call, `getStream`, whose items are shown as they come.

use leptos::ev::SubmitEvent;
use leptos::prelude::*;
use runnel_web::input::parse_length;
use runnel_web::words;

use super::length_field::LengthField;
use super::meter::Meter;
use super::panel::Panel;
use super::problem::Problem;
use super::stream_buttons::StreamButtons;
use super::stream_status::StreamStatus;
use super::virtual_list::VirtualList;
use crate::browser::transport::Api;
use crate::phase::Phase;
use crate::stream_run::{MAX_ROWS, StreamRun};
use runnel_client::BrowserNetwork;

/// Items asked for on load.
const DEFAULT_LENGTH: &str = "5";

/// Streams as many items as the form asks for; on load, [`DEFAULT_LENGTH`].
#[component]
pub(crate) fn Streaming(api: Api, network: BrowserNetwork) -> impl IntoView {
    let text = RwSignal::new(DEFAULT_LENGTH.to_owned());
    let wrong = RwSignal::new(None::<String>);
    let follow = RwSignal::new(false);
    let run = StreamRun::new(api, network);
    let phase = run.phase();

    let start = move || match parse_length(&text.get_untracked()) {
        Ok(length) => {
            wrong.set(None);
            run.start(length);
        }
        Err(error) => wrong.set(Some(error.to_string())),
    };
    start();

    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        start();
    };
    let retry = move || {
        if !run.try_again() {
            start();
        }
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
        Phase::Finished => "No items, as you asked for none",
        phase if phase.is_running() => "Waiting for the first item",
        _ => "No items",
    });
    view! {
        <Panel id="stream" title="Stream" method="api.Api/getStream" phase>
            <form class="form" on:submit=submit>
                <LengthField id="stream-length" text error=wrong hint />
                <StreamButtons run phase />
            </form>
            <div class="stream-line">
                <StreamStatus run phase />
                <label class="follow">
                    <input type="checkbox" data-testid="stream-follow" bind:checked=follow />
                    "Follow the newest"
                </label>
            </div>
            <Meter feed=run.feed wanted=run.wanted />
            <div class="results">
                {move || {
                    phase
                        .with(Phase::error)
                        .map(|error| {
                            view! {
                                <Problem
                                    error
                                    testid="stream-error"
                                    less="Ask for fewer items, then try again."
                                    retry
                                />
                            }
                        })
                }}
                <VirtualList
                    feed=run.feed
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
