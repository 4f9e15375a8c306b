//! Which server a request is for, and what of that may stand in a message.

use http::{Request, header, uri::Authority};

/// The server that a request is for: its `:authority`, or its `host`.
pub fn authority<B>(request: &Request<B>) -> Option<Authority> {
    request.uri().authority().cloned().or_else(|| {
        let host = request.headers().get(header::HOST)?;
        Authority::try_from(host.as_bytes()).ok()
    })
}

/// A text that a client sent, for words that name it: no name of a host is longer (RFC 1035 section
/// 2.3.4), and a response has little room.
pub(super) fn quotable(text: &str) -> Option<&str> {
    const LONGEST: usize = 300;
    (text.len() <= LONGEST).then_some(text)
}
