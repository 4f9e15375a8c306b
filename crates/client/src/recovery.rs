//! [`Recovery`]: when a stream is resumed after a failure, and when it is given up. It has no side effects:
//! time and random numbers are parameters.

use std::time::Duration;

use tonic::Code;

use crate::clock::Instant;
use crate::{CallError, Policy, RetryBudget};

/// What is remembered from one failure to the next.
#[derive(Debug)]
pub(crate) struct Recovery {
    /// Since when no new message has come.
    since: Instant,
    /// How many messages there were at the last failure.
    seen: u64,
    /// Failures in a row without a new message.
    failures: u32,
}

impl Recovery {
    /// No failure yet.
    pub(crate) fn new(now: Instant) -> Self {
        Self { since: now, seen: 0, failures: 0 }
    }

    /// Forgets how long no message came, because the stream was not trying in that time, or because the
    /// caller asks for new attempts.
    pub(crate) fn start_over(&mut self, now: Instant) {
        self.since = now;
        self.failures = 0;
    }

    /// How long to wait before the stream is resumed after `error`, with this many messages `delivered`;
    /// `None` if it is given up.
    pub(crate) fn delay(
        &mut self,
        error: &CallError,
        delivered: u64,
        policy: &Policy,
        budget: &RetryBudget,
        now: Instant,
        chance: f64,
    ) -> Option<Duration> {
        let resumable =
            if delivered > 0 { error.is_resumable_with_messages() } else { error.is_resumable() };
        if !resumable {
            return None;
        }
        let came_further = delivered > self.seen;
        if came_further {
            self.seen = delivered;
            self.start_over(now);
            budget.succeeded();
        }
        let backoff = if came_further && is_drained(error) {
            Duration::ZERO
        } else {
            // An empty budget does not lose the stream, it slows its resuming to the longest waits.
            let within_budget = came_further || budget.failed();
            let failures = if within_budget { self.failures } else { u32::MAX };
            self.failures = self.failures.saturating_add(1);
            policy.backoff.delay(failures, chance)
        };
        let delay = error.retry_delay().unwrap_or_default() + backoff;
        let waited = now.saturating_duration_since(self.since);
        (waited + delay <= policy.patience).then_some(delay)
    }
}

/// A server that drains ends its calls with this status, so that clients call another server.
fn is_drained(error: &CallError) -> bool {
    matches!(error, CallError::Refused { code: Code::Unavailable, .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream whose answers fail; dice always show the longest wait.
    struct Stream {
        recovery: Recovery,
        policy: Policy,
        budget: RetryBudget,
        now: Instant,
    }

    impl Stream {
        fn new() -> Self {
            let now = Instant::now();
            let budget = RetryBudget::new(1000, 100);
            Self { recovery: Recovery::new(now), policy: Policy::default(), budget, now }
        }

        /// The wait in milliseconds, which then passes.
        fn fails(&mut self, error: &CallError, delivered: u64) -> Option<u128> {
            let Self { recovery, policy, budget, now } = self;
            let delay = recovery.delay(error, delivered, policy, budget, *now, 1.0);
            self.now += delay.unwrap_or_default();
            delay.map(|delay| delay.as_millis())
        }
    }

    fn cut() -> CallError {
        CallError::Unreachable { detail: "connection reset".into(), may_have_begun: true }
    }

    fn refused(code: Code, retry_delay: Option<Duration>) -> CallError {
        let (message, violations) = (String::new(), vec![]);
        CallError::Refused { code, message, violations, retry_delay }
    }

    #[test]
    fn waits_grow_until_a_message_comes_and_then_begin_anew() {
        let mut stream = Stream::new();
        assert_eq!(
            [0, 0, 0].map(|delivered| stream.fails(&cut(), delivered)),
            [100, 200, 400].map(Some)
        );
        assert_eq!(
            [7, 7, 7].map(|delivered| stream.fails(&cut(), delivered)),
            [100, 200, 400].map(Some)
        );
        assert_eq!(stream.fails(&cut(), 8), Some(100));
    }

    #[test]
    fn a_drain_is_resumed_at_once_if_there_was_a_message_since() {
        let mut stream = Stream::new();
        let drained = refused(Code::Unavailable, None);
        assert_eq!(
            [3, 3, 3].map(|delivered| stream.fails(&drained, delivered)),
            [0, 100, 200].map(Some)
        );
        assert_eq!(stream.fails(&drained, 4), Some(0));
    }

    #[test]
    fn it_waits_for_as_long_as_the_server_asks_for_and_then_some() {
        let mut stream = Stream::new();
        let full = refused(Code::ResourceExhausted, Some(Duration::from_secs(1)));
        assert_eq!(
            [0, 0].map(|delivered| stream.fails(&full, delivered)),
            [1_100, 1_200].map(Some)
        );
        let for_hours = refused(Code::Unavailable, Some(Duration::from_hours(2)));
        assert_eq!([0, 1].map(|delivered| stream.fails(&for_hours, delivered)), [None, None]);
    }

    #[test]
    fn it_is_given_up_when_nothing_came_for_too_long() {
        let mut stream = Stream::new();
        let waited: u128 = std::iter::from_fn(|| stream.fails(&cut(), 5)).sum();
        let patience = stream.policy.patience.as_millis();
        assert!(waited <= patience && waited > patience - 20_000, "{waited} ms");
        // Asked to go on, it does.
        stream.recovery.start_over(stream.now);
        assert_eq!(stream.fails(&cut(), 5), Some(100));
    }

    #[test]
    fn what_would_fail_again_is_not_tried_again() {
        let mut stream = Stream::new();
        for error in [
            refused(Code::InvalidArgument, None),
            refused(Code::ResourceExhausted, None),
            refused(Code::Internal, None),
            CallError::Cancelled,
            CallError::Protocol { detail: String::new() },
        ] {
            assert_eq!(stream.fails(&error, 5), None, "{error:?}");
        }
        // A cap on the time of one answer is no reason to lose the stream.
        assert_eq!(stream.fails(&CallError::TimedOut { message: String::new() }, 6), Some(100));
    }

    #[test]
    fn what_stands_in_the_way_of_a_stream_with_messages_is_waited_out() {
        let interposed =
            CallError::Interposed { code: Code::Unimplemented, detail: "HTTP 404".into() };
        assert_eq!(Stream::new().fails(&interposed, 0), None, "a stream of nothing loses nothing");
        let mut stream = Stream::new();
        let waited: u128 = std::iter::from_fn(|| stream.fails(&interposed, 5)).sum();
        let patience = stream.policy.patience.as_millis();
        assert!(waited <= patience && waited > patience - 20_000, "{waited} ms");
        let redirected = CallError::Redirected { detail: String::new() };
        assert_eq!(Stream::new().fails(&redirected, 5), None);
    }

    #[test]
    fn with_an_empty_budget_it_waits_longest_but_goes_on() {
        let mut stream = Stream::new();
        stream.budget = RetryBudget::new(4, 100);
        assert_eq!(
            [0, 0, 0].map(|delivered| stream.fails(&cut(), delivered)),
            [100, 10_000, 10_000].map(Some)
        );
        // An answer that brought something is no failure.
        assert_eq!(stream.fails(&cut(), 1), Some(100));
    }

    #[test]
    fn what_an_answer_brought_fills_the_budget() {
        let mut stream = Stream::new();
        stream.budget = RetryBudget::new(4, 1000);
        let waits = [0, 1, 2, 2].map(|delivered| stream.fails(&cut(), delivered));
        assert_eq!(waits, [100, 100, 100, 200].map(Some));
    }
}
