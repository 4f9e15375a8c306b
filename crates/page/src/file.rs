//! A file of the page, as a source of files returns it.

use std::{borrow::Cow, fmt::Write as _};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::{body::Body, scripts};

/// File extensions of precompressed forms, best first, with the content coding they are.
pub(crate) const PRECOMPRESSED: [(&str, &str); 2] = [("br", "br"), ("gz", "gzip")];

/// Which codings a client accepts, in the order of [`PRECOMPRESSED`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Codings(pub(crate) [bool; PRECOMPRESSED.len()]);

impl Codings {
    /// The codings that a client accepts, best first: the extension of such a file, and the coding.
    pub(crate) fn taken(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        PRECOMPRESSED.into_iter().zip(self.0).filter_map(|(form, taken)| taken.then_some(form))
    }
}

/// A file, in the form that the client gets.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) body: Body,
    /// The coding of `body`; None for the file as it is.
    pub(crate) coding: Option<&'static str>,
    /// The tag of exactly these bytes, without quotes.
    pub(crate) tag: String,
    /// Whether the file's name carries the hash of its bytes, so that they never change.
    pub(crate) is_immutable: bool,
    /// The sources of the scripts in it, if it is HTML.
    pub(crate) scripts: Option<String>,
}

/// What was found for a name.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) file: File,
    /// Whether it is the page, because there is no file of that name.
    pub(crate) is_index: bool,
}

/// How much of a SHA-256 a name or an ETag carries, in hexadecimal digits.
const HASH_DIGITS: usize = 16;

/// The beginning of the hash of some bytes, as names and tags carry it.
pub(crate) fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().take(HASH_DIGITS / 2).fold(
        String::with_capacity(HASH_DIGITS),
        |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        },
    )
}

/// Whether a name is `{stem}-{hash}.{extension}` with the file's own hash. A name with another hash does
/// not count.
pub(crate) fn carries_hash(name: &str, hash: &str) -> bool {
    name.rsplit_once('.')
        .and_then(|(stem, _extension)| stem.rsplit_once('-'))
        .is_some_and(|(_stem, in_name)| in_name == hash)
}

/// A page that is made for this one request.
pub(crate) fn made(html: Cow<'_, str>) -> File {
    let html = html.into_owned();
    File {
        tag: hash(html.as_bytes()),
        scripts: Some(scripts::sources(&html)),
        coding: None,
        is_immutable: false,
        body: Body::whole(Bytes::from(html)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_with_the_hash_of_its_own_bytes_is_immutable() {
        let hash = hex(&[0xab; 32]);
        assert!(carries_hash("page-abababababababab.js", &hash));
        assert!(!carries_hash("page-cdcdcdcdcdcdcdcd.js", &hash));
        assert!(!carries_hash("page.js", &hash));
        assert!(!carries_hash("page-abababababababab", &hash));
        assert!(!carries_hash("index.html", &hash));
    }
}
