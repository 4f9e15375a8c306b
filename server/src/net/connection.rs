//! One connection's life: what it speaks, how long it may be idle, how old it may grow, its end.

use std::{
    hash::{BuildHasher as _, RandomState},
    io,
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::graceful::GracefulConnection,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    http::{self, App, Calls},
    socket::{self, Socket},
};
use crate::config::ConnectionsConfig;

/// How every HTTP/2 connection begins: RFC 9113 section 3.4.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Found in the extensions of a request that came over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encrypted;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http1,
    Http2,
}

/// What the connections of a server have in common.
#[derive(Debug)]
pub(super) struct Connections {
    app: Router,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    handshake_timeout: Duration,
    idle_timeout: Duration,
    max_age: Duration,
    draining: watch::Receiver<bool>,
}

impl Connections {
    pub(super) fn new(
        app: Router,
        config: &ConnectionsConfig,
        draining: watch::Receiver<bool>,
    ) -> Self {
        Self {
            app,
            http1: http::http1(config.header_timeout),
            http2: http::http2(),
            handshake_timeout: config.handshake_timeout,
            idle_timeout: config.idle_timeout,
            max_age: config.max_connection_age,
            draining,
        }
    }

    /// Serves a connection to its end.
    pub(super) async fn serve(self: Arc<Self>, tcp: TcpStream, peer: SocketAddr) {
        if let Err(error) = socket::set_options(&tcp) {
            // It is as good without them, only slower.
            tracing::debug!(%peer, "cannot set the options of a socket: {error}");
        }
        let (socket, given_back) = Socket::lend(tcp);
        if let Err(error) = self.speak(socket, peer).await {
            tracing::debug!(%peer, "a connection failed: {error}");
        }
        if let Ok(tcp) = given_back.await {
            socket::linger(tcp).await;
        }
    }

    async fn speak(&self, mut socket: Socket, peer: SocketAddr) -> io::Result<()> {
        let version = tokio::select! {
            found = timeout(self.handshake_timeout, plain_version(&mut socket)) => found??,
            // It has asked for nothing yet.
            () = drained(self.draining.clone()) => return Ok(()),
        };
        let app = App { router: self.app.clone(), peer, encrypted: None, calls: Calls::default() };
        self.http(socket, version, app).await.map_err(io::Error::other)
    }

    async fn http<I>(&self, io: I, version: Version, app: App) -> hyper::Result<()>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (io, calls) = (TokioIo::new(io), app.calls.clone());
        match version {
            Version::Http1 => self.keep(self.http1.serve_connection(io, app), &calls).await,
            Version::Http2 => self.keep(self.http2.serve_connection(io, app), &calls).await,
        }
    }

    /// Keeps a connection until it ends by itself. When it is old or idle, or the server drains, it is
    /// told to: it takes no more calls then and ends with those it has. Should its client not care, it
    /// ends as soon as it is idle again.
    async fn keep<C>(&self, connection: C, calls: &Calls) -> Result<(), C::Error>
    where
        C: GracefulConnection,
    {
        let mut connection = pin!(connection);
        let reason_to_go = async {
            tokio::select! {
                () = drained(self.draining.clone()) => {}
                () = sleep(with_jitter(self.max_age)) => {}
                () = idle(calls, self.idle_timeout) => {}
            }
        };
        tokio::select! {
            biased;
            ended = &mut connection => return ended,
            () = reason_to_go => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            biased;
            ended = connection => ended,
            () = idle(calls, self.idle_timeout) => Ok(()),
        }
    }
}

/// Resolves when the server drains.
async fn drained(mut draining: watch::Receiver<bool>) {
    // An Err says that the server is gone.
    let _ = draining.wait_for(|draining| *draining).await;
}

/// Resolves when there was no call for `timeout`, or somewhat longer: a clock looked at for each call
/// would cost more than it is worth.
async fn idle(calls: &Calls, timeout: Duration) {
    let mut begun = calls.begun();
    loop {
        sleep(timeout).await;
        let begun_before = std::mem::replace(&mut begun, calls.begun());
        if calls.open() == 0 && begun == begun_before {
            return;
        }
    }
}

/// Up to a tenth more, so that connections made together do not end together.
fn with_jitter(age: Duration) -> Duration {
    // Every state hashes differently: all the randomness that this needs.
    let random = RandomState::new().hash_one(()) % 1000;
    let thousandth_of_a_tenth = age / 10_000;
    // Below a thousand, by the line above.
    age.saturating_add(thousandth_of_a_tenth * u32::try_from(random).unwrap_or_default())
}

/// What a client that speaks first, and in the clear, speaks.
async fn plain_version(socket: &mut Socket) -> io::Result<Version> {
    let head = socket.read_head(|head| !HTTP2_PREFACE.starts_with(head)).await?;
    Ok(if head == HTTP2_PREFACE { Version::Http2 } else { Version::Http1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_a_tenth_at_most_and_differs() {
        let age = Duration::from_hours(1);
        let ages: Vec<_> = (0..100).map(|_| with_jitter(age)).collect();
        assert!(ages.iter().all(|jittered| (age..age + age / 10).contains(jittered)), "{ages:?}");
        assert!(ages.iter().any(|jittered| *jittered != ages[0]));
        assert_eq!(with_jitter(Duration::MAX), Duration::MAX);
    }
}
