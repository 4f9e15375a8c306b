//! How each backend does, for metrics and other reports.

use std::collections::BTreeMap;

use super::{endpoint::Endpoint, upstream::Upstream};

/// How one backend does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BackendStatus {
    /// Its URL.
    pub backend: String,
    /// The addresses that its name has at the moment.
    pub endpoints: Vec<EndpointStatus>,
}

/// How one address of a backend does. What is counted is counted since the address was found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndpointStatus {
    /// `IP:PORT`, or `unix:PATH`.
    pub address: String,
    /// Whether it is known to be up.
    pub is_up: bool,
    /// Calls that are open, health checks and the like included.
    pub open_calls: usize,
    /// Calls that wait until one of the open calls ends.
    pub waiting_calls: usize,
    /// Connections that are open.
    pub open_connections: usize,
    /// Calls that were forwarded to it.
    pub calls: u64,
    /// Calls that it did not begin, and that were made once more.
    pub retries: u64,
    /// Connections that were opened.
    pub connects: u64,
    /// Calls, health checks and the like included, that it did not answer to the end, by a word for the fault.
    pub failures: BTreeMap<&'static str, u64>,
    /// Connections that could not be opened, by a word for the fault.
    pub connect_failures: BTreeMap<&'static str, u64>,
    /// How often it went down, by a word for the fault.
    pub downs: BTreeMap<&'static str, u64>,
}

impl BackendStatus {
    pub(super) fn of<'a>(
        upstream: &Upstream,
        endpoints: impl Iterator<Item = &'a Endpoint>,
    ) -> Self {
        Self {
            backend: upstream.to_string(),
            endpoints: endpoints.map(EndpointStatus::of).collect(),
        }
    }
}

impl EndpointStatus {
    fn of(endpoint: &Endpoint) -> Self {
        let counts = &endpoint.counts;
        Self {
            address: endpoint.address.to_string(),
            is_up: matches!(endpoint.health(), Some(Ok(()))),
            open_calls: endpoint.open_calls(),
            waiting_calls: endpoint.waiting_calls(),
            open_connections: endpoint.open_connections(),
            calls: counts.calls.get(),
            retries: counts.retries.get(),
            connects: counts.connects.get(),
            failures: counts.failures.get(),
            connect_failures: counts.connect_failures.get(),
            downs: counts.downs.get(),
        }
    }
}
