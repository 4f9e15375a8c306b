//! Flow control of a response: how much of it a backend may send ahead of the reader. RFC 9113 section 5.2.
//!
//! What a stream's window allows is all that is held of the stream, wherever it waits: in h2, or in the buffers
//! of the client's connection. So a backend may send more when bytes have left for the client, not when
//! the next ones are asked for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use h2::FlowControl;

/// The flow control of one stream. It is closed when this is dropped: h2 tells the backend that a stream is
/// over when nothing refers to it any more, which must not wait for bytes that a reader leaves lying.
pub(super) struct ResponseFlow(Arc<Window>);

/// The window of the stream; None when it is closed.
struct Window(Mutex<Option<FlowControl>>);

/// Bytes that a backend may send anew once these are dropped.
struct Unread {
    data: Bytes,
    window: Arc<Window>,
}

impl ResponseFlow {
    pub(super) fn new(stream: FlowControl) -> Self {
        Self(Arc::new(Window(Mutex::new(Some(stream)))))
    }

    /// The same bytes; the backend may send as many anew when the last of them is dropped.
    pub(super) fn release_when_dropped(&self, data: Bytes) -> Bytes {
        Bytes::from_owner(Unread { data, window: Arc::clone(&self.0) })
    }
}

impl Drop for ResponseFlow {
    fn drop(&mut self) {
        self.0.stream().take();
    }
}

impl Window {
    fn stream(&self) -> MutexGuard<'_, Option<FlowControl>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<[u8]> for Unread {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        if let Some(stream) = &mut *self.window.stream() {
            // An Err says that the stream is over.
            let _ = stream.release_capacity(self.data.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use h2::{Reason, RecvStream, SendStream, client, server};
    use http::{Request, Response};
    use tokio::{io::duplex, time::timeout};

    use super::*;

    const WINDOW_BYTES: usize = 64 * 1024;

    /// A stream over a pipe, from either end. Time is the runtime's own, which goes on only when nobody
    /// has anything to do: what has not come by then does not come.
    async fn stream() -> (SendStream<Bytes>, RecvStream) {
        let (near, far) = duplex(1024 * 1024);
        let accepted = tokio::spawn(async move {
            let mut connection = server::handshake(far).await.unwrap();
            let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
            tokio::spawn(async move { while connection.accept().await.is_some() {} });
            respond.send_response(Response::new(()), false).unwrap()
        });
        let window = u32::try_from(WINDOW_BYTES).unwrap();
        let mut builder = client::Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(4 * window);
        let (mut sender, connection) = builder.handshake::<_, Bytes>(near).await.unwrap();
        tokio::spawn(connection);
        let request = Request::new(());
        let (response, _) = sender.send_request(request, true).unwrap();
        (accepted.await.unwrap(), response.await.unwrap().into_body())
    }

    /// Sends what the window allows, and says how much that was.
    async fn send(backend: &mut SendStream<Bytes>) -> usize {
        let mut sent = 0;
        loop {
            backend.reserve_capacity(WINDOW_BYTES);
            let capacity = poll_fn(|cx| backend.poll_capacity(cx));
            let Ok(capacity) = timeout(Duration::from_secs(1), capacity).await else { return sent };
            let capacity = capacity.unwrap().unwrap();
            backend.send_data(Bytes::from(vec![0; capacity]), false).unwrap();
            sent += capacity;
        }
    }

    async fn receive(response: &mut RecvStream, flow: &ResponseFlow, bytes: usize) -> Vec<Bytes> {
        let mut received = Vec::new();
        while received.iter().map(Bytes::len).sum::<usize>() < bytes {
            received.push(flow.release_when_dropped(response.data().await.unwrap().unwrap()));
        }
        received
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_sends_more_when_bytes_have_left_and_not_before() {
        let (mut backend, mut response) = stream().await;
        let flow = ResponseFlow::new(response.flow_control().clone());
        assert_eq!(send(&mut backend).await, WINDOW_BYTES);
        let mut held = receive(&mut response, &flow, WINDOW_BYTES).await;
        let part = held[0].slice(..1);
        assert_eq!(send(&mut backend).await, 0, "all of it is still here");
        held.clear();
        assert_eq!(send(&mut backend).await, WINDOW_BYTES - 16 * 1024, "a byte keeps its frame");
        drop(part);
        receive(&mut response, &flow, WINDOW_BYTES - 16 * 1024).await;
        assert_eq!(send(&mut backend).await, WINDOW_BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_is_dropped_is_cancelled_though_its_bytes_are_not_read() {
        let (mut backend, mut response) = stream().await;
        let flow = ResponseFlow::new(response.flow_control().clone());
        send(&mut backend).await;
        let held = receive(&mut response, &flow, WINDOW_BYTES).await;
        drop((response, flow));
        let reset = timeout(Duration::from_secs(1), poll_fn(|cx| backend.poll_reset(cx)));
        assert_eq!(reset.await.expect("a reset").unwrap(), Reason::CANCEL);
        drop(held);
    }
}
