//! Deep links into a page whose references are relative.
//!
//! A page with `./app.js` works wherever it is mounted, as long as it is opened at its root. Opened at
//! `/stream/42` the same bytes ask for `/stream/app.js`. So the page is sent there with `../app.js`: the
//! server knows how deep the link is, and needs not know where a proxy has mounted it.
//!
//! References are told by how they are written, without a parser: a quoted `./…`, and the value of a `src`
//! or `href`. A page with a `<base>` says there what its references start from, so that alone is changed.

use std::borrow::Cow;

use crate::scripts::tag;

/// `html`, the page at its root, as it is to be `depth` folders deeper.
pub(crate) fn moved(html: &str, depth: usize) -> Cow<'_, str> {
    if depth == 0 {
        return Cow::Borrowed(html);
    }
    let up = "../".repeat(depth);
    let base = html.match_indices('<').find(|(at, _)| tag(&html[*at..], "<base").is_some());
    let Some((base, _)) = base else {
        return Cow::Owned(replace(html, &up));
    };
    let end = html[base..].find('>').map_or(html.len(), |end| base + end);
    Cow::Owned([&html[..base], &replace(&html[base..end], &up), &html[end..]].concat())
}

fn replace(html: &str, up: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(quote) = rest.find(['"', '\'']) {
        let (before, value) = rest.split_at(quote + 1);
        out.push_str(before);
        rest = value;
        if let Some(path) = value.strip_prefix("./") {
            out.push_str(up);
            rest = path;
        } else if is_attribute(before) && is_relative(value) {
            out.push_str(up);
        }
    }
    out + rest
}

/// Whether the text up to a quote, that included, ends like `src="` or `href="`.
fn is_attribute(before: &str) -> bool {
    let name = before[..before.len() - 1].trim_end().strip_suffix('=').unwrap_or("").trim_end();
    ["src", "href"].iter().any(|attribute| {
        let at = name.len().checked_sub(attribute.len());
        at.is_some_and(|at| {
            name.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(attribute))
                && name[..at].ends_with(|c: char| c.is_ascii_whitespace())
        })
    })
}

/// Whether a value begins with the name of a file or place: no scheme, no slash, no fragment.
fn is_relative(value: &str) -> bool {
    let end = value.find(['"', '\'', '/', '?', '#']).unwrap_or(value.len());
    let first = &value[..end];
    !first.is_empty() && !first.contains(':') && !first.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_references_lead_to_the_root_again() {
        let html =
            "<link href=\"./a.css\"><script type='module'>import init from './a.js';</script>";
        assert_eq!(moved(html, 0), html);
        assert_eq!(
            moved(html, 2),
            "<link href=\"../../a.css\"><script type='module'>import init from '../../a.js';</script>"
        );
        assert_eq!(moved("<script src=\"a.js\">", 1), "<script src=\"../a.js\">");
        assert_eq!(moved("<a HREF = 'x/y.html'>", 1), "<a HREF = '../x/y.html'>");
    }

    #[test]
    fn other_references_and_other_texts_are_left_alone() {
        for html in [
            "<script src=\"/a.js\">",
            "<a href=\"https://a.example/b\"> <a href=\"//a.example\">",
            "<a href=\"#top\"> <a href=\"?q\"> <a href=\"\"> <a href=\"mailto:a@b.example\">",
            "<img src=\"data:image/png;base64,AA==\">",
            "<p title=\"a.js\">a.js</p> <p data-src=\"a.js\">",
            "it's \"quoted\" '",
            "\u{fc}src=\"a.js\"",
        ] {
            assert_eq!(moved(html, 3), html);
        }
    }

    #[test]
    fn of_a_page_with_a_base_that_alone_is_changed() {
        let html = "<head><base href=\"./\"><link href=\"./a.css\">";
        assert_eq!(moved(html, 1), "<head><base href=\"../\"><link href=\"./a.css\">");
        let rooted = "<base href=\"/\"><link href=\"a.css\">";
        assert_eq!(moved(rooted, 1), rooted);
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_html_is_only_ways_up_are_added_to_it(
            html in "(<|<base|>| src| href|=|\"|'|\\./|/|a|:|#|\u{fc}){0,40}"
        ) {
            let moved = moved(&html, 1);
            // A reference that begins with `./` loses that.
            let without = |text: &str| text.replace("../", "").replace("./", "");
            assert_eq!(without(&moved), without(&html));
        }
    }
}
