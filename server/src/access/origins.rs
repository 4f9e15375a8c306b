//! Which pages may call.
//!
//! A call of gRPC or gRPC-Web has a content type that a browser sends to another origin only after
//! asking (a preflight), and we say yes to named origins alone. A form cannot send such a type, nor can
//! `fetch` with `no-cors` (<https://fetch.spec.whatwg.org/#cors-safelisted-request-header>,
//! <https://fetch.spec.whatwg.org/#concept-headers-guard>). That the call itself is looked at too is a
//! second lock: it holds whatever a browser, an extension or a proxy makes of the first. The rule is the
//! one Go's `net/http.CrossOriginProtection` has, with the reasons in <https://words.filippo.io/csrf/>:
//! what the browser says in `sec-fetch-site`, or else whether `origin` is our own ([`super::own_origin`]).

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use tonic::Status;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer, ExposeHeaders};

use super::{
    authority,
    names::{self, NameError},
    own_origin::OwnOrigin,
    quotable,
};

/// For how long a browser need not ask again; more than Chromium allows is of no use.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_hours(2);

/// The origin of pages that may call, spelled as browsers do: `https://app.example`. With
/// `https://*.app.example` those of every name that is one label longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

/// Why a text is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Any origin, or one that any page can have.
    #[error("name each origin; `*` and `null` would let any page call")]
    Any,
    /// Not what a browser would ever send.
    #[error(
        "an origin is a scheme, a host and a port that is not the scheme's own, in lower case, \
             such as https://app.example or http://localhost:3000"
    )]
    Malformed,
    /// Not the name of a host, nor a pattern of names.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl Origin {
    /// Whether a browser's `origin` is this one, or one of these: the scheme and the port are the same to
    /// the letter, and so is the name but for the label that a star stands for.
    fn means(&self, origin: &HeaderValue) -> bool {
        let Some((scheme, name, port)) = parts(&self.0).filter(|parts| parts.1.starts_with("*."))
        else {
            return self.0 == origin;
        };
        parts(origin).is_some_and(|other| {
            (scheme, port) == (other.0, other.2) && names::means(name, other.1)
        })
    }
}

/// The scheme, the name and the port of an origin.
fn parts(origin: &HeaderValue) -> Option<(&str, &str, &str)> {
    let (scheme, authority) = origin.to_str().ok()?.split_once("://")?;
    let (name, port) = authority.split_once(':').unwrap_or((authority, ""));
    Some((scheme, name, port))
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        if matches!(text, "*" | "null") {
            return Err(OriginError::Any);
        }
        if !text.is_ascii() {
            return Err(NameError::Letters.into());
        }
        let uri: Uri = text.parse().map_err(|_| OriginError::Malformed)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(OriginError::Malformed);
        };
        let host = authority.host();
        // A scheme of a browser's extensions has an id there, which is a name, too.
        if !host.starts_with('[') {
            names::check(host)?;
        }
        // Browsers leave the port out where it is the scheme's own.
        let own_port = match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        let port = authority.port_u16().filter(|port| Some(*port) != own_port);
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        let spelled = format!("{scheme}://{}{port}", authority.host()).to_ascii_lowercase();
        match HeaderValue::from_str(&spelled) {
            Ok(value) if spelled == text => Ok(Self(value)),
            _ => Err(OriginError::Malformed),
        }
    }
}

impl Origin {
    /// As browsers spell it.
    pub(super) const fn value(&self) -> &HeaderValue {
        &self.0
    }

    /// Its host, without a port.
    pub(super) fn host(&self) -> String {
        let uri = Uri::try_from(self.0.as_bytes()).ok();
        uri.and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.to_str().unwrap_or_default())
    }
}

/// The origins that may call: the server's own, and those that are named.
#[derive(Clone, Debug)]
pub(crate) struct Origins {
    named: Arc<[Origin]>,
    own: OwnOrigin,
}

impl Origins {
    pub(super) fn new(named: &[Origin], own: OwnOrigin) -> Self {
        Self { named: named.into(), own }
    }

    /// Answers preflights, and lets pages of the named origins read answers; None if there are none.
    pub(crate) fn cors(&self) -> Option<CorsLayer> {
        (!self.named.is_empty()).then(|| {
            let named = self.clone();
            CorsLayer::new()
                .allow_origin(AllowOrigin::predicate(move |origin, _| named.name(origin)))
                .allow_methods([Method::POST])
                // Metadata has whatever names a client gives it.
                .allow_headers(AllowHeaders::mirror_request())
                // The status of an answer without messages is in its headers. The star stands for the
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
        Err(Status::permission_denied(match (site, origin) {
            (None, Some(origin)) => perhaps_foreign(origin, request),
            _ => "pages of another origin may not call this server; --cors-origin names those that may"
                .to_owned(),
        }))
    }
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a call is refused whose browser says of its page only where that comes from. It may well be ours,
/// behind a proxy that changed the host; who knows that reads this.
fn perhaps_foreign<B>(origin: &HeaderValue, request: &Request<B>) -> String {
    let origin = origin.to_str().ok().and_then(quotable).unwrap_or("ORIGIN");
    let called = authority(request);
    let called = called.as_ref().and_then(|called| quotable(called.as_str())).unwrap_or("HOST");
    format!(
        "a page of {origin} may not call {called}. If people open this server's own page there, a proxy \
         changed the host: have it send the host as it came, or set --public-origin {origin}. Another \
         server's page is let in by --cors-origin {origin}"
    )
}

#[cfg(test)]
mod tests {
    use runnel_limits::client::TrustedProxies;

    use super::*;

    #[test]
    fn an_origin_is_spelled_as_browsers_spell_it() {
        for text in [
            "https://app.example",
            "http://localhost:3000",
            "http://[::1]:8080",
            "https://xn--bcher-kva.example",
            "chrome-extension://abcdefghijklmnop",
            "https://*.preview.example",
            "http://*.localhost:3000",
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_no_browser_sends_is_refused_rather_than_never_matched() {
        for text in [
            "",
            "app.example",
            "https://",
            "https://app.example/",
            "https://app.example/path",
            "https://app.example?x",
            "https://App.example",
            "HTTPS://app.example",
            "https://app.example:443",
            "http://app.example:80",
            "https://me@app.example",
            "https://*.preview.example ",
            "https://*.preview.example/",
        ] {
            assert_eq!(text.parse::<Origin>(), Err(OriginError::Malformed), "{text}");
        }
        for text in ["*", "null"] {
            assert_eq!(text.parse::<Origin>(), Err(OriginError::Any));
        }
        for text in
            ["https://*", "https://*.example", "https://a.*.example", "https://*a.b.example"]
        {
            assert_eq!(text.parse::<Origin>(), Err(OriginError::Name(NameError::Star)), "{text}");
        }
        let letters = OriginError::Name(NameError::Letters);
        assert_eq!("https://b\u{fc}cher.example".parse::<Origin>(), Err(letters));
        let no_label = OriginError::Name(NameError::EmptyLabel);
        assert_eq!("https://.app.example".parse::<Origin>(), Err(no_label));
    }

    /// Whether a call with these headers is let through, with `https://named.example` named.
    fn passes(headers: &[(&str, &str)]) -> bool {
        let mut request = Request::post("/").header(header::HOST, "runnel.example:8080");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let named =
            ["https://named.example", "https://*.preview.example", "http://*.dev.example:3000"];
        let own = OwnOrigin::new(&[], TrustedProxies::default());
        let origins = Origins::new(&named.map(|origin| origin.parse().unwrap()), own);
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
