//! Certificates and keys in PEM files, and their renewal while the server runs: its own, and what it
//! shows to backends and trusts them by.

use std::{
    fmt,
    future::Future,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{fs, sync::watch, time::sleep};
use tokio_rustls::rustls::{
    self,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    server::VerifierBuilderError,
};

use crate::{hangups::Hangups, trust::Trusted, words};

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
    #[error("{} cannot be used: {}", .path.display(), words::of(.source))]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
    /// A key of a kind that there is no cryptography for.
    #[error(
        "{} has a key for {kind}, which is not supported: make one for P-256, P-384, Ed25519 or RSA",
        .path.display()
    )]
    KeyKind {
        /// Where it is.
        path: PathBuf,
        /// What it is for.
        kind: &'static str,
    },
    /// A key that needs a password.
    #[error("the private key in {} is encrypted: write it without a password", .0.display())]
    Encrypted(PathBuf),
    /// Those to trust cannot be used.
    #[error("{} cannot be used: {source}", .path.display())]
    Ca {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: VerifierBuilderError,
    },
    /// Nobody to trust.
    #[error("the system has no root certificates ({0}); name a file with some")]
    NoSystemRoots(String),
    /// The ciphers and versions of TLS do not go together.
    #[error("TLS cannot be used: {0}")]
    Versions(rustls::Error),
    /// SIGHUP cannot be listened for.
    #[error("cannot listen for SIGHUP: {0}")]
    Signal(io::Error),
}

/// Files, and what is made of them.
pub trait Files: Send + Sync {
    /// What is in them.
    type Contents: PartialEq + Send + Sync;
    /// What is made of that. Clones are cheap.
    type Made: Clone + Send + Sync;
    /// What they are called in the log.
    const NAME: &'static str;

    /// Reads them.
    fn read(&self) -> impl Future<Output = Result<Self::Contents, TlsError>> + Send;
    /// Makes something of their contents; fails if they cannot be used.
    fn make(&self, contents: &Self::Contents) -> Result<Self::Made, TlsError>;
}

/// What was made of files, and is made anew when they change.
pub struct Renewal<F: Files> {
    files: F,
    interval: Duration,
    hangups: Hangups,
    /// What the files held when they were last looked at, whether it could be used or not.
    seen: Option<F::Contents>,
    current: watch::Sender<F::Made>,
}

impl<F: Files> Renewal<F> {
    /// Reads the files, which must be good at the start. They will be looked at every `interval`.
    pub async fn load(files: F, interval: Duration) -> Result<Self, TlsError> {
        let contents = files.read().await?;
        let (current, _) = watch::channel(files.make(&contents)?);
        let hangups = Hangups::install().map_err(TlsError::Signal)?;
        Ok(Self { files, interval, hangups, seen: Some(contents), current })
    }

    /// What new connections use, now and later.
    pub fn current(&self) -> watch::Receiver<F::Made> {
        self.current.subscribe()
    }

    /// Looks at the files now and then, and at once when a SIGHUP comes; never ends. The bytes tell
    /// whether anything has changed: times do not when a link is swapped, as Kubernetes does. What
    /// cannot be used changes nothing, so that a mistake does not take a running server off the air.
    pub async fn renew(mut self) {
        loop {
            let asked = tokio::select! {
                () = sleep(self.interval) => false,
                () = self.hangups.next() => true,
            };
            let contents = match self.files.read().await {
                Ok(contents) if !asked && self.seen.as_ref() == Some(&contents) => continue,
                Ok(contents) => contents,
                // Said once, and not again at every look.
                Err(_) if !asked && self.seen.is_none() => continue,
                Err(error) => {
                    tracing::error!("{} stays as it was: {error}", F::NAME);
                    self.seen = None;
                    continue;
                }
            };
            match self.files.make(&contents) {
                Ok(made) => {
                    // Connections that are open keep what they have.
                    self.current.send_replace(made);
                    tracing::info!("loaded {} anew", F::NAME);
                }
                Err(error) => tracing::error!("{} stays as it was: {error}", F::NAME),
            }
            self.seen = Some(contents);
        }
    }
}

impl<F: Files> fmt::Debug for Renewal<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key belongs in no log.
        f.debug_struct("Renewal").field("files", &F::NAME).finish_non_exhaustive()
    }
}

/// The bytes of a file.
pub async fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).await.map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

/// The same, if there is to be a file.
pub async fn read_any(path: Option<&Path>) -> Result<Option<Vec<u8>>, TlsError> {
    match path {
        Some(path) => read(path).await.map(Some),
        None => Ok(None),
    }
}

/// The certificates in what was read from `path`, one at least.
pub fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let broken = |source| TlsError::Pem { path: path.to_owned(), what: "certificates", source };
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(broken)?;
    if certificates.is_empty() {
        return Err(broken(pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

/// Whom to trust: the certificates in what was read from `path`, and what comes from them.
pub fn trusted(path: &Path, pem: &[u8]) -> Result<Trusted, TlsError> {
    let certificates = certificates(path, pem)?;
    let mut roots = rustls::RootCertStore::empty();
    for root in &certificates {
        let unusable = |source| TlsError::Unusable { path: path.to_owned(), source };
        roots.add(root.clone()).map_err(unusable)?;
    }
    Ok(Trusted { certificates, roots })
}

/// The private key in what was read from `path`.
pub fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    let what = "a private key";
    let path = path.to_owned();
    let key = match PrivateKeyDer::from_pem_slice(pem) {
        Ok(key) => key,
        // Without its password it cannot be used.
        Err(pem::Error::NoItemsFound) if is_encrypted(pem) => {
            return Err(TlsError::Encrypted(path));
        }
        Err(source) => return Err(TlsError::Pem { path, what, source }),
    };
    match words::unsupported_key(key.secret_der()) {
        Some(kind) => Err(TlsError::KeyKind { path, kind }),
        None => Ok(key),
    }
}

fn is_encrypted(pem: &[u8]) -> bool {
    let mark = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    pem.windows(mark.len()).any(|window| window == mark)
}
