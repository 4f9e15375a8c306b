//! The server: accepts connections, refuses those over the limit, and drains.

use std::{
    fmt,
    future::{self, Future},
    io, iter,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use runnel_limits::concurrency::{ConcurrencyLimit, Permit};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    connection::Connections,
    log_throttle::LogThrottle,
    observer::{Observer, SharedObserver},
    service::HttpService,
    settings::Settings,
    tls::Tls,
};

/// How long the last bytes of ended calls may take to reach their clients.
const LAST_BYTES_DEADLINE: Duration = Duration::from_secs(1);

/// How long to wait when the system gives no connection: out of file descriptors or memory, which only
/// the end of other connections can mend.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Connections that are taken from the system when the drain begins; more than any system lets wait.
const MAX_WAITING: usize = 64 * 1024;

/// A server that is about to serve. [`serve`](Self::serve) is the last call; the others say how.
#[must_use = "a server serves nothing before `serve` is called"]
pub struct Server<S> {
    service: S,
    settings: Settings,
    tls: Option<Tls>,
    observer: SharedObserver,
    end_calls: Box<dyn FnOnce() + Send>,
}

impl<S: HttpService> Server<S> {
    /// A server of `service` with the default [`Settings`], without TLS.
    pub fn new(service: S) -> Self {
        Self {
            service,
            settings: Settings::default(),
            tls: None,
            observer: SharedObserver::default(),
            end_calls: Box::new(|| ()),
        }
    }

    /// Serves within these limits.
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Serves over TLS only; None is no TLS.
    pub fn with_tls(mut self, tls: impl Into<Option<Tls>>) -> Self {
        self.tls = tls.into();
        self
    }

    /// Tells `observer` what happens to connections.
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = SharedObserver::new(observer);
        self
    }

    /// Calls `end_calls` when calls are still open at the drain deadline. It should make them end soon, with an
    /// error that their clients can read; one second later their connections are closed. Without it they are
    /// closed without a word.
    pub fn on_drain_deadline(mut self, end_calls: impl FnOnce() + Send + 'static) -> Self {
        self.end_calls = Box::new(end_calls);
        self
    }

    /// Serves on `listener` until `shutdown` resolves, and then drains: the server accepts nothing more, and
    /// asks clients to call elsewhere, with GOAWAY over HTTP/2 (RFC 9113 section 6.8), with `connection: close`
    /// over HTTP/1.1. Calls that are open may go on until [`Settings::drain_deadline`]; then a client that
    /// does not read how its calls end is cut off, so that no client holds up the end. Returns when every
    /// connection is closed.
    ///
    /// What should happen before the drain (an orchestrator is told that the server is not ready, for example)
    /// can happen in `shutdown`. A `shutdown` that never resolves, such as [`std::future::pending`], serves for
    /// ever. Dropping the future that this returns closes the listener and all connections.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let Self { service, settings, tls, observer, end_calls } = self;
        let limit = ConcurrencyLimit::new("connections", settings.connections);
        let (begin_drain, draining) = watch::channel(false);
        let connections = Arc::new(Connections::new(
            service,
            &settings,
            tls.as_ref().map(Tls::current),
            observer.clone(),
            draining,
        ));
        let mut open = JoinSet::new();

        let begin = |open: &mut JoinSet<()>, (tcp, peer): (TcpStream, SocketAddr)| {
            let peer = canonical(peer);
            let Some(permit) = permit(&limit, peer, &observer) else { return };
            let serve = Arc::clone(&connections).serve(tcp, peer);
            let opened = observer.open_connection();
            open.spawn(async move {
                let _held = (permit, opened);
                serve.await;
            });
        };

        let mut failures = LogThrottle::default();
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
            () = shutdown => {}
        }
        waiting(listener).for_each(|connection| begin(&mut open, connection));
        // If this fails, there is no connection that must be told.
        let _ = begin_drain.send(true);
        let all_ended = async |open: &mut JoinSet<()>| while open.join_next().await.is_some() {};
        if timeout(settings.drain_deadline, all_ended(&mut open)).await.is_ok() {
            return;
        }
        end_calls();
        if timeout(LAST_BYTES_DEADLINE, all_ended(&mut open)).await.is_ok() {
            return;
        }
        tracing::warn!(connections = open.len(), "closing connections that do not end");
        open.shutdown().await;
    }
}

impl<S> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The address of a client as it is usually written. On a listener for IPv6 and IPv4 the system writes
/// those of IPv4 as `::ffff:192.0.2.1`.
fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

/// The next connection; `failures` are those to accept one, so far.
async fn accept(listener: &TcpListener, failures: &mut LogThrottle) -> (TcpStream, SocketAddr) {
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

/// The connections that wait to be accepted; the system refuses those that come later. The clients of
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

/// Permission for a connection. A connection without it is closed at once. It can be told nothing: what it
/// speaks is not known, and finding out is the cost that the limit is there to avoid.
fn permit(
    limit: &Arc<ConcurrencyLimit>,
    peer: SocketAddr,
    observer: &SharedObserver,
) -> Option<Permit> {
    limit
        .try_acquire(Some(peer.ip()))
        .inspect_err(|full| {
            tracing::debug!(%peer, "refused a connection: {full}");
            observer.connection_refused(*full);
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

    /// These connections were once reset, because the listener was closed over them.
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
        let service = service_fn(async |_| Ok(Response::new(Body::empty())));
        let served = tokio::spawn(Server::new(service).serve(listener, future::ready(())));
        for mut client in clients {
            let mut response = String::new();
            client.read_to_string(&mut response).await.unwrap();
            assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        }
        served.await.unwrap();
    }
}
