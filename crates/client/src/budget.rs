//! [`RetryBudget`]: retries must not become the load that keeps a server down.

use std::sync::atomic::{AtomicU32, Ordering};

/// One token, in thousandths.
const TOKEN: u32 = 1000;

/// The retry throttling of gRPC
/// (<https://github.com/grpc/proposal/blob/master/A6-client-retries.md#throttling-retry-attempts-and-hedged-rpcs>):
/// each failure takes a token, each success gives a part of a token back, and while at most half of the
/// tokens are left no call is retried. All calls of a client share one budget.
#[derive(Debug)]
pub struct RetryBudget {
    /// In thousandths of a token.
    tokens: AtomicU32,
    max: u32,
    per_success: u32,
}

impl RetryBudget {
    /// A full budget of `max` tokens, of which a success gives back `per_success` thousandths.
    #[must_use]
    pub const fn new(max: u32, per_success: u32) -> Self {
        let max = max.saturating_mul(TOKEN);
        Self { tokens: AtomicU32::new(max), max, per_success }
    }

    /// Counts a call that succeeded.
    pub fn succeeded(&self) {
        self.change(|tokens| tokens.saturating_add(self.per_success).min(self.max));
    }

    /// Counts a call that failed and could be retried. Returns whether it may be.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.change(|tokens| tokens.saturating_sub(TOKEN)) > self.max / 2
    }

    fn change(&self, change: impl Fn(u32) -> u32) -> u32 {
        let mut changed = 0;
        let update = |tokens| {
            changed = change(tokens);
            Some(changed)
        };
        // It never refuses, so there is nothing to look at.
        let _ = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_end_the_retries_and_successes_bring_them_back() {
        let budget = RetryBudget::new(10, 100);
        let retried = (0..20).filter(|_| budget.failed()).count();
        assert_eq!(retried, 4, "with half of the tokens gone it is over");
        for _ in 0..60 {
            assert!(!budget.failed() || budget.tokens.load(Ordering::Relaxed) > 5 * TOKEN);
            for _ in 0..10 {
                budget.succeeded();
            }
        }
        // Nothing was left, so a failure each ten successes keeps it empty; calm fills it.
        assert!(!budget.failed());
        for _ in 0..70 {
            budget.succeeded();
        }
        assert!(budget.failed());
    }

    #[test]
    fn it_holds_no_more_than_it_began_with() {
        let budget = RetryBudget::new(10, 100);
        for _ in 0..1000 {
            budget.succeeded();
        }
        assert_eq!((0..20).filter(|_| budget.failed()).count(), 4);
    }
}
