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

use http::{HeaderValue, Request, Response, StatusCode, header, uri::Authority};
use tonic::body::Body;

use super::{
    authority::{authority, quotable},
    names,
    settings::SettingNames,
};

/// The names that a server answers for; by default all of them.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Beside those of loopback; None for any at all.
    allowed: Option<Arc<[String]>>,
    names: SettingNames,
}

impl Hosts {
    /// The names of a server that listens on `listens_on`. If that is an address of loopback, the server answers only
    /// for localhost, for addresses, and for the `allowed` names; otherwise for every name.
    pub fn new(listens_on: SocketAddr, allowed: &[String]) -> Self {
        let allowed = listens_on.ip().is_loopback().then(|| allowed.into());
        Self { allowed, names: SettingNames::default() }
    }

    /// Refusals call the settings by these names.
    #[must_use]
    pub const fn with_names(mut self, names: SettingNames) -> Self {
        self.names = names;
        self
    }

    /// Why a request for a name that is not ours is refused.
    pub(super) fn refusal<B>(&self, request: &Request<B>) -> Option<String> {
        let allowed = self.allowed.as_deref()?;
        // A browser always says whom it calls.
        let authority = authority(request)?;
        if answers_for(authority.host(), allowed) {
            return None;
        }
        let host = quotable(authority.host()).unwrap_or("HOST");
        let SettingNames { allowed_hosts, public_origins, .. } = self.names;
        Some(format!(
            "this server listens on loopback and does not answer for {host}, only for localhost and \
             addresses; {allowed_hosts} {host} lets its public port answer, or let the proxy in front of \
             it send the host that people call, and name that with {public_origins}"
        ))
    }

    /// The refusal of a request that is no call, for a name that the server does not answer for: 421 (RFC 9110
    /// section 15.5.20).
    pub fn misdirected<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let why = self.refusal(request)?;
        let mut response = Response::new(Body::new(why + "\n"));
        *response.status_mut() = StatusCode::MISDIRECTED_REQUEST;
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
        Some(response)
    }
}

fn answers_for(host: &str, allowed: &[String]) -> bool {
    // Browsers resolve these themselves, always to loopback (RFC 6761 section 6.3).
    let is_localhost = || top_label(host).eq_ignore_ascii_case("localhost");
    is_address(host) || is_localhost() || allowed.iter().any(|name| names::means(name, host))
}

/// Whether a host is a name that means the same to everybody: no address, no name of one machine or one
/// network alone. What a browser is told of such a name concerns no other server of its user's.
pub fn is_public_name(host: &str) -> bool {
    /// RFC 6761 sections 6.2 and 6.3, RFC 6762 section 3.
    const LOCAL: [&str; 3] = ["localhost", "test", "local"];
    let top = top_label(host);
    let is_local = LOCAL.iter().any(|local| top.eq_ignore_ascii_case(local));
    !is_address(host) && !is_local && top.len() < host.trim_end_matches('.').len()
}

fn is_address(host: &str) -> bool {
    host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok()
}

/// `example` of `app.example`, and of `app.example.` with the dot of the root.
fn top_label(host: &str) -> &str {
    let host = host.trim_end_matches('.');
    host.rsplit('.').next().unwrap_or(host)
}

/// A host's name as an operator writes it, or a pattern of names: `app.example`, `*.app.example`.
///
/// # Errors
/// If it is neither: why, in words for the operator.
pub fn parse_host(text: &str) -> Result<String, String> {
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
    fn a_public_name_has_several_labels_and_is_none_of_this_machine_or_network() {
        for host in ["app.example", "App.Example.", "127.0.0.1.example"] {
            assert!(is_public_name(host), "{host}");
        }
        for host in
            ["localhost", "localhost.", "app.LocalHost", "app.test", "printer.local", "intranet"]
        {
            assert!(!is_public_name(host), "{host}");
        }
        for address in ["127.0.0.1", "203.0.113.7", "[::1]", "[2001:db8::1]"] {
            assert!(!is_public_name(address), "{address}");
        }
    }

    #[test]
    fn on_loopback_only_addresses_localhost_and_named_hosts_are_answered_for() {
        for listens_on in ["127.0.0.1:8080", "[::1]:8080"] {
            for host in [
                "localhost",
                "LocalHost:1",
                "localhost.:1",
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
