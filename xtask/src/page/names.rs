//! New names: each file by the hash of its final bytes, each reference by the new name.
//!
//! A file can be named only when everything it refers to has its name, for those names are part of
//! its bytes; `index.html`, which refers to all and keeps its name, comes last. A file nobody
//! refers to (`robots.txt`) is asked for by the name it has, and keeps it too.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};
use sha2::{Digest as _, Sha256};

use super::{
    ENTRY,
    check::integrities,
    files::{Files, extension, file_name, folder},
    references,
};

/// `files` under final names. Doing it again changes nothing.
pub(super) fn by_content(files: &Files) -> Result<Files> {
    let files: BTreeMap<&str, &[u8]> = files
        .iter()
        .filter(|(path, _)| !matches!(extension(path), "br" | "gz"))
        .map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
        .collect();
    ensure!(files.contains_key(ENTRY), "there is no {ENTRY}");

    let everything: BTreeMap<String, String> = files
        .keys()
        .filter(|path| **path != ENTRY)
        .map(|path| ((*path).to_owned(), (*path).to_owned()))
        .collect();
    let refers: BTreeMap<&str, BTreeSet<&str>> = files
        .iter()
        .map(|(path, bytes)| {
            let text = references::text(path, bytes).unwrap_or_default();
            (*path, references::replace(path, text, &everything).1.into_iter().collect())
        })
        .collect();
    let referred: BTreeSet<&str> = refers.values().flatten().copied().collect();
    for path in everything.keys().filter(|path| !referred.contains(path.as_str())) {
        // The server would let it be cached for ever under a name that is not of its bytes.
        ensure!(
            bare(file_name(path)) == file_name(path),
            "nothing refers to {path}, although its name carries a hash"
        );
    }

    let mut renames = BTreeMap::new();
    let mut done = Files::new();
    let mut entry_integrities = Vec::new();
    let mut waiting: Vec<&str> = files.keys().copied().collect();
    while !waiting.is_empty() {
        let ready = |path: &&str| refers[path].iter().all(|to| renames.contains_key(*to));
        let (now, later): (Vec<&str>, Vec<&str>) = waiting.iter().partition(|path| ready(path));
        if now.is_empty() {
            bail!("these refer to each other or to themselves, so none can be named: {later:?}");
        }
        for path in now {
            let old = files[path];
            let mut bytes = match references::text(path, old) {
                Some(text) => references::replace(path, text, &renames).0.into_bytes(),
                None => old.to_vec(),
            };
            if path == ENTRY {
                bytes = substitute(bytes, &entry_integrities)?;
            }
            if bytes != old {
                entry_integrities.extend(integrities(old).into_iter().zip(integrities(&bytes)));
            }
            let named = referred.contains(path);
            let new = if named { hashed(path, &bytes) } else { path.to_owned() };
            if named {
                renames.insert(path.to_owned(), new.clone());
            }
            done.insert(new, bytes);
        }
        waiting = later;
    }
    nothing_left(&renames, &done)?;
    Ok(done)
}

/// `<stem>-<first 16 hex digits of the SHA-256>.<ext>`, in the same folder.
fn hashed(path: &str, bytes: &[u8]) -> String {
    let hash = format!("{:x}", Sha256::digest(bytes));
    let name = bare(file_name(path));
    let (stem, extension) = name.rsplit_once('.').unwrap_or((&name, ""));
    let dot = if extension.is_empty() { "" } else { "." };
    format!("{}{stem}-{}{dot}{extension}", folder(path), &hash[..16])
}

