//! The metrics of each address of each backend. Addresses come and go: a scrape sees those there are at
//! the moment, and no call looks anything up.

use prometheus::{
    IntCounterVec, IntGaugeVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use runnel_forward::{Backend, EndpointStatus};

/// Tells Prometheus of all addresses of all backends.
pub(super) struct BackendCollector {
    backend: Backend,
    /// Without a series: for their descriptions.
    families: Families,
}

impl BackendCollector {
    pub(super) fn new(backend: Backend) -> Result<Self, prometheus::Error> {
        Ok(Self { backend, families: Families::new()? })
    }
}

impl Collector for BackendCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.families.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // It could be made once, so it can be made again.
        let Ok(families) = Families::new() else {
            return Vec::new();
        };
        for backend in self.backend.status() {
            families.addresses.with_label_values(&[&backend.backend]).add(0);
            for endpoint in &backend.endpoints {
                families.tell(&backend.backend, endpoint);
            }
        }
        families.all().into_iter().flat_map(Collector::collect).collect()
    }
}

struct Families {
    addresses: IntGaugeVec,
    up: IntGaugeVec,
    downs: IntCounterVec,
    open_calls: IntGaugeVec,
    waiting_calls: IntGaugeVec,
    calls: IntCounterVec,
    failures: IntCounterVec,
    retries: IntCounterVec,
    open_connections: IntGaugeVec,
    connects: IntCounterVec,
    connect_failures: IntCounterVec,
}

impl Families {
    fn new() -> Result<Self, prometheus::Error> {
        const ADDRESS: [&str; 2] = ["backend", "address"];
        const FAULT: [&str; 3] = ["backend", "address", "fault"];
        let gauge = |name, help, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        let counter =
            |name, help, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        Ok(Self {
            addresses: gauge(
                "runnel_backend_addresses",
                "Addresses that a backend's name has.",
                &["backend"],
            )?,
            up: gauge("runnel_backend_up", "Whether an address is known to be up.", &ADDRESS)?,
            downs: counter(
                "runnel_backend_down_total",
                "How often an address went down, by why.",
                &FAULT,
            )?,
            open_calls: gauge(
                "runnel_backend_open_calls",
                "Calls that are open, our own included.",
                &ADDRESS,
            )?,
            waiting_calls: gauge(
                "runnel_backend_waiting_calls",
                "Calls that wait until one of the open calls ends.",
                &ADDRESS,
            )?,
            calls: counter("runnel_backend_calls_total", "Calls that were forwarded.", &ADDRESS)?,
            failures: counter(
                "runnel_backend_failures_total",
                "Calls, our own included, that were not answered to the end, by why.",
                &FAULT,
            )?,
            retries: counter(
                "runnel_backend_retries_total",
                "Calls that it did not begin and that were made once more.",
                &ADDRESS,
            )?,
            open_connections: gauge(
                "runnel_backend_connections_open",
                "Connections that are open.",
                &ADDRESS,
            )?,
            connects: counter(
                "runnel_backend_connections_total",
                "Connections that were opened.",
                &ADDRESS,
            )?,
            connect_failures: counter(
                "runnel_backend_connect_failures_total",
                "Connections that could not be opened, by why.",
                &FAULT,
            )?,
        })
    }

    fn all(&self) -> [&dyn Collector; 11] {
        [
            &self.addresses,
            &self.up,
            &self.downs,
            &self.open_calls,
            &self.waiting_calls,
            &self.calls,
            &self.failures,
            &self.retries,
            &self.open_connections,
            &self.connects,
            &self.connect_failures,
        ]
    }

    fn tell(&self, backend: &str, endpoint: &EndpointStatus) {
        let labels = [backend, endpoint.address.as_str()];
        self.addresses.with_label_values(&labels[..1]).inc();
        self.up.with_label_values(&labels).set(endpoint.is_up.into());
        let gauge = |gauge: &IntGaugeVec, count: usize| {
            gauge.with_label_values(&labels).add(i64::try_from(count).unwrap_or(i64::MAX));
        };
        gauge(&self.open_calls, endpoint.open_calls);
        gauge(&self.waiting_calls, endpoint.waiting_calls);
        gauge(&self.open_connections, endpoint.open_connections);
        for (family, count) in [
            (&self.calls, endpoint.calls),
            (&self.retries, endpoint.retries),
            (&self.connects, endpoint.connects),
        ] {
            family.with_label_values(&labels).inc_by(count);
        }
        for (family, counts) in [
            (&self.downs, &endpoint.downs),
            (&self.failures, &endpoint.failures),
            (&self.connect_failures, &endpoint.connect_failures),
        ] {
            for (fault, count) in counts {
                family.with_label_values(&[backend, &endpoint.address, fault]).inc_by(*count);
            }
        }
    }
}
