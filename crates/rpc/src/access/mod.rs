//! Who may call from within a browser. A browser lets every page send requests anywhere, to servers
//! behind its user's firewall as well, and what keeps a page from driving another's server is that
//! server. A client that is no browser can send what it likes; none of this is about it.
//!
//! - A page of another origin may not call, unless [`AccessSettings`] name its origin.
//! - A page is the server's own if its host is the one that is called, also behind a trusted proxy.
//! - On loopback, a page whose name was made to resolve to this machine (DNS rebinding) may not call either.

mod authority;
mod hosts;
mod names;
mod origin;
mod origins;
mod own_origin;
mod settings;

use std::net::SocketAddr;

use http::Request;
use runnel_limits::client::TrustedProxies;
use tonic::Status;
use tower_http::cors::CorsLayer;

use self::origins::Origins;
use self::own_origin::OwnOrigin;
pub use self::{
    authority::authority,
    hosts::{Hosts, is_public_name, parse_host},
    names::NameError,
    origin::{Origin, OriginError},
    settings::{AccessSettings, SettingNames},
};

/// Who may call. By default only the server's own page may from within a browser, no proxy is trusted, and the
/// server answers for every host.
#[derive(Clone, Debug)]
pub struct Access {
    trusted_proxies: TrustedProxies,
    hosts: Hosts,
    origins: Origins,
}

impl Access {
    /// Access to a server that listens on `listens_on`. If that is an address of loopback, the server answers only for
    /// localhost, for addresses, and for the hosts that `settings` name.
    pub fn new(settings: &AccessSettings, listens_on: SocketAddr) -> Self {
        // Where people open the page, they call it by that name.
        let public = settings.public_origins.iter().map(Origin::host);
        let allowed: Vec<_> = settings.allowed_hosts.iter().cloned().chain(public).collect();
        let hosts = Hosts::new(listens_on, &allowed).with_names(settings.names);
        Self { hosts, ..Self::of_any_host(settings) }
    }

    fn of_any_host(settings: &AccessSettings) -> Self {
        let trusted_proxies = settings.trusted_proxies.clone();
        let own = OwnOrigin::new(&settings.public_origins, trusted_proxies.clone());
        let origins = Origins::new(&settings.allowed_origins, own, settings.names);
        Self { trusted_proxies, hosts: Hosts::default(), origins }
    }

    /// The names that the server answers for.
    pub const fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    pub(crate) const fn trusted_proxies(&self) -> &TrustedProxies {
        &self.trusted_proxies
    }

    /// Answers preflights, and lets pages of allowed origins read responses; None if there are none.
    pub(crate) fn cors(&self) -> Option<CorsLayer> {
        self.origins.cors()
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

impl Default for Access {
    fn default() -> Self {
        Self::of_any_host(&AccessSettings::default())
    }
}
