//! Names of hosts that an operator gives, one by one or by a pattern: `*.app.example` stands for every name
//! with one label before `.app.example`, as in certificates (RFC 6125 section 6.4.3).

/// Why a text is no name that any request could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A star somewhere else than in the place of the first label.
    #[error(
        "a star stands for one whole label, the first, and at least two labels follow it: *.app.example"
    )]
    Star,
    /// An empty label.
    #[error("a name has no empty labels; *.app.example stands for the names below app.example")]
    EmptyLabel,
    /// Letters that no request has in its host.
    #[error(
        "a name is written as browsers send it: letters, digits and hyphens, others in Punycode (xn--...)"
    )]
    Letters,
}

/// Finds out whether a text is a name, or a pattern of names.
pub(super) fn check(text: &str) -> Result<(), NameError> {
    let rest = text.strip_prefix("*.");
    let labels: Vec<&str> = rest.unwrap_or(text).split('.').collect();
    if labels.iter().any(|label| label.contains('*')) {
        return Err(NameError::Star);
    }
    if labels.iter().any(|label| label.is_empty()) {
        return Err(NameError::EmptyLabel);
    }
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !labels.iter().all(|label| label.bytes().all(is_letter)) {
        return Err(NameError::Letters);
    }
    // `*.example` would be everybody's who can register a name there, and below an address there is
    // nothing. Names below localhost are the machine's own.
    let is_top = labels.len() == 1 && !labels[0].eq_ignore_ascii_case("localhost");
    let ends_in_a_number =
        labels.last().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if rest.is_some() && (is_top || ends_in_a_number) {
        return Err(NameError::Star);
    }
    Ok(())
}

/// Whether a host is meant by a name, or by a pattern of names, that was found to be one.
pub(super) fn means(name: &str, host: &str) -> bool {
    let Some(parent) = name.strip_prefix("*.") else { return name.eq_ignore_ascii_case(host) };
    let is_label = |label: &str| check(label).is_ok();
    host.split_once('.')
        .is_some_and(|(label, rest)| is_label(label) && rest.eq_ignore_ascii_case(parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_one_label_more_and_nothing_else() {
        let pattern = "*.app.example";
        for host in ["a.app.example", "A.App.Example", "xn--bcher-kva.app.example"] {
            assert!(means(pattern, host), "{host}");
        }
        for host in [
            "app.example",
            ".app.example",
            "a.b.app.example",
            "aapp.example",
            "a.app.example.evil.example",
            "a.app.example.",
            "evil.example/.app.example",
            "evil.example:80#.app.example",
            "*.app.example",
            "a@b.app.example",
            "",
        ] {
            assert!(!means(pattern, host), "{host:?}");
        }
        assert!(means("app.example", "App.example"));
        assert!(!means("app.example", "a.app.example"));
    }

    #[test]
    fn what_no_request_could_have_is_refused_with_the_reason() {
        for name in ["app.example", "*.app.example", "*.localhost", "localhost", "a_b.example"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for (name, why) in [
            ("*", NameError::Star),
            ("*.", NameError::EmptyLabel),
            ("*.example", NameError::Star),
            ("*.*.example", NameError::Star),
            ("a.*.example", NameError::Star),
            ("pre-*.app.example", NameError::Star),
            ("*.0.0.1", NameError::Star),
            (".app.example", NameError::EmptyLabel),
            ("app..example", NameError::EmptyLabel),
            ("", NameError::EmptyLabel),
            ("b\u{fc}cher.example", NameError::Letters),
            ("a b.example", NameError::Letters),
        ] {
            assert_eq!(check(name), Err(why), "{name}");
        }
    }
}
