//! How much may be on its way to a backend: RFC 9113 section 5.2. Streams of many clients share the window
//! of a connection, and with many servers (Go's `net/http`, tonic) it is no larger than that of one stream:
//! a handler that reads nothing of a long request would hold up everybody. So a long request may fill a
//! part of it only, so may the requests of one client together, and a connection whose window runs low takes
//! no new calls.
//!
//! h2 keeps the windows to itself. They are read along from the frames that pass. What h2 was given and has
//! not sent yet counts as sent: many requests may begin before the first byte of them leaves.

use std::{
    collections::HashMap,
    io::{self, IoSlice},
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures_util::task::AtomicWaker;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

use super::frames::{Frame, Frames, kind};

/// RFC 9113, section 6.9.2: until the server says otherwise, in bytes.
const INITIAL_WINDOW_BYTES: i64 = 65_535;

/// Of a larger window no more than this need be free.
const ENOUGH_BYTES: i64 = 1024 * 1024;

/// RFC 9113, section 6.5.2.
const ACK: u8 = 1;
const SETTINGS_MAX_CONCURRENT_STREAMS: u16 = 3;
const SETTINGS_INITIAL_WINDOW_SIZE: u16 = 4;

/// What may be sent on one connection.
pub(super) struct Windows {
    /// How much may be sent on the connection now, in bytes.
    free: AtomicI64,
    /// How much could be sent on it when all is read, in bytes.
    size: AtomicI64,
    /// The window that a stream begins with, in bytes.
    stream: AtomicI64,
    max_streams: AtomicUsize,
    /// How much of `requests` h2 has and has not sent yet, in bytes.
    queued: AtomicI64,
    /// By their streams.
    requests: Mutex<HashMap<u32, Arc<Account>>>,
    /// How much of each client's requests is unread, in bytes.
    clients: Mutex<HashMap<IpAddr, Arc<AtomicI64>>>,
    /// Notified when the connection may have room for calls again.
    room: Arc<Notify>,
}

/// The bytes of one request.
struct Account {
    /// How much h2 has and has not sent yet.
    queued: AtomicI64,
    /// How much h2 was given, without what the backend has allowed to be sent anew. Below zero where a backend
    /// allows more than it has read, as grpcio does.
    unread: AtomicI64,
    /// The same of all requests of its client.
    unread_of_client: Arc<AtomicI64>,
    waiting: AtomicWaker,
}

impl Windows {
    pub(super) fn new(room: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            free: AtomicI64::new(INITIAL_WINDOW_BYTES),
            size: AtomicI64::new(INITIAL_WINDOW_BYTES),
            stream: AtomicI64::new(INITIAL_WINDOW_BYTES),
            max_streams: AtomicUsize::new(usize::MAX),
            queued: AtomicI64::new(0),
            requests: Mutex::default(),
            clients: Mutex::default(),
            room,
        })
    }

    /// How many streams the backend lets be open at once.
    pub(super) fn max_streams(&self) -> usize {
        self.max_streams.load(Ordering::Relaxed)
    }

    /// Whether a new call finds something of the window. Servers say that they have read when they have
    /// read half of it, so half is what may be missing of a window that nobody uses.
    pub(super) fn has_room(&self) -> bool {
        self.unused() >= self.shared() / 8 * 3
    }

    /// How much will be free when h2 has sent what it has.
    fn unused(&self) -> i64 {
        self.free.load(Ordering::Relaxed) - self.queued.load(Ordering::Relaxed)
    }

    /// As much of the window as others may want to find free.
    fn shared(&self) -> i64 {
        self.size.load(Ordering::Relaxed).min(ENOUGH_BYTES)
    }

    /// Counts the request of this stream, of which h2 was given nothing yet. Requests of clients whose address
    /// is not known are each a client's of its own.
    pub(super) fn count(self: &Arc<Self>, stream: u32, client: Option<IpAddr>) -> CountedRequest {
        let unread_of_client = match client {
            Some(client) => Arc::clone(self.clients().entry(client).or_default()),
            None => Arc::default(),
        };
        let account = Arc::new(Account {
            queued: AtomicI64::new(0),
            unread: AtomicI64::new(0),
            unread_of_client,
            waiting: AtomicWaker::new(),
        });
        self.requests().insert(stream, Arc::clone(&account));
        CountedRequest { windows: Arc::clone(self), stream, client, account }
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<IpAddr, Arc<AtomicI64>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn requests(&self) -> MutexGuard<'_, HashMap<u32, Arc<Account>>> {
        // Nothing panics while it is locked.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self, frame: Frame<'_>) {
        if frame.kind != kind::DATA {
            return;
        }
        let sent = bytes(frame.payload_bytes);
        self.free.fetch_sub(sent, Ordering::Relaxed);
        if self.queued.load(Ordering::Relaxed) > 0
            && let Some(account) = self.requests().get(&frame.stream)
        {
            account.queued.fetch_sub(sent, Ordering::Relaxed);
            self.queued.fetch_sub(sent, Ordering::Relaxed);
        }
    }

    fn received(&self, frame: Frame<'_>) {
        match frame.kind {
            kind::WINDOW_UPDATE => {
                let Some((amount, _)) = frame.payload.split_first_chunk() else {
                    return;
                };
                let amount = i64::from(u32::from_be_bytes(*amount) & !(1 << 31));
                if frame.stream == 0 {
                    self.grew(amount);
                } else if let Some(account) = self.requests().get(&frame.stream) {
                    account.unread.fetch_sub(amount, Ordering::Relaxed);
                    account.unread_of_client.fetch_sub(amount, Ordering::Relaxed);
                    account.waiting.wake();
                }
                // Other requests of the client may wait for it.
                if !self.has_room() {
                    self.wake_requests();
                }
            }
            kind::SETTINGS if frame.flags & ACK == 0 => {
                for setting in frame.payload.as_chunks::<6>().0 {
                    let [a, b, value @ ..] = *setting;
                    let value = u32::from_be_bytes(value);
                    match u16::from_be_bytes([a, b]) {
                        SETTINGS_MAX_CONCURRENT_STREAMS => {
                            self.max_streams.store(value as usize, Ordering::Relaxed);
                        }
                        SETTINGS_INITIAL_WINDOW_SIZE => {
                            self.stream.store(value.into(), Ordering::Relaxed);
                        }
                        _ => {}
                    }
                }
                self.room.notify_waiters();
            }
            _ => {}
        }
    }

    fn grew(&self, amount: i64) {
        let had_room = self.has_room();
        let free = self.free.fetch_add(amount, Ordering::Relaxed) + amount;
        self.size.fetch_max(free, Ordering::Relaxed);
        if !had_room {
            self.room.notify_waiters();
        }
        self.wake_requests();
    }

    fn wake_requests(&self) {
        self.requests().values().for_each(|account| account.waiting.wake());
    }
}

