//! One connection's life: how long it may be idle, how old it may grow, its end.

use std::{
    future::{self, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::Context,
    time::Duration,
};

use hyper::server::conn::{http1, http2};
use hyper_util::{rt::TokioIo, server::graceful::GracefulConnection};
use runnel_limits::client::Encrypted;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};
use tokio_rustls::rustls::ServerConfig;

use crate::{
    calls::Calls,
    half_close::HalfClose,
    handshake::{self, Transport, Version},
    head_size::HeadLimit,
    head_timer::HeadTimer,
    http::{self, App},
    idle::{idle, keep_alive, with_jitter},
    observer::SharedObserver,
    service::HttpService,
    settings::Settings,
    socket::{self, Socket},
    stream_task::Streams,
};

/// How long a connection on which no call is open may still begin one when the server drains. What a
/// client asked just before it could know of the drain is on its way, and a proxy does not ask a second
/// time (RFC 9110 section 9.2.2): it is answered, and the response says that it was the connection's last.
const DRAIN_GRACE: Duration = Duration::from_millis(500);

/// As good as for ever, and short enough to be added to any clock.
const LONGEST: Duration = Duration::from_hours(100 * 365 * 24);

/// What the connections of a server have in common.
#[derive(Debug)]
pub(crate) struct Connections<S> {
    service: S,
    http1: http1::Builder,
    http2: http2::Builder<Streams>,
    response_read_timeout: Option<Duration>,
    handshake_timeout: Duration,
    idle_timeout: Duration,
    max_age: Duration,
    heads: HeadLimit,
    drain_grace: Duration,
    /// What to encrypt with; None for no TLS.
    tls: Option<watch::Receiver<Arc<ServerConfig>>>,
    observer: SharedObserver,
    draining: watch::Receiver<bool>,
}

impl<S: HttpService> Connections<S> {
    pub(crate) fn new(
        service: S,
        settings: &Settings,
        tls: Option<watch::Receiver<Arc<ServerConfig>>>,
        observer: SharedObserver,
        draining: watch::Receiver<bool>,
    ) -> Self {
        let heads = HeadLimit::new(settings.header_limit_bytes);
        let response_read_timeout = settings.response_read_timeout;
        Self {
            service,
            http1: http::http1(settings.header_timeout, heads),
            http2: http::http2(heads, response_read_timeout),
            response_read_timeout,
            handshake_timeout: settings.handshake_timeout,
            idle_timeout: settings.idle_timeout.unwrap_or(LONGEST),
            max_age: settings.max_connection_age.unwrap_or(LONGEST),
            heads,
            drain_grace: DRAIN_GRACE,
            tls,
            observer,
            draining,
        }
    }

    /// Serves a connection to its end.
    pub(crate) async fn serve(self: Arc<Self>, tcp: TcpStream, peer: SocketAddr) {
        if let Err(error) = socket::set_options(&tcp) {
            // It is as good without them, only slower.
            tracing::debug!(%peer, "cannot set the options of a socket: {error}");
        }
        let (socket, handed_back) = Socket::hand_off(tcp);
        if let Err(error) = self.speak(socket, peer).await {
            tracing::debug!(%peer, "a connection failed: {error}");
        }
        if let Ok(tcp) = handed_back.await {
            socket::linger(tcp).await;
        }
    }

    async fn speak(&self, socket: Socket, peer: SocketAddr) -> io::Result<()> {
        let flusher = socket.flusher();
        let handshake = timeout(self.handshake_timeout, self.handshake(socket));
        let (transport, version) = tokio::select! {
            spoken = handshake => {
                let spoken = spoken.unwrap_or_else(|late| Err(late.into()));
                spoken.inspect_err(|error| self.observer.handshake_failed(error))?
            }
            // It has asked for nothing.
            () = self.drained_for_a_while() => return Ok(()),
        };
        let app = |encrypted| self.app(peer, encrypted);
        if version == Version::Http2 {
            flusher.coalesce_writes();
        }
        let flush = |cx: &mut Context<'_>| flusher.poll_flush(cx);
        let served = match transport {
            Transport::Plain(socket) => self.http(socket, version, app(None), flush).await,
            Transport::Tls(stream) => self.http(stream, version, app(Some(Encrypted)), flush).await,
        };
        served.map_err(|error| {
            if let Some(status) = http::answered(&error) {
                self.observer.http_error(status);
            }
            io::Error::other(error)
        })
    }

