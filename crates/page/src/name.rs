//! What the path of a request names: a file of the page, or a place in the page.

use percent_encoding::percent_decode_str;

/// The file that is the page.
pub(crate) const INDEX: &str = "index.html";

/// The largest depth of a place in the page, because each level costs something ([`crate::relative`]).
const DEEPEST: usize = 32;

/// The path of a request, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// Relative to the page's folder, with `/` between its parts. No part is `.`, `..` or has a
    /// character that separates parts anywhere; a part is empty where the path has several slashes.
    pub(crate) file: String,
    /// How many folders deep relative references start from, as a browser sees the path.
    pub(crate) depth: usize,
    /// Whether the path is a place in the page if there is no such file.
    pub(crate) is_place: bool,
}

impl Name {
    /// What `path` names, as a URL has it; None if neither a file nor a place can have that name.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let depth = path.matches('/').count();
        let parts = path.trim_start_matches('/').split('/');
        let parts: Vec<String> = parts.map(part).collect::<Option<_>>()?;
        let hidden = parts.iter().any(|part| part.starts_with('.'));
        let last_is_file = parts.last().is_some_and(|last| last.contains('.'));
        if depth > DEEPEST || hidden && !is_well_known(&parts) {
            return None;
        }
        Some(Self { file: parts.join("/"), depth, is_place: !hidden && !last_is_file })
    }
}

/// A part of a path, decoded; None if its name would be read as more than one part, or is not UTF-8.
fn part(encoded: &str) -> Option<String> {
    let part = percent_decode_str(encoded).decode_utf8().ok()?;
    let separates = |c| matches!(c, '/' | '\\' | '\0') || cfg!(windows) && c == ':';
    (!part.contains(separates)).then(|| part.into_owned())
}

/// Whether the path is below `.well-known` (RFC 8615). Other hidden files are not served.
fn is_well_known(parts: &[String]) -> bool {
    parts.split_first().is_some_and(|(first, rest)| {
        first == ".well-known" && rest.iter().all(|part| !part.starts_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_links_are_places_in_the_page_and_file_names_are_files() {
        for place in ["/", "/stream", "/stream/42", "/v1.2/stream", "/a/", "//a", "/a%20b"] {
            assert!(Name::of(place).unwrap().is_place, "{place}");
        }
        for file in ["/app.js", "/nested/app.wasm", "/favicon.ico", "/.well-known/security"] {
            assert!(!Name::of(file).unwrap().is_place, "{file}");
        }
    }

    #[test]
    fn no_name_leads_out_of_the_folder_or_to_what_is_hidden() {
        for path in [
            "/../secret",
            "/a/../../secret",
            "/..",
            "/%2e%2e/secret",
            "/%2E%2e%2fsecret",
            "/a%2f..%2fsecret",
            "/..%5csecret",
            "/a\\..\\secret",
            "/./a",
            "/.git/config",
            "/a/.env",
            "/%2eenv",
            "/.well-known/../secret",
            "/.well-known/.hidden",
            "/a%00.js",
            "/%ff.js",
        ] {
            assert_eq!(Name::of(path), None, "{path}");
        }
        assert_eq!(Name::of(&"/a".repeat(DEEPEST + 2)), None);
    }

    #[test]
    fn a_name_is_decoded_once() {
        let name = Name::of("/a%20b/gr%C3%BC%C3%9Fe%2525.js").unwrap();
        assert_eq!(name.file, "a b/grüße%25.js");
        assert_eq!(Name::of("/a+b.js").unwrap().file, "a+b.js");
    }

    #[test]
    fn depth_is_counted_as_a_browser_resolves_references() {
        for (path, depth) in [("/", 0), ("/a", 0), ("/a/", 1), ("/a/b", 1), ("//a", 1)] {
            assert_eq!(Name::of(path).unwrap().depth, depth, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_path_is_its_parts_are_plain_names(
            path in "/(\\.|/|%2e|%2f|%5c|%00|%25|%c3|%bc|%|a|well-known|\\\\){0,30}"
        ) {
            if let Some(name) = Name::of(&path) {
                for part in name.file.split('/') {
                    assert!(!matches!(part, "." | ".."), "{part}");
                    assert!(!part.contains(['\\', '\0']), "{part}");
                    assert!(!part.starts_with('.') || name.file.starts_with(".well-known"), "{part}");
                }
            }
        }
    }
}
