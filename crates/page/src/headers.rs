//! The headers of every response, which say how little the page needs: an attacker who injects something
//! into the page cannot use anything else.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// What a page may do in a browser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Needs {
    /// What pages commonly do: load everything from their own origin, call it, contain styles, images and
    /// fonts, and open windows of other origins, for instance to sign in.
    #[default]
    Common,
    /// Scripts, styles and images in files of its own, WebAssembly, and calls to its own origin; but no
    /// fonts, no workers, no devices, no `style` attributes.
    Least,
}

/// The `content-security-policy` of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// A policy that allows what the page [`Needs`], and the scripts in its HTML by their hashes.
    #[default]
    Computed,
    /// This policy, for every response.
    Fixed(HeaderValue),
    /// No policy is sent.
    Omitted,
}

const ALWAYS: [(HeaderName, &str); 2] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// The features that a page with [`Needs::Least`] does not use.
const NO_DEVICES: &str = "camera=(), display-capture=(), encrypted-media=(), fullscreen=(), geolocation=(), \
     gyroscope=(), accelerometer=(), magnetometer=(), microphone=(), midi=(), payment=(), \
     picture-in-picture=(), publickey-credentials-get=(), screen-wake-lock=(), usb=(), \
     xr-spatial-tracking=()";

/// Adds the headers. `scripts` are the sources of the scripts in the page.
pub(crate) fn add(headers: &mut HeaderMap, needs: Needs, policy: &Policy, scripts: &str) {
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let (opener, referrer) = match needs {
        Needs::Common => ("same-origin-allow-popups", "strict-origin-when-cross-origin"),
        Needs::Least => ("same-origin", "same-origin"),
    };
    headers.insert(OPENER_POLICY, HeaderValue::from_static(opener));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static(referrer));
    if needs == Needs::Least {
        headers.insert(PERMISSIONS_POLICY, HeaderValue::from_static(NO_DEVICES));
    }
    let policy = match policy {
        Policy::Omitted => return,
        Policy::Fixed(policy) => policy.clone(),
        // Hashes are base64 and the rest is ours.
        Policy::Computed => HeaderValue::try_from(computed(needs, scripts))
            .unwrap_or(HeaderValue::from_static("default-src 'none'")),
    };
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
}

/// Of scripts in the page itself, only those that were built into it: they are known by their hashes.
fn computed(needs: Needs, scripts: &str) -> String {
    let scripts = format!("script-src 'self' 'wasm-unsafe-eval' {scripts}");
    let scripts = scripts.trim_end();
    match needs {
        Needs::Common => format!(
            "default-src 'self'; {scripts}; style-src 'self' 'unsafe-inline'; \
             img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' data: blob:; \
             worker-src 'self' blob:; connect-src 'self'; object-src 'none'; base-uri 'self'; \
             form-action 'self'; frame-ancestors 'self'"
        ),
        Needs::Least => format!(
            "default-src 'none'; {scripts}; style-src 'self'; \
             img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_in_the_page_are_allowed_by_their_hash_alone() {
        for needs in [Needs::Common, Needs::Least] {
            let policy = computed(needs, "'sha256-AA='");
            assert!(
                policy.contains("; script-src 'self' 'wasm-unsafe-eval' 'sha256-AA=';"),
                "{policy}"
            );
            assert!(computed(needs, "").contains("'wasm-unsafe-eval';"), "{policy}");
        }
        assert!(!computed(Needs::Least, "").contains("unsafe-inline"));
    }
}
