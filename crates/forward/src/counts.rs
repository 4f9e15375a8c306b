//! What happened at one address so far. A call adds to it without a lock.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::fault::Fault;

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

    pub(super) fn get(&self) -> u64 {
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

    pub(super) fn get(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
