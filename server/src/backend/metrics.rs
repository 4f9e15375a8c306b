//! The metrics of each address of each backend. Addresses come and go: a scrape sees those there are at
//! the moment, and no call looks anything up.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus::{
    IntCounterVec, IntGaugeVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use tokio::sync::watch;

use super::{fault::Fault, peer::Peer, pool::Known, target::Target};

/// What happened at one address.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) calls: Count,
    /// Calls that it did not begin, and that were made once more.
    pub(super) retries: Count,
    pub(super) connects: Count,
    /// Calls that it broke.
    pub(super) failures: CountByFault,
    pub(super) connect_failures: CountByFault,
    /// How often it went down.
    pub(super) downs: CountByFault,
}

#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Faults are few and seldom.
#[derive(Debug, Default)]
pub(super) struct CountByFault(Mutex<BTreeMap<&'static str, u64>>);

impl CountByFault {
    pub(super) fn add_one(&self, fault: &Fault) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(fault.label()).or_default() += 1;
    }

    fn get(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Tells Prometheus of all addresses.
pub(super) struct PoolCollector {
    targets: Vec<Arc<Target>>,
    known: watch::Receiver<Known>,
    /// Without a series: for their descriptions.
    families: Families,
}

impl PoolCollector {
    pub(super) fn new(
        targets: Vec<Arc<Target>>,
        known: watch::Receiver<Known>,
    ) -> Result<Self, prometheus::Error> {
        Ok(Self { targets, known, families: Families::new()? })
    }
}

impl Collector for PoolCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.families.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // It could be made once, so it can be made again.
        let Ok(families) = Families::new() else {
            return Vec::new();
        };
        for target in &self.targets {
            families.addresses.with_label_values(&[&target.to_string()]).set(0);
        }
        let peers = Arc::clone(&self.known.borrow().peers);
        for peer in peers.iter() {
            families.tell(peer);
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

    fn tell(&self, peer: &Peer) {
        let (backend, address) = (peer.target.to_string(), peer.address.to_string());
        let labels = [backend.as_str(), &address];
        self.addresses.with_label_values(&labels[..1]).inc();
        self.up.with_label_values(&labels).set(matches!(peer.health(), Some(Ok(()))).into());
        let gauge = |gauge: &IntGaugeVec, count: usize| {
            gauge.with_label_values(&labels).add(i64::try_from(count).unwrap_or(i64::MAX));
        };
        gauge(&self.open_calls, peer.open_calls());
        gauge(&self.waiting_calls, peer.waiting_calls());
        gauge(&self.open_connections, peer.open_connections());
        for (family, count) in [
            (&self.calls, &peer.counts.calls),
            (&self.retries, &peer.counts.retries),
            (&self.connects, &peer.counts.connects),
        ] {
            family.with_label_values(&labels).inc_by(count.get());
        }
        for (family, counts) in [
            (&self.downs, &peer.counts.downs),
            (&self.failures, &peer.counts.failures),
            (&self.connect_failures, &peer.counts.connect_failures),
        ] {
            for (fault, count) in counts.get() {
                family.with_label_values(&[&backend, &address, fault]).inc_by(count);
            }
        }
    }
}
