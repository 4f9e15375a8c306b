//! Where the process listens. `[::]` stands for every address of the machine, those of IPv4 too,
//! whatever the machine has of IPv6.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted; systems have a bound of their own.
const BACKLOG: u32 = 1024;

/// Listens on `address`. `[::]` stands for every address of the machine, over IPv6 and IPv4. Where the kernel has no
/// IPv6, `0.0.0.0` takes its place, with a line in the log: so `[::]` is a default that works on every machine.
///
/// # Errors
///
/// The system does not let the process listen there: the port is in use, for example.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    listen_by(address, listen_on)
}

/// The same with whatever listens on exactly this address.
fn listen_by<L>(
    address: SocketAddr,
    listen_on: impl Fn(SocketAddr) -> io::Result<L>,
) -> io::Result<L> {
    let error = match listen_on(address) {
        Ok(listener) => return Ok(listener),
        Err(error) => error,
    };
    // These are no matter of IPv6. Systems say in many ways that they do not have it.
    let is_about_the_port =
        matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied);
    if address.ip() != IpAddr::from(Ipv6Addr::UNSPECIFIED) || is_about_the_port {
        return Err(error);
    }
    let ipv4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    let Ok(listener) = listen_on(ipv4) else { return Err(error) };
    tracing::warn!("cannot listen on {address} ({error}): listening on {ipv4}, IPv4 alone");
    Ok(listener)
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    if address.ip() == IpAddr::from(Ipv6Addr::UNSPECIFIED) {
        // Some machines are told otherwise (net.ipv6.bindv6only); a client over IPv4 would be refused.
        SockRef::from(&socket).set_only_v6(false)?;
    }
    // A server that starts again finds its port held by connections that have ended; elsewhere than on
    // Unix the word means that others may listen there, too.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is listened on where the kernel has no IPv6 and says so like this.
    fn without_ipv6(address: &str, kind: io::ErrorKind) -> Result<String, io::ErrorKind> {
        let listen_on = |address: SocketAddr| {
            if address.is_ipv6() { Err(kind.into()) } else { Ok(address.to_string()) }
        };
        listen_by(address.parse().unwrap(), listen_on).map_err(|error| error.kind())
    }

    #[test]
    fn without_ipv6_every_address_is_every_one_of_ipv4() {
        use io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied, Unsupported};
        for kind in [Unsupported, AddrNotAvailable] {
            assert_eq!(without_ipv6("[::]:8080", kind).as_deref(), Ok("0.0.0.0:8080"));
            // Somebody asked for this very address.
            assert_eq!(without_ipv6("[::1]:8080", kind), Err(kind));
        }
        for kind in [AddrInUse, PermissionDenied] {
            assert_eq!(without_ipv6("[::]:80", kind), Err(kind));
        }
    }

    #[test]
    fn the_error_is_the_first_one_where_neither_can_be_listened_on() {
        let listen_on = |address: SocketAddr| -> io::Result<()> {
            let v6 = io::ErrorKind::Unsupported;
            Err(if address.is_ipv6() { v6 } else { io::ErrorKind::AddrInUse }.into())
        };
        let error = listen_by("[::]:1".parse().unwrap(), listen_on).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    }

    #[tokio::test]
    async fn every_address_of_ipv6_is_every_one_of_ipv4_too() {
        let listener = listen("[::]:0".parse().unwrap()).unwrap();
        if listener.local_addr().unwrap().is_ipv6() {
            assert!(!SockRef::from(&listener).only_v6().unwrap());
        }
        let port = listener.local_addr().unwrap().port();
        tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    }
}
