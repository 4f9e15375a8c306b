//! How much may be on its way to a backend: RFC 9113 section 5.2. Streams of many clients share the window
//! of a connection, and with many servers (Go's `net/http`, tonic) it is no larger than that of one stream:
//! a handler that reads nothing of a long request would hold up everybody. So a long request may fill a
//! part of it only, and a connection whose window runs low takes no new calls.
//!
//! h2 keeps the windows to itself. They are read along from the frames that pass.

use std::{
    collections::HashMap,
    io::{self, IoSlice},
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
    /// What may be sent on it now, in bytes.
    free: AtomicI64,
    /// What could be sent on it at best.
    size: AtomicI64,
    /// What a stream begins with.
    stream: AtomicI64,
    max_streams: AtomicUsize,
    /// Requests that are long.
    long: Mutex<HashMap<u32, Arc<Unread>>>,
    /// Told when the connection may have room for calls again.
    room: Arc<Notify>,
}

/// What was sent of a long request, in bytes, without what the backend said it may be sent anew. Below zero
/// where a backend allows more than it has read, as grpcio does.
#[derive(Default)]
struct Unread {
    bytes: AtomicI64,
    waiting: AtomicWaker,
}

impl Windows {
    pub(super) fn new(room: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            free: AtomicI64::new(INITIAL_WINDOW_BYTES),
            size: AtomicI64::new(INITIAL_WINDOW_BYTES),
            stream: AtomicI64::new(INITIAL_WINDOW_BYTES),
            max_streams: AtomicUsize::new(usize::MAX),
            long: Mutex::default(),
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
        self.free.load(Ordering::Relaxed) >= self.shared() / 8 * 3
    }

    /// As much of the window as others may want to find free.
    fn shared(&self) -> i64 {
        self.size.load(Ordering::Relaxed).min(ENOUGH_BYTES)
    }

    /// The request of this stream turns out to be long.
    pub(super) fn long_request(self: &Arc<Self>, stream: u32) -> LongRequest {
        let unread = Arc::new(Unread::default());
        self.long().insert(stream, Arc::clone(&unread));
        LongRequest { windows: Arc::clone(self), stream, unread }
    }

    fn long(&self) -> MutexGuard<'_, HashMap<u32, Arc<Unread>>> {
        // Nothing panics while it is locked.
        self.long.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self, frame: Frame<'_>) {
        if frame.kind == kind::DATA {
            self.free.fetch_sub(bytes(frame.payload_bytes), Ordering::Relaxed);
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
                } else if let Some(unread) = self.long().get(&frame.stream) {
                    unread.bytes.fetch_sub(amount, Ordering::Relaxed);
                    unread.waiting.wake();
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
        self.long().values().for_each(|unread| unread.waiting.wake());
    }
}

/// A long request, until this is dropped.
pub(super) struct LongRequest {
    windows: Arc<Windows>,
    stream: u32,
    unread: Arc<Unread>,
}

impl LongRequest {
    /// Ready when more of it may be sent.
    ///
    /// A server says that it has read when half of a stream's window was read, .NET's when it was a byte
    /// more; so it must be allowed that much. The last quarter of the connection's window, or 256 KiB, is
    /// for others.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        // Before anything is looked at, so that no change is missed.
        self.unread.waiting.register(cx.waker());
        let Windows { free, size, stream, .. } = &*self.windows;
        let part = (size.load(Ordering::Relaxed) / 4).max(stream.load(Ordering::Relaxed) / 2 + 1);
        let has_part = self.unread.bytes.load(Ordering::Relaxed) < part;
        if has_part && free.load(Ordering::Relaxed) >= self.windows.shared() / 4 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// So much more of it was sent.
    pub(super) fn sent(&self, amount: usize) {
        self.unread.bytes.fetch_add(bytes(amount), Ordering::Relaxed);
    }
}

impl Drop for LongRequest {
    fn drop(&mut self) {
        self.windows.long().remove(&self.stream);
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
