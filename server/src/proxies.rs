//! Proxies in front of us, whose word is taken for where a call comes from.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::extract::ConnectInfo;
use http::Extensions;
use ipnet::IpNet;

/// The networks they are in. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// These, and nobody else.
    pub(crate) fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }

    /// Whether one of them sent the request with these extensions.
    pub(crate) fn sent(&self, extensions: &Extensions) -> bool {
        let networks = &self.0;
        sender(extensions).is_some_and(|ip| networks.iter().any(|network| network.contains(&ip)))
    }
}

/// The other end of the connection that a request with these extensions came by; an IPv4 address is one,
/// however it is written.
pub(crate) fn sender(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get().map(|ConnectInfo::<SocketAddr>(peer)| peer.ip().to_canonical())
}
