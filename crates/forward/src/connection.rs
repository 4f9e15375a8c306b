//! One HTTP/2 connection to a backend.
//!
//! It stands on `h2` itself, not on hyper's client: hyper spawns a task or two for each call and sends
//! the call through a channel, so that its body is sent without anyone polling. Here the call's own
//! future sends and receives, and a call costs half as much.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Ping, PingPong,
    client::{Builder, SendRequest},
};
use runnel_limits::quota::FREE_BYTES;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader},
    net::TcpStream,
    runtime::Handle,
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    address::Address,
    fault::Fault,
    upstream::Upstream,
    windows::{Watched, Windows},
};

/// How much of a response may be on its way to a reader that does not read. A connection has one window for
/// all its streams: HTTP/2 has no other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    /// For so many responses at once that what they hold stays within the quota.
    Large,
    /// For all others: slower, and as little as a small message may have without being counted.
    Small,
}

impl Window {
    /// For each stream that stands still, this is what it costs. With half of the large one, backend and
    /// front mostly wait for each other.
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::Large => 128 * 1024,
            Self::Small => FREE_BYTES,
        }
    }
}

/// All that HTTP/2 allows. The streams of many clients share a connection, and with a smaller window
/// a few readers that stopped would hold up all others.
const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;

/// How much of a request waits for a backend that does not read.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// How much is read from a backend at once. h2 alone reads twice for each frame of a long stream.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// The largest list of headers, or of trailers, that a response may have, in bytes.
const MAX_HEADER_LIST_BYTES: u32 = 64 * 1024;

/// A dead machine sends no FIN. The kernel finds out, after about a minute; it costs the backend
/// nothing, while gRPC servers close a connection that pings them more often than every five minutes.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// How long after an answered ping no other is sent on suspicion: what gRPC servers put up with
/// (`GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS`, `EnforcementPolicy.MinTime`).
const PING_PAUSE: Duration = Duration::from_mins(5);

/// How long a call that was cancelled before its response began counts as one at which a backend works.
const CANCELLED_PAUSE: Duration = Duration::from_secs(5);

/// That many such calls no backend minds, though it allows fewer streams.
const MIN_CANCELLED_CALLS: usize = 100;

/// A working connection: the backend has answered a ping on it.
pub(super) struct Connection {
    sender: SendRequest<Bytes>,
    /// The window of each of its responses.
    pub(super) window: Window,
    /// The windows of its requests.
    pub(super) windows: Arc<Windows>,
    pub(super) open_calls: AtomicUsize,
    /// Calls that were cancelled a short while ago, before their response began.
    cancelled_calls: Arc<AtomicUsize>,
    /// Whether the backend takes no more calls on it, while those that are open go on.
    is_leaving: AtomicBool,
    ended: Arc<OnceLock<Fault>>,
    suspicion: Arc<Notify>,
    /// Notified when there may be room for calls again.
    room: Arc<Notify>,
}

impl Connection {
    /// Connects to `address`; its responses have such a `window`. `room` is notified when there may be
    /// room for calls again.
    pub(super) async fn open(
        upstream: &Upstream,
        address: &Address,
        window: Window,
        room: Arc<Notify>,
    ) -> Result<Self, Fault> {
        match (address, &upstream.tls) {
            (Address::Tcp(address), tls) => {
                let stream = connected(upstream, TcpStream::connect(address)).await?;
                let stream = prepare(stream).map_err(|error| Fault::Connect(Arc::new(error)))?;
                match tls {
                    Some(tls) => {
                        let spoken = async {
                            Self::begin(upstream, tls.connect(stream).await?, window, room).await
                        };
                        spoken_in_time(upstream, spoken).await
                    }
                    None => {
                        spoken_in_time(upstream, Self::begin(upstream, stream, window, room)).await
                    }
                }
            }
            #[cfg(unix)]
            (Address::Unix(path), _) => {
                let stream = connected(upstream, tokio::net::UnixStream::connect(path)).await?;
                spoken_in_time(upstream, Self::begin(upstream, stream, window, room)).await
            }
            #[cfg(not(unix))]
            (Address::Unix(_), _) => {
                Err(Fault::Connect(Arc::new(io::ErrorKind::Unsupported.into())))
            }
        }
    }

