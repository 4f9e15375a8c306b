//! How long a connection may be idle, and what a client over HTTP/1.1 is told of it.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use http::HeaderValue;
use tokio::time::sleep;

use crate::calls::Calls;

/// How much sooner than the server closes a connection its client is told to expect that: a response may
/// take as long to reach the client, and the next request to come here.
const MARGIN: Duration = Duration::from_secs(5);

/// Resolves when there was no call for `timeout`, or up to twice as long: a clock looked at for each call
/// would cost more than it is worth.
pub(crate) async fn idle(calls: &Calls, timeout: Duration) {
    let mut before = calls.so_far();
    loop {
        sleep(timeout).await;
        let now = calls.so_far();
        if now == before && now.open == 0 {
            return;
        }
        before = now;
    }
}

/// What `keep-alive` says over HTTP/1.1 of a connection that may be idle for `timeout` at least; None if that
/// is too short to be worth mentioning.
pub(crate) fn keep_alive(timeout: Duration) -> Option<HeaderValue> {
    let seconds = timeout.saturating_sub(MARGIN).as_secs();
    (seconds > 0).then(|| HeaderValue::try_from(format!("timeout={seconds}")).ok()).flatten()
}

/// Up to a tenth more, so that connections made together do not end together.
pub(crate) fn with_jitter(age: Duration) -> Duration {
    // Every state hashes differently: all the randomness that this needs.
    let random = RandomState::new().hash_one(()) % 1000;
    let thousandth_of_a_tenth = age / 10_000;
    // Below a thousand, by the line above.
    age.saturating_add(thousandth_of_a_tenth * u32::try_from(random).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn jitter_is_a_tenth_at_most_and_differs() {
        let ages: Vec<_> = (0..100).map(|_| with_jitter(HOUR)).collect();
        assert!(ages.iter().all(|age| (HOUR..HOUR + HOUR / 10).contains(age)), "{ages:?}");
        assert!(ages.iter().any(|age| *age != ages[0]));
        assert_eq!(with_jitter(Duration::MAX), Duration::MAX);
    }

    #[test]
    fn a_client_is_told_of_somewhat_less_idle_time_than_there_is() {
        assert_eq!(keep_alive(Duration::from_mins(5)).unwrap(), "timeout=295");
        assert_eq!(keep_alive(Duration::from_millis(6900)).unwrap(), "timeout=1");
        for short in [Duration::ZERO, Duration::from_secs(1), MARGIN] {
            assert_eq!(keep_alive(short), None, "{short:?}");
        }
    }
}
