//! The calls of one connection, counted, and what else the connection needs to know of them. A call is a
//! request that is being answered, whether of gRPC or not.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::sync::watch;

use crate::{observer::SharedObserver, reading::Reading};

/// The calls of one connection; a clone counts the same.
#[derive(Clone, Debug)]
pub(crate) struct Calls(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    begun: AtomicUsize,
    open: AtomicUsize,
    /// How often something was read; over HTTP/1.1 only, and so are the others below.
    reads: AtomicUsize,
    /// Whether the next response is the last.
    is_old: AtomicBool,
    reading: Reading,
    observer: SharedObserver,
    /// Changes when the server drains, and never else.
    draining: watch::Receiver<bool>,
}

impl Calls {
    /// None yet.
    pub(crate) fn new(observer: SharedObserver, draining: watch::Receiver<bool>) -> Self {
        Self(Arc::new(Counts {
            begun: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            is_old: AtomicBool::new(false),
            reading: Reading::default(),
            observer,
            draining,
        }))
    }

    /// Begins one, which is open until what this gives is dropped.
    pub(crate) fn begin(&self) -> OpenCall {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.0.open.fetch_add(1, Ordering::Relaxed);
        OpenCall(self.clone())
    }

    /// Who is told of requests that are answered with an HTTP error.
    pub(crate) fn observer(&self) -> &SharedObserver {
        &self.0.observer
    }

    /// How many there have been, and are.
    pub(crate) fn so_far(&self) -> SoFar {
        SoFar { begun: self.0.begun.load(Ordering::Relaxed), open: self.open() }
    }

    /// How many there are.
    pub(crate) fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Something was read.
    pub(crate) fn has_read(&self) {
        self.0.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was so.
    pub(crate) fn reads(&self) -> usize {
        self.0.reads.load(Ordering::Relaxed)
    }

    /// How its client reads a response that it must read.
    pub(crate) fn reading(&self) -> &Reading {
        &self.0.reading
    }

    /// The next response over HTTP/1.1 says that it is the connection's last.
    pub(crate) fn grow_old(&self) {
        self.0.is_old.store(true, Ordering::Relaxed);
    }

    /// Whether a response that begins now is the connection's last.
    pub(crate) fn is_last(&self) -> bool {
        // An Err says that the server is gone.
        self.0.is_old.load(Ordering::Relaxed) || self.0.draining.has_changed().unwrap_or(true)
    }
}

/// How many calls there have been on a connection, and are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SoFar {
    pub(crate) begun: usize,
    pub(crate) open: usize,
}

/// A call that is open until this is dropped.
#[derive(Debug)]
pub(crate) struct OpenCall(Calls);

impl OpenCall {
    /// The calls that this is one of.
    pub(crate) const fn calls(&self) -> &Calls {
        &self.0
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
