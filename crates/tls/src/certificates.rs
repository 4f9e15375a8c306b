//! Certificates and keys in PEM files, and their renewal while the program runs.

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

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A file does not contain what it should.
    #[error("{} is no PEM file with {what}: {source}", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should contain.
        what: &'static str,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// A certificate or a key cannot be used, or they do not belong together.
    #[error("{} cannot be used: {}", .path.display(), words::of(.source))]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: rustls::Error,
    },
    /// The kind of a key is not supported.
    #[error(
        "{} has a key for {kind}, which is not supported: make one for P-256, P-384, Ed25519 or RSA",
        .path.display()
    )]
    KeyKind {
        /// The file.
        path: PathBuf,
        /// The kind of the key.
        kind: &'static str,
    },
    /// A key is encrypted with a password.
    #[error("the private key in {} is encrypted: write it without a password", .0.display())]
    Encrypted(PathBuf),
    /// The certificates to trust cannot be used.
    #[error("{} cannot be used: {source}", .path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: VerifierBuilderError,
    },
    /// The system has no certificates to trust.
    #[error("the system has no root certificates ({0}); name a file with some")]
    NoSystemRoots(String),
    /// The ciphers do not fit the versions of TLS.
    #[error("TLS cannot be used: {0}")]
    Versions(rustls::Error),
    /// The program cannot listen for SIGHUP.
    #[error("cannot listen for SIGHUP: {0}")]
    Signal(io::Error),
}

/// Files, and the value that is made from them.
pub trait Files: Send + Sync {
    /// The contents of the files.
    type Contents: PartialEq + Send + Sync;
    /// The value that is made from the contents, such as a TLS configuration. Clones are cheap.
    type Made: Clone + Send + Sync;
    /// The name of the files in the log.
    const NAME: &'static str;

    /// Reads the files.
    fn read(&self) -> impl Future<Output = Result<Self::Contents, TlsError>> + Send;
    /// Makes the value from the contents; fails if they cannot be used.
    fn make(&self, contents: &Self::Contents) -> Result<Self::Made, TlsError>;
}

/// A value that is made from files, and made anew when the files change.
pub struct Renewal<F: Files> {
    files: F,
    interval: Duration,
    hangups: Hangups,
    /// The contents of the files when they were last read, whether they could be used or not.
    seen: Option<F::Contents>,
    current: watch::Sender<F::Made>,
}

impl<F: Files> Renewal<F> {
    /// Reads the files, which must be usable. [`Self::renew`] will read them again every `interval`.
    pub async fn load(files: F, interval: Duration) -> Result<Self, TlsError> {
        let contents = files.read().await?;
        let (current, _) = watch::channel(files.make(&contents)?);
        let hangups = Hangups::install().map_err(TlsError::Signal)?;
        Ok(Self { files, interval, hangups, seen: Some(contents), current })
    }

    /// The value for new connections, now and after each renewal.
    pub fn current(&self) -> watch::Receiver<F::Made> {
        self.current.subscribe()
    }

    /// Reads the files at each interval, and at once when a SIGHUP comes; never ends. It compares their
    /// bytes, because times do not change when a link is switched, as Kubernetes does. Files that cannot be
    /// used change nothing, so that a mistake does not stop a running server.
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

/// The contents of a file.
pub async fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).await.map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

/// The contents of a file; `None` if no path is given.
pub async fn read_any(path: Option<&Path>) -> Result<Option<Vec<u8>>, TlsError> {
    match path {
        Some(path) => read(path).await.map(Some),
        None => Ok(None),
    }
}

/// The certificates in `pem`, which was read from `path`; at least one.
pub fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let broken = |source| TlsError::Pem { path: path.to_owned(), what: "certificates", source };
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(broken)?;
    if certificates.is_empty() {
        return Err(broken(pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

/// The certificates to trust in `pem`, which was read from `path`: a peer needs one of them, or one that
/// they have issued.
pub fn trusted(path: &Path, pem: &[u8]) -> Result<Trusted, TlsError> {
    let certificates = certificates(path, pem)?;
    let mut roots = rustls::RootCertStore::empty();
    for root in &certificates {
        let unusable = |source| TlsError::Unusable { path: path.to_owned(), source };
        roots.add(root.clone()).map_err(unusable)?;
    }
    Ok(Trusted { certificates, roots })
}

/// The private key in `pem`, which was read from `path`.
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
