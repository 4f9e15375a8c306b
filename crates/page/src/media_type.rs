//! What a file is, by the extension of its name.

use http::HeaderValue;

/// The value of `content-type`. Text is UTF-8 and says so; browsers would guess otherwise.
pub(crate) fn content_type(name: &str) -> HeaderValue {
    let mime_type = mime_guess::from_path(name).first_or_octet_stream();
    let text = mime_type.type_() == "text";
    let charset = if text { "; charset=utf-8" } else { "" };
    HeaderValue::try_from(format!("{}{charset}", mime_type.essence_str()))
        .unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// Whether it is a page, with scripts in it.
pub(crate) fn is_html(name: &str) -> bool {
    mime_guess::from_path(name).iter().any(|mime_type| mime_type.subtype() == "html")
}

/// Whether compression makes such a file smaller: text, and WebAssembly. Images and most fonts are
/// compressed already.
pub(crate) fn is_compressible(name: &str) -> bool {
    const SUBTYPES: [&str; 7] =
        ["javascript", "json", "wasm", "xml", "x-icon", "vnd.microsoft.icon", "x-javascript"];
    let mime_type = mime_guess::from_path(name).first_or_octet_stream();
    mime_type.type_() == "text"
        || matches!(mime_type.suffix().map(|suffix| suffix.as_str()), Some("xml" | "json"))
        || matches!(mime_type.essence_str(), "font/ttf" | "font/otf")
        || SUBTYPES.contains(&mime_type.subtype().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_says_that_it_is_utf_8() {
        for (name, expected) in [
            ("a.js", "text/javascript; charset=utf-8"),
            ("a/b.html", "text/html; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.wasm", "application/wasm"),
            ("a.svg", "image/svg+xml"),
            ("a.webmanifest", "application/manifest+json"),
            ("LICENSE", "application/octet-stream"),
        ] {
            assert_eq!(content_type(name), expected, "{name}");
        }
    }

    #[test]
    fn text_and_wasm_are_compressible_and_images_are_not() {
        for name in ["a.html", "a.js", "a.css", "a.wasm", "a.svg", "a.json", "a.xml", "a.ttf"] {
            assert!(is_compressible(name), "{name}");
        }
        for name in ["a.png", "a.woff2", "a.jpg", "a.mp4", "a.zip", "LICENSE"] {
            assert!(!is_compressible(name), "{name}");
        }
    }
}
