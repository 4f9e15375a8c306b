//! A clock that never goes back, and a budget of work until the browser gets a turn.

use leptos::prelude::window;

/// Milliseconds since the page began to load. Never goes back.
pub(crate) fn now_ms() -> f64 {
    window().performance().map_or(0.0, |performance| performance.now())
}

/// Tells when a loop has worked so long that it should yield to the browser.
#[derive(Debug)]
pub(crate) struct Budget {
    since_ms: f64,
    steps: u32,
}

impl Budget {
    /// Half a frame of work: the browser handles clicks and draws frames in the other half.
    const MAX_MS: f64 = 8.0;
    /// Steps between two readings of the clock, because reading it costs as much as a step.
    const STEPS_PER_LOOK: u32 = 128;

    /// A budget that starts now.
    pub(crate) fn new() -> Self {
        Self { since_ms: now_ms(), steps: 0 }
    }

    /// Counts one step of work. Returns whether the budget is spent; then a new budget begins.
    pub(crate) fn spend(&mut self) -> bool {
        self.steps += 1;
        if self.steps < Self::STEPS_PER_LOOK {
            return false;
        }
        self.steps = 0;
        now_ms() - self.since_ms > Self::MAX_MS
    }

    /// Starts a new budget, after the loop has yielded.
    pub(crate) fn renew(&mut self) {
        *self = Self::new();
    }
}
