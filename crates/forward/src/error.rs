//! Why forwarding cannot begin.

use runnel_tls::TlsError;

/// Why calls cannot be forwarded as configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The settings name no backend.
    #[error("there is no backend to forward calls to: name at least one URL")]
    NoBackend,
    /// A certificate or a key cannot be used.
    #[error("TLS to backends: {0}")]
    Tls(#[from] TlsError),
    /// Neither a name nor an address.
    #[error("{0:?} is no name that a certificate could have")]
    ServerName(String),
}
