//! TLS to backends: which certificates are trusted, which one is shown, and which name a backend must have.

use std::{path::PathBuf, sync::Arc};

use runnel_tls::{
    Files, Renewal, TlsError,
    certificates::{certificates, private_key, read_any, trusted},
    words,
};
use tokio::{net::TcpStream, sync::watch};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

use super::{error::BackendError, fault::Fault, settings::Settings, url::BackendUrl};

/// The TLS configuration for all backends, which is made anew when its files change.
pub(super) type Certificates = Renewal<ClientFiles>;

/// Loads the files that `settings` name, which are looked at again from time to time.
pub(super) async fn load(settings: &Settings) -> Result<Certificates, TlsError> {
    let shown = settings.client_certificate.as_ref();
    let files = ClientFiles {
        ca: settings.ca.clone(),
        cert: shown.map(|shown| shown.certificate.clone()),
        key: shown.map(|shown| shown.key.clone()),
    };
    Certificates::load(files, settings.certificate_interval).await
}

/// The files of certificates. Without a CA the system's roots are trusted.
#[derive(Debug)]
pub(super) struct ClientFiles {
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// The contents of the files. It has no `Debug`: a key belongs in no log.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    ca: Option<Vec<u8>>,
    cert: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

impl Files for ClientFiles {
    type Contents = Contents;
    type Made = Arc<ClientConfig>;
    const NAME: &'static str = "the TLS configuration for backends";

    async fn read(&self) -> Result<Contents, TlsError> {
        Ok(Contents {
            ca: read_any(self.ca.as_deref()).await?,
            cert: read_any(self.cert.as_deref()).await?,
            key: read_any(self.key.as_deref()).await?,
        })
    }

    fn make(&self, contents: &Contents) -> Result<Arc<ClientConfig>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Versions)?;
        let builder = match (&self.ca, &contents.ca) {
            (Some(path), Some(pem)) => {
                let judge = trusted(path, pem)?
                    .servers(provider)
                    .map_err(|source| TlsError::Ca { path: path.clone(), source })?;
                builder.dangerous().with_custom_certificate_verifier(judge)
            }
            _ => builder.with_root_certificates(of_the_system()?),
        };
        let mut config = match (&self.cert, &contents.cert, &self.key, &contents.key) {
            (Some(cert), Some(cert_pem), Some(key), Some(key_pem)) => {
                let chain = certificates(cert, cert_pem)?;
                let unusable = |source| TlsError::Unusable { path: cert.clone(), source };
                // This also finds a key that is not the certificate's.
                builder
                    .with_client_auth_cert(chain, private_key(key, key_pem)?)
                    .map_err(unusable)?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

/// How to make TLS connections to one backend.
#[derive(Clone)]
pub(super) struct Tls {
    config: watch::Receiver<Arc<ClientConfig>>,
    server_name: ServerName<'static>,
}

impl Tls {
    /// To the backend at `url`, whose certificate has its name unless `server_name` is another.
    pub(super) fn new(
        url: &BackendUrl,
        server_name: Option<&str>,
        certificates: &Certificates,
    ) -> Result<Self, BackendError> {
        let name = server_name.unwrap_or(url.host());
        let server_name = ServerName::try_from(name.to_owned())
            .map_err(|_| BackendError::ServerName(name.to_owned()))?;
        Ok(Self { config: certificates.current(), server_name })
    }

    pub(super) async fn connect(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Fault> {
        let connector = TlsConnector::from(Arc::clone(&self.config.borrow()));
        let stream = connector
            .connect(self.server_name.clone(), stream)
            .await
            .map_err(|error| Fault::Tls(words::of_handshake(&error).into()))?;
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            Ok(stream)
        } else {
            Err(Fault::NoAlpn)
        }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

fn of_the_system() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _unusable) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why =
            found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(TlsError::NoSystemRoots(why));
    }
    Ok(roots)
}
