#![doc = include_str!("../README.md")]

pub mod cancels;
pub mod client;
pub mod concurrency;
pub mod quota;

use std::net::{IpAddr, Ipv6Addr};

/// How much there may be of something: connections, calls, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// In all.
    pub total: usize,
    /// For one client address; see [`network`].
    pub per_address: usize,
}

impl Limit {
    /// As much as there is of it.
    pub const NONE: Self = Self { total: usize::MAX, per_address: usize::MAX };
}

/// The client of this response must go on reading it, or the server ends the connection or stream; in the
/// extensions of the response. A unary call that nobody reads would otherwise hold its memory for ever.
#[derive(Clone, Copy, Debug)]
pub struct MustBeRead;

/// What an address counts as: itself, or for IPv6 its /64, which one customer has (RFC 6177). An IPv4 address
/// that is written as IPv6 (`::ffff:192.0.2.1`) counts as what it is.
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
