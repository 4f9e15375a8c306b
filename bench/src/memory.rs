//! Many readers of an endless stream, who stop reading after the first bytes, or go on slowly. What the
//! server keeps for each is what this is about.

use std::{
    future::pending,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use http_body_util::BodyExt as _;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    client::{Caller, Sender, Wire},
    contract::Call,
    process::Server,
    tls::Tls,
};

/// A client's receive buffer, in bytes. Small, or the kernel alone would swallow gigabytes before the
/// server has to wait.
const RECEIVE_BUFFER_BYTES: u32 = 64 * 1024;

/// Streams that share an HTTP/2 connection.
const STREAMS_A_CONNECTION: u32 = 100;

/// How much a slow reader takes at once, in bytes, and how long it rests between.
const SLOW_PIECE_BYTES: usize = 16 * 1024;
const SLOW_INTERVAL: Duration = Duration::from_secs(1);

/// The bounds of what may take long on a loaded machine.
const STALL_DEADLINE: Duration = Duration::from_mins(1);
const READING_INTERVAL: Duration = Duration::from_millis(500);
const MAX_READINGS: u32 = 60;

/// How long another stream is, and how long it may take; it takes milliseconds, or for ever.
const OTHER_ITEMS: i32 = 10_000;
const OTHER_DEADLINE: Duration = Duration::from_secs(10);

/// How a reader stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// HTTP/1.1: nobody reads the socket any more.
    Http1,
    /// HTTP/2: nobody reads the socket any more, though every flow-control window is wide open.
    Http2Socket,
    /// HTTP/2: the socket is read, but no stream's flow-control window is opened again.
    Http2Window,
    /// HTTP/1.1: not at all, but some kilobytes a second are all that is read.
    Http1Slow,
    /// HTTP/2: the same, of each stream.
    Http2Slow,
}

/// Every way to stop.
pub const STALLS: [Stall; 3] = [Stall::Http1, Stall::Http2Socket, Stall::Http2Window];

impl Stall {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1, socket not read",
            Self::Http2Socket => "HTTP/2, socket not read",
            Self::Http2Window => "HTTP/2, windows not released",
            Self::Http1Slow => "HTTP/1.1, read slowly",
            Self::Http2Slow => "HTTP/2, read slowly",
        }
    }

    /// Its protocol.
    pub fn wire(self) -> Wire {
        match self {
            Self::Http1 | Self::Http1Slow => Wire::WebHttp1,
            Self::Http2Socket | Self::Http2Window | Self::Http2Slow => Wire::WebHttp2,
        }
    }

    fn stops_the_socket(self) -> bool {
        matches!(self, Self::Http1 | Self::Http2Socket)
    }

    fn is_slow(self) -> bool {
        matches!(self, Self::Http1Slow | Self::Http2Slow)
    }

    async fn connect(
        self,
        address: SocketAddr,
        tls: Option<&Tls>,
        valve: Arc<Valve>,
    ) -> Result<Caller> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        let socket = socket.connect(address).await.context("cannot connect")?;
        let io = Stoppable { socket, valve };
        match tls {
            Some(tls) => self.over(tls.connect(io, self.wire()).await?, address).await,
            None => self.over(io, address).await,
        }
    }

    async fn over<I>(self, io: I, address: SocketAddr) -> Result<Caller>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(io);
        let sender = if self.wire() == Wire::WebHttp1 {
            let mut http1 = http1::Builder::new();
            if self.is_slow() {
                http1.max_buf_size(SLOW_PIECE_BYTES);
            }
            let (sender, connection) = http1.handshake(io).await?;
            tokio::spawn(connection);
            Sender::Http1(sender)
        } else {
            let window = if self == Self::Http2Socket { 1 << 20 } else { 64 << 10 };
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .initial_stream_window_size(window)
                .initial_connection_window_size(1 << 30)
                .handshake(io)
                .await?;
            tokio::spawn(connection);
            Sender::Http2(sender)
        };
        Ok(Caller::new(address, self.wire(), sender))
    }
}

/// Readers that have stopped. Dropping them hangs up.
#[derive(Debug)]
pub struct Stalled {
    /// Holds what each reader holds: its caller and its half-read answer.
    _readers: JoinSet<Result<()>>,
}

