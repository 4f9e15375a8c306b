//! TLS: certificates, who may connect with one, and their renewal while the server runs.
//!
//! The provider of the cryptography is ring: it needs no C library at run time and builds for musl, so
//! that the container's binary is static.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{fs, sync::watch, time::sleep};
use tokio_rustls::rustls::{
    self, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    server::{VerifierBuilderError, WebPkiClientVerifier},
};

use crate::{config::TlsConfig, signal::Hangups};

/// What a client may choose from, in our order of preference.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why there can be no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is no PEM file with {what}: {source}", .path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// A certificate or key cannot be used, or does not belong to the other.
    #[error("{} cannot be used: {source}", .path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
    /// The roots of clients' certificates cannot be used.
    #[error("{} cannot be used: {source}", .path.display())]
    ClientCa {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: VerifierBuilderError,
    },
    /// SIGHUP cannot be listened for.
    #[error("cannot listen for SIGHUP: {0}")]
    Signal(io::Error),
}

/// The certificates of a server, and where newer ones will be.
#[derive(Debug)]
pub(crate) struct Tls {
    files: Files,
    reload_interval: Duration,
    hangups: Hangups,
    /// What the files held when they were last looked at, whether it could be used or not.
    seen: Option<Contents>,
    current: watch::Sender<Arc<ServerConfig>>,
}

impl Tls {
    /// Loads the certificates that `config` names; None if it names none.
    pub(crate) async fn load(config: &TlsConfig) -> Result<Option<Self>, TlsError> {
        let (Some(cert), Some(key)) = (config.tls_cert.clone(), config.tls_key.clone()) else {
            return Ok(None);
        };
        let files = Files { cert, key, client_ca: config.tls_client_ca.clone() };
        let contents = files.read().await?;
        let (current, _) = watch::channel(Arc::new(files.server_config(&contents)?));
        Ok(Some(Self {
            files,
            reload_interval: config.tls_reload_interval,
            hangups: Hangups::install().map_err(TlsError::Signal)?,
            seen: Some(contents),
            current,
        }))
    }

    /// What new connections use, now and later.
    pub(super) fn current(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.current.subscribe()
    }

    /// Looks at the files now and then, and at once when a SIGHUP comes; never ends. The bytes tell
    /// whether anything has changed: times do not when a link is swapped, as Kubernetes does. What
    /// cannot be used changes nothing, so that a mistake does not take a running server off the air.
    pub(super) async fn renew(mut self) {
        loop {
            let asked = tokio::select! {
                () = sleep(self.reload_interval) => false,
                () = self.hangups.next() => true,
            };
            let read = self.files.read().await;
            let contents = match read {
                Ok(contents) if !asked && self.seen.as_ref() == Some(&contents) => continue,
                Ok(contents) => contents,
                // Said once, and not again at every look.
                Err(_) if !asked && self.seen.is_none() => continue,
                Err(error) => {
                    tracing::error!("the certificate stays as it was: {error}");
                    self.seen = None;
                    continue;
                }
            };
            match self.files.server_config(&contents) {
                Ok(config) => {
                    // Connections that are open keep what they have.
                    self.current.send_replace(Arc::new(config));
                    tracing::info!(cert = %self.files.cert.display(), "loaded the certificate anew");
                }
                Err(error) => tracing::error!("the certificate stays as it was: {error}"),
            }
            self.seen = Some(contents);
        }
    }
}

/// Where they are.
#[derive(Debug)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

/// What is in them.
#[derive(PartialEq, Eq)]
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A key belongs in no log.
        formatter.debug_struct("Contents").finish_non_exhaustive()
    }
}

impl Files {
    async fn read(&self) -> Result<Contents, TlsError> {
        Ok(Contents {
            cert: read(&self.cert).await?,
            key: read(&self.key).await?,
            client_ca: match &self.client_ca {
                Some(path) => Some(read(path).await?),
                None => None,
            },
        })
    }

    fn server_config(&self, contents: &Contents) -> Result<ServerConfig, TlsError> {
        let unusable = |source| TlsError::Unusable { path: self.cert.clone(), source };
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match (&self.client_ca, &contents.client_ca) {
            (Some(path), Some(pem)) => {
                let mut roots = RootCertStore::empty();
                for root in certificates(path, pem)? {
                    let unusable = |source| TlsError::Unusable { path: path.clone(), source };
                    roots.add(root).map_err(unusable)?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .map_err(|source| TlsError::ClientCa { path: path.clone(), source })?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let chain = certificates(&self.cert, &contents.cert)?;
        let key = private_key(&self.key, &contents.key)?;
        // This also finds a key that is not the certificate's.
        let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
        // Clients keep their sessions, so that resuming them takes no memory here.
        config.ticketer = ring::Ticketer::new().map_err(unusable)?;
        Ok(config)
    }
}

pub(super) async fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).await.map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

pub(super) fn certificates(
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let broken = |source| TlsError::Pem { path: path.to_owned(), what: "certificates", source };
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(broken)?;
    if certificates.is_empty() {
        return Err(broken(pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

pub(super) fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    let what = "a private key";
    let broken = |source| TlsError::Pem { path: path.to_owned(), what, source };
    PrivateKeyDer::from_pem_slice(pem).map_err(broken)
}
