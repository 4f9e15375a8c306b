//! Where a backend is: `http://host:port`, or `https://` for TLS.

use std::{fmt, str::FromStr};

use http::{
    Uri,
    uri::{Authority, Scheme},
};

/// The port of a gRPC server that nobody gave another one.
pub(crate) const DEFAULT_PORT: u16 = 50051;

/// The URL of a backend; its name may stand for several addresses.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BackendUrl {
    tls: bool,
    authority: Authority,
}

/// A URL that names no backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a backend is http://HOST:PORT or https://HOST:PORT, without a path")]
pub struct NoBackendUrl;

impl BackendUrl {
    /// `http://HOST:PORT`.
    pub fn plain(host: &str, port: u16) -> Result<Self, NoBackendUrl> {
        // An IPv6 address needs brackets in a URL.
        let bare_ipv6 = host.contains(':') && !host.starts_with('[');
        let (open, close) = if bare_ipv6 { ("[", "]") } else { ("", "") };
        format!("http://{open}{host}{close}:{port}").parse()
    }

    /// Whether it is called through TLS.
    pub(super) const fn is_tls(&self) -> bool {
        self.tls
    }

    /// What calls are made to, as `:authority` has it.
    pub(super) const fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(super) const fn scheme(&self) -> Scheme {
        if self.tls { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// The name or address without a port, and without the brackets of IPv6.
    pub(super) fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(DEFAULT_PORT)
    }
}

impl FromStr for BackendUrl {
    type Err = NoBackendUrl;

    fn from_str(text: &str) -> Result<Self, NoBackendUrl> {
        let uri: Uri = text.parse().map_err(|_| NoBackendUrl)?;
        let parts = uri.into_parts();
        let path = parts.path_and_query.as_ref().map_or("", |path| path.as_str());
        let tls = match parts.scheme.as_ref().map(Scheme::as_str) {
            // `localhost:50051`, as most gRPC clients take it.
            Some("http") | None => false,
            Some("https") => true,
            Some(_) => return Err(NoBackendUrl),
        };
        let authority = parts.authority.ok_or(NoBackendUrl)?;
        let has_user = authority.as_str().contains('@');
        // `host:` and `host:65536` parse, and have no port.
        let has_odd_port = authority.port().is_none()
            && authority.as_str().trim_end_matches(authority.host()).contains(':')
            || authority.as_str().ends_with(':')
            || authority.port_u16() == Some(0);
        if !matches!(path, "" | "/") || has_user || has_odd_port || authority.host().is_empty() {
            return Err(NoBackendUrl);
        }
        Ok(Self { tls, authority })
    }
}

impl fmt::Display for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.authority)
    }
}

impl fmt::Debug for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, String, u16), NoBackendUrl> {
        let url: BackendUrl = text.parse()?;
        Ok((url.to_string(), url.host().to_owned(), url.port()))
    }

    fn is(url: &str, host: &str, port: u16) -> (String, String, u16) {
        (url.to_owned(), host.to_owned(), port)
    }

    #[test]
    fn a_backend_is_a_scheme_a_host_and_a_port() {
        assert_eq!(
            parse("http://localhost:50051"),
            Ok(is("http://localhost:50051", "localhost", 50051))
        );
        assert_eq!(parse("https://a.example/"), Ok(is("https://a.example", "a.example", 50051)));
        assert_eq!(parse("https://[::1]:1"), Ok(is("https://[::1]:1", "::1", 1)));
        assert_eq!(parse("backend:7"), Ok(is("http://backend:7", "backend", 7)));
    }

    #[test]
    fn what_is_no_backend_is_refused() {
        for text in [
            "",
            "/",
            "http://",
            "http://:50051",
            "ftp://host:1",
            "http://host:1/path",
            "http://host:1?query",
            "http://user@host:1",
            "http://host:65536",
            "http://host:0",
            "http://host:",
            "http://two words:1",
        ] {
            assert_eq!(parse(text), Err(NoBackendUrl), "{text:?}");
        }
    }

    #[test]
    fn a_host_and_a_port_make_a_url() {
        let url = |host, port| BackendUrl::plain(host, port).map(|url| url.to_string());
        assert_eq!(url("backend", 50051).as_deref(), Ok("http://backend:50051"));
        assert_eq!(url("::1", 1).as_deref(), Ok("http://[::1]:1"));
        assert_eq!(url("", 1), Err(NoBackendUrl));
        assert_eq!(url("a/b", 1), Err(NoBackendUrl));
    }
}
