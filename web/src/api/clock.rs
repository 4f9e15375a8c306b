//! Time and chance: `setTimeout`, `performance.now()` and `Math.random()` in a browser, tokio's clock
//! and `fastrand` natively, so that tests may stop the clock.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};

#[cfg(not(target_arch = "wasm32"))]
mod native {
    pub(in crate::api) use fastrand::f64 as chance;
    pub(in crate::api) use tokio::time::{Instant, sleep};
}
#[cfg(not(target_arch = "wasm32"))]
pub(super) use native::*;

#[cfg(target_arch = "wasm32")]
mod browser {
    use std::time::Duration;

    pub(in crate::api) use js_sys::Math::random as chance;
    pub(in crate::api) use web_time::Instant;

    /// `setTimeout` takes 31 bits of milliseconds, and takes more for none.
    const MAX: Duration = Duration::from_millis(i32::MAX as u64);

    pub(in crate::api) async fn sleep(duration: Duration) {
        gloo_timers::future::sleep(duration.min(MAX)).await;
    }
}
#[cfg(target_arch = "wasm32")]
pub(super) use browser::*;

/// What `future` gives, unless it takes longer than `limit`; then it is dropped.
pub(super) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    match select(pin!(future), pin!(sleep(limit))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}
