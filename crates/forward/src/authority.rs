//! The `:authority` of calls, where it is not the one in the backend's URL: name-based routers (Knative, Istio,
//! an ingress) choose a service by it.

use std::{fmt, str::FromStr};

use http::uri::Authority;

/// The `:authority` of forwarded calls, in place of the one in the backend's URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendAuthority {
    /// The `:authority` that each client called, or its `host` over HTTP/1.1.
    Client,
    /// This one, for every call, those about health and reflection too.
    Named(Authority),
}

/// The text is not an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an authority is HOST or HOST:PORT, or the word `client` for what each client called")]
pub struct InvalidAuthority;

impl FromStr for BackendAuthority {
    type Err = InvalidAuthority;

    fn from_str(text: &str) -> Result<Self, InvalidAuthority> {
        if text == "client" {
            return Ok(Self::Client);
        }
        let authority: Authority = text.parse().map_err(|_| InvalidAuthority)?;
        // `host:` and `host:65536` parse, and have no port.
        let has_odd_port = authority.as_str() != authority.host()
            && authority.port_u16().is_none_or(|port| port == 0);
        let is_odd = has_odd_port || authority.host().is_empty() || text.contains('@');
        if is_odd { Err(InvalidAuthority) } else { Ok(Self::Named(authority)) }
    }
}

impl fmt::Display for BackendAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("client"),
            Self::Named(authority) => fmt::Display::fmt(authority, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_or_without_a_port_is_an_authority_and_nothing_else_is() {
        for text in ["shop.example", "shop.example:8443", "[::1]:80", "[::1]", "client"] {
            assert_eq!(text.parse::<BackendAuthority>().unwrap().to_string(), text);
        }
        assert_eq!("client".parse(), Ok(BackendAuthority::Client));
        for bad in
            ["", "a b", "me@shop.example", "shop:", "shop:0", "shop:65536", "http://shop", "shop/x"]
        {
            assert_eq!(bad.parse::<BackendAuthority>(), Err(InvalidAuthority), "{bad:?}");
        }
    }
}
