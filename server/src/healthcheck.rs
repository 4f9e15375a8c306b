//! `runnel healthcheck`: asks a running server for its health the way any gRPC client would. It is
//! what a container runs, where there is no shell and no curl.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// Longer than a healthy server ever takes, shorter than the patience of those who ask.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Why a server counts as unhealthy.
#[derive(Debug, thiserror::Error)]
pub enum HealthcheckError {
    /// Nobody answers there, or not in time.
    #[error("cannot reach {address}: {source}")]
    Unreachable {
        /// Where it was asked.
        address: SocketAddr,
        /// What went wrong.
        source: tonic::transport::Error,
    },

    /// The server answered with an error.
    #[error("{address} answered {}: {}", .status.code(), .status.message())]
    Refused {
        /// Where it was asked.
        address: SocketAddr,
        /// Its answer.
        status: Box<tonic::Status>,
    },

    /// The server says that it does not serve, as it does while it drains.
    #[error("{address} is {status}")]
    NotServing {
        /// Where it was asked.
        address: SocketAddr,
        /// What it said, in the words of `grpc.health.v1`.
        status: &'static str,
    },
}

/// Asks `grpc.health.v1` for the health of the whole server that listens on `listen`.
pub async fn check(listen: SocketAddr) -> Result<(), HealthcheckError> {
    let address = reachable(listen);
    let unreachable = |source| HealthcheckError::Unreachable { address, source };
    let channel = Endpoint::from_shared(format!("http://{address}"))
        .map_err(unreachable)?
        .connect_timeout(TIMEOUT)
        .timeout(TIMEOUT)
        .connect()
        .await
        .map_err(unreachable)?;
    let answer = HealthClient::new(channel)
        .check(HealthCheckRequest::default())
        .await
        .map_err(|status| HealthcheckError::Refused { address, status: Box::new(status) })?;
    match answer.into_inner().status() {
        ServingStatus::Serving => Ok(()),
        other => Err(HealthcheckError::NotServing { address, status: other.as_str_name() }),
    }
}

/// Where a server that listens on this address can be reached from its own machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_unspecified_address_is_asked_on_loopback() {
        let reachable = |address: &str| super::reachable(address.parse().unwrap()).to_string();
        assert_eq!(reachable("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(reachable("[::]:8080"), "[::1]:8080");
        assert_eq!(reachable("192.0.2.1:80"), "192.0.2.1:80");
    }
}
