//! The wording of the page: errors with what a person can do, and numbers.

use tonic::Code;

use runnel_client::CallError;

/// What happened, in one short sentence.
#[must_use]
pub fn headline(error: &CallError) -> &'static str {
    match error {
        CallError::Unreachable { .. } => "The server did not answer.",
        CallError::TimedOut { .. } => "The server took too long.",
        CallError::Cancelled => "The call was cancelled.",
        CallError::Redirected { .. } => "The server sends you elsewhere.",
        CallError::Interposed { .. } => "Something else answered in the server's place.",
        CallError::Refused { code, retry_delay, .. } => match code {
            Code::InvalidArgument | Code::OutOfRange => "The server cannot do that.",
            Code::ResourceExhausted if retry_delay.is_some() => "The server is busy.",
            Code::ResourceExhausted => "That is too much at once.",
            Code::Unavailable => "The server is not ready.",
            Code::Unimplemented => "This server does not know that call.",
            Code::Unauthenticated => "The server wants to know who you are.",
            Code::PermissionDenied => "The server does not allow that.",
            _ => "The server failed.",
        },
        _ => "The answer was not one this page understands.",
    }
}

/// What the person can do. `less` is a sentence that says how to ask this call for less.
#[must_use]
pub fn advice(error: &CallError, less: &'static str) -> &'static str {
    match error {
        CallError::Unreachable { .. } => {
            "Check that it is running and that you are online, then try again."
        }
        CallError::TimedOut { .. } | CallError::Cancelled => "Try again.",
        CallError::Redirected { .. } => {
            "Most likely you have to sign in. Reload the page to do so."
        }
        CallError::Interposed { .. } => {
            "A proxy, most likely, or the network you are in. Try again, or reload the page to see \
             what it is."
        }
        CallError::Refused { code, retry_delay, .. } => match code {
            Code::InvalidArgument | Code::OutOfRange => "Change the value, then try again.",
            Code::ResourceExhausted if retry_delay.is_some() => "Try again in a moment.",
            Code::ResourceExhausted => less,
            Code::Unavailable => "It may be starting or stopping. Try again in a moment.",
            Code::Unimplemented => "Page and server may be of different versions. Reload the page.",
            Code::Unauthenticated => "Sign in, for which to reload the page may be enough.",
            Code::PermissionDenied => "Ask the person who runs it for access.",
            _ => "Try again; if that does not help, tell the person who runs the server.",
        },
        _ => {
            "Something between this page and the server may have changed it. Try again; if that does \
             not help, tell the person who runs the server."
        }
    }
}

/// What a person without TLS can do about a call that took too long. Browsers open six connections to a
/// server over HTTP/1.1, for all of their tabs together, and further requests wait without a sign.
#[must_use]
pub fn crowded(error: &CallError) -> Option<&'static str> {
    matches!(error, CallError::TimedOut { .. }).then_some(
        "Without TLS a browser opens six connections to a server, for all its tabs together: streams \
         in other tabs may hold them. Stop one, or serve this page over TLS, which has no such bound.",
    )
}

