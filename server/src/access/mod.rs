//! Who may call from within a browser. A browser lets every page send requests anywhere, to servers
//! behind its user's firewall as well, and what keeps a page from driving another's server is that
//! server. What is no browser can send whatever it likes; none of this is about it.
//!
//! - [`origins`]: a page of another origin may not call, unless it is named.
//! - [`names`]: how both are told of names, and of patterns of them.
//! - [`own_origin`]: which pages are the server's own, also behind a proxy.
//! - [`hosts`]: on loopback, a page whose name was made to resolve to us (DNS rebinding) may not either.

pub(crate) mod hosts;
pub mod names;
pub mod origins;
mod own_origin;

use std::net::SocketAddr;

use http::{Request, header, uri::Authority};
use runnel_limits::client::TrustedProxies;
use tonic::Status;

pub(crate) use self::{hosts::Hosts, origins::Origins};
use self::{origins::Origin, own_origin::OwnOrigin};
use crate::config::AccessConfig;

/// Who may call.
#[derive(Clone, Debug)]
pub struct Access {
    pub(crate) proxies: TrustedProxies,
    pub(crate) hosts: Hosts,
    pub(crate) origins: Origins,
}

impl Access {
    /// To a server that listens on this address, behind `proxies` whose word is taken.
    pub(crate) fn new(
        config: &AccessConfig,
        proxies: TrustedProxies,
        listens_on: SocketAddr,
    ) -> Self {
        // Where people open the page, they call it by that name.
        let public = config.public_origin.iter().map(Origin::host);
        let allowed: Vec<_> = config.allow_host.iter().cloned().chain(public).collect();
        let own = OwnOrigin::new(&config.public_origin, proxies.clone());
        Self {
            proxies,
            hosts: Hosts::new(listens_on, &allowed),
            origins: Origins::new(&config.cors_origin, own),
        }
    }

    /// Refuses a call from within a browser that may not make it: the rule it breaks, as metrics and
    /// logs name it, and what its client is told.
    pub(crate) fn refusal<B>(&self, request: &Request<B>) -> Option<(&'static str, Status)> {
        if let Some(why) = self.hosts.refusal(request) {
            return Some(("allow_host", Status::permission_denied(why)));
        }
        self.origins.check(request).err().map(|status| ("cors_origin", status))
    }
}

/// Whom a request is for: its `:authority`, or its `host`.
pub(crate) fn authority<B>(request: &Request<B>) -> Option<Authority> {
    request.uri().authority().cloned().or_else(|| {
        let host = request.headers().get(header::HOST)?;
        Authority::try_from(host.as_bytes()).ok()
    })
}

/// A text that a client sent, for words that name it: no name of a host is longer (RFC 1035 section
/// 2.3.4), and an answer has little room.
fn quotable(text: &str) -> Option<&str> {
    const LONGEST: usize = 300;
    (text.len() <= LONGEST).then_some(text)
}
