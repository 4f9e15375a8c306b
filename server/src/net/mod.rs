//! Connections: accepting them, bounding what each may cost, and draining.
//!
//! | room | what it does |
//! |---|---|
//! | this one | accepts, refuses what is over the bounds, drains |
//! | `handshake` | what a client speaks |
//! | `connection` | one connection's life: its age, its end |
//! | `rest` | how long a connection may rest |
//! | `http` | what hyper is told, and the way of a request to the app |
//! | `calls` | the calls of one connection |
//! | `head_size`, `head_timer` | how large the head of a request may be, and how long it may take |
//! | `request_body` | reads on where nobody reads a request's body to its end |
//! | `half_close` | clients over HTTP/1.1 that close their side with their request |
//! | `socket` | TCP, its options, and a close that loses nothing |
//! | `gather` | large writes over HTTP/2 |
//! | `unread` | answers that their clients do not read |
//! | `tls` | encryption of the public port |
//! | `any_certificate` | the client's side, for the health check alone |
//!
//! The loop is ours, on hyper's connections. `axum::serve` has none of the bounds; `axum-server` has
//! some, but shuts down all its connections or none, so that no single one can be told to go when it is
//! old or idle, and closes sockets under clients that still read.

mod any_certificate;
mod calls;
mod connection;
mod gather;
mod half_close;
mod handshake;
mod head_size;
mod head_timer;
mod http;
mod request_body;
mod rest;
mod socket;
pub(crate) mod tls;
mod unread;

use std::{
    future::{self, Future},
    io, iter,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use runnel_limits::concurrency::{ConcurrencyLimit, LimitReached, Permit};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

pub(crate) use self::{any_certificate::client_config, tls::Tls};
use self::{connection::Connections, http::Answers};
use crate::{config::ServeConfig, metrics::ConnectionMetrics, seldom::Seldom};

/// How long the last words of ended calls may take to reach their clients.
const LAST_WORDS_DEADLINE: Duration = Duration::from_secs(1);

/// How long to wait when the system gives no connection: out of file descriptors or memory, which only
/// the end of other connections can mend.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Connections that are taken from the system when the drain begins; more than any system lets wait.
const MAX_WAITING: usize = 64 * 1024;

/// Serves `app` on `listener` until `drain` resolves. From then on it accepts nothing more, and asks
/// clients to call elsewhere: GOAWAY over HTTP/2 (RFC 9113 section 6.8), `connection: close` over
/// HTTP/1.1. Calls that are open at the drain deadline are ended by `end_calls`; a client that does not read
/// that in time is cut off, so that no client holds up the end.
pub(crate) async fn serve(
    listener: TcpListener,
    app: impl Answers,
    config: &ServeConfig,
    tls: Option<Tls>,
    metrics: &ConnectionMetrics,
    drain: impl Future<Output = ()>,
    end_calls: impl FnOnce(),
) -> io::Result<()> {
    let limit = ConcurrencyLimit::new("connections", config.connections.limit());
    let (begin_drain, draining) = watch::channel(false);
    let connections = Arc::new(Connections::new(
        app,
        &config.connections,
        tls.as_ref().map(Tls::current),
        metrics.clone(),
        draining,
    ));
    let mut open = JoinSet::new();

    let begin = |open: &mut JoinSet<()>, (tcp, peer): (TcpStream, SocketAddr)| {
        let peer = canonical(peer);
        let Some(permit) = permit(&limit, peer, metrics) else { return };
        let serve = Arc::clone(&connections).serve(tcp, peer);
        let opened = metrics.opened();
        open.spawn(async move {
            let _held = (permit, opened);
            serve.await;
        });
    };

    let mut failures = Seldom::default();
    let accept = async {
        loop {
            tokio::select! {
                connection = accept(&listener, &mut failures) => begin(&mut open, connection),
                // What has ended must be taken out of the set.
                Some(_) = open.join_next() => {}
            }
        }
    };
    let renew_certificates = async {
        match tls {
            Some(tls) => tls.renew().await,
            None => future::pending().await,
        }
    };
    tokio::select! {
        () = accept => {}
        () = renew_certificates => {}
        () = drain => {}
    }
    waiting(listener).for_each(|connection| begin(&mut open, connection));
    // Nobody is left to be told if this fails.
    let _ = begin_drain.send(true);
    let all_ended = async |open: &mut JoinSet<()>| while open.join_next().await.is_some() {};
    if timeout(config.drain_deadline, all_ended(&mut open)).await.is_ok() {
        return Ok(());
    }
    end_calls();
    if timeout(LAST_WORDS_DEADLINE, all_ended(&mut open)).await.is_ok() {
        return Ok(());
    }
    tracing::warn!(connections = open.len(), "closing connections that do not end");
    open.shutdown().await;
    Ok(())
}

/// The address of a client as everybody writes it. On a listener for IPv6 and IPv4 the system writes
/// those of IPv4 as `::ffff:192.0.2.1`.
fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

/// The next connection; `failures` are those to accept one, so far.
async fn accept(listener: &TcpListener, failures: &mut Seldom) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(connection) => return connection,
            // The client was gone before it was its turn.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if let Some(unsaid) = failures.happened(Instant::now()) {
                    tracing::warn!(unsaid, "cannot accept a connection: {error}");
                }
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

/// The connections that wait to be accepted; the system refuses those that come later. Those who made
/// these were told that they are connected, and may have asked for something.
fn waiting(listener: TcpListener) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
    // It does not block, as tokio's does not. Whatever fails, there are no more to be had.
    let listener = listener.into_std().ok();
    let next = move || {
        let (tcp, peer) = listener.as_ref()?.accept().ok()?;
        tcp.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(tcp).ok()?, peer))
    };
    iter::from_fn(next).take(MAX_WAITING)
}

/// Permission for a connection. One without is closed at once. There is nothing to tell it: what it speaks
/// is not known, and finding out is what must not be paid for.
fn permit(
    limit: &Arc<ConcurrencyLimit>,
    peer: SocketAddr,
    metrics: &ConnectionMetrics,
) -> Option<Permit> {
    limit
        .try_acquire(Some(peer.ip()))
        .inspect_err(|full| {
            tracing::debug!(%peer, "refused a connection: {full}");
            metrics.refused(match full {
                LimitReached::Total { .. } => "max_connections",
                LimitReached::PerAddress { .. } => "max_connections_per_address",
            });
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use ::http::Response;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tonic::body::Body;
    use tower::service_fn;

    use super::*;

    #[test]
    fn a_mapped_address_is_the_ipv4_address_that_it_stands_for() {
        let canonical = |text: &str| super::canonical(text.parse().unwrap()).to_string();
        assert_eq!(canonical("[::ffff:10.89.2.1]:44898"), "10.89.2.1:44898");
        assert_eq!(canonical("10.89.2.1:1"), "10.89.2.1:1");
        assert_eq!(canonical("[2001:db8::1]:1"), "[2001:db8::1]:1");
    }

    /// These were once reset: the listener was closed over them.
    #[tokio::test]
    async fn what_waits_to_be_accepted_when_a_drain_begins_is_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        for _ in 0..20 {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
            clients.push(client);
        }
        let app = service_fn(async |_| Ok(Response::new(Body::empty())));
        let metrics = ConnectionMetrics::uncounted().unwrap();
        let (config, drain) = (ServeConfig::default(), future::ready(()));
        let served = tokio::spawn(async move {
            serve(listener, app, &config, None, &metrics, drain, || {}).await
        });
        for mut client in clients {
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        }
        served.await.unwrap().unwrap();
    }
}
