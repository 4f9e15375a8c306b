//! Who may call from within a browser. A browser lets every page send requests anywhere, to servers
//! behind its user's firewall as well, and what keeps a page from driving another's server is that
//! server. What is no browser can send whatever it likes; none of this is about it.
//!
//! - [`origins`]: a page of another origin may not call, unless it is named.
//! - [`names`]: how both are told of names, and of patterns of them.
//! - [`hosts`]: on loopback, a page whose name was made to resolve to us (DNS rebinding) may not either.

pub(crate) mod hosts;
pub mod names;
pub mod origins;

use std::net::SocketAddr;

use http::{Request, header, uri::Authority};

pub(crate) use self::{hosts::Hosts, origins::Origins};
use crate::config::AccessConfig;

/// Who may call.
#[derive(Clone, Debug)]
pub struct Access {
    pub(crate) hosts: Hosts,
    pub(crate) origins: Origins,
}

impl Access {
    /// To a server that listens on this address.
    pub fn new(config: &AccessConfig, listens_on: SocketAddr) -> Self {
        Self {
            hosts: Hosts::new(listens_on, &config.allow_host),
            origins: Origins::new(&config.cors_origin),
        }
    }
}

/// Whom a request is for: its `:authority`, or its `host`.
fn authority<B>(request: &Request<B>) -> Option<Authority> {
    request.uri().authority().cloned().or_else(|| {
        let host = request.headers().get(header::HOST)?;
        Authority::try_from(host.as_bytes()).ok()
    })
}
