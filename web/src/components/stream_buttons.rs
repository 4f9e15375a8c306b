//! What a person can do to a stream.

use leptos::prelude::*;

use crate::browser::clock::now_ms;
use crate::phase::Phase;
use crate::stream_run::StreamRun;

/// Waits shorter than this are over before a person could press a button to end them.
const LONG_WAIT_MS: f64 = 900.0;

/// The action of the middle button.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Middle {
    Pause,
    Resume,
    TryNow,
}

impl Middle {
    fn of(phase: &Phase) -> Self {
        match phase {
            Phase::Paused => Self::Resume,
            Phase::Offline => Self::TryNow,
            Phase::Resuming { at_ms } if at_ms - now_ms() > LONG_WAIT_MS => Self::TryNow,
            _ => Self::Pause,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Pause => "Pause",
            Self::Resume => "Resume",
            Self::TryNow => "Try now",
        }
    }

    fn testid(self) -> &'static str {
        match self {
            Self::Pause => "stream-pause",
            Self::Resume => "stream-resume",
            Self::TryNow => "stream-now",
        }
    }
}

/// The buttons: Start, which submits the form around it; Pause and Resume, or Resume now while the stream
/// waits to try again; Stop.
#[component]
pub(crate) fn StreamButtons(run: StreamRun, phase: Memo<Phase>) -> impl IntoView {
    // Said by `aria-disabled`: a button that is `disabled` while it has the focus drops it, and the next
    // press of Tab begins at the top of the page.
    let idle = move || !phase.with(Phase::is_running);
    let is_idle = move || !phase.with_untracked(Phase::is_running);
    let middle = Memo::new(move |_| phase.with(Middle::of));
    let press = move |_| match middle.get_untracked() {
        _ if is_idle() => {}
        Middle::Pause => run.pause(),
        Middle::Resume => run.go_on(),
        Middle::TryNow => run.try_now(),
    };
    let stop = move |_| {
        if !is_idle() {
            run.stop();
        }
    };
    view! {
        <div class="buttons">
            <button type="submit" class="button primary" data-testid="stream-start">
                "Start"
            </button>
            <button
                type="button"
                class="button"
                data-testid=move || middle.get().testid()
                aria-disabled=move || idle().to_string()
                on:click=press
                prop:textContent=move || middle.get().label()
            ></button>
            <button
                type="button"
                class="button"
                data-testid="stream-stop"
                aria-disabled=move || idle().to_string()
                on:click=stop
            >
                "Stop"
            </button>
        </div>
    }
}
