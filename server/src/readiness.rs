//! Whether new calls should be sent here. Code that knows a reason against it holds a [`Readiness`]
//! and says so; the admin port tells probes.

use std::sync::Arc;

use tokio::sync::watch;

/// A handle on the one readiness of a server. A server is ready unless somebody said otherwise.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<watch::Sender<Obstacles>>);

/// What stands against new calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Obstacles {
    draining: bool,
    backend_down: bool,
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
    /// A shutdown begins.
    pub fn drain(&self) {
        self.0.send_modify(|obstacles| obstacles.draining = true);
    }

    /// The backend is healthy, or is so no longer.
    pub fn set_backend_healthy(&self, healthy: bool) {
        self.0.send_modify(|obstacles| obstacles.backend_down = !healthy);
    }

    /// Whether new calls should be sent here now.
    pub fn check(&self) -> Result<(), NotReady> {
        self.0.borrow().check()
    }
}

impl Obstacles {
    const fn check(self) -> Result<(), NotReady> {
        match self {
            Self { draining: true, .. } => Err(NotReady::Draining),
            Self { backend_down: true, .. } => Err(NotReady::BackendDown),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_until_somebody_says_otherwise_and_a_drain_is_for_good() {
        let readiness = Readiness::default();
        assert_eq!(readiness.check(), Ok(()));
        let elsewhere = readiness.clone();
        elsewhere.set_backend_healthy(false);
        assert_eq!(readiness.check(), Err(NotReady::BackendDown));
        elsewhere.set_backend_healthy(true);
        assert_eq!(readiness.check(), Ok(()));
        elsewhere.drain();
        elsewhere.set_backend_healthy(true);
        assert_eq!(readiness.check(), Err(NotReady::Draining));
    }
}
