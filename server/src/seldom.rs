//! What happens often and is to be said seldom: a log that one fault fills hides all others.

use std::time::Duration;

use tokio::time::Instant;

/// How long nothing is said after something was.
const PAUSE: Duration = Duration::from_secs(10);

/// How often something happened without a word.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    said: Option<Instant>,
    unsaid: u64,
}

impl Seldom {
    /// It happens again. Some if it is to be said, with how often it was not since the last time.
    pub(crate) fn happened(&mut self, now: Instant) -> Option<u64> {
        if self.said.is_some_and(|said| now.duration_since(said) < PAUSE) {
            self.unsaid += 1;
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_and_then_one_of_many_with_their_number() {
        let (mut seldom, start) = (Seldom::default(), Instant::now());
        let mut said = Vec::new();
        for tenth in 0..=200 {
            said.extend(seldom.happened(start + Duration::from_millis(100) * tenth));
        }
        assert_eq!(said, [0, 99, 99]);
    }
}
