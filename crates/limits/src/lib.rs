#![doc = include_str!("../README.md")]

pub mod cancels;
pub mod client;
pub mod concurrency;
pub mod quota;

use std::net::{IpAddr, Ipv6Addr};

/// A limit on connections, calls or bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// For all clients together.
    pub total: usize,
    /// For one client address; see [`network`].
    pub per_address: usize,
}

impl Limit {
    /// No limit.
    pub const NONE: Self = Self { total: usize::MAX, per_address: usize::MAX };
}

/// In the extensions of a response: its client must go on reading it, or the server ends the connection or
/// stream. Otherwise a unary response that is not read would hold its memory for ever.
#[derive(Clone, Copy, Debug)]
pub struct MustBeRead;

/// How large the pieces of a response's body are best, in bytes; in the extensions of the request. Only the server
/// knows what carries the response, and how much of it goes out at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteSize(pub usize);

/// The client to which an address belongs: an IPv4 address is a client of its own; for IPv6 it is the /64,
/// because one customer has at least that (RFC 6177). An IPv4 address that is written as IPv6
/// (`::ffff:192.0.2.1`) counts as IPv4.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_client_and_mapped_ones_are_ipv4() {
        let network = |text: &str| super::network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:0:0:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    }
}
