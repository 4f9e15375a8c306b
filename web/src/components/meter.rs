//! The figures of a stream while it runs and after.

use leptos::prelude::*;
use runnel_web::words;

use crate::feed::Feed;

/// Shown where there is no figure.
const NONE: &str = "–";

/// How many items came, how fast, for how long, and how soon the first.
#[component]
pub(crate) fn Meter(
    feed: Feed,
    /// Items asked for.
    wanted: RwSignal<i32>,
) -> impl IntoView {
    let progress = feed.progress;
    let count = Memo::new(move |_| progress.get().count);
    let rate = move || {
        let progress = progress.get();
        words::rate(progress.count, progress.elapsed_ms).unwrap_or_else(|| NONE.to_owned())
    };
    let elapsed = move || words::duration(progress.get().elapsed_ms);
    let first = move || progress.get().first_ms.map_or_else(|| NONE.to_owned(), words::duration);
    view! {
        <progress
            class="progress"
            aria-label="Items received"
            max=move || wanted.get().max(1)
            prop:value=move || f64::from(u32::try_from(count.get()).unwrap_or(u32::MAX))
        ></progress>
        <dl class="meter">
            <div class="figure">
                <dt>"Items"</dt>
                <dd
                    data-testid="stream-count"
                    data-count=count
                    prop:textContent=move || words::count(count.get())
                ></dd>
            </div>
            <div class="figure">
                <dt>"Items per second"</dt>
                <dd prop:textContent=rate></dd>
            </div>
            <div class="figure">
                <dt>"Elapsed"</dt>
                <dd prop:textContent=elapsed></dd>
            </div>
            <div class="figure">
                <dt>"First item after"</dt>
                <dd prop:textContent=first></dd>
            </div>
        </dl>
    }
}
