//! `runnel healthcheck`: asks a running server for its health the way any gRPC client would. It is
//! what a container runs, where there is no shell and no curl.
//!
//! Over TLS it takes whatever certificate it is shown: it asks its own machine for one word and tells
//! nothing, and a certificate that has expired is no reason to kill the server. If clients need one, it
//! shows the server's own, which must then come from the clients' roots.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use tower::service_fn;

use crate::{certificates::TlsError, config::ServeConfig, net};

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

    /// The certificate that a client of it needs cannot be used.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),

    /// The server says that it does not serve, as it does while it drains.
    #[error("{address} is {status}")]
    NotServing {
        /// Where it was asked.
        address: SocketAddr,
        /// What it said, in the words of `grpc.health.v1`.
        status: &'static str,
    },
}

/// Asks `grpc.health.v1` for the health of the whole server that listens on `config.listen`.
pub async fn check(config: &ServeConfig) -> Result<(), HealthcheckError> {
    let address = reachable(config.listen);
    let unreachable = |source| HealthcheckError::Unreachable { address, source };
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(unreachable)?
        .connect_timeout(TIMEOUT)
        .timeout(TIMEOUT);
    let channel = match net::client_config(&config.tls).await? {
        Some(tls) => {
            let connector = TlsConnector::from(Arc::new(tls));
            let connect = move |_: Uri| {
                let connector = connector.clone();
                async move {
                    let tcp = TcpStream::connect(address).await?;
                    let stream = connector.connect(address.ip().into(), tcp).await?;
                    Ok::<_, io::Error>(TokioIo::new(stream))
                }
            };
            endpoint.connect_with_connector(service_fn(connect)).await
        }
        None => endpoint.connect().await,
    };
    let channel = channel.map_err(unreachable)?;
    match HealthClient::new(channel).check(HealthCheckRequest::default()).await {
        Ok(answer) => match answer.into_inner().status() {
            ServingStatus::Serving => Ok(()),
            other => Err(HealthcheckError::NotServing { address, status: other.as_str_name() }),
        },
        // In front of a backend without a health service. That it answers is all there is to know.
        Err(status) if status.code() == Code::Unimplemented => Ok(()),
        Err(status) => Err(HealthcheckError::Refused { address, status: Box::new(status) }),
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
