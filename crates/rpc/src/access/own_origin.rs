//! Whether a page is the server's own, where its browser does not say so: in the clear, on a name that is
//! not localhost, browsers send no `sec-fetch-site` (<https://w3c.github.io/webappsec-fetch-metadata/>).
//! Then the page's `origin` is compared with the host that is called. A proxy may have changed that:
//!
//! - It dropped the port, as nginx does with `$host`. A host without a port is ours whatever the page's
//!   port is. A page on another port of the same host is another origin, which this lets through; but its
//!   browser asks first (a preflight) and is told no, and the two share their cookies anyway (RFC 6265
//!   section 8.5). A port that is there must be the page's.
//! - It put its own name for us there, as nginx does unless told otherwise, and says in
//!   `x-forwarded-host` or `forwarded` what it was called by. That is believed of a trusted proxy. Of
//!   others it is not, although no page of another origin can send these headers without a preflight.
//! - It says nothing. Then the server cannot know, and the operator names the page's origin.
//!
//! The scheme is not compared, because a proxy may end TLS. `x-forwarded-proto` and `x-forwarded-port`
//! are not read: they could only refuse, and where proxies stand in a row the last one writes its own.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Request, header, uri::Authority};
use runnel_limits::client::TrustedProxies;

use super::{authority::authority, origin::Origin};

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What is known of where the server's own page is opened.
#[derive(Clone, Debug)]
pub(super) struct OwnOrigin {
    public: Arc<[HeaderValue]>,
    proxies: TrustedProxies,
}

impl OwnOrigin {
    /// At these origins, wherever requests are for, and where `proxies` say.
    pub(super) fn new(public: &[Origin], proxies: TrustedProxies) -> Self {
        Self { public: public.iter().map(|origin| origin.value().clone()).collect(), proxies }
    }

    /// Whether a page of this origin that made this request is ours.
    pub(super) fn is<B>(&self, origin: &HeaderValue, request: &Request<B>) -> bool {
        if self.public.contains(origin) {
            return true;
        }
        let Some(page) = Page::at(origin) else {
            return false;
        };
        authority(request).is_some_and(|called| page.is_at(&called))
            || self.proxies.sent(request.extensions())
                && hosts_said_by_proxies(request.headers())
                    .filter_map(|host| host.parse().ok())
                    .any(|called| page.is_at(&called))
    }
}

/// Where a page was opened.
struct Page {
    authority: Authority,
    port: Option<u16>,
}

impl Page {
    fn at(origin: &HeaderValue) -> Option<Self> {
        let (scheme, authority) = origin.to_str().ok()?.split_once("://")?;
        let authority: Authority = authority.parse().ok()?;
        let port = authority.port_u16().or(match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        });
        Some(Self { authority, port })
    }

    fn is_at(&self, called: &Authority) -> bool {
        let is_same_port = called.port_u16().is_none_or(|port| Some(port) == self.port);
        is_same_port && self.authority.host().eq_ignore_ascii_case(called.host())
    }
}

/// What proxies say they were called by: `app.example` in `x-forwarded-host: app.example` and in
/// `forwarded: for=192.0.2.1;host="app.example"` (RFC 7239 section 5.3).
fn hosts_said_by_proxies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = |name| headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    let listed = lines(FORWARDED_HOST).flat_map(|line| line.split(','));
    let pairs = lines(header::FORWARDED).flat_map(|line| line.split([',', ';']));
    let forwarded = pairs.filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("host").then(|| value.trim().trim_matches('"'))
    });
    listed.map(str::trim).chain(forwarded)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use runnel_limits::client::Peer;

    use super::*;

    const PROXY: &str = "10.1.2.3:1234";

    /// Whether a page of `origin` is ours that reached us from `sender` with these headers, behind proxies
    /// in 10.0.0.0/8, with `https://people.example` named.
    fn is_own(origin: &str, sender: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::post("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        let sender: SocketAddr = sender.parse().unwrap();
        request.extensions_mut().insert(Peer(sender));
        let proxies = TrustedProxies::new(&["10.0.0.0/8".parse().unwrap()]);
        let own = OwnOrigin::new(&["https://people.example".parse().unwrap()], proxies);
        own.is(&origin.parse().unwrap(), &request)
    }

    #[test]
    fn the_host_that_is_called_is_the_pages_or_has_lost_its_port() {
        for (origin, host) in [
            ("http://app.example", "app.example"),
            ("http://app.example", "app.example:80"),
            ("https://app.example", "app.example:443"),
            ("http://app.example:8080", "app.example:8080"),
            ("https://app.example:8080", "App.Example:8080"),
            ("http://app.example:8080", "app.example"),
            ("http://[2001:db8::1]:8080", "[2001:db8::1]"),
        ] {
            assert!(is_own(origin, PROXY, &[("host", host)]), "{origin} {host}");
        }
        for (origin, host) in [
            ("http://app.example", "app.example:443"),
            ("http://app.example:8080", "app.example:80"),
            ("http://app.example:8081", "app.example:8080"),
            ("http://other.example:8080", "app.example"),
            ("http://app.example.evil.example", "app.example"),
            ("http://evil-app.example", "app.example"),
            ("null", "null"),
            ("", ""),
            ("app.example", "app.example"),
        ] {
            assert!(!is_own(origin, PROXY, &[("host", host)]), "{origin} {host}");
        }
        assert!(!is_own("http://app.example", PROXY, &[]));
    }

    #[test]
    fn what_a_trusted_proxy_was_called_by_is_believed_and_what_others_say_is_not() {
        let page = "http://app.example:8080";
        for said in [
            ("x-forwarded-host", "app.example:8080"),
            ("x-forwarded-host", "app.example"),
            ("x-forwarded-host", "app.example:8080, inner.example"),
            ("forwarded", "for=192.0.2.1;host=app.example;proto=http"),
            ("forwarded", "for=192.0.2.1; Host=\"app.example:8080\", for=10.1.2.3"),
        ] {
            let headers = [("host", "runnel:8080"), said];
            assert!(is_own(page, PROXY, &headers), "{said:?}");
            assert!(!is_own(page, "192.0.2.7:1234", &headers), "{said:?}");
        }
        for said in [
            ("x-forwarded-host", "app.example:9090"),
            ("x-forwarded-host", "evil.example"),
            ("forwarded", "for=app.example;by=app.example"),
            ("x-forwarded-server", "app.example"),
        ] {
            assert!(!is_own(page, PROXY, &[("host", "runnel:8080"), said]), "{said:?}");
        }
    }

    #[test]
    fn a_named_origin_is_ours_whatever_host_was_called() {
        assert!(is_own("https://people.example", PROXY, &[("host", "runnel:8080")]));
        assert!(!is_own("http://people.example", PROXY, &[("host", "runnel:8080")]));
        assert!(!is_own("https://people.example:8443", PROXY, &[("host", "runnel:8080")]));
    }
}
