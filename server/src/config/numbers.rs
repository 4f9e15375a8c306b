//! How numbers are read, and what zero means: it switches a limit off where the option says so, and is
//! refused everywhere else.

use std::time::Duration;

use runnel_limits::Limit;

/// A hundred years: practically no limit, and still short enough to be added to any clock.
const LONGEST: Duration = Duration::from_hours(100 * 365 * 24);

/// A duration greater than zero.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match duration_or_zero(text)? {
        Duration::ZERO => Err("zero makes no sense here: write a duration such as 10s".to_owned()),
        duration => Ok(duration),
    }
}

/// A duration, or zero for no limit.
pub(super) fn duration_or_zero(text: &str) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text);
    // Zero needs no unit.
    let parsed = if text.trim() == "0" { Ok(Duration::ZERO) } else { parsed };
    parsed.map(|duration| duration.min(LONGEST)).map_err(|error| error.to_string())
}

/// A duration as the command line and its documents write it: up to a minute in seconds, else in the largest
/// unit. It can be read again.
pub(super) fn written(duration: Duration) -> String {
    if duration <= Duration::from_mins(1) && duration.subsec_nanos() == 0 {
        return format!("{}s", duration.as_secs());
    }
    humantime::format_duration(duration).to_string()
}

/// A number of bytes greater than zero.
pub(super) fn size(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => Err("zero makes no sense here: write a number of bytes".to_owned()),
        parsed => parsed.map_err(|error| error.to_string()),
    }
}

/// The duration, or none if it is zero.
pub(super) fn unless_zero(duration: Duration) -> Option<Duration> {
    Some(duration).filter(|duration| !duration.is_zero())
}

/// A limit of two numbers, of which zero means no limit.
pub(super) fn limit(total: usize, per_address: usize) -> Limit {
    let unless_zero = |count| if count == 0 { usize::MAX } else { count };
    Limit { total: unless_zero(total), per_address: unless_zero(per_address) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_a_duration_only_where_it_may_be() {
        for zero in ["0", "0s", "0ms"] {
            assert_eq!(duration_or_zero(zero), Ok(Duration::ZERO));
            assert!(duration(zero).unwrap_err().contains("zero"));
        }
        assert_eq!(duration("1ms"), Ok(Duration::from_millis(1)));
        for bad in ["", "-1s", "1", "s"] {
            assert!(duration_or_zero(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_duration_that_is_written_can_be_read_again() {
        for text in ["0s", "10s", "60s", "500ms", "5m", "1h", "1h 30m"] {
            assert_eq!(written(duration_or_zero(text).unwrap()), text);
        }
    }

    #[test]
    fn no_duration_is_too_long_for_a_clock() {
        let longest = duration("10000years").unwrap();
        assert_eq!(longest, LONGEST);
        assert!(std::time::Instant::now().checked_add(2 * longest).is_some());
    }
}
