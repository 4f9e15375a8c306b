//! [`Awake`]: a clock that stands still while the machine sleeps.

/// How late a timer may fire, in milliseconds, before the time counts as sleep. A busy page is late by
/// less; a delay that is wrongly counted as sleep only makes a wait longer.
const LATE_MS: f64 = 2_000.0;

/// The time that the machine was awake, made from a clock that may count sleep too: whether
/// `performance.now()` does differs by browser and system
/// (<https://www.w3.org/TR/hr-time-3/#sec-monotonic-clock>). A timer that fires much later than it was due
/// shows that the machine slept, or that the browser froze the page. Every time in it is in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Awake {
    /// When the clock was last read.
    looked: f64,
    /// Time in which the machine slept.
    asleep: f64,
    /// When the running timers are due.
    due: Vec<f64>,
}

impl Awake {
    /// No time has passed yet.
    pub(crate) const fn new() -> Self {
        Self { looked: 0.0, asleep: 0.0, due: Vec::new() }
    }

    /// The time awake, when the other clock says `now_ms`. Never goes back.
    pub(crate) fn look(&mut self, now_ms: f64) -> f64 {
        if let Some(first_ms) = self.due.iter().copied().reduce(f64::min) {
            let late_ms = now_ms - first_ms.max(self.looked);
            if late_ms > LATE_MS {
                self.asleep += late_ms;
            }
        }
        self.looked = self.looked.max(now_ms);
        self.looked - self.asleep
    }

    /// A timer began that fires at `due_ms` of the other clock, which says `now_ms`.
    pub(crate) fn begin(&mut self, now_ms: f64, due_ms: f64) {
        self.look(now_ms);
        self.due.push(due_ms);
    }

    /// That timer fired, or was dropped.
    pub(crate) fn end(&mut self, now_ms: f64, due_ms: f64) {
        self.look(now_ms);
        if let Some(at) = self.due.iter().position(|due| due.total_cmp(&due_ms).is_eq()) {
            self.due.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn says(awake: f64, wanted: f64) {
        assert!((awake - wanted).abs() < 0.001, "{awake} ms, not {wanted}");
    }

    #[test]
    fn it_goes_as_the_other_clock_does_while_looks_come_in_time() {
        let mut clock = Awake::new();
        says(clock.look(5_000.0), 5_000.0);
        clock.begin(5_000.0, 6_000.0);
        says(clock.look(6_100.0), 6_100.0);
        clock.end(6_100.0, 6_000.0);
        // Nobody waits, so nobody looks, and that is no sleep.
        says(clock.look(900_000.0), 900_000.0);
    }

    #[test]
    fn sleep_does_not_count_and_is_noticed_once_however_many_timers_run() {
        let mut clock = Awake::new();
        clock.begin(0.0, 1_000.0);
        clock.begin(500.0, 1_500.0);
        // Ten minutes: the first of them was due at 1 s.
        says(clock.look(600_000.0), 1_000.0);
        clock.end(600_010.0, 1_500.0);
        clock.end(600_020.0, 1_000.0);
        says(clock.look(600_020.0), 1_020.0);
        clock.begin(600_020.0, 601_020.0);
        says(clock.look(601_000.0), 2_000.0);
        says(clock.look(1_000_000.0), 2_020.0);
    }

    #[test]
    fn a_timer_that_nobody_waits_for_any_longer_is_not_missed() {
        let mut clock = Awake::new();
        clock.begin(0.0, 1_000.0);
        clock.end(200.0, 1_000.0);
        says(clock.look(600_000.0), 600_000.0);
    }

    #[test]
    fn it_never_goes_back() {
        let mut clock = Awake::new();
        clock.begin(10_000.0, 11_000.0);
        let before = clock.look(10_500.0);
        assert!(clock.look(9_000.0) >= before);
    }
}
