//! Time and random numbers: `setTimeout`, `performance.now()` and `Math.random()` in a browser, tokio's
//! clock and `fastrand` natively, so that tests may stop the clock.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};

#[cfg(not(target_arch = "wasm32"))]
mod native {
    pub(crate) use fastrand::f64 as chance;
    pub(crate) use tokio::time::{Instant, sleep};
}
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::*;

#[cfg(target_arch = "wasm32")]
mod browser {
    use std::cell::RefCell;
    use std::time::Duration;

    use gloo_timers::future::TimeoutFuture;
    pub(crate) use js_sys::Math::random as chance;
    use js_sys::Reflect;

    use wasm_bindgen::JsCast as _;
    use web_sys::Performance;

    use crate::awake::Awake;
    use crate::browser_network::is_hidden;

    thread_local! {
        static AWAKE: RefCell<Awake> = const { RefCell::new(Awake::new()) };
    }

    /// A moment in the time that the machine was awake: no deadline must pass, and no stream be given up,
    /// while a laptop sleeps.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Instant {
        awake_ms: f64,
    }

    impl Instant {
        pub(crate) fn now() -> Self {
            let now_ms = now_ms();
            Self { awake_ms: AWAKE.with_borrow_mut(|awake| awake.look(now_ms)) }
        }

        pub(crate) fn elapsed(self) -> Duration {
            Self::now().saturating_duration_since(self)
        }

        pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
            Duration::from_secs_f64((self.awake_ms - earlier.awake_ms).max(0.0) / 1e3)
        }
    }

    /// Resolves when the machine has been awake for this long.
    pub(crate) async fn sleep(duration: Duration) {
        let began = Instant::now();
        loop {
            let left = duration.saturating_sub(began.elapsed());
            // Of less, `setTimeout` knows nothing.
            if left < Duration::from_millis(1) {
                return;
            }
            Look::after(left).await;
        }
    }

    /// A timer that [`Awake`] knows of for as long as it runs.
    struct Look {
        due_ms: f64,
    }

    impl Look {
        /// Waits for this long, in steps of a second where that helps to tell sleep from waiting. In a
        /// hidden page browsers delay timers, and longer the more of them follow each other, so there it is
        /// a single step. <https://developer.chrome.com/blog/timer-throttling-in-chrome-88>
        async fn after(left: Duration) {
            let second = Duration::from_secs(1);
            // A minute is also far less than the 31 bits of milliseconds that `setTimeout` takes.
            let wait = left.min(if is_hidden() { 60 * second } else { second });
            // At least 1 and at most 60,000.
            let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(1).max(1);
            let now_ms = now_ms();
            let look = Self { due_ms: now_ms + f64::from(wait_ms) };
            AWAKE.with_borrow_mut(|awake| awake.begin(now_ms, look.due_ms));
            TimeoutFuture::new(wait_ms).await;
        }
    }

    impl Drop for Look {
        fn drop(&mut self) {
            let now_ms = now_ms();
            AWAKE.with_borrow_mut(|awake| awake.end(now_ms, self.due_ms));
        }
    }

    fn now_ms() -> f64 {
        // Of a page or of a worker; each browser has it.
        let performance = Reflect::get(&js_sys::global(), &"performance".into()).ok();
        performance
            .and_then(|performance| performance.dyn_into::<Performance>().ok())
            .map_or(0.0, |performance| performance.now())
    }
}
#[cfg(target_arch = "wasm32")]
pub(crate) use browser::*;

/// The result of `future`, unless it takes longer than `limit`; then the future is dropped.
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    match select(pin!(future), pin!(sleep(limit))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}
