//! Which names a server on loopback answers for.
//!
//! DNS rebinding: a page of `evil.example` has that name resolve to 127.0.0.1 a moment later. To the
//! browser it then calls its own origin, so nothing about origins keeps it from reading our answers.
//! But the `host` is still its own name. Only names can be rebound, so addresses are as good as
//! `localhost`. Elsewhere than on loopback a server is called by names it does not know.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::body::Body;
use http::{HeaderValue, Request, Response, StatusCode, header, uri::Authority};

use super::{authority, names};

/// The names that are answered for.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    /// Beside those of loopback; None for any at all.
    allowed: Option<Arc<[String]>>,
}

impl Hosts {
    /// Of a server that listens on this address.
    pub(crate) fn new(listens_on: SocketAddr, allowed: &[String]) -> Self {
        Self { allowed: listens_on.ip().is_loopback().then(|| allowed.into()) }
    }

    /// The refusal of a request for a name that is not ours: 421 (RFC 9110 section 15.5.20).
    pub(crate) fn refusal<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let allowed = self.allowed.as_deref()?;
        // A browser always says whom it calls.
        let authority = authority(request)?;
        if answers_for(authority.host(), allowed) {
            return None;
        }
        let why = "this server listens on loopback and does not answer for that host; \
                   --allow-host names another\n";
        let mut response = Response::new(Body::from(why));
        *response.status_mut() = StatusCode::MISDIRECTED_REQUEST;
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
        Some(response)
    }
}

fn answers_for(host: &str, allowed: &[String]) -> bool {
    let is_address = || host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
    // Browsers resolve these themselves, always to loopback (RFC 6761 section 6.3).
    let is_localhost = || {
        let top = host.rsplit('.').next().unwrap_or(host);
        top.eq_ignore_ascii_case("localhost")
    };
    is_address() || is_localhost() || allowed.iter().any(|name| names::means(name, host))
}

/// A host's name on the command line, or a pattern of names.
pub(crate) fn parse_host(text: &str) -> Result<String, String> {
    match text.parse::<Authority>() {
        // An address is answered for anyhow.
        Ok(authority) if authority.host() == text && text.starts_with('[') => Ok(text.to_owned()),
        Ok(authority) if authority.host() != text => {
            Err("not a host name alone, such as runnel.example, without a scheme or a port"
                .to_owned())
        }
        _ => names::check(text).map(|()| text.to_owned()).map_err(|why| why.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(listens_on: &str, host: &str) -> bool {
        let names = ["runnel.example", "*.preview.example"].map(str::to_owned);
        let hosts = Hosts::new(listens_on.parse().unwrap(), &names);
        let request = Request::get("/").header(header::HOST, host).body(()).unwrap();
        hosts.refusal(&request).is_some()
    }

    #[test]
    fn on_loopback_only_addresses_localhost_and_named_hosts_are_answered_for() {
        for listens_on in ["127.0.0.1:8080", "[::1]:8080"] {
            for host in [
                "localhost",
                "LocalHost:1",
                "app.localhost:8080",
                "127.0.0.1",
                "127.0.0.1:9999",
                "[::1]:8080",
                "runnel.example",
                "Runnel.Example:443",
                "a.preview.example:8080",
                "B.Preview.Example",
            ] {
                assert!(!refused(listens_on, host), "{host}");
            }
            for host in [
                "evil.example",
                "localhost.evil.example",
                "127.0.0.1.evil.example",
                "1.2.3",
                "preview.example",
                "a.b.preview.example",
                "a.preview.example.evil.example",
                "a.runnel.example",
            ] {
                assert!(refused(listens_on, host), "{host}");
            }
        }
    }

    #[test]
    fn elsewhere_every_host_is_answered_for() {
        assert!(!refused("0.0.0.0:8080", "evil.example"));
    }

    #[test]
    fn the_authority_of_a_uri_comes_before_the_header() {
        let hosts = Hosts::new("127.0.0.1:1".parse().unwrap(), &[]);
        let request = Request::get("http://evil.example/").header(header::HOST, "localhost");
        assert!(hosts.refusal(&request.body(()).unwrap()).is_some());
    }

    #[test]
    fn a_host_on_the_command_line_is_a_name_alone() {
        for text in ["runnel.example", "*.preview.example", "Runnel.Example", "[::1]", "127.0.0.1"]
        {
            assert_eq!(parse_host(text), Ok(text.to_owned()));
        }
        for text in [
            "",
            "runnel.example:80",
            "http://runnel.example",
            "a b",
            "me@runnel.example",
            "*",
            ".app.example",
            "*.example",
            "a.*.example",
            "b\u{fc}cher.example",
        ] {
            assert!(parse_host(text).is_err(), "{text}");
        }
    }
}
