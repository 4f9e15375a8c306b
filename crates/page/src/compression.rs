//! Compressing what has no compressed form yet.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};

/// The same bytes compressed with gzip; `None` if that makes them no smaller.
pub(crate) fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().filter(|gzip| gzip.len() < bytes.len())
}
