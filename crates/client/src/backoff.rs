//! [`Backoff`]: how long to wait before trying again.

use std::time::Duration;

/// Exponential backoff with full jitter: the wait is drawn evenly from nothing up to a bound that doubles
/// with every failure. Compared with the other usual kinds it best spreads the callers of a server that
/// comes back, and needs the fewest calls in all
/// (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>; gRPC's A6 draws its waits
/// the same way).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait before the first retry.
    pub base: Duration,
    /// The longest wait before any retry.
    pub max: Duration,
}

impl Backoff {
    /// The wait after a failure that had this many `failures` in a row before it. `chance` is drawn evenly
    /// from 0 to 1.
    #[must_use]
    pub fn delay(&self, failures: u32, chance: f64) -> Duration {
        let doubled = 2_u32.checked_pow(failures).and_then(|times| self.base.checked_mul(times));
        let longest = doubled.map_or(self.max, |doubled| doubled.min(self.max));
        longest.mul_f64(chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff =
        Backoff { base: Duration::from_millis(100), max: Duration::from_secs(10) };

    #[test]
    fn the_longest_wait_doubles_up_to_the_bound() {
        let longest = |failures| BACKOFF.delay(failures, 1.0).as_millis();
        assert_eq!(
            [0, 1, 2, 6, 7, 31, 32, u32::MAX].map(longest),
            [100, 200, 400, 6_400, 10_000, 10_000, 10_000, 10_000]
        );
    }

    #[test]
    fn every_wait_from_nothing_on_is_as_likely() {
        for (chance, ms) in [(0.0, 0), (0.25, 100), (0.5, 200), (1.0, 400)] {
            assert_eq!(BACKOFF.delay(2, chance), Duration::from_millis(ms));
        }
    }
}
