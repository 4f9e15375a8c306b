//! The line with the state of the stream's connection.

use leptos::prelude::*;
use runnel_web::words;

use crate::browser::clock::now_ms;
use crate::phase::Phase;
use crate::stream_run::StreamRun;

/// A word, how long until the next try, and how often the stream had to be resumed.
#[component]
pub(crate) fn StreamStatus(run: StreamRun, phase: Memo<Phase>) -> impl IntoView {
    let word = move || phase.with(Phase::word);
    let wait = Memo::new(move |_| {
        // The feed's clock ticks while a run is under way.
        run.feed.progress.track();
        phase.with(|phase| match phase {
            Phase::Resuming { at_ms } => words::wait(at_ms - now_ms()),
            _ => None,
        })
    });
    let resumed = move || {
        words::resumed(run.resumed.get()).map_or_else(String::new, |times| format!(", {times}"))
    };
    view! {
        <p class="status" data-testid="stream-status">
            <span role="status">
                <span prop:textContent=word></span>
                <span class="aside" prop:textContent=resumed></span>
            </span>
            // Each second of it would be read aloud.
            <span
                class="aside"
                aria-hidden="true"
                prop:textContent=move || wait.get().unwrap_or_default()
            ></span>
        </p>
    }
}
