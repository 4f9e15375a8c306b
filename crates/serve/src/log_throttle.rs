//! For what may happen often and is logged seldom: a log that one fault fills hides all others.

use std::time::Duration;

use tokio::time::Instant;

/// How long nothing more is logged after something was.
const PAUSE: Duration = Duration::from_secs(10);

/// Lets one of many events into the log, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct LogThrottle {
    logged: Option<Instant>,
    unlogged: u64,
}

impl LogThrottle {
    /// The event happens again. Some if it is to be logged, with the number of those that were not since the
    /// last one that was.
    pub(crate) fn happened(&mut self, now: Instant) -> Option<u64> {
        if self.logged.is_some_and(|logged| now.duration_since(logged) < PAUSE) {
            self.unlogged += 1;
            return None;
        }
        self.logged = Some(now);
        Some(std::mem::take(&mut self.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_is_logged_and_then_one_of_many_with_their_number() {
        let (mut throttle, start) = (LogThrottle::default(), Instant::now());
        let mut logged = Vec::new();
        for tenth in 0..=200 {
            logged.extend(throttle.happened(start + Duration::from_millis(100) * tenth));
        }
        assert_eq!(logged, [0, 99, 99]);
    }
}
