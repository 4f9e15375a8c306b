//! Where a backend is: `http://host:port`, `https://` for TLS, a Unix domain socket, or another target name of
//! gRPC that has one meaning only (<https://github.com/grpc/grpc/blob/master/doc/naming.md>).

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use http::uri::{Authority, Scheme};

/// The usual port of a gRPC server.
pub const DEFAULT_PORT: u16 = 50051;

/// The URL of a backend. Its name may stand for several addresses.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BackendUrl {
    tls: bool,
    authority: Authority,
    port: u16,
    /// The path of its Unix domain socket, if it has one.
    unix: Option<PathBuf>,
}

/// The text is not the URL of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBackendUrl {
    /// It says too little, or too much.
    #[error(
        "a backend is http://HOST[:PORT] (port 80 if none is given), https://HOST[:PORT] (443), HOST:PORT, \
         grpc://HOST:PORT, grpcs://HOST:PORT (with TLS), dns:HOST:PORT, dns:///HOST:PORT, ipv4:ADDRESS:PORT, \
         ipv6:[ADDRESS]:PORT, or unix:PATH; nothing behind the port"
    )]
    Malformed,
    /// It has no port, and there are several that it could mean.
    #[error("a backend without http:// or https:// before it needs a port: HOST:PORT")]
    NoPort,
}

impl BackendUrl {
    /// `http://HOST:PORT`.
    pub fn plain(host: &str, port: u16) -> Result<Self, InvalidBackendUrl> {
        // An IPv6 address needs brackets in a URL.
        let bare_ipv6 = host.contains(':') && !host.starts_with('[');
        let (open, close) = if bare_ipv6 { ("[", "]") } else { ("", "") };
        format!("http://{open}{host}{close}:{port}").parse()
    }

    /// Whether calls to it go through TLS.
    pub(super) const fn is_tls(&self) -> bool {
        self.tls
    }

    /// The `:authority` of calls to it; `localhost` for a Unix domain socket, as in every gRPC client.
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

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// The path of its Unix domain socket, if it has one.
    pub(super) fn unix(&self) -> Option<&Path> {
        self.unix.as_deref()
    }

    /// `HOST`, `HOST:PORT`; without a port the default one is meant, if there is one.
    fn tcp(
        tls: bool,
        authority: &str,
        default_port: Option<u16>,
    ) -> Result<Self, InvalidBackendUrl> {
        let authority: Authority = authority.parse().map_err(|_| InvalidBackendUrl::Malformed)?;
        let has_user = authority.as_str().contains('@');
        if has_user || matches!(authority.host(), "" | "[]") {
            return Err(InvalidBackendUrl::Malformed);
        }
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => default_port.ok_or(InvalidBackendUrl::NoPort)?,
            // `host:` and `host:65536` parse, and have no port.
            _ => match authority.port_u16() {
                Some(0) | None => return Err(InvalidBackendUrl::Malformed),
                Some(port) => port,
            },
        };
        Ok(Self { tls, authority, port, unix: None })
    }

    fn socket(path: &str) -> Result<Self, InvalidBackendUrl> {
        // A name as gRPC has it for sockets without a path, or one that no file can have.
        if !cfg!(unix) || path.is_empty() || path.contains('\0') {
            return Err(InvalidBackendUrl::Malformed);
        }
        let authority = Authority::from_static("localhost");
        Ok(Self { tls: false, authority, port: 0, unix: Some(path.into()) })
    }
}

impl FromStr for BackendUrl {
    type Err = InvalidBackendUrl;

