//! Connections: how many there are, were, and were turned away; and the requests on them that were
//! neither a call nor for a file of the page.

use http::StatusCode;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use runnel_serve::{LimitReached, Observer};

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
}

impl Observer for ConnectionMetrics {
    fn connection_opened(&self) {
        self.accepted.inc();
        self.open.inc();
    }

    fn connection_closed(&self) {
        self.open.dec();
    }

    /// The label is the option that sets the limit.
    fn connection_refused(&self, limit: LimitReached) {
        let bound = match limit {
            LimitReached::Total { .. } => "max_connections",
            LimitReached::PerAddress { .. } => "max_connections_per_address",
        };
        self.refused.with_label_values(&[bound]).inc();
    }

    /// The status is one of the few that the server answers with.
    fn http_error(&self, status: StatusCode) {
        self.http_errors.with_label_values(&[status.as_str()]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_open_until_it_is_closed_and_accepted_for_good() {
        let connections = ConnectionMetrics::register(&Registry::new()).unwrap();
        let counts = || (connections.accepted.get(), connections.open.get());
        connections.connection_opened();
        connections.connection_opened();
        assert_eq!(counts(), (2, 2));
        connections.connection_closed();
        assert_eq!(counts(), (2, 1));
    }
}
