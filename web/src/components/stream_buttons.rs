//! What a person can do to a stream.

use leptos::prelude::*;

use super::phase::Phase;
use crate::browser::clock::now_ms;
use crate::stream_run::StreamRun;

/// Waits shorter than this are over before anyone could press a button to end them.
const LONG_WAIT_MS: f64 = 900.0;

/// What the button in the middle does now.
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

/// Start, which submits the form around it; pause and resume, or resume now where the stream waits for
/// a better moment; stop.
#[component]
pub(crate) fn StreamButtons(run: StreamRun, phase: Memo<Phase>) -> impl IntoView {
    let idle = move || !phase.with(Phase::is_running);
    let middle = Memo::new(move |_| phase.with(Middle::of));
    let press = move |_| match middle.get_untracked() {
        Middle::Pause => run.pause(),
        Middle::Resume => run.go_on(),
        Middle::TryNow => run.try_now(),
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
                disabled=idle
                on:click=press
            >
                {move || middle.get().label()}
            </button>
            <button
                type="button"
                class="button"
                data-testid="stream-stop"
                disabled=idle
                on:click=move |_| run.stop()
            >
                "Stop"
            </button>
        </div>
    }
}
