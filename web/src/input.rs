//! Reads the text of a form as the contract's types. It only checks whether a value can be sent at all;
//! whether it makes sense is for the server to decide, in one place for all clients.

/// Why a text is not a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LengthError {
    /// Nothing was typed.
    #[error("Type how many items you want.")]
    Empty,
    /// Not a whole number in digits.
    #[error("Type a whole number, in digits.")]
    NotANumber,
    /// A number that an int32 cannot hold.
    #[error("The largest number that can be sent is 2,147,483,647.")]
    OutOfRange,
}

/// Reads `text` as the `length` of a request. Spaces around it, and spaces, commas or underscores
/// between digits, are taken as people write them.
pub fn parse_length(text: &str) -> Result<i32, LengthError> {
    let digits: String =
        text.chars().filter(|c| !c.is_whitespace() && !matches!(c, ',' | '_')).collect();
    if digits.is_empty() {
        return Err(LengthError::Empty);
    }
    let unsigned = digits.strip_prefix(['-', '+']).unwrap_or(&digits);
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return Err(LengthError::NotANumber);
    }
    digits.parse().map_err(|_| LengthError::OutOfRange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (text, length) in [
            ("0", 0),
            ("10", 10),
            (" 42 ", 42),
            ("+7", 7),
            ("1,000,000", 1_000_000),
            ("1 000 000", 1_000_000),
            ("1_000", 1_000),
            ("2147483647", i32::MAX),
        ] {
            assert_eq!(parse_length(text), Ok(length), "{text:?}");
        }
    }

    #[test]
    fn negative_numbers_go_to_the_server_which_refuses_them_with_the_field_named() {
        assert_eq!(parse_length("-1"), Ok(-1));
        assert_eq!(parse_length("-2147483648"), Ok(i32::MIN));
    }

    #[test]
    fn what_cannot_be_sent_is_told_apart() {
        for (text, error) in [
            ("", LengthError::Empty),
            ("  ", LengthError::Empty),
            ("ten", LengthError::NotANumber),
            ("1.5", LengthError::NotANumber),
            ("1e3", LengthError::NotANumber),
            ("-", LengthError::NotANumber),
            ("--1", LengthError::NotANumber),
            ("٣", LengthError::NotANumber),
            ("2147483648", LengthError::OutOfRange),
            ("-2147483649", LengthError::OutOfRange),
            ("99999999999999999999999", LengthError::OutOfRange),
        ] {
            assert_eq!(parse_length(text), Err(error), "{text:?}");
        }
    }
}