    async fn begin(
        upstream: &Upstream,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        window: Window,
        room: Arc<Notify>,
    ) -> Result<Self, Fault> {
        let windows = Windows::new(Arc::clone(&room));
        let stream = Watched::new(stream, Arc::clone(&windows));
        let not_http2 = |error: h2::Error| match error.get_io() {
            Some(_) => Fault::Lost(error.to_string().into()),
            None => Fault::NotHttp2(error.to_string().into()),
        };
        let (sender, mut connection) = Builder::new()
            .initial_window_size(u32::try_from(window.bytes()).unwrap_or(u32::MAX))
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buffer_size(SEND_BUFFER_BYTES)
            .max_header_list_size(MAX_HEADER_LIST_BYTES)
            .enable_push(false)
            .handshake::<_, Bytes>(BufReader::with_capacity(READ_BUFFER_BYTES, stream))
            .await
            .map_err(not_http2)?;
        let Some(mut pings) = connection.ping_pong() else {
            return Err(Fault::NotHttp2("no pings".into()));
        };
        // h2 thinks itself connected as soon as it has said hello. The answer to a ping comes after the
        // backend's settings, and only from a backend that speaks HTTP/2 and is awake.
        let pong = pings.ping(Ping::opaque());
        tokio::select! {
            ended = &mut connection => {
                ended.map_err(not_http2)?;
                return Err(Fault::NotHttp2("it closed the connection".into()));
            }
            pong = pong => pong.map(drop).map_err(not_http2)?,
        }

        let ended = Arc::new(OnceLock::new());
        let suspicion = Arc::new(Notify::new());
        let watch =
            watch(pings, Arc::clone(&suspicion), upstream.keepalive, upstream.connect_timeout);
        let end = Arc::clone(&ended);
        tokio::spawn(async move {
            let mut connection = connection;
            let fault = tokio::select! {
                over = &mut connection => match over {
                    Ok(()) => Fault::Lost("it was closed".into()),
                    Err(error) => Fault::Lost(error.to_string().into()),
                },
                fault = watch => fault,
            };
            // Before the connection is dropped and its streams learn that it is gone.
            let _ = end.set(fault);
            drop(connection);
        });
        Ok(Self {
            sender,
            window,
            windows,
            open_calls: AtomicUsize::new(0),
            cancelled_calls: Arc::default(),
            is_leaving: AtomicBool::new(false),
            ended,
            suspicion,
            room,
        })
    }

    /// A handle to make one call with.
    pub(super) fn sender(&self) -> SendRequest<Bytes> {
        self.sender.clone()
    }

    pub(super) fn open_calls(&self) -> usize {
        self.open_calls.load(Ordering::Relaxed)
    }

    /// Whether the backend takes another call at once.
    pub(super) fn has_room(&self) -> bool {
        let (open, most) = (self.open_calls(), self.windows.max_streams());
        let cancelled = self.cancelled_calls.load(Ordering::Relaxed);
        open < most
            && open + cancelled < most.max(MIN_CANCELLED_CALLS)
            && (open == 0 || self.windows.has_room())
    }

    /// A call was cancelled before its response began: for a while it takes part of the connection, as if it
    /// were open, because the backend may be at work on it all the same. Of a connection whose calls
    /// are mostly cancelled a server thinks that it is attacked, and closes it under all its calls: Go's
    /// `net/http` with more than four times as many handlers at work as it allows streams.
    pub(super) fn cancelled(&self) {
        // There is none when the server ends.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (cancelled, room) = (Arc::clone(&self.cancelled_calls), Arc::clone(&self.room));
        cancelled.fetch_add(1, Ordering::Relaxed);
        runtime.spawn(async move {
            sleep(CANCELLED_PAUSE).await;
            cancelled.fetch_sub(1, Ordering::Relaxed);
            room.notify_one();
        });
    }

    /// Whether the backend takes no calls at all.
    pub(super) fn allows_none(&self) -> bool {
        self.windows.max_streams() == 0
    }

    /// Whether calls may be made on it.
    pub(super) fn is_open(&self) -> bool {
        !self.is_leaving.load(Ordering::Relaxed) && self.ended.get().is_none()
    }

    /// A call found that the backend has said GOAWAY. h2 tells nobody else.
    pub(super) fn leave(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
    }

    /// Why it ended, if it did.
    pub(super) fn ended(&self) -> Option<Fault> {
        self.ended.get().cloned()
    }

    /// Finds out whether anyone is still there, and ends the connection if not.
    pub(super) fn suspect(&self) {
        self.suspicion.notify_one();
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("open_calls", &self.open_calls).finish_non_exhaustive()
    }
}

/// Connects within the connect timeout.
async fn connected<S>(
    upstream: &Upstream,
    connecting: impl Future<Output = io::Result<S>>,
) -> Result<S, Fault> {
    let limit = upstream.connect_timeout;
    let connected = timeout(limit, connecting).await.map_err(|_| Fault::ConnectTimeout(limit))?;
    connected.map_err(|error| Fault::Connect(Arc::new(error)))
}

/// Waits until the backend has shown that it speaks HTTP/2, within the connect timeout.
async fn spoken_in_time(
    upstream: &Upstream,
    spoken: impl Future<Output = Result<Connection, Fault>>,
) -> Result<Connection, Fault> {
    let limit = upstream.connect_timeout;
    timeout(limit, spoken).await.map_err(|_| Fault::Silent(limit))?
}

fn prepare(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(TCP_KEEPALIVE).with_interval(TCP_KEEPALIVE / 3);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}

/// Pings on suspicion, and as often as the operator wishes; ends when a ping is not answered in time.
async fn watch(
    mut pings: PingPong,
    suspicion: Arc<Notify>,
    every: Option<Duration>,
    patience: Duration,
) -> Fault {
    loop {
        tokio::select! {
            () = suspicion.notified() => {}
            () = sleep(every.unwrap_or(Duration::MAX)) => {}
        }
        match timeout(patience, pings.ping(Ping::opaque())).await {
            Ok(Ok(_pong)) => {}
            // The connection itself tells why.
            Ok(Err(_)) => std::future::pending().await,
            Err(_) => return Fault::Dead(patience),
        }
        if every.is_none() {
            sleep(PING_PAUSE).await;
        }
    }
}
