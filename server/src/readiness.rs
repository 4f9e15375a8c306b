//! Whether new calls should be sent here: not while the server drains, nor while its backend is down. The
//! admin port tells probes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::watch;

/// A handle on the one readiness of a server. A server is ready unless somebody said otherwise.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    draining: Arc<AtomicBool>,
    /// Whether the backend is healthy; None without a backend.
    backend_healthy: Option<watch::Receiver<bool>>,
}

/// Why a server is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// A shutdown began. It stays so.
    #[error("draining")]
    Draining,
    /// Calls would be forwarded to a backend that does not answer.
    #[error("the backend is not healthy")]
    BackendDown,
}

impl Readiness {
    /// That of a server in front of a backend, which is ready only while `healthy` says so.
    pub fn of_backend(healthy: watch::Receiver<bool>) -> Self {
        Self { backend_healthy: Some(healthy), ..Self::default() }
    }

    /// A shutdown begins.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether new calls should be sent here now.
    pub fn check(&self) -> Result<(), NotReady> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(NotReady::Draining);
        }
        match &self.backend_healthy {
            Some(healthy) if !*healthy.borrow() => Err(NotReady::BackendDown),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_until_somebody_says_otherwise_and_a_drain_is_for_good() {
        assert_eq!(Readiness::default().check(), Ok(()));
        let (healthy, backend) = watch::channel(true);
        let readiness = Readiness::of_backend(backend);
        let elsewhere = readiness.clone();
        assert_eq!(readiness.check(), Ok(()));
        healthy.send_replace(false);
        assert_eq!(readiness.check(), Err(NotReady::BackendDown));
        healthy.send_replace(true);
        assert_eq!(readiness.check(), Ok(()));
        elsewhere.drain();
        healthy.send_replace(true);
        assert_eq!(readiness.check(), Err(NotReady::Draining));
    }
}
