//! Connections: how many there are, were, and were turned away; and the requests on them that were
//! neither a call nor for a file of the page.

use http::StatusCode;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// The HTTP errors that there are.
const HTTP_ERRORS: [StatusCode; 7] = [
    StatusCode::BAD_REQUEST,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::MISDIRECTED_REQUEST,
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    StatusCode::HTTP_VERSION_NOT_SUPPORTED,
];

/// Counts connections. A clone is the same counters.
#[derive(Clone, Debug)]
pub struct ConnectionMetrics {
    accepted: IntCounter,
    open: IntGauge,
    refused: IntCounterVec,
    http_errors: IntCounterVec,
}

impl ConnectionMetrics {
    /// For connections that nobody wants to count.
    pub(crate) fn uncounted() -> Result<Self, prometheus::Error> {
        Self::register(&Registry::new())
    }

    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let accepted = IntCounter::new(
            "runnel_connections_accepted_total",
            "Connections that were let in, since the start.",
        )?;
        let open = IntGauge::new("runnel_connections_open", "Connections that are open.")?;
        let refused = IntCounterVec::new(
            Opts::new(
                "runnel_connections_refused_total",
                "Connections that were closed at once, by the option that sets the bound.",
            ),
            &["bound"],
        )?;
        let http_errors = IntCounterVec::new(
            Opts::new(
                "runnel_http_errors_total",
                "Requests that were answered with an HTTP error, by its status: neither a call nor for \
                 a file of the page.",
            ),
            &["status"],
        )?;
        for status in HTTP_ERRORS {
            // There from the start, so that the first is seen to be one more.
            http_errors.with_label_values(&[status.as_str()]);
        }
        registry.register(Box::new(http_errors.clone()))?;
        registry.register(Box::new(accepted.clone()))?;
        registry.register(Box::new(open.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        Ok(Self { accepted, open, refused, http_errors })
    }

    /// A connection was let in. It is open until what this gives is dropped.
    pub fn opened(&self) -> OpenConnection {
        self.accepted.inc();
        self.open.inc();
        OpenConnection { open: self.open.clone() }
    }

    /// A connection was turned away by a bound, which is one of few and nothing a client sent.
    pub fn refused(&self, bound: &'static str) {
        self.refused.with_label_values(&[bound]).inc();
    }

    /// A request was answered with an HTTP error, which is one of the few that we answer.
    pub fn answered_http_error(&self, status: StatusCode) {
        self.http_errors.with_label_values(&[status.as_str()]).inc();
    }
}

/// A connection that is open and counted as such until this is dropped.
#[derive(Debug)]
#[must_use = "the connection counts as open for as long as this is held"]
pub struct OpenConnection {
    open: IntGauge,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.open.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_open_until_its_guard_is_dropped_and_accepted_for_good() {
        let connections = ConnectionMetrics::register(&Registry::new()).unwrap();
        let counts = || (connections.accepted.get(), connections.open.get());
        let (first, second) = (connections.opened(), connections.opened());
        assert_eq!(counts(), (2, 2));
        drop((first, second));
        assert_eq!(counts(), (2, 0));
    }
}
