//! `runnel healthcheck`: asks a running server for its health the way any gRPC client would. It is
//! what a container runs, where there is no shell and no curl. In front of a backend it is the front that
//! answers, with the verdict of its `/readyz` ([`FRONT`]): what the backend says of itself is one of the things
//! that verdict is made of.
//!
//! Over TLS it takes whatever certificate it is shown: it asks its own machine for one word and tells
//! nothing, and a certificate that has expired is no reason to kill the server. If clients need one, it
//! shows the server's own, which must then come from the clients' roots.

mod any_certificate;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use runnel_tls::TlsError;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tonic::{Code, Request, metadata::MetadataValue, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tower::service_fn;

use self::any_certificate::client_config;
use crate::config::ServeConfig;

/// Metadata of a health check that is for the server which listens, whatever it is in front of. Any client
/// may send it: it learns whether calls should come here.
pub(crate) const FRONT: &str = "runnel-front";

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
    let address = config.listen;
    let unreachable = |source| HealthcheckError::Unreachable { address, source };
    let tls = client_config(&config.tls).await?;
    let tls = tls.map(|tls| TlsConnector::from(Arc::new(tls)));
    let addresses = reachable(address);
    let connect = move |_: Uri| {
        let (tls, addresses) = (tls.clone(), addresses.clone());
        async move { connect(&addresses, tls).await.map(TokioIo::new) }
    };
    let channel = Endpoint::from_shared(format!("http://{}", reachable(address)[0]))
        .map_err(unreachable)?
        .connect_timeout(TIMEOUT)
        .timeout(TIMEOUT)
        .connect_with_connector(service_fn(connect))
        .await
        .map_err(unreachable)?;
    let mut request = Request::new(HealthCheckRequest::default());
    request.metadata_mut().insert(FRONT, MetadataValue::from_static("1"));
    match HealthClient::new(channel).check(request).await {
        Ok(answer) => match answer.into_inner().status() {
            ServingStatus::Serving => Ok(()),
            other => Err(HealthcheckError::NotServing { address, status: other.as_str_name() }),
        },
        // It is full. That is no reason to end it, and with it the calls that it is full of.
        Err(status) if status.code() == Code::ResourceExhausted => Ok(()),
        Err(status) => Err(HealthcheckError::Refused { address, status: Box::new(status) }),
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to the first address that can be connected to.
async fn connect(
    addresses: &[SocketAddr],
    tls: Option<TlsConnector>,
) -> io::Result<Box<dyn Stream>> {
    let tcp = TcpStream::connect(addresses).await?;
    let Some(tls) = tls else { return Ok(Box::new(tcp)) };
    let name = tcp.peer_addr()?.ip().into();
    Ok(Box::new(tls.connect(name, tcp).await?))
}

/// Where a server that listens on this address can be reached from its own machine; one on `[::]` over IPv4
/// as well, and only so where IPv6 is off.
fn reachable(listen: SocketAddr) -> Vec<SocketAddr> {
    let ips: &[IpAddr] = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => &[Ipv4Addr::LOCALHOST.into()],
        IpAddr::V6(ip) if ip.is_unspecified() => {
            &[Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]
        }
        ip => &[ip],
    };
    ips.iter().map(|ip| SocketAddr::new(*ip, listen.port())).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_unspecified_address_is_asked_on_loopback() {
        let reachable = |address: &str| {
            let addresses = super::reachable(address.parse().unwrap());
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(reachable("0.0.0.0:8080"), ["127.0.0.1:8080"]);
        assert_eq!(reachable("[::]:8080"), ["[::1]:8080", "127.0.0.1:8080"]);
        assert_eq!(reachable("192.0.2.1:80"), ["192.0.2.1:80"]);
    }
}
