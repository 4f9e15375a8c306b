//! What others may want to know of connections: to count them, for example.

use std::{fmt, io, ops::Deref, sync::Arc};

use http::StatusCode;
use runnel_limits::concurrency::LimitReached;

/// Is told what happens to the connections of a server. Every method does nothing unless it is written.
///
/// The methods are called by the tasks that serve the connections, so they must not block. None of them is
/// called for a request that succeeds.
pub trait Observer: Send + Sync {
    /// A connection was let in. It is open until [`connection_closed`](Self::connection_closed).
    fn connection_opened(&self) {}

    /// A connection that was let in has ended.
    fn connection_closed(&self) {}

    /// A connection was closed at once, because there were too many.
    fn connection_refused(&self, limit: LimitReached) {
        let _ = limit;
    }

    /// A connection ended before its first request: its TLS handshake failed, or it did not say in time
    /// what it speaks.
    fn handshake_failed(&self, error: &io::Error) {
        let _ = error;
    }

    /// A request was answered with an HTTP error, 400 to 599: by the service, or by the server because no
    /// service could be asked (a request that is not HTTP, headers that are too large).
    fn http_error(&self, status: StatusCode) {
        let _ = status;
    }
}

/// Observes nothing.
impl Observer for () {}

/// The observer of a server. A clone is the same observer.
#[derive(Clone)]
pub(crate) struct SharedObserver(Arc<dyn Observer>);

impl SharedObserver {
    pub(crate) fn new(observer: Arc<dyn Observer>) -> Self {
        Self(observer)
    }

    /// Tells the observer of a connection that is open until the result is dropped.
    pub(crate) fn open_connection(&self) -> OpenConnection {
        self.connection_opened();
        OpenConnection(self.clone())
    }
}

impl Default for SharedObserver {
    fn default() -> Self {
        Self(Arc::new(()))
    }
}

impl Deref for SharedObserver {
    type Target = dyn Observer;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for SharedObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedObserver")
    }
}

/// A connection that is open until this is dropped.
#[derive(Debug)]
#[must_use = "the connection counts as open for as long as this is held"]
pub(crate) struct OpenConnection(SharedObserver);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connection_closed();
    }
}
