//! Clients over HTTP/1.1 that have sent all they will ever send: TCP's half-close, and TLS's
//! `close_notify`. Some send a request and close their side at once (`nc -N`), and wait for the response;
//! far more have left, and the system says the same of both. A client that has left resets the connection
//! when anything is sent to it. So:
//!
//! - a client that closes its side while its request is fresh gets the response, unless the response falls
//!   silent: then the server cannot tell whether the client is there, and gives it up. (So is a request that
//!   breaks off: what has not come is not told from what the handler has not read.)
//! - a client that closes its side later has left. A cancelled call ends at once, as it should.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use crate::calls::Calls;

/// How long a request is fresh: its client closes with it, not because it has lost interest.
const FRESH: Duration = Duration::from_secs(1);

/// How long the response to a client that has closed its side may be silent before the client counts as
/// gone.
const SILENCE: Duration = Duration::from_secs(5);

/// A connection on which a client may close its side early, and which counts what is read.
#[derive(Debug)]
pub(crate) struct HalfClose<I> {
    io: I,
    calls: Calls,
    /// Since when there was nothing more to read, if anybody has looked since there was.
    quiet_since: Option<Instant>,
    /// The end of the client's side, which is not told yet.
    end: Option<End>,
}

/// The end of the client's side, during a call.
#[derive(Debug)]
struct End {
    /// Until the client counts as gone.
    silence: Pin<Box<Sleep>>,
    /// Whether the response waits for its reader. A client that has left resets the connection instead.
    is_response_held_up: bool,
}

impl<I> HalfClose<I> {
    /// On which `calls` are made.
    pub(crate) const fn new(io: I, calls: Calls) -> Self {
        Self { io, calls, quiet_since: None, end: None }
    }

    /// Whether an end that is read now belongs to the request.
    fn is_fresh(&self) -> bool {
        self.calls.open() > 0 && self.quiet_since.is_none_or(|since| since.elapsed() < FRESH)
    }

    /// What was written, or that nothing could be, shows how the response goes.
    fn wrote(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Some(end) = &mut self.end {
            end.is_response_held_up = written.is_pending();
            end.silence.as_mut().reset(Instant::now() + SILENCE);
        }
        written
    }
}

impl End {
    fn new() -> Self {
        Self { silence: Box::pin(sleep(SILENCE)), is_response_held_up: false }
    }

    /// Resolves when the client counts as gone.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.silence.as_mut().poll(cx).is_ready() {
            if !self.is_response_held_up {
                return Poll::Ready(());
            }
            self.silence.as_mut().reset(Instant::now() + SILENCE);
        }
        Poll::Pending
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for HalfClose<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.end.is_none() {
            let room_bytes = buffer.remaining();
            let Poll::Ready(read) = Pin::new(&mut self.io).poll_read(cx, buffer) else {
                self.quiet_since.get_or_insert_with(Instant::now);
                return Poll::Pending;
            };
            if read.is_err() || buffer.remaining() < room_bytes {
                self.quiet_since = None;
                self.calls.has_read();
                return Poll::Ready(read);
            }
            if !self.is_fresh() {
                return Poll::Ready(Ok(()));
            }
        }
        // When the response is over, so is the connection.
        if self.calls.open() > 0 {
            ready!(self.end.get_or_insert_with(End::new).poll_gone(cx));
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for HalfClose<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        if self.end.is_some() && self.calls.open() == 0 {
            // The response is over: the reader of the connection is to learn of the end.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::sync::watch;

    use super::*;
    use crate::{calls::OpenCall, observer::SharedObserver};

    const REQUEST: &[u8] = b"request";

    /// A connection whose client has sent a request, which is read, and closes its side so much later.
    /// Before that the server looks for more.
    async fn closed_after(wait: Duration) -> (HalfClose<DuplexStream>, DuplexStream, OpenCall) {
        let (_, draining) = watch::channel(false);
        let calls = Calls::new(SharedObserver::default(), draining);
        // Room for one response.
        let (mut client, server) = duplex(REQUEST.len());
        let mut server = HalfClose::new(server, calls.clone());
        client.write_all(REQUEST).await.unwrap();
        server.read_exact(&mut [0; REQUEST.len()]).await.unwrap();
        let call = calls.begin();
        tokio::time::timeout(wait, server.read_u8()).await.unwrap_err();
        client.shutdown().await.unwrap();
        (server, client, call)
    }

    /// How long it takes until the client counts as gone.
    async fn until_gone(server: &mut HalfClose<DuplexStream>) -> Duration {
        let began = Instant::now();
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_closes_with_the_request_is_there_until_the_response_is_silent() {
        let (mut server, _client, _call) = closed_after(Duration::ZERO).await;
        assert_eq!(until_gone(&mut server).await, SILENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_is_not_silent_goes_on() {
        let (mut server, mut client, _call) = closed_after(Duration::ZERO).await;
        for _ in 0..10 {
            let wait = tokio::time::timeout(SILENCE * 3 / 4, server.read_u8()).await;
            wait.expect_err("the client counts as gone");
            server.write_all(b"part").await.unwrap();
            client.read_exact(&mut [0; 4]).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_waits_for_its_reader_is_not_silent() {
        let (mut server, mut client, _call) = closed_after(Duration::ZERO).await;
        tokio::time::timeout(Duration::ZERO, server.read_u8()).await.unwrap_err();
        tokio::time::timeout(Duration::ZERO, server.write_all(&[0; 1000])).await.unwrap_err();
        tokio::time::timeout(10 * SILENCE, server.read_u8()).await.unwrap_err();
        client.read_exact(&mut [0; REQUEST.len()]).await.unwrap();
        server.write_all(b"part").await.unwrap();
        assert_eq!(until_gone(&mut server).await, SILENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_closes_later_or_without_a_call_has_left_at_once() {
        let (mut server, _client, _call) = closed_after(FRESH * 2).await;
        assert_eq!(until_gone(&mut server).await, Duration::ZERO);

        let (mut server, _client, call) = closed_after(Duration::ZERO).await;
        drop(call);
        assert_eq!(until_gone(&mut server).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_response_is_the_end_at_once() {
        let (mut server, _client, call) = closed_after(Duration::ZERO).await;
        let began = Instant::now();
        let calls = call.calls().clone();
        tokio::time::timeout(Duration::from_millis(1), server.read_u8()).await.unwrap_err();
        drop(call);
        assert_eq!(calls.open(), 0);
        until_gone(&mut server).await;
        assert!(began.elapsed() < SILENCE);
    }
}
