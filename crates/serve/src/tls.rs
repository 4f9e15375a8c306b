//! The certificates of a server, and which certificates its clients must have.
//!
//! The provider of the cryptography is ring: it needs no C library at run time and builds for musl, so that
//! a container's binary can be static.

use std::{path::PathBuf, sync::Arc, time::Duration};

use runnel_tls::{
    Files, Renewal, TlsError,
    certificates::{certificates, private_key, read, read_any, trusted},
};
use tokio::sync::watch;
use tokio_rustls::rustls::{ServerConfig, crypto::ring};

/// The protocols that a client may choose from, in our order of preference.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Where the certificates of a server are.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsFiles {
    /// A PEM file with the certificate, and behind it the intermediate certificates up to its root.
    pub cert: PathBuf,
    /// A PEM file with the certificate's private key.
    pub key: PathBuf,
    /// A PEM file with the roots that the clients' certificates must come from; None if clients need no
    /// certificate.
    pub client_ca: Option<PathBuf>,
    /// How often the files are looked at for a change. A SIGHUP has them looked at immediately; from
    /// [`Tls::load`] on, that signal no longer ends the process.
    pub reload_interval: Duration,
}

impl TlsFiles {
    /// How often files are looked at unless you say otherwise.
    pub const DEFAULT_RELOAD_INTERVAL: Duration = Duration::from_secs(10);

    /// A certificate and its key. Clients need no certificate.
    pub fn new(cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        let reload_interval = Self::DEFAULT_RELOAD_INTERVAL;
        Self { cert: cert.into(), key: key.into(), client_ca: None, reload_interval }
    }
}

/// The certificates of a server, which are read again while it serves. If new files cannot be used, the log says why,
/// and the certificates that were loaded last stay in use.
#[derive(Debug)]
pub struct Tls(Renewal<Loader>);

impl Tls {
    /// Loads the certificates, so that a mistake is known before anything is served.
    ///
    /// # Errors
    ///
    /// A file cannot be read, is not what it should be, or does not go with the others.
    pub async fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let interval = files.reload_interval;
        Renewal::load(Loader(files), interval).await.map(Self)
    }

    /// What new connections use, now and later.
    pub(crate) fn current(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.0.current()
    }

    /// Looks at the files now and then, and never ends.
    pub(crate) async fn renew(self) {
        self.0.renew().await;
    }
}

/// Reads the files.
#[derive(Debug)]
struct Loader(TlsFiles);

/// What is in the files. It has no `Debug`: a key belongs in no log.
#[derive(PartialEq, Eq)]
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Files for Loader {
    type Contents = Contents;
    type Made = Arc<ServerConfig>;
    const NAME: &'static str = "the certificate";

    async fn read(&self) -> Result<Contents, TlsError> {
        let TlsFiles { cert, key, client_ca, .. } = &self.0;
        Ok(Contents {
            cert: read(cert).await?,
            key: read(key).await?,
            client_ca: read_any(client_ca.as_deref()).await?,
        })
    }

    fn make(&self, contents: &Contents) -> Result<Arc<ServerConfig>, TlsError> {
        let TlsFiles { cert, key, client_ca, .. } = &self.0;
        let unusable = |source| TlsError::Unusable { path: cert.clone(), source };
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Versions)?;
        let builder = match (client_ca, &contents.client_ca) {
            (Some(path), Some(pem)) => {
                let verifier = trusted(path, pem)?
                    .clients(provider)
                    .map_err(|source| TlsError::Ca { path: path.clone(), source })?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let chain = certificates(cert, &contents.cert)?;
        let key = private_key(key, &contents.key)?;
        // This also finds a key that is not the certificate's.
        let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
        // Clients keep their sessions, so that resuming them takes no memory here.
        config.ticketer = ring::Ticketer::new().map_err(unusable)?;
        Ok(Arc::new(config))
    }
}
