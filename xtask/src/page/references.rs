//! How files of the page speak of each other: by path, in text.
//!
//! A reference to `app.js` from the root may read `app.js`, `./app.js` or `/app.js`, in quotes,
//! brackets or bare; `myapp.js`, `app.js.map` and `other/app.js` are names of other files.

use std::collections::BTreeMap;

use super::files::{extension, file_name, folder};

/// The text of a file that can hold references.
pub(super) fn text<'a>(path: &str, bytes: &'a [u8]) -> Option<&'a str> {
    const TEXT: [&str; 9] =
        ["css", "html", "js", "json", "map", "mjs", "svg", "txt", "webmanifest"];
    TEXT.contains(&extension(path)).then(|| std::str::from_utf8(bytes).ok()).flatten()
}

/// Replaces references in `text`, the content of the file `from`, by what `rename` gives for the
/// path they lead to. Returns the new text and the paths found, each as often as it occurs.
pub(super) fn replace<'a>(
    from: &str,
    text: &str,
    rename: &'a BTreeMap<String, String>,
) -> (String, Vec<&'a str>) {
    let mut out = String::with_capacity(text.len());
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let before = &text[..text.len() - rest.len()];
        let hit = base_of_reference(before, folder(from)).and_then(|base| {
            rename.iter().find_map(|(old, new)| {
                let written = old.strip_prefix(base)?;
                let whole = rest.strip_prefix(written).is_some_and(ends_name);
                whole.then_some((old, written, &new[base.len()..]))
            })
        });
        if let Some((old, written, new)) = hit {
            found.push(old.as_str());
            out.push_str(new);
            rest = &rest[written.len()..];
        } else {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    (out, found)
}

/// Whether the file name of `path` stands anywhere in `text`, in whatever folder.
pub(super) fn mentions(text: &str, path: &str) -> bool {
    let name = file_name(path);
    text.match_indices(name)
        .any(|(at, _)| !text[..at].ends_with(in_name) && ends_name(&text[at + name.len()..]))
}

fn in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// The folder a reference right after `before` would start from, if one can start there: the root
/// after `/`, `here` after `./` or nothing, and these only after what no path contains.
fn base_of_reference<'a>(before: &str, here: &'a str) -> Option<&'a str> {
    let (base, before) = match before.strip_suffix('/') {
        Some(before) => match before.strip_suffix('.') {
            Some(before) => (here, before),
            None => ("", before),
        },
        None => (here, before),
    };
    (!before.ends_with(|c| in_name(c) || c == '/')).then_some(base)
}

/// A full stop ends a sentence; a dot before a letter goes on with the name.
fn ends_name(after: &str) -> bool {
    let mut after = after.chars();
    match after.next() {
        Some('.') => !after.next().is_some_and(|c| c.is_ascii_alphanumeric()),
        Some(c) => !in_name(c),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(from: &str, text: &str) -> String {
        let rename = [
            ("app.js", "app-1.js"),
            ("app.js.map", "app-2.js.map"),
            ("i.js", "i-4.js"),
            ("s/a/i.js", "s/a/i-3.js"),
        ];
        let rename = rename.map(|(old, new)| (old.to_owned(), new.to_owned())).into();
        replace(from, text, &rename).0
    }

    #[test]
    fn references_are_replaced_in_every_way_they_are_written() {
        assert_eq!(
            replaced("index.html", r#"<a href="/app.js"> './app.js' url(app.js) import"s/a/i.js""#),
            r#"<a href="/app-1.js"> './app-1.js' url(app-1.js) import"s/a/i-3.js""#
        );
        assert_eq!(
            replaced("app.js", "//# sourceMappingURL=app.js.map"),
            "//# sourceMappingURL=app-2.js.map"
        );
        assert_eq!(
            replaced("x.txt", "It is app.js. Größe: app.js"),
            "It is app-1.js. Größe: app-1.js"
        );
    }

    #[test]
    fn names_that_only_look_alike_are_left_alone() {
        for other in
            ["myapp.js", "my-app.js", "app.jsx", "app.js2", "x/app.js", "../app.js", "app.js.br"]
        {
            assert_eq!(replaced("index.html", other), other);
        }
    }

    #[test]
    fn a_file_in_a_folder_may_refer_to_its_neighbours() {
        assert_eq!(replaced("s/a/j.js", r#"from "./i.js""#), r#"from "./i-3.js""#);
        assert_eq!(replaced("s/a/j.js", r#"from "/s/a/i.js""#), r#"from "/s/a/i-3.js""#);
        assert_eq!(replaced("s/a/j.js", r#"from "/i.js""#), r#"from "/i-4.js""#);
        assert_eq!(replaced("s/b/j.js", r#"from "./i.js""#), r#"from "./i.js""#);
    }

    #[test]
    fn a_mention_counts_in_any_folder() {
        assert!(mentions("see '../x/app.js'", "app.js"));
        assert!(!mentions("see myapp.js and app.js.map", "s/app.js"));
    }
}
