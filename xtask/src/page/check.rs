//! The page as a browser will take it: what `index.html` asks for is there, and is what it says.

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::{
    ENTRY,
    files::{Files, extension},
};

/// The values an `integrity` attribute may have for these bytes.
pub(super) fn integrities(bytes: &[u8]) -> [String; 3] {
    [
        format!("sha256-{}", STANDARD.encode(Sha256::digest(bytes))),
        format!("sha384-{}", STANDARD.encode(Sha384::digest(bytes))),
        format!("sha512-{}", STANDARD.encode(Sha512::digest(bytes))),
    ]
}

/// Fails if `index.html` refers to a file of ours that is not there, or whose `integrity` a
/// browser would refuse.
pub(super) fn complete(files: &Files) -> Result<()> {
    let html = files.get(ENTRY).context("there is no index.html")?;
    let html = std::str::from_utf8(html).context("index.html is not UTF-8")?;
    // Tags and the inline module script alike put paths in quotes.
    for path in html.split(['"', '\'', '`']).filter_map(local_file) {
        ensure!(files.contains_key(path), "index.html refers to {path}, which is not there");
    }
    for tag in html.split('<').filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag) {
        let Some(integrity) = attribute(tag, "integrity") else {
            continue;
        };
        let target = attribute(tag, "href").or_else(|| attribute(tag, "src"));
        let Some(path) = target.and_then(local_file) else {
            continue;
        };
        let bytes = files.get(path).with_context(|| format!("{path} is not there"))?;
        let known = integrities(bytes);
        ensure!(
            integrity.split_whitespace().any(|value| known.iter().any(|known| known == value)),
            "the integrity of {path} in index.html is not that of its bytes"
        );
    }
    Ok(())
}

/// The path in `/app.js` or `./app.js`; nothing for other origins, RPCs, routes and prose.
fn local_file(reference: &str) -> Option<&str> {
    const KINDS: [&str; 11] =
        ["css", "ico", "jpg", "js", "mjs", "png", "svg", "wasm", "webmanifest", "webp", "woff2"];
    let path = reference.strip_prefix("./").or_else(|| reference.strip_prefix('/'))?;
    let path = path.split(['?', '#']).next()?;
    (!path.starts_with('/') && KINDS.contains(&extension(path))).then_some(path)
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let value = tag.split_once(&format!(" {name}=\""))?.1;
    Some(value.split_once('"')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(html: String) -> Files {
        Files::from([(ENTRY.to_owned(), html.into_bytes()), ("a.js".to_owned(), b"1".to_vec())])
    }

    #[test]
    fn a_missing_file_is_found_in_tags_and_in_scripts() {
        complete(&page("<a href=\"/route\"><script src=\"/a.js\"></script>".to_owned())).unwrap();
        complete(&page("<link href=\"https://example.org/b.js\">".to_owned())).unwrap();
        for html in ["<script src=\"/b.js\"></script>", "<script>import './b.js'</script>"] {
            complete(&page(html.to_owned())).unwrap_err();
        }
    }

    #[test]
    fn an_integrity_must_be_of_the_bytes() {
        let tag = |bytes| format!("<link href=\"/a.js\" integrity=\"{}\">", integrities(bytes)[1]);
        complete(&page(tag(b"1"))).unwrap();
        complete(&page(tag(b"2"))).unwrap_err();
    }
}