/// The name without a hash, trunk's (`app-<hash>_bg.wasm`, `<hash>-init.js`) or ours.
fn bare(name: &str) -> String {
    let (stem, extension) = name.split_at(name.rfind('.').unwrap_or(name.len()));
    // Sixteen digits, fewer where trunk's number begins with zeros.
    let is_hash = |part: &str| {
        (12..=16).contains(&part.len())
            && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    if let Some((stem, last)) = stem.rsplit_once('-') {
        let (hash, suffix) = last.split_at(last.find('_').unwrap_or(last.len()));
        if is_hash(hash) {
            return format!("{stem}{suffix}{extension}");
        }
    }
    match stem.split_once('-') {
        Some((first, rest)) if is_hash(first) => format!("{rest}{extension}"),
        _ => name.to_owned(),
    }
}

/// Puts the new `integrity` in place of each that changed with its file.
fn substitute(bytes: Vec<u8>, changes: &[(String, String)]) -> Result<Vec<u8>> {
    let mut text = String::from_utf8(bytes)?;
    for (old, new) in changes {
        text = text.replace(old, new);
    }
    Ok(text.into_bytes())
}

/// The proof: no file that was renamed is still spoken of by its old name.
fn nothing_left(renames: &BTreeMap<String, String>, files: &Files) -> Result<()> {
    let gone = || renames.iter().filter(|(old, new)| old != new).map(|(old, _)| old.as_str());
    for (path, bytes) in files {
        let text = references::text(path, bytes);
        let left = gone().find(|old| match text {
            Some(text) => references::mentions(text, old),
            // In binary files only names too odd to be there by chance count.
            None => bare(file_name(old)) != file_name(old) && contains(bytes, file_name(old)),
        });
        if let Some(left) = left {
            bail!("{path} still speaks of {left}, in a way that could not be rewritten");
        }
    }
    Ok(())
}

fn contains(bytes: &[u8], name: &str) -> bool {
    bytes.windows(name.len()).any(|window| window == name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::check;

    const WASM: &str = "runnel-web-00b6a7f1c2d3e4f5_bg.wasm";
    const GLUE: &str = "runnel-web-00b6a7f1c2d3e4f5.js";
    const SNIPPET: &str = "snippets/runnel-web-1a2b3c/inline0.js";
    const STYLE: &str = "main-9f8e7d6c5b4a392.css";

    /// What trunk writes: glue that imports a snippet, hashes of what came in, integrity of both.
    fn trunk(wasm: &[u8]) -> Files {
        let glue = format!("import {{ f }} from './{SNIPPET}'; new URL('runnel-web_bg.wasm')");
        let sri = |bytes: &[u8]| integrities(bytes)[1].clone();
        let html = format!(
            "<link rel=\"stylesheet\" href=\"/{STYLE}\" integrity=\"{}\">\n\
             <link rel=\"modulepreload\" href=\"/{GLUE}\" integrity=\"{}\">\n\
             <link rel=\"preload\" as=\"fetch\" href=\"/{WASM}\" integrity=\"{}\">\n\
             <script type=\"module\">import init from '/{GLUE}';\n\
             await init({{ module_or_path: '/{WASM}' }});</script>",
            sri(b"body{}"),
            sri(glue.as_bytes()),
            sri(wasm),
        );
        Files::from([
            (ENTRY.to_owned(), html.into_bytes()),
            (GLUE.to_owned(), glue.into_bytes()),
            (WASM.to_owned(), wasm.to_vec()),
            (SNIPPET.to_owned(), b"export const f = 1".to_vec()),
            (STYLE.to_owned(), b"body{}".to_vec()),
            ("robots.txt".to_owned(), b"User-agent: *".to_vec()),
        ])
    }

    #[test]
    fn every_reference_resolves_and_every_integrity_matches() {
        let page = by_content(&trunk(b"\0asm")).unwrap();
        check::complete(&page).unwrap();
        let names: Vec<&str> = page.keys().map(String::as_str).collect();
        assert_eq!(names.len(), 6);
        for name in names.iter().filter(|name| **name != ENTRY && **name != "robots.txt") {
            let hash = &format!("{:x}", Sha256::digest(&page[*name]))[..16];
            assert!(name.contains(hash), "{name} is of the hash {hash}");
        }
        assert!(names.iter().any(|name| name.starts_with("runnel-web_bg-")), "{names:?}");
        assert!(names.iter().any(|name| name.starts_with("main-")), "{names:?}");
    }

    #[test]
    fn one_name_never_carries_different_bytes() {
        // Trunk gives both the same name: it hashed what went into wasm-opt, not what came out.
        let (one, other) = (by_content(&trunk(b"\0asm1")), by_content(&trunk(b"\0asm2")));
        let (one, other) = (one.unwrap(), other.unwrap());
        for (name, bytes) in one.iter().filter(|(name, _)| *name != ENTRY) {
            assert!(other.get(name).is_none_or(|same| same == bytes), "{name}");
        }
        assert_ne!(one[ENTRY], other[ENTRY], "the page names another wasm");
    }

    #[test]
    fn a_file_is_named_after_what_it_refers_to() {
        let mut changed = trunk(b"\0asm");
        changed.insert(SNIPPET.to_owned(), b"export const f = 2".to_vec());
        let glue = |files: Files| {
            let page = by_content(&files).unwrap();
            page.into_keys().find(|name| name.starts_with("runnel-web-")).unwrap()
        };
        assert_ne!(glue(trunk(b"\0asm")), glue(changed));
    }

    #[test]
    fn packaging_is_repeatable_and_idempotent() {
        let once = by_content(&trunk(b"\0asm")).unwrap();
        assert_eq!(once, by_content(&trunk(b"\0asm")).unwrap());
        assert_eq!(once, by_content(&once).unwrap());
    }

    #[test]
    fn a_name_that_cannot_be_rewritten_fails_loudly() {
        let failure = |path: &str, content: &str| {
            let mut files = trunk(b"\0asm");
            files.insert(path.to_owned(), content.as_bytes().to_vec());
            by_content(&files).unwrap_err().to_string()
        };
        let composed = format!("User-agent: * https://example.org/{GLUE}");
        assert!(failure("robots.txt", &composed).contains("still speaks of"));
        assert!(
            failure(SNIPPET, &format!("import './{SNIPPET}'; import '/{GLUE}'"))
                .contains("each other")
        );
        assert!(failure("lost-0123456789abcdef.js", "").contains("nothing refers to"));
    }

    #[test]
    fn hashes_of_trunk_are_recognised_and_words_are_not() {
        for (name, expected) in [
            ("runnel-web-c0b6a7f1c2d3e4f5_bg.wasm", "runnel-web_bg.wasm"),
            ("runnel-web-c0b6a7f1c2d3e4f5.js", "runnel-web.js"),
            ("c0b6a7f1c2d3e4f5-init.js", "init.js"),
            ("icon-b6a7f1c2d3e4f5.svg", "icon.svg"),
            ("dark-facade.css", "dark-facade.css"),
            ("README", "README"),
        ] {
            assert_eq!(bare(name), expected);
        }
    }
}
