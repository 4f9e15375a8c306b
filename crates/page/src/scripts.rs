//! Reading of HTML, as far as serving it takes: which scripts stand in it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

/// The sources, for `script-src`, that allow the scripts which stand in a page and no others:
/// `'sha256-…' 'sha256-…'`, in their order (<https://www.w3.org/TR/CSP3/#match-element-to-source-list>).
pub(crate) fn sources(html: &str) -> String {
    // A browser replaces line endings before it reads the page.
    // (https://infra.spec.whatwg.org/#normalize-newlines)
    let html = html.replace("\r\n", "\n").replace('\r', "\n");
    let hash = |script| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(script)));
    inline(&html).into_iter().map(hash).collect::<Vec<_>>().join(" ")
}

/// The texts of the scripts that stand in a page.
fn inline(html: &str) -> Vec<&str> {
    let mut scripts = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = after(comment, "-->");
        } else if let Some(tag) = tag(rest, "<script") {
            let (is_external, text) = attributes(tag);
            let end = end_of_script(text);
            if !is_external {
                scripts.push(&text[..end]);
            }
            rest = &text[end..];
        } else {
            rest = &rest[1..];
        }
    }
    scripts
}

fn after<'a>(text: &'a str, end: &str) -> &'a str {
    text.split_once(end).map_or("", |(_, rest)| rest)
}

/// What follows the name of a tag, if `html` begins with one of this name.
pub(crate) fn tag<'a>(html: &'a str, name: &str) -> Option<&'a str> {
    let start = html.get(..name.len())?;
    let rest = &html[name.len()..];
    let ends = rest.starts_with(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>'));
    (start.eq_ignore_ascii_case(name) && ends).then_some(rest)
}

/// Whether the attributes of a tag have a `src`, and what follows the tag.
fn attributes(tag: &str) -> (bool, &str) {
    let mut rest = tag;
    let mut has_source = false;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() || rest.starts_with('>') {
            return (has_source, rest.get(1..).unwrap_or_default());
        }
        let ends_name = |c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>' | '=');
        // An equals sign that no name stands before begins one.
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let end = rest[first..].find(ends_name).map_or(rest.len(), |end| first + end);
        has_source |= rest[..end].eq_ignore_ascii_case("src");
        rest = rest[end..].trim_start();
        if let Some(value) = rest.strip_prefix('=') {
            rest = after_value(value.trim_start());
        }
    }
}

fn after_value(value: &str) -> &str {
    if let Some(quoted) = value.strip_prefix('"') {
        return after(quoted, "\"");
    }
    if let Some(quoted) = value.strip_prefix('\'') {
        return after(quoted, "'");
    }
    let ends = |c: char| c.is_ascii_whitespace() || c == '>';
    &value[value.find(ends).unwrap_or(value.len())..]
}

/// Where the text of a script ends, in bytes.
fn end_of_script(text: &str) -> usize {
    let ends = |(at, _): &(usize, &str)| tag(&text[*at..], "</script").is_some();
    text.match_indices("</").find(ends).map_or(text.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_in_the_page_is_known_by_its_hash() {
        // echo -n 'alert(1)' | openssl sha256 -binary | base64
        let hash = "'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='";
        assert_eq!(sources("<script>alert(1)</script>"), hash);
        assert_eq!(sources("<script>alert(1)</script><script>alert(1)</script>").len(), 107);
        assert_eq!(sources("<p>"), "");
    }

    #[test]
    fn a_browser_hashes_lines_that_end_like_those_of_unix() {
        let unix = sources("<script>\na();\nb();\n</script>");
        assert_eq!(sources("<script>\r\na();\rb();\r\n</script>"), unix);
    }

    #[test]
    fn scripts_are_found_however_they_are_written() {
        for (html, expected) in [
            ("<script src=\"/a.js\"></script>\n<script type=\"module\">a</script>", vec!["a"]),
            ("<SCRIPT>a</SCRIPT >b", vec!["a"]),
            ("<script data-src=\"x\">a</script>", vec!["a"]),
            ("<script data-x='a>b' async>a</script>", vec!["a"]),
            ("<script\n  type=module\n>a</script\n>", vec!["a"]),
            ("<script SRC=a.js></script><script>b</script>", vec!["b"]),
            ("<script type='importmap'>{\"</\": 1}</script>", vec!["{\"</\": 1}"]),
            ("<!-- a <script> tag --><script>b</script>", vec!["b"]),
            ("<scripture>a</scripture><script>b", vec!["b"]),
            ("<script>if (a < b) {}</script>", vec!["if (a < b) {}"]),
            ("<script =src>a</script>", vec!["a"]),
            ("<script", vec![]),
            ("<", vec![]),
            ("ä<ä", vec![]),
        ] {
            assert_eq!(inline(html), expected, "{html}");
        }
    }

    proptest::proptest! {
        /// HTML is whatever somebody's build left; nothing in it may panic.
        #[test]
        fn whatever_the_html_is_its_scripts_are_parts_of_it(
            html in "(<|<!--|-->|<script|</script|>| src|=|\"|'|/|a|\u{fc}|\r\n){0,40}"
        ) {
            for script in inline(&html) {
                assert!(html.contains(script));
                assert!(!script.contains("</script>"), "{script}");
            }
            sources(&html);
        }
    }
}