/// `n` with its thousands set apart, `1,234,567`.
#[must_use]
pub fn count(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `n` items, in words: `no items`, `1 item`, `10 items`.
#[must_use]
pub fn items(n: usize) -> String {
    match n {
        0 => "no items".to_owned(),
        1 => "1 item".to_owned(),
        n => format!("{} items", count(n)),
    }
}

/// How often something was resumed: `resumed once`, `resumed 3 times`; nothing if never.
#[must_use]
pub fn resumed(times: u32) -> Option<String> {
    match times {
        0 => None,
        1 => Some("resumed once".to_owned()),
        times => Some(format!("resumed {times} times")),
    }
}

/// The time that is left to wait, rounded up to seconds: `in 3 s`; nothing if it is over.
#[must_use]
pub fn wait(ms: f64) -> Option<String> {
    (ms > 0.0).then(|| format!("in {:.0} s", (ms / 1e3).ceil()))
}

/// A duration of `ms` milliseconds, to three digits: `0.4 ms`, `12 ms`, `1.25 s`, `2 min 5 s`.
#[must_use]
pub fn duration(ms: f64) -> String {
    match ms {
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms if ms < 9_995.0 => format!("{:.2} s", ms / 1e3),
        ms if ms < 59_950.0 => format!("{:.1} s", ms / 1e3),
        ms => {
            let seconds = (ms / 1e3).round();
            format!("{:.0} min {:.0} s", (seconds / 60.0).floor(), seconds % 60.0)
        }
    }
}

/// Items per second, if `n` came in `ms` milliseconds; nothing if there were none or the time was too short
/// to measure.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rounded figure for people, far below 2^52 and never negative"
)]
pub fn rate(n: usize, ms: f64) -> Option<String> {
    (n > 0 && ms >= 1.0).then(|| count((n as f64 * 1e3 / ms).round() as usize))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (n, text) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345, "12,345"), (1_000_000, "1,000,000")]
        {
            assert_eq!(count(n), text);
        }
    }

    #[test]
    fn items_agree_in_number() {
        assert_eq!(items(0), "no items");
        assert_eq!(items(1), "1 item");
        assert_eq!(items(1_000), "1,000 items");
    }

    #[test]
    fn durations_keep_three_digits_and_never_round_into_a_wrong_unit() {
        for (ms, text) in [
            (0.0, "0.0 ms"),
            (9.94, "9.9 ms"),
            (9.96, "10 ms"),
            (999.4, "999 ms"),
            (999.6, "1.00 s"),
            (9_999.0, "10.0 s"),
            (59_960.0, "1 min 0 s"),
            (125_000.0, "2 min 5 s"),
        ] {
            assert_eq!(duration(ms), text, "{ms}");
        }
    }

    #[test]
    fn a_wait_counts_down_to_one_and_is_then_over() {
        assert_eq!(wait(2_001.0).as_deref(), Some("in 3 s"));
        assert_eq!(wait(0.5).as_deref(), Some("in 1 s"));
        assert_eq!(wait(0.0), None);
        assert_eq!(wait(-1.0), None);
    }

    #[test]
    fn a_stream_says_how_often_it_was_resumed() {
        assert_eq!(
            [0, 1, 2].map(resumed),
            [None, Some("resumed once".to_owned()), Some("resumed 2 times".to_owned())]
        );
    }

    #[test]
    fn a_rate_is_given_only_where_it_means_something() {
        assert_eq!(rate(1_000, 500.0).as_deref(), Some("2,000"));
        assert_eq!(rate(0, 500.0), None);
        assert_eq!(rate(5, 0.4), None);
    }

    #[test]
    fn every_error_says_what_to_do() {
        let mut errors = vec![
            CallError::Unreachable { detail: String::new(), may_have_begun: true },
            CallError::TimedOut { message: String::new() },
            CallError::Cancelled,
            CallError::Interposed { code: Code::Unknown, detail: String::new() },
            CallError::Redirected { detail: String::new() },
            CallError::Protocol { detail: String::new() },
        ];
        errors.extend((1..=16).map(|code| refused(Code::from_i32(code), None)));
        for error in errors {
            assert!(headline(&error).ends_with('.'));
            assert!(advice(&error, "Less.").ends_with('.'));
            assert_eq!(
                advice(&error, "Less.").to_lowercase().contains("reload"),
                error.wants_reload(),
                "where the words say so there is a button for it, and nowhere else: {error:?}"
            );
        }
    }

    fn refused(code: Code, retry_delay: Option<Duration>) -> CallError {
        CallError::Refused { code, message: String::new(), violations: vec![], retry_delay }
    }

    /// `sayHello` has no items to ask fewer of, and a server that is full has nothing against what was
    /// asked for.
    #[test]
    fn too_much_is_said_in_the_words_of_the_call_and_told_from_a_busy_server() {
        let too_much = refused(Code::ResourceExhausted, None);
        assert_eq!(advice(&too_much, "Shorten the name."), "Shorten the name.");
        let busy = refused(Code::ResourceExhausted, Some(Duration::from_secs(1)));
        assert_eq!(headline(&busy), "The server is busy.");
        assert_ne!(advice(&busy, "Shorten the name."), "Shorten the name.");
    }

    #[test]
    fn only_what_took_too_long_can_be_for_want_of_a_connection() {
        let late = CallError::TimedOut { message: String::new() };
        assert!(crowded(&late).is_some_and(|words| words.contains("six connections")));
        assert_eq!(crowded(&CallError::Cancelled), None);
    }
}
