//! Tells a backend where a call came from: `x-forwarded-*`, `forwarded` (RFC 7239), `via` (RFC 9110, section
//! 7.6.3).
//!
//! A client's own such headers are kept, and added to, only if it is a proxy that the operator trusts; from all
//! other clients they are removed.

use std::net::IpAddr;

use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue,
    header::{self, Entry, InvalidHeaderValue},
};
use runnel_limits::client::{Encrypted, TrustedProxies, sender};

use super::via;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Headers that only a trusted proxy may send.
const CLAIMS: [HeaderName; 6] = [
    FORWARDED_FOR,
    FORWARDED_PROTO,
    FORWARDED_HOST,
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-real-ip"),
    header::FORWARDED,
];

/// The other end of the connection that a call came by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    ip: Option<IpAddr>,
    is_trusted: bool,
    is_tls: bool,
}

impl Client {
    /// The sender of a request with these extensions.
    pub(super) fn of(extensions: &Extensions, trusted: &TrustedProxies) -> Self {
        Self {
            ip: sender(extensions),
            is_trusted: trusted.sent(extensions),
            is_tls: extensions.get::<Encrypted>().is_some(),
        }
    }
}

/// Says in `headers` where the call came from. `received` is the element for `via`, `authority` the one that the
/// client called. Values that differ from client to client belong in no compression table.
pub(super) fn set(
    headers: &mut HeaderMap,
    client: &Client,
    received: &HeaderValue,
    authority: Option<&str>,
) {
    if !client.is_trusted {
        for name in &CLAIMS {
            headers.remove(name);
        }
        via::keep_fronts(headers);
    }
    let scheme = if client.is_tls { "https" } else { "http" };
    // Every call comes by here, and `format!` took a sixth of what forwarding one costs.
    let mut element = String::with_capacity(128);
    if let Some(ip) = client.ip {
        let ip = ip.to_string();
        // RFC 7239, section 6: an IPv6 address is in brackets, and so in quotes.
        let (open, close) = if ip.contains(':') { ("\"[", "]\"") } else { ("", "") };
        element.extend(["for=", open, &ip, close, ";"]);
        add(headers, FORWARDED_FOR, never_indexed(ip));
    }
    if let Some(host) = authority {
        // Quotes and backslashes are in no host name.
        if !host.contains(['"', '\\']) {
            element.extend(["host=\"", host, "\";"]);
        }
    }
    element.extend(["proto=", scheme]);
    add(headers, header::FORWARDED, never_indexed(element));
    add(headers, header::VIA, Ok(received.clone()));
    // The first proxy knows these best.
    headers.entry(FORWARDED_PROTO).or_insert_with(|| HeaderValue::from_static(scheme));
    let host = authority.and_then(|host| HeaderValue::from_str(host).ok());
    if let (Entry::Vacant(entry), Some(mut host)) = (headers.entry(FORWARDED_HOST), host) {
        host.set_sensitive(true);
        entry.insert(host);
    }
}

fn never_indexed(element: String) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::try_from(element)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Adds an element to a header that is a list. Several lines become one, which many readers expect.
fn add(
    headers: &mut HeaderMap,
    name: HeaderName,
    element: Result<HeaderValue, InvalidHeaderValue>,
) {
    let Ok(element) = element else {
        return;
    };
    match headers.entry(name) {
        Entry::Vacant(entry) => {
            entry.insert(element);
        }
        Entry::Occupied(mut entry) => {
            let mut list = Vec::new();
            for line in entry.iter().chain([&element]).filter(|line| line.to_str().is_ok()) {
                if !list.is_empty() {
                    list.extend_from_slice(b", ");
                }
                list.extend_from_slice(line.as_bytes());
            }
            if let Ok(mut list) = HeaderValue::try_from(list) {
                list.set_sensitive(true);
                entry.insert(list);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use runnel_limits::client::Peer;

    use super::*;

    fn client(ip: &str, trusted: &[&str]) -> Client {
        let mut extensions = Extensions::new();
        extensions.insert(Peer(SocketAddr::new(ip.parse().unwrap(), 1234)));
        let trusted: Vec<_> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        Client::of(&extensions, &TrustedProxies::new(&trusted))
    }

    fn told(client: &Client, sent: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, value.parse().unwrap());
        }
        set(&mut headers, client, &HeaderValue::from_static("2.0 runnel"), Some("front.example"));
        headers
    }

    const CLAIMED: [(&str, &str); 4] = [
        ("x-forwarded-for", "203.0.113.1"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=203.0.113.1"),
        ("via", "1.1 edge"),
    ];

    #[test]
    fn what_a_client_claims_is_replaced_by_what_is_seen() {
        let headers = told(&client("192.0.2.7", &[]), &CLAIMED);
        assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-host"], "front.example");
        assert_eq!(headers["forwarded"], "for=192.0.2.7;host=\"front.example\";proto=http");
        assert_eq!(headers["via"], "2.0 runnel");
    }

    #[test]
    fn what_a_trusted_proxy_says_is_added_to() {
        let proxy = client("::ffff:10.1.2.3", &["10.0.0.0/8"]);
        let headers = told(&proxy, &CLAIMED);
        assert_eq!(headers["x-forwarded-for"], "203.0.113.1, 10.1.2.3");
        assert_eq!(headers["x-forwarded-proto"], "https");
        let forwarded = "for=203.0.113.1, for=10.1.2.3;host=\"front.example\";proto=http";
        assert_eq!(headers["forwarded"], forwarded);
        assert_eq!(headers["via"], "1.1 edge, 2.0 runnel");
    }

    #[test]
    fn a_call_that_came_over_tls_is_said_to_have() {
        let mut extensions = Extensions::new();
        extensions.insert(Encrypted);
        let headers = told(&Client::of(&extensions, &TrustedProxies::default()), &[]);
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["forwarded"], "host=\"front.example\";proto=https");
        assert!(!headers.contains_key("x-forwarded-for"), "nobody knows");
    }

    #[test]
    fn an_ipv6_address_is_quoted_where_rfc_7239_wants_it() {
        let headers = told(&client("2001:db8::1", &[]), &[]);
        assert_eq!(headers["x-forwarded-for"], "2001:db8::1");
        let forwarded = "for=\"[2001:db8::1]\";host=\"front.example\";proto=http";
        assert_eq!(headers["forwarded"], forwarded);
    }
}
