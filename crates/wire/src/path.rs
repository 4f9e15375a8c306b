//! Paths of requests, which clients make up.

/// The longest part of a path that is written to a log, in bytes.
const LOGGED_PATH_BYTES: usize = 128;

/// As much of a request's path as belongs in a log: the first 128 bytes, or a few less where a character
/// would be cut in two. A client chooses the path, so without a limit it could fill the log.
#[must_use]
pub fn shortened_path(path: &str) -> &str {
    &path[..path.floor_char_boundary(LOGGED_PATH_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_is_cut_between_two_characters_and_a_short_one_is_not() {
        assert_eq!(shortened_path("/api.Api/getAll"), "/api.Api/getAll");
        let long = "a".repeat(LOGGED_PATH_BYTES - 1);
        assert_eq!(shortened_path(&format!("{long}ü")), long);
        assert_eq!(shortened_path(&format!("{long}bc")), format!("{long}b"));
    }
}
