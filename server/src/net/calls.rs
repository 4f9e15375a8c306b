//! The calls of one connection, counted, and what else those who keep it need to know of them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::sync::watch;

use super::unread::Reading;
use crate::metrics::ConnectionMetrics;

/// The calls of one connection; a clone counts the same.
#[derive(Clone, Debug)]
pub(super) struct Calls(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    begun: AtomicUsize,
    open: AtomicUsize,
    /// How often something was read; over HTTP/1.1 only, and so are the others below.
    reads: AtomicUsize,
    /// Whether the next answer is the last.
    is_old: AtomicBool,
    reading: Reading,
    metrics: ConnectionMetrics,
    /// Changes when the server drains, and never else.
    draining: watch::Receiver<bool>,
}

impl Calls {
    /// None yet.
    pub(super) fn new(metrics: ConnectionMetrics, draining: watch::Receiver<bool>) -> Self {
        Self(Arc::new(Counts {
            begun: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            is_old: AtomicBool::new(false),
            reading: Reading::default(),
            metrics,
            draining,
        }))
    }

    /// Begins one, which is open until what this gives is dropped.
    pub(super) fn begin(&self) -> OpenCall {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.open.fetch_add(1, Ordering::Relaxed);
        OpenCall(self.clone())
    }

    /// Where requests that were answered with an HTTP error are counted.
    pub(super) fn metrics(&self) -> &ConnectionMetrics {
        &self.0.metrics
    }

    /// How many there have been, and are.
    pub(super) fn so_far(&self) -> SoFar {
        SoFar { begun: self.0.begun.load(Ordering::Relaxed), open: self.open() }
    }

    /// How many there are.
    pub(super) fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Something was read.
    pub(super) fn has_read(&self) {
        self.0.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was so.
    pub(super) fn reads(&self) -> usize {
        self.0.reads.load(Ordering::Relaxed)
    }

    /// How its client reads an answer that it must read.
    pub(super) fn reading(&self) -> &Reading {
        &self.0.reading
    }

    /// The next answer over HTTP/1.1 says that it is the connection's last.
    pub(super) fn grow_old(&self) {
        self.0.is_old.store(true, Ordering::Relaxed);
    }

    /// Whether an answer that begins now is the connection's last.
    pub(super) fn is_last(&self) -> bool {
        // An Err says that the server is gone.
        self.0.is_old.load(Ordering::Relaxed) || self.0.draining.has_changed().unwrap_or(true)
    }
}

/// How many calls there have been on a connection, and are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SoFar {
    pub(super) begun: usize,
    pub(super) open: usize,
}

/// A call that is open until this is dropped.
#[derive(Debug)]
pub(super) struct OpenCall(Calls);

impl OpenCall {
    /// The calls that this is one of.
    pub(super) const fn calls(&self) -> &Calls {
        &self.0
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
