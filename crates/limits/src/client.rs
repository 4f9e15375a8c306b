//! Which client a request comes from: the other end of its connection, or the client that a trusted proxy
//! names.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::{Extensions, HeaderMap, HeaderName, Request, header};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// In the extensions of a request: the other end of its connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// In the extensions of a request: its connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encrypted;

/// The networks of the trusted proxies. Clones share the list.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

/// In the extensions of a request: the client that a trusted proxy named.
#[derive(Clone, Copy, Debug)]
struct Named(IpAddr);

impl TrustedProxies {
    /// Trusts the proxies in these networks, and no others.
    pub fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }

    /// Whether a trusted proxy sent the request with these extensions.
    pub fn sent(&self, extensions: &Extensions) -> bool {
        sender(extensions).is_some_and(|ip| self.contain(ip))
    }

    fn contain(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&ip))
    }

    /// Finds out which client a request comes from, and notes it in the extensions for [`client_address`].
    pub fn name_client<B>(&self, mut request: Request<B>) -> Request<B> {
        if self.sent(request.extensions())
            && let Some(client) = self.client_named_in(request.headers())
        {
            request.extensions_mut().insert(Named(client));
        }
        request
    }

    /// The last address that is not a trusted proxy's. Each proxy appends the address from which it was
    /// called; everything before the part that trusted proxies wrote can be forged. If all addresses are
    /// trusted, this is the first one. If the search meets a value that is not an address, no client is
    /// named.
    fn client_named_in(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let mut client = None;
        for named in addresses(headers) {
            client = Some(named?);
            if client.is_some_and(|client| !self.contain(client)) {
                break;
            }
        }
        client
    }
}

/// Of `x-forwarded-for: 192.0.2.1, 10.0.0.1`, or else of `forwarded: for=192.0.2.1,
/// for="[2001:db8::1]:1234"` (RFC 7239 section 5.2), the last first; `None` for a value that is not an
/// address, such as `for=unknown`.
fn addresses(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let lines = |name| headers.get_all(name).iter().rev().filter_map(|line| line.to_str().ok());
    let listed = lines(FORWARDED_FOR).flat_map(|line| line.rsplit(',')).map(address);
    let is_listed = headers.contains_key(FORWARDED_FOR);
    let elements = lines(header::FORWARDED).flat_map(|line| line.rsplit(','));
    let forwarded = elements.map(|element| {
        let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
        let mut values = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
        values.next().and_then(|(_, value)| address(value))
    });
    listed.chain(forwarded.filter(move |_| !is_listed))
}

/// With a port or without; IPv6 with a port is in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let ip = text.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|it| it.ip()));
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    ip.ok().or_else(bracketed).map(|ip: IpAddr| ip.to_canonical())
}

/// The address at the other end of the connection of a request with these extensions. An IPv4 address that
/// is written as IPv6 is returned as IPv4.
pub fn sender(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get().map(|Peer(peer)| peer.ip().to_canonical())
}

/// The client of a request with these extensions: the one that a trusted proxy named, or else the other end
/// of the connection.
pub fn client_address(extensions: &Extensions) -> Option<IpAddr> {
    named_client(extensions).or_else(|| sender(extensions))
}

/// The client that a trusted proxy named, if one did.
pub fn named_client(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get().map(|Named(client)| *client)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The client of a request from this address with these headers, behind proxies in 10.0.0.0/8.
    fn client_of(sender: &str, headers: &[(&str, &str)]) -> String {
        let mut request = Request::new(());
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let sender = SocketAddr::new(sender.parse().unwrap(), 1234);
        request.extensions_mut().insert(Peer(sender));
        let proxies = TrustedProxies::new(&["10.0.0.0/8".parse().unwrap()]);
        client_address(proxies.name_client(request).extensions()).unwrap().to_string()
    }

    #[test]
    fn the_client_is_the_last_that_is_no_trusted_proxy() {
        const FOR: &str = "x-forwarded-for";
        for (headers, client) in [
            (&[][..], "10.0.0.1"),
            (&[(FOR, "192.0.2.1")], "192.0.2.1"),
            (&[(FOR, "192.0.2.1, 10.0.0.2")], "192.0.2.1"),
            (&[(FOR, "192.0.2.1"), (FOR, "10.0.0.2")], "192.0.2.1"),
            // What a client wrote itself is at the beginning.
            (&[(FOR, "203.0.113.9, 192.0.2.1, 10.0.0.2")], "192.0.2.1"),
            (&[(FOR, "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
            (&[(FOR, "192.0.2.1:4711")], "192.0.2.1"),
            (&[(FOR, "::ffff:192.0.2.1")], "192.0.2.1"),
            (&[(FOR, "2001:db8::1")], "2001:db8::1"),
            (&[(FOR, "[2001:db8::1]:4711")], "2001:db8::1"),
            (&[(FOR, "192.0.2.1, unknown")], "10.0.0.1"),
            (&[(FOR, "")], "10.0.0.1"),
            (&[("forwarded", "for=192.0.2.1;proto=https, For=10.0.0.2")], "192.0.2.1"),
            (&[("forwarded", "proto=http;for=\"[2001:db8::1]:4711\"")], "2001:db8::1"),
            (&[("forwarded", "for=\"[2001:db8::1]\"")], "2001:db8::1"),
            (&[("forwarded", "for=_hidden")], "10.0.0.1"),
            (&[("forwarded", "for=192.0.2.7"), (FOR, "192.0.2.1")], "192.0.2.1"),
        ] {
            assert_eq!(client_of("10.0.0.1", headers), client, "{headers:?}");
        }
    }

    #[test]
    fn nobody_else_is_believed() {
        assert_eq!(client_of("192.0.2.7", &[("x-forwarded-for", "203.0.113.1")]), "192.0.2.7");
        assert_eq!(client_of("::ffff:192.0.2.7", &[]), "192.0.2.7");
    }
}
