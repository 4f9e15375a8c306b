//! Which pages may call.
//!
//! A call of gRPC or gRPC-Web has a content type that a browser sends to another origin only after
//! asking (a preflight), and we say yes to named origins alone. A form cannot send such a type, nor can
//! `fetch` with `no-cors` (<https://fetch.spec.whatwg.org/#cors-safelisted-request-header>,
//! <https://fetch.spec.whatwg.org/#concept-headers-guard>). That the call itself is looked at too is a
//! second lock: it holds whatever a browser, an extension or a proxy makes of the first. The rule is the
//! one Go's `net/http.CrossOriginProtection` has, with the reasons in <https://words.filippo.io/csrf/>:
//! what the browser says in `sec-fetch-site`, or else whether `origin` is our own ([`super::own_origin`]).

use std::{sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Method, Request, header};
use tonic::Status;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer, ExposeHeaders};

use super::{
    authority::{authority, quotable},
    origin::Origin,
    own_origin::OwnOrigin,
    settings::SettingNames,
};

/// For how long a browser need not ask again; more than Chromium allows is of no use.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_hours(2);

/// The origins that may call: the server's own, and those that are named.
#[derive(Clone, Debug)]
pub(super) struct Origins {
    named: Arc<[Origin]>,
    own: OwnOrigin,
    names: SettingNames,
}

impl Origins {
    pub(super) fn new(named: &[Origin], own: OwnOrigin, names: SettingNames) -> Self {
        Self { named: named.into(), own, names }
    }

    /// Answers preflights, and lets pages of the named origins read answers; None if there are none.
    pub(super) fn cors(&self) -> Option<CorsLayer> {
        (!self.named.is_empty()).then(|| {
            let named = self.clone();
            CorsLayer::new()
                .allow_origin(AllowOrigin::predicate(move |origin, _| named.name(origin)))
                .allow_methods([Method::POST])
                // Metadata has whatever names a client gives it.
                .allow_headers(AllowHeaders::mirror_request())
                // The status of a response without messages is in its headers. The star stands for the
                // metadata, whose names the services choose.
                .expose_headers(ExposeHeaders::list([
                    HeaderName::from_static("grpc-status"),
                    HeaderName::from_static("grpc-message"),
                    HeaderName::from_static("grpc-status-details-bin"),
                    HeaderName::from_static("*"),
                ]))
                .max_age(PREFLIGHT_MAX_AGE)
        })
    }

    /// Whether an origin is one of those that were named.
    fn name(&self, origin: &HeaderValue) -> bool {
        self.named.iter().any(|named| named.means(origin))
    }

    /// Refuses a call that a page of another origin makes.
    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<(), Status> {
        let headers = request.headers();
        let (site, origin) = (headers.get(SEC_FETCH_SITE), headers.get(header::ORIGIN));
        let is_own = match site.map(HeaderValue::as_bytes) {
            Some(b"same-origin" | b"none") => true,
            Some(_) => false,
            // An old browser, or one that was called without TLS; or none.
            None => origin.is_none_or(|origin| self.own.is(origin, request)),
        };
        if is_own || origin.is_some_and(|origin| self.name(origin)) {
            return Ok(());
        }
        let SettingNames { allowed_origins, .. } = self.names;
        Err(Status::permission_denied(match (site, origin) {
            (None, Some(origin)) => perhaps_foreign(origin, request, self.names),
            _ => format!(
                "pages of another origin may not call this server; {allowed_origins} names those that may"
            ),
        }))
    }
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a call is refused whose browser says of its page only where that comes from. It may well be ours,
/// behind a proxy that changed the host; who knows that reads this.
fn perhaps_foreign<B>(origin: &HeaderValue, request: &Request<B>, names: SettingNames) -> String {
    let SettingNames { allowed_origins, public_origins, .. } = names;
    let origin = origin.to_str().ok().and_then(quotable).unwrap_or("ORIGIN");
    let called = authority(request);
    let called = called.as_ref().and_then(|called| quotable(called.as_str())).unwrap_or("HOST");
    format!(
        "a page of {origin} may not call {called}. If people open this server's own page there, a proxy \
         changed the host: have it send the host as it came, or set {public_origins} {origin}. Another \
         server's page is let in by {allowed_origins} {origin}"
    )
}

#[cfg(test)]
mod tests {
    use runnel_limits::client::TrustedProxies;

    use super::*;

    /// Whether a call with these headers is let through, with `https://named.example` named.
    fn passes(headers: &[(&str, &str)]) -> bool {
        let mut request = Request::post("/").header(header::HOST, "runnel.example:8080");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let named =
            ["https://named.example", "https://*.preview.example", "http://*.dev.example:3000"];
        let own = OwnOrigin::new(&[], TrustedProxies::default());
        let origins = Origins::new(
            &named.map(|origin| origin.parse().unwrap()),
            own,
            SettingNames::default(),
        );
        origins.check(&request.body(()).unwrap()).is_ok()
    }

    #[test]
    fn native_clients_our_own_page_and_named_origins_may_call() {
        for headers in [
            &[][..],
            &[("sec-fetch-site", "same-origin"), ("origin", "http://runnel.example:8080")],
            // Through a development proxy that rewrites the host.
            &[("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:8081")],
            &[("sec-fetch-site", "none")],
            &[("origin", "http://runnel.example:8080")],
            &[("origin", "https://Runnel.example:8080")],
            &[("origin", "https://named.example")],
            &[("origin", "https://pull-7.preview.example")],
            &[("origin", "http://a.dev.example:3000")],
            &[("sec-fetch-site", "cross-site"), ("origin", "https://named.example")],
        ] {
            assert!(passes(headers), "{headers:?}");
        }
    }

    #[test]
    fn pages_of_other_origins_may_not() {
        for headers in [
            &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")][..],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site"), ("origin", "https://other.runnel.example")],
            &[("sec-fetch-site", "nonsense")],
            &[("origin", "https://evil.example")],
            &[("origin", "http://runnel.example:8081")],
            &[("origin", "http://named.example")],
            &[("origin", "https://named.example.evil.example")],
            &[("origin", "https://a.named.example")],
            &[("origin", "https://preview.example")],
            &[("origin", "https://a.b.preview.example")],
            &[("origin", "https://a.preview.example.evil.example")],
            &[("origin", "https://evil.example/.preview.example")],
            &[("origin", "http://a.preview.example")],
            &[("origin", "https://a.preview.example:8443")],
            &[("origin", "http://a.dev.example")],
            &[("origin", "https://*.preview.example")],
            &[("origin", "null")],
            &[("origin", "")],
        ] {
            assert!(!passes(headers), "{headers:?}");
        }
    }
}
