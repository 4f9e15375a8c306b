//! Compressed once, at build time: the best there is, and no work for the server.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};

use super::files::{Files, extension};

/// Adds `.br` and `.gz` beside each file they make smaller.
pub(super) fn beside(mut files: Files) -> Files {
    let compressed: Vec<(String, Vec<u8>)> = files
        .iter()
        .filter(|(path, _)| compressible(path))
        .flat_map(|(path, bytes)| {
            [(format!("{path}.br"), brotli(bytes)), (format!("{path}.gz"), gzip(bytes))]
                .into_iter()
                .filter(|(_, smaller)| smaller.len() < bytes.len())
        })
        .collect();
    files.extend(compressed);
    files
}

/// Images and fonts are compressed already.
fn compressible(path: &str) -> bool {
    const KINDS: [&str; 12] = [
        "css",
        "html",
        "ico",
        "js",
        "json",
        "map",
        "mjs",
        "svg",
        "txt",
        "wasm",
        "webmanifest",
        "xml",
    ];
    KINDS.contains(&extension(path))
}

fn brotli(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = brotli::CompressorWriter::new(&mut out, 1 << 16, 11, 22);
    // A Vec takes everything; if it ever did not, the shorter output must not pass for the whole.
    let whole = encoder.write_all(bytes).and_then(|()| encoder.flush());
    drop(encoder);
    if whole.is_ok() { out } else { bytes.to_vec() }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let whole = encoder.write_all(bytes).and_then(|()| encoder.finish());
    whole.unwrap_or_else(|_| bytes.to_vec())
}

/// A table of what visitors download.
pub(super) fn report(files: &Files) -> String {
    let plain = files.iter().filter(|(path, _)| !matches!(extension(path), "br" | "gz"));
    let mut rows = vec![["bytes", "brotli", "gzip", ""].map(str::to_owned)];
    let mut total = [0; 3];
    for (path, bytes) in plain {
        let size = |path: &str| files.get(path).map_or(bytes.len(), Vec::len);
        let sizes = [bytes.len(), size(&format!("{path}.br")), size(&format!("{path}.gz"))];
        total = std::array::from_fn(|i| total[i] + sizes[i]);
        let [plain, brotli, gzip] = sizes.map(|size| size.to_string());
        rows.push([plain, brotli, gzip, path.clone()]);
    }
    let [plain, brotli, gzip] = total.map(|size| size.to_string());
    rows.push([plain, brotli, gzip, "in all".to_owned()]);
    let line = |[a, b, c, what]: &[String; 4]| format!("{a:>12} {b:>10} {c:>10}  {what}");
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn both_encodings_give_back_the_file_and_never_grow_it() {
        let text = "a line of the page\n".repeat(1000).into_bytes();
        let files = Files::from([
            ("a.js".to_owned(), text.clone()),
            ("tiny.js".to_owned(), b"1".to_vec()),
            ("photo.png".to_owned(), text.clone()),
        ]);
        let page = beside(files);
        let names: Vec<&str> = page.keys().map(String::as_str).collect();
        assert_eq!(names, ["a.js", "a.js.br", "a.js.gz", "photo.png", "tiny.js"]);

        let mut out = Vec::new();
        brotli::Decompressor::new(&page["a.js.br"][..], 4096).read_to_end(&mut out).unwrap();
        assert_eq!(out, text);
        out.clear();
        flate2::read::GzDecoder::new(&page["a.js.gz"][..]).read_to_end(&mut out).unwrap();
        assert_eq!(out, text);
    }
}
