//! Encryption of the public port.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use runnel_serve::TlsFiles;

use super::numbers;

/// Where certificates are. Without one the public port speaks HTTP in the clear.
#[derive(Args, Clone, Debug)]
pub struct TlsConfig {
    /// A PEM file with the certificate, and those up to its root; the port then speaks HTTPS only.
    #[arg(long, env = "RUNNEL_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// A PEM file with the certificate's private key.
    #[arg(long, env = "RUNNEL_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// A PEM file with certificates: clients then need one of these, or one that they have issued. Without it,
    /// clients need no certificate.
    #[arg(long, env = "RUNNEL_TLS_CLIENT_CA", value_name = "FILE", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,

    /// How often these files, and those for backends, are checked for changes; SIGHUP makes the server check
    /// them now.
    #[arg(
        long,
        env = "RUNNEL_TLS_RELOAD_INTERVAL",
        value_name = "DURATION",
        default_value = numbers::written(TlsFiles::DEFAULT_RELOAD_INTERVAL),
        value_parser = numbers::duration
    )]
    pub tls_reload_interval: Duration,
}

impl TlsConfig {
    /// The certificate that is to be served, and its key; None for no TLS.
    pub(crate) fn files(&self) -> Option<TlsFiles> {
        let mut files = TlsFiles::new(self.tls_cert.clone()?, self.tls_key.clone()?);
        files.client_ca.clone_from(&self.tls_client_ca);
        files.reload_interval = self.tls_reload_interval;
        Some(files)
    }
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
            tls_reload_interval: TlsFiles::DEFAULT_RELOAD_INTERVAL,
        }
    }
}
