//! A connection's socket: its options, what it was found to say first, how much is written at a time, and
//! a close that loses nothing.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    sync::oneshot,
    time::timeout,
};

use crate::write_coalescing::WriteCoalescing;

/// How much of what was written the kernel may hold without having sent it, in bytes. Its own default
/// lets a reader that has stopped reading cost megabytes; this takes no speed.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES: u32 = 128 * 1024;

/// A peer that is silent this long is asked whether it is there, and given up when it does not answer.
/// HTTP/2 has PING; a stream over HTTP/1.1 that has nothing to say would wait for ever for a peer that
/// vanished.
const KEEPALIVE_TIME: Duration = Duration::from_mins(1);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// How long a client that was told the end may be silent, and how long it may take in all, before its
/// socket is closed under it.
const LINGER_SILENCE: Duration = Duration::from_secs(2);
const LINGER_DEADLINE: Duration = Duration::from_secs(30);

/// The longest beginning that is looked at: the preface of HTTP/2.
pub(crate) const HEAD_BYTES: usize = 24;

/// A socket that is handed to the code that speaks over it, and comes back when that drops it.
#[derive(Debug)]
pub(crate) struct Socket {
    wire: Arc<Mutex<Wire>>,
    /// What was read to find out what the client speaks, and is still to be read.
    head: [u8; HEAD_BYTES],
    head_read: usize,
    head_bytes: usize,
    owner: Option<oneshot::Sender<TcpStream>>,
}

/// The part of a socket that the connection's task controls while hyper owns the socket.
#[derive(Debug)]
struct Wire {
    /// None when it was handed back.
    tcp: Option<TcpStream>,
    /// What waits for the end of a poll; None if each write goes out at once.
    coalescing: Option<WriteCoalescing>,
}

impl Wire {
    /// The socket, and what waits for it.
    fn parts(&mut self) -> io::Result<(Pin<&mut TcpStream>, Option<&mut WriteCoalescing>)> {
        let tcp = self.tcp.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        Ok((Pin::new(tcp), self.coalescing.as_mut()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.parts()? {
            (tcp, Some(writes)) => writes.poll_flush(cx, tcp),
            (_, None) => Poll::Ready(Ok(())),
        }
    }
}

/// Decides when what is written to a socket goes out.
#[derive(Debug)]
pub(crate) struct Flusher(Arc<Mutex<Wire>>);

impl Flusher {
    /// From now on what is written waits for [`Self::poll_flush`], which the connection's task
    /// calls after each poll.
    pub(crate) fn coalesce_writes(&self) {
        lock(&self.0).coalescing = Some(WriteCoalescing::default());
    }

    /// Writes to the system what waits, as far as it takes it; for the rest the task is woken.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) {
        // If it fails, so will the connection's next read.
        let _ = lock(&self.0).poll_flush(cx);
    }
}

/// A connection is one task, so nobody waits here, and nothing that is done under it panics.
fn lock(wire: &Mutex<Wire>) -> MutexGuard<'_, Wire> {
    wire.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Socket {
    /// Hands a socket off; it comes back through the receiver.
    pub(crate) fn hand_off(tcp: TcpStream) -> (Self, oneshot::Receiver<TcpStream>) {
        let (owner, handed_back) = oneshot::channel();
        let (head, owner) = ([0; HEAD_BYTES], Some(owner));
        let wire = Arc::new(Mutex::new(Wire { tcp: Some(tcp), coalescing: None }));
        (Self { wire, head, head_read: 0, head_bytes: 0, owner }, handed_back)
    }

    /// Decides when what is written goes out.
    pub(crate) fn flusher(&self) -> Flusher {
        Flusher(Arc::clone(&self.wire))
    }

    /// Reads on until `is_enough` of the beginning, it is as long as it may be, or the client ends.
    /// The next reader of this socket reads the same bytes again.
    pub(crate) async fn read_head(
        &mut self,
        is_enough: impl Fn(&[u8]) -> bool,
    ) -> io::Result<&[u8]> {
        while self.head_bytes < HEAD_BYTES && !is_enough(&self.head[..self.head_bytes]) {
            let mut rest = ReadBuf::new(&mut self.head[self.head_bytes..]);
            poll_fn(|cx| lock(&self.wire).parts()?.0.poll_read(cx, &mut rest)).await?;
            match rest.filled().len() {
                0 => break,
                read => self.head_bytes += read,
            }
        }
        Ok(&self.head[..self.head_bytes])
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let (Some(tcp), Some(owner)) = (lock(&self.wire).tcp.take(), self.owner.take()) {
            // An Err says that the connection was cut off; then it closes here.
            let _ = owner.send(tcp);
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.head_read < self.head_bytes {
            let read = buffer.remaining().min(self.head_bytes - self.head_read);
            buffer.put_slice(&self.head[self.head_read..][..read]);
            self.head_read += read;
            return Poll::Ready(Ok(()));
        }
        lock(&self.wire).parts()?.0.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match lock(&self.wire).parts()? {
            (tcp, Some(writes)) => writes.poll_write(cx, slices, tcp),
            (tcp, None) => tcp.poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The system flushes by itself, and what is coalesced does not go out yet.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = lock(&self.wire);
        ready!(wire.poll_flush(cx))?;
        wire.parts()?.0.poll_shutdown(cx)
    }
}

/// Sets what every connection wants.
pub(crate) fn set_options(tcp: &TcpStream) -> io::Result<()> {
    // Otherwise the end of a fast stream waits some 40 ms for the reader's delayed ACK.
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_TIME);
    socket.set_tcp_keepalive(&keepalive.with_interval(KEEPALIVE_INTERVAL))
}

/// Closes a socket after the client has closed it, or did not for long: RFC 9112 section 9.6. Were it
/// closed at once, anything the client still sends (the rest of a refused request, a window update)
/// would be answered with a reset, and take with it what is still on the way to the client.
pub(crate) async fn linger(mut tcp: TcpStream) {
    // It may have been shut down, or be broken, already.
    let _ = tcp.shutdown().await;
    let read_away = async {
        while let Ok(Ok(())) = timeout(LINGER_SILENCE, tcp.readable()).await {
            // Not kept across an await, so that it is no part of what every connection costs.
            let mut unread = [0; 4096];
            match tcp.try_read(&mut unread) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return,
            }
        }
    };
    // Too late is an end, too.
    let _ = timeout(LINGER_DEADLINE, read_away).await;
}