/// Starts `readers` endless streams and returns once they have stopped reading.
pub async fn stall(
    address: SocketAddr,
    tls: Option<&Tls>,
    stall: Stall,
    readers: u32,
) -> Result<Stalled> {
    let mut tasks = JoinSet::new();
    let (started, mut first_bytes) = mpsc::unbounded_channel();
    let streams = if stall.wire() == Wire::WebHttp1 { 1 } else { STREAMS_A_CONNECTION };
    let mut connections = 0;
    let mut left = readers;
    while left > 0 {
        let valve = Arc::new(Valve(AtomicBool::new(true)));
        let first = stall.connect(address, tls, Arc::clone(&valve)).await?;
        for _ in 1..streams.min(left) {
            let caller = first.share().context("HTTP/2 shares connections")?;
            tasks.spawn(read_a_little(caller, stall, Arc::clone(&valve), started.clone()));
        }
        tasks.spawn(read_a_little(first, stall, valve, started.clone()));
        left -= streams.min(left);
        connections += 1;
    }
    // Once nobody reads a socket, its other streams start unseen.
    let expected = if stall.stops_the_socket() { connections } else { readers };
    let all_started = async {
        for _ in 0..expected {
            tokio::select! {
                _ = first_bytes.recv() => {}
                Some(ended) = tasks.join_next() => {
                    ended??;
                    bail!("an endless stream ended");
                }
            }
        }
        Ok(())
    };
    timeout(STALL_DEADLINE, all_started).await.context("not every stream began")??;
    Ok(Stalled { _readers: tasks })
}

async fn read_a_little(
    mut caller: Caller,
    stall: Stall,
    valve: Arc<Valve>,
    started: mpsc::UnboundedSender<()>,
) -> Result<()> {
    let mut body = caller.send(&Call::endless_stream()).await?.into_body();
    body.frame().await.context("an endless stream was empty")??;
    if stall.stops_the_socket() {
        valve.0.store(false, Ordering::Relaxed);
    }
    // An Err says that nobody waits for this any more.
    let _ = started.send(());
    while stall.is_slow() {
        sleep(SLOW_INTERVAL).await;
        body.frame().await.context("an endless stream ended")??;
    }
    pending().await
}

/// How many of some `others`, new streams that everybody reads, stand still.
pub async fn stuck(address: SocketAddr, wire: Wire, others: u32) -> Result<u32> {
    let mut tasks = JoinSet::new();
    for _ in 0..others {
        tasks.spawn(async move {
            let call = Call::get_stream(OTHER_ITEMS);
            let read = async { Caller::connect(address, wire).await?.call(&call).await };
            match timeout(OTHER_DEADLINE, read).await {
                Ok(read) => read.map(|()| 0),
                Err(_) => anyhow::Ok(1),
            }
        });
    }
    let mut stuck = 0;
    while let Some(other) = tasks.join_next().await {
        stuck += other??;
    }
    Ok(stuck)
}

/// Returns once a server does nothing more for readers that have stopped. What it sends them goes into
/// the system's memory first, and fills its own only when that is full.
pub async fn at_rest(server: &Server) -> Result<()> {
    for _ in 0..MAX_READINGS {
        let before = server.cpu()?;
        sleep(READING_INTERVAL).await;
        if server.cpu_since(before)? <= READING_INTERVAL / 50 {
            return Ok(());
        }
    }
    bail!("the server still works after {MAX_READINGS} readings")
}

/// What `read` says once it has stopped changing: two readings in a row that agree within 1%.
pub async fn settled(read: impl Fn() -> Result<u64>) -> Result<u64> {
    let mut last = read()?;
    for _ in 0..MAX_READINGS {
        sleep(READING_INTERVAL).await;
        let now = read()?;
        if now.abs_diff(last) <= last / 100 {
            return Ok(now);
        }
        last = now;
    }
    bail!("the memory still changes after {MAX_READINGS} readings")
}

/// Whether a socket is still read.
#[derive(Debug)]
struct Valve(AtomicBool);

/// A socket that can be left unread, under a client that would read on.
struct Stoppable {
    socket: TcpStream,
    valve: Arc<Valve>,
}

impl AsyncRead for Stoppable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.valve.0.load(Ordering::Relaxed) {
            Pin::new(&mut self.socket).poll_read(context, buffer)
        } else {
            Poll::Pending // for good: nobody opens it again
        }
    }
}

impl AsyncWrite for Stoppable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
