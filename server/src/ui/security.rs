//! The headers that tell a browser how little the page needs, on every answer of it. What the page does
//! not need is then of no use to whoever smuggles something into it.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use sha2::{Digest as _, Sha256};

use super::{Dist, INDEX};
use crate::{
    access::{authority, hosts::is_public_name},
    net::Encrypted,
};

const FIXED: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), display-capture=(), encrypted-media=(), fullscreen=(), geolocation=(), \
         gyroscope=(), accelerometer=(), magnetometer=(), microphone=(), midi=(), payment=(), \
         picture-in-picture=(), publickey-credentials-get=(), screen-wake-lock=(), usb=(), \
         xr-spatial-tracking=()",
    ),
];

/// A year, the least that lists of such hosts take. Other hosts of the domain are not ours to bind.
const HSTS: &str = "max-age=31536000";

/// Adds them to the answer to a request. Only over TLS may a browser be told to come by TLS alone (RFC
/// 6797 section 7.2), and only of a name that is ours: it holds for all ports, so whoever developed at
/// `https://localhost` would have lost every `http://localhost`.
pub(super) fn add<B>(headers: &mut HeaderMap, request: &Request<B>) {
    for (name, value) in FIXED {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, content_security_policy());
    let is_encrypted = request.extensions().get::<Encrypted>().is_some();
    let is_ours = || authority(request).is_some_and(|called| is_public_name(called.host()));
    if is_encrypted && is_ours() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
    }
}

/// Computed once; but a debug build reads the page from disk, where it changes.
fn content_security_policy() -> HeaderValue {
    static EMBEDDED: LazyLock<HeaderValue> = LazyLock::new(policy_of_the_page);
    if cfg!(debug_assertions) { policy_of_the_page() } else { EMBEDDED.clone() }
}

fn policy_of_the_page() -> HeaderValue {
    let index = Dist::get(INDEX).map(|file| file.data).unwrap_or_default();
    // Hashes are base64 and the rest is ours.
    HeaderValue::try_from(policy(&String::from_utf8_lossy(&index)))
        .unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// Nothing but the page's own files, what it computes from them, and calls to its own origin. Of
/// scripts in the page itself, only those that were built into it: they are known by their hashes.
fn policy(index: &str) -> String {
    let hash = |script| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(script)));
    let hashes = inline_scripts(index).map(hash).collect::<Vec<_>>().join(" ");
    format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval' {hashes}; style-src 'self'; \
         img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
}

/// The texts of the scripts that stand in the page, as Trunk writes them.
fn inline_scripts(html: &str) -> impl Iterator<Item = &str> {
    html.split("<script").skip(1).filter_map(|rest| {
        let (attributes, rest) = rest.split_once('>')?;
        let (script, _) = rest.split_once("</script>")?;
        (!attributes.contains("src=")).then_some(script)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_in_the_page_are_allowed_by_their_hash_alone() {
        let html = "<script src=\"/a.js\"></script>\n<script type=\"module\">alert(1)</script>";
        assert_eq!(inline_scripts(html).collect::<Vec<_>>(), ["alert(1)"]);
        // echo -n 'alert(1)' | openssl sha256 -binary | base64
        let hash = "'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='";
        let policy = policy(html);
        assert!(policy.contains(&format!("'wasm-unsafe-eval' {hash};")), "{policy}");
        assert!(!policy.contains("unsafe-inline"), "{policy}");
    }
}