    fn from_str(text: &str) -> Result<Self, InvalidBackendUrl> {
        // A scheme is written in either case: RFC 3986 section 3.1.
        let after = |scheme: &str| {
            let (given, rest) = text.split_at_checked(scheme.len())?;
            given.eq_ignore_ascii_case(scheme).then_some(rest)
        };
        // A slash alone is no path.
        let host = |rest: &'_ str| rest.strip_suffix('/').unwrap_or(rest).to_owned();
        if let Some(rest) = after("http://") {
            Self::tcp(false, &host(rest), Some(80))
        } else if let Some(rest) = after("https://") {
            Self::tcp(true, &host(rest), Some(443))
        } else if let Some(rest) = after("grpc://") {
            Self::tcp(false, &host(rest), None)
        } else if let Some(rest) = after("grpcs://") {
            Self::tcp(true, &host(rest), None)
        } else if let Some(path) = after("unix://") {
            // With a host there it would be a socket on another machine.
            if path.starts_with('/') {
                Self::socket(path)
            } else {
                Err(InvalidBackendUrl::Malformed)
            }
        } else if let Some(path) = after("unix:") {
            Self::socket(path)
        } else if let Some(rest) = after("dns:///").or_else(|| after("dns:")) {
            // `dns:50051` is a host called so in one reading.
            Self::tcp(false, rest, None)
        } else if let Some(rest) = after("ipv4:").or_else(|| after("ipv6:")) {
            rest.parse::<std::net::SocketAddr>().map_err(|_| InvalidBackendUrl::Malformed)?;
            Self::tcp(false, rest, None)
        } else {
            Self::tcp(false, text, None)
        }
    }
}

impl fmt::Display for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.unix {
            Some(path) => write!(f, "unix:{}", path.display()),
            None => write!(f, "{}://{}", self.scheme(), self.authority),
        }
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

    /// What is dialled, and where.
    fn parse(text: &str) -> Result<(String, String, u16), InvalidBackendUrl> {
        let url: BackendUrl = text.parse()?;
        let place = url.unix().map_or(url.host().to_owned(), |path| path.display().to_string());
        Ok((url.to_string(), place, url.port()))
    }

    #[test]
    fn what_can_be_meant_in_one_way_only_is_taken() {
        for (text, url, place, port) in [
            ("http://localhost:50051", "http://localhost:50051", "localhost", 50051),
            ("http://a.example", "http://a.example", "a.example", 80),
            ("https://a.example/", "https://a.example", "a.example", 443),
            ("https://[::1]:1", "https://[::1]:1", "::1", 1),
            ("https://[::1]", "https://[::1]", "::1", 443),
            ("HTTPS://a.example:1", "https://a.example:1", "a.example", 1),
            ("backend:7", "http://backend:7", "backend", 7),
            ("[::1]:50051", "http://[::1]:50051", "::1", 50051),
            ("127.0.0.1:7", "http://127.0.0.1:7", "127.0.0.1", 7),
            ("grpc://h:1", "http://h:1", "h", 1),
            ("grpcs://h:1", "https://h:1", "h", 1),
            ("dns:h:1", "http://h:1", "h", 1),
            ("dns:///h:1", "http://h:1", "h", 1),
            ("ipv4:1.2.3.4:5", "http://1.2.3.4:5", "1.2.3.4", 5),
            ("ipv6:[::1]:5", "http://[::1]:5", "::1", 5),
        ] {
            assert_eq!(parse(text), Ok((url.to_owned(), place.to_owned(), port)), "{text:?}");
        }
        for (text, path) in [
            ("unix:/run/x.sock", "/run/x.sock"),
            ("unix:///run/x.sock", "/run/x.sock"),
            ("unix:x.sock", "x.sock"),
        ] {
            assert_eq!(parse(text), Ok((format!("unix:{path}"), path.to_owned(), 0)), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_backend_is_refused() {
        for text in [
            "",
            "/",
            "/run/x.sock",
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
            "http:host:1",
            "unix:",
            "unix://run/x.sock",
            "unix-abstract:x",
            "dns://8.8.8.8/h:1",
            "ipv4:host:1",
            "xds:///h:1",
        ] {
            assert_eq!(parse(text), Err(InvalidBackendUrl::Malformed), "{text:?}");
        }
        // 50051, 443 and 80 are all somebody's default.
        for text in ["backend", "grpc://h", "grpcs://h", "dns:h", "dns:///h"] {
            assert_eq!(parse(text), Err(InvalidBackendUrl::NoPort), "{text:?}");
        }
    }

    #[test]
    fn a_host_and_a_port_make_a_url() {
        let url = |host, port| BackendUrl::plain(host, port).map(|url| url.to_string());
        assert_eq!(url("backend", 50051).as_deref(), Ok("http://backend:50051"));
        assert_eq!(url("::1", 1).as_deref(), Ok("http://[::1]:1"));
        assert_eq!(url("", 1), Err(InvalidBackendUrl::Malformed));
        assert_eq!(url("a/b", 1), Err(InvalidBackendUrl::Malformed));
    }
}