/// A request that is counted until this is dropped: at the end of its call, when h2 has sent all of it or
/// has given it up.
pub(super) struct CountedRequest {
    windows: Arc<Windows>,
    stream: u32,
    client: Option<IpAddr>,
    account: Arc<Account>,
}

impl CountedRequest {
    /// Ready when more of it may be sent.
    ///
    /// A server says that it has read when half of a stream's window was read, .NET's when it was a byte
    /// more; so a request that is long must be allowed that much. The last quarter of the connection's
    /// window, or of 1 MiB, is for requests that are not. Of these one client may use no more when it has
    /// half of the window and less is left than a connection needs for new calls.
    pub(super) fn poll_room(&self, is_long: bool, cx: &Context<'_>) -> Poll<()> {
        // Before anything is looked at, so that no change is missed.
        self.account.waiting.register(cx.waker());
        let Windows { size, stream, .. } = &*self.windows;
        let part = (size.load(Ordering::Relaxed) / 4).max(stream.load(Ordering::Relaxed) / 2 + 1);
        let shared = self.windows.shared();
        let leaves_some = || {
            self.account.unread.load(Ordering::Relaxed) < part
                && self.windows.unused() >= shared / 4
        };
        let of_client = self.account.unread_of_client.load(Ordering::Relaxed);
        let client_leaves_some = of_client < shared / 2 || self.windows.has_room();
        if client_leaves_some && (!is_long || leaves_some()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// h2 is about to be given so much more of it.
    pub(super) fn queue(&self, amount: usize) {
        let amount = bytes(amount);
        self.account.unread.fetch_add(amount, Ordering::Relaxed);
        self.account.unread_of_client.fetch_add(amount, Ordering::Relaxed);
        self.account.queued.fetch_add(amount, Ordering::Relaxed);
        self.windows.queued.fetch_add(amount, Ordering::Relaxed);
    }
}

impl Drop for CountedRequest {
    fn drop(&mut self) {
        let windows = &self.windows;
        let had_room = windows.has_room();
        let mut requests = windows.requests();
        requests.remove(&self.stream);
        // Behind the lock: no frame of it is counted any more.
        let unsent = self.account.queued.load(Ordering::Relaxed);
        windows.queued.fetch_sub(unsent, Ordering::Relaxed);
        let unread = self.account.unread.load(Ordering::Relaxed);
        self.account.unread_of_client.fetch_sub(unread, Ordering::Relaxed);
        drop(requests);
        if let Some(client) = self.client {
            let mut clients = windows.clients();
            // The map's, the account's: nobody else counts there.
            if clients.get(&client).is_some_and(|unread| Arc::strong_count(unread) == 2) {
                clients.remove(&client);
            }
        }
        if !had_room {
            windows.wake_requests();
            windows.room.notify_waiters();
        }
    }
}

fn bytes(amount: usize) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// A connection whose frames are read along.
pub(super) struct Watched<S> {
    inner: S,
    windows: Arc<Windows>,
    received: Frames,
    sent: Frames,
}

impl<S> Watched<S> {
    /// A client's connection that nothing was sent on yet.
    pub(super) fn new(inner: S, windows: Arc<Windows>) -> Self {
        Self { inner, windows, received: Frames::of_server(), sent: Frames::of_client() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buffer))?;
        this.received.pass(&buffer.filled()[before..], |frame| this.windows.received(frame));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, bytes))?;
        this.sent.pass(&bytes[..written], |frame| this.windows.sent(frame));
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.inner).poll_write_vectored(cx, slices))?;
        let mut left = written;
        for slice in slices {
            let passed = left.min(slice.len());
            this.sent.pass(&slice[..passed], |frame| this.windows.sent(frame));
            left -= passed;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