    /// What hyper calls on one connection.
    pub(crate) fn app(&self, peer: SocketAddr, encrypted: Option<Encrypted>) -> App<S> {
        App {
            service: self.service.clone(),
            peer,
            encrypted,
            calls: Calls::new(self.observer.clone(), self.draining.clone()),
            heads: self.heads,
            keep_alive: keep_alive(self.idle_timeout),
        }
    }

    async fn handshake(&self, socket: Socket) -> io::Result<(Transport, Version)> {
        match &self.tls {
            None => handshake::plain(socket).await,
            Some(tls) => {
                let config = Arc::clone(&tls.borrow());
                handshake::tls(socket, config, &self.observer).await
            }
        }
    }

    /// Speaks HTTP over `io`. Each time when all has been done that could be, `flush` is called.
    pub(crate) async fn http<I>(
        &self,
        io: I,
        version: Version,
        app: App<S>,
        flush: impl FnMut(&mut Context<'_>),
    ) -> hyper::Result<()>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let calls = app.calls.clone();
        // In a box, because a future keeps room for all that passes through it: a task would be several
        // times as large as the larger of the two.
        match version {
            Version::Http1 => {
                let io = TokioIo::new(HalfClose::new(io, calls.clone()));
                let mut http1 = self.http1.clone();
                http1.timer(HeadTimer(calls.clone()));
                let connection = Box::pin(http1.serve_connection(io, app));
                // Were it closed when it is old, what a client asks at that moment would be lost, and a
                // proxy does not ask again. The next response says that it is the last.
                let old = async {
                    sleep(with_jitter(self.max_age)).await;
                    calls.grow_old();
                    future::pending::<()>().await;
                };
                let kept = self.keep(connection, flush, &calls, self.drained_for_a_while(), old);
                tokio::select! {
                    biased;
                    ended = kept => ended,
                    () = calls.reading().stopped(self.response_read_timeout) => Ok(()),
                }
            }
            // GOAWAY says which calls it comes too late for, so it may come at once.
            Version::Http2 => {
                let connection = Box::pin(self.http2.serve_connection(TokioIo::new(io), app));
                let old = sleep(with_jitter(self.max_age));
                self.keep(connection, flush, &calls, self.drained(), old).await
            }
        }
    }

    /// Keeps a connection until it ends by itself. When it is `old` or idle, or the server `drained`, it
    /// is told to: it takes no more calls then and ends with those it has. Should its client not care,
    /// it ends as soon as it is idle again.
    async fn keep<C>(
        &self,
        mut connection: Pin<Box<C>>,
        mut flush: impl FnMut(&mut Context<'_>),
        calls: &Calls,
        drained: impl Future<Output = ()>,
        old: impl Future<Output = ()>,
    ) -> Result<(), C::Error>
    where
        C: GracefulConnection,
    {
        let mut poll = |connection: Pin<&mut C>, cx: &mut Context<'_>| {
            let polled = connection.poll(cx);
            flush(cx);
            polled
        };
        let reason_to_go = async {
            tokio::select! {
                () = drained => {}
                () = old => {}
                () = idle(calls, self.idle_timeout) => {}
            }
        };
        tokio::select! {
            biased;
            ended = poll_fn(|cx| poll(connection.as_mut(), cx)) => return ended,
            () = reason_to_go => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            biased;
            ended = poll_fn(|cx| poll(connection.as_mut(), cx)) => ended,
            () = idle(calls, self.idle_timeout) => Ok(()),
        }
    }

    /// Resolves when the server drains.
    async fn drained(&self) {
        // An Err says that the server is gone.
        let _ = self.draining.clone().wait_for(|draining| *draining).await;
    }

    /// Resolves when the server drains and what was asked just before must have come.
    async fn drained_for_a_while(&self) {
        self.drained().await;
        sleep(self.drain_grace).await;
    }
}

#[cfg(test)]
mod idle_tests;
#[cfg(test)]
mod tests;
