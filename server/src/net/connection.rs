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

use super::{
    calls::Calls,
    half_close::HalfClose,
    handshake::{self, Transport, Version},
    head_size::HeadLimit,
    head_timer::HeadTimer,
    http::{self, Answers, App},
    rest::{idle, keep_alive, with_jitter},
    socket::{self, Socket},
    unread::Streams,
};
use crate::{config::ConnectionsConfig, metrics::ConnectionMetrics};

/// How long a connection on which no call is open may still begin one when the server drains. What a
/// client asked just before it could know of the drain is on its way, and a proxy does not ask a second
/// time (RFC 9110 section 9.2.2): it is answered, and the answer says that it was the connection's last.
const DRAIN_GRACE: Duration = Duration::from_millis(500);

/// What the connections of a server have in common.
#[derive(Debug)]
pub(super) struct Connections<S> {
    app: S,
    http1: http1::Builder,
    http2: http2::Builder<Streams>,
    answer_timeout: Option<Duration>,
    handshake_timeout: Duration,
    idle_timeout: Duration,
    max_age: Duration,
    heads: HeadLimit,
    drain_grace: Duration,
    /// What to encrypt with; None for no TLS.
    tls: Option<watch::Receiver<Arc<ServerConfig>>>,
    metrics: ConnectionMetrics,
    draining: watch::Receiver<bool>,
}

