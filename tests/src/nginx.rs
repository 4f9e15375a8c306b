//! A real nginx before several servers, between which it chooses.

use std::net::SocketAddr;

use crate::proxies::{Proxy, free_address};

/// A running nginx, killed when dropped.
pub struct Nginx {
    _running: Proxy,
    address: SocketAddr,
}

impl Nginx {
    /// Starts it before `servers`.
    pub async fn start(servers: &[SocketAddr]) -> Self {
        let address = free_address().await;
        let upstream: Vec<_> =
            servers.iter().map(|server| format!("server {server} max_fails=0;")).collect();
        let upstream = upstream.concat();
        let http = format!(
            "upstream runnel {{ {upstream} }}
             server {{
                 listen {address} sndbuf=64k;
                 location / {{
                     proxy_pass http://runnel;
                     proxy_http_version 1.1;
                     proxy_set_header Connection \"\";
                     proxy_set_header Host $http_host;
                 }}
             }}"
        );
        Self { _running: Proxy::nginx(&http, address).await, address }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
