//! Time that only goes forward, and the budget of work between two breaths.

use leptos::prelude::window;

/// Milliseconds since the page began to load. Never goes back.
pub(crate) fn now_ms() -> f64 {
    window().performance().map_or(0.0, |performance| performance.now())
}

/// Says when a loop has worked long enough to owe the browser a turn.
#[derive(Debug)]
pub(crate) struct Budget {
    since_ms: f64,
    steps: u32,
}

impl Budget {
    /// Half a frame of work: clicks are answered and frames drawn in the other half.
    const MAX_MS: f64 = 8.0;
    /// Steps between two looks at the clock, which costs as much as a step does.
    const STEPS_PER_LOOK: u32 = 128;

    /// A budget that starts now.
    pub(crate) fn new() -> Self {
        Self { since_ms: now_ms(), steps: 0 }
    }

    /// Counts one step of work; whether the budget is spent. Then the next one begins.
    pub(crate) fn spend(&mut self) -> bool {
        self.steps += 1;
        if self.steps < Self::STEPS_PER_LOOK {
            return false;
        }
        self.steps = 0;
        now_ms() - self.since_ms > Self::MAX_MS
    }

    /// Begins anew, after the browser has had its turn.
    pub(crate) fn renew(&mut self) {
        *self = Self::new();
    }
}