impl<S: Answers> Connections<S> {
    pub(super) fn new(
        app: S,
        config: &ConnectionsConfig,
        tls: Option<watch::Receiver<Arc<ServerConfig>>>,
        metrics: ConnectionMetrics,
        draining: watch::Receiver<bool>,
    ) -> Self {
        let heads = HeadLimit::new(config.header_limit_bytes);
        let answer_timeout = config.answer_timeout();
        Self {
            app,
            http1: http::http1(config.header_timeout, heads),
            http2: http::http2(heads, answer_timeout),
            answer_timeout,
            handshake_timeout: config.handshake_timeout,
            idle_timeout: config.idle_timeout(),
            max_age: config.max_age(),
            heads,
            drain_grace: DRAIN_GRACE,
            tls,
            metrics,
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

    async fn speak(&self, socket: Socket, peer: SocketAddr) -> io::Result<()> {
        let outlet = socket.outlet();
        let handshake = timeout(self.handshake_timeout, self.handshake(socket));
        let (transport, version) = tokio::select! {
            spoken = handshake => spoken??,
            // It has asked for nothing.
            () = self.drained_for_a_while() => return Ok(()),
        };
        let app = |encrypted| self.app(peer, encrypted);
        if version == Version::Http2 {
            outlet.gather();
        }
        let give = |cx: &mut Context<'_>| outlet.poll_give(cx);
        let served = match transport {
            Transport::Plain(socket) => self.http(socket, version, app(None), give).await,
            Transport::Tls(stream) => self.http(stream, version, app(Some(Encrypted)), give).await,
        };
        served.map_err(|error| {
            if let Some(status) = http::answered(&error) {
                self.metrics.answered_http_error(status);
            }
            io::Error::other(error)
        })
    }

    /// What answers on one connection.
    pub(super) fn app(&self, peer: SocketAddr, encrypted: Option<Encrypted>) -> App<S> {
        App {
            inner: self.app.clone(),
            peer,
            encrypted,
            calls: Calls::new(self.metrics.clone(), self.draining.clone()),
            heads: self.heads,
            keep_alive: keep_alive(self.idle_timeout),
        }
    }

    async fn handshake(&self, socket: Socket) -> io::Result<(Transport, Version)> {
        match &self.tls {
            None => handshake::plain(socket).await,
            Some(tls) => {
                let config = Arc::clone(&tls.borrow());
                handshake::tls(socket, config, &self.metrics).await
            }
        }
    }

    /// Speaks HTTP over `io`. Each time when all has been done that could be, `give` is called.
    pub(super) async fn http<I>(
        &self,
        io: I,
        version: Version,
        app: App<S>,
        give: impl FnMut(&mut Context<'_>),
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
                // proxy does not ask again. The next answer says that it is the last.
                let old = async {
                    sleep(with_jitter(self.max_age)).await;
                    calls.grow_old();
                    future::pending::<()>().await;
                };
                let kept = self.keep(connection, give, &calls, self.drained_for_a_while(), old);
                tokio::select! {
                    biased;
                    ended = kept => ended,
                    () = calls.reading().stopped(self.answer_timeout) => Ok(()),
                }
            }
            // GOAWAY says which calls it comes too late for, so it may come at once.
            Version::Http2 => {
                let connection = Box::pin(self.http2.serve_connection(TokioIo::new(io), app));
                let old = sleep(with_jitter(self.max_age));
                self.keep(connection, give, &calls, self.drained(), old).await
            }
        }
    }

    /// Keeps a connection until it ends by itself. When it is `old` or idle, or the server `drained`, it
    /// is told to: it takes no more calls then and ends with those it has. Should its client not care,
    /// it ends as soon as it is idle again.
    async fn keep<C>(
        &self,
        mut connection: Pin<Box<C>>,
        mut give: impl FnMut(&mut Context<'_>),
        calls: &Calls,
        drained: impl Future<Output = ()>,
        old: impl Future<Output = ()>,
    ) -> Result<(), C::Error>
    where
        C: GracefulConnection,
    {
        let mut poll = |connection: Pin<&mut C>, cx: &mut Context<'_>| {
            let polled = connection.poll(cx);
            give(cx);
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
mod tests {
    use ::http::Response;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        time::Instant,
    };
    use tonic::body::Body;
    use tower::service_fn;

    use super::{super::handshake::HTTP2_PREFACE, *};

    const HOUR: Duration = Duration::from_hours(1);

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

    /// Answers nothing but 200.
    fn app() -> impl Answers {
        service_fn(async |_| Ok(Response::new(Body::empty())))
    }

    /// Connections that are never idle for long enough, and what says that the server is there.
    fn connections() -> (Arc<Connections<impl Answers>>, watch::Sender<bool>) {
        let config = ConnectionsConfig { idle_timeout: HOUR, ..ConnectionsConfig::default() };
        let metrics = ConnectionMetrics::uncounted().unwrap();
        let (server, draining) = watch::channel(false);
        (Arc::new(Connections::new(app(), &config, None, metrics, draining)), server)
    }

    /// A client's end of a connection, and the server's end.
    async fn connected() -> (TcpStream, TcpStream, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (tcp, peer) = listener.accept().await.unwrap();
        (client, tcp, peer)
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_socket_that_is_served_has_its_options() {
        use std::os::fd::AsFd as _;

        let (mut client, tcp, peer) = connected().await;
        // The same socket.
        let accepted = socket2::Socket::from(tcp.as_fd().try_clone_to_owned().unwrap());
        let (connections, _server) = connections();
        let served = tokio::spawn(connections.serve(tcp, peer));
        client.write_all(REQUEST).await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'H');

        assert!(accepted.tcp_nodelay().unwrap());
        assert_eq!(accepted.tcp_notsent_lowat().unwrap(), 128 * 1024);
        assert!(accepted.keepalive().unwrap());
        assert_eq!(accepted.tcp_keepalive_time().unwrap(), Duration::from_mins(1));
        assert_eq!(accepted.tcp_keepalive_interval().unwrap(), Duration::from_secs(20));
        served.abort();
    }

    /// The server drains when a connection was made and has had that many answers, and is then asked
    /// once more. Such a call got no answer once, and a proxy does not ask again.
    async fn asked_when_the_server_drains(answered_before: usize) -> String {
        let (connections, server) = connections();
        let mut connections = Arc::into_inner(connections).unwrap();
        connections.drain_grace = HOUR;
        let (mut client, tcp, peer) = connected().await;
        let served = tokio::spawn(Arc::new(connections).serve(tcp, peer));
        for _ in 0..answered_before {
            client.write_all(REQUEST).await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            assert!(!String::from_utf8(head).unwrap().contains("connection: close"));
        }
        // So that the server is where it waits for more.
        tokio::task::yield_now().await;
        server.send(true).unwrap();
        client.write_all(REQUEST).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        drop(client);
        served.await.unwrap();
        answer
    }

    #[tokio::test]
    async fn what_is_asked_as_a_drain_begins_is_answered_and_is_the_last() {
        for answered_before in [0, 1, 2] {
            let answer = asked_when_the_server_drains(answered_before).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answered_before}: {answer}");
            assert!(answer.contains("connection: close\r\n"), "{answered_before}: {answer}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asks_for_nothing_does_not_hold_up_a_drain() {
        for request in [&b""[..], REQUEST] {
            let began = Instant::now();
            let (connections, server) = connections();
            let other_end = connections.handshake_timeout;
            let (mut client, tcp, peer) = connected().await;
            let served = tokio::spawn(connections.serve(tcp, peer));
            client.write_all(request).await.unwrap();
            if !request.is_empty() {
                client.read_u8().await.unwrap();
            }
            server.send(true).unwrap();
            served.await.unwrap();
            assert!(began.elapsed() < other_end, "silence, idleness or age ended it");
        }
    }

    /// Pings that a peer gets until the connection ends, ten at most. Time is the runtime's own.
    async fn pings(answers: bool) -> usize {
        let (connections, _server) = connections();
        let (mut peer, socket) = tokio::io::duplex(64 * 1024);
        let app = connections.app(SocketAddr::from(([127, 0, 0, 1], 1)), None);
        let served =
            tokio::spawn(
                async move { connections.http(socket, Version::Http2, app, |_| {}).await },
            );
        // No settings.
        let beginning = [HTTP2_PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
        peer.write_all(&beginning).await.unwrap();
        let mut pings = 0;
        let mut head = [0; 9];
        while pings < 10 && peer.read_exact(&mut head).await.is_ok() {
            let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
            peer.read_exact(&mut payload).await.unwrap();
            // PING, and not the answer to one: RFC 9113 section 6.7.
            if head[3] == 6 && head[4] == 0 {
                pings += 1;
                head[4] = 1;
                if answers {
                    peer.write_all(&[&head[..], &payload].concat()).await.unwrap();
                }
            }
        }
        served.abort();
        pings
    }

    #[tokio::test(start_paused = true)]
    async fn an_http2_peer_that_answers_no_ping_is_given_up_and_one_that_does_is_kept() {
        assert_eq!(pings(true).await, 10);
        let began = Instant::now();
        assert_eq!(pings(false).await, 1);
        assert!(began.elapsed() < HOUR, "it was only idle");
    }
}
