//! TLS of the public port: its certificates, and who may connect with one.
//!
//! The provider of the cryptography is ring: it needs no C library at run time and builds for musl, so
//! that the container's binary is static.

use std::{path::PathBuf, sync::Arc};

use runnel_tls::{
    Files, Renewal, TlsError,
    certificates::{certificates, private_key, read, read_any, trusted},
};
use tokio_rustls::rustls::{ServerConfig, crypto::ring};

use crate::config::TlsConfig;

/// What a client may choose from, in our order of preference.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The certificates of a server, and where newer ones will be.
pub(crate) type Tls = Renewal<ServerFiles>;

/// Loads the certificates that `config` names; None if it names none.
pub(crate) async fn load(config: &TlsConfig) -> Result<Option<Tls>, TlsError> {
    let (Some(cert), Some(key)) = (config.tls_cert.clone(), config.tls_key.clone()) else {
        return Ok(None);
    };
    let files = ServerFiles { cert, key, client_ca: config.tls_client_ca.clone() };
    Tls::load(files, config.tls_reload_interval).await.map(Some)
}

/// Where they are.
#[derive(Debug)]
pub(crate) struct ServerFiles {
    cert: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

/// What is in them. It has no `Debug`: a key belongs in no log.
#[derive(PartialEq, Eq)]
pub(crate) struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Files for ServerFiles {
    type Contents = Contents;
    type Made = Arc<ServerConfig>;
    const NAME: &'static str = "the certificate";

    async fn read(&self) -> Result<Contents, TlsError> {
        Ok(Contents {
            cert: read(&self.cert).await?,
            key: read(&self.key).await?,
            client_ca: read_any(self.client_ca.as_deref()).await?,
        })
    }

    fn make(&self, contents: &Contents) -> Result<Arc<ServerConfig>, TlsError> {
        let unusable = |source| TlsError::Unusable { path: self.cert.clone(), source };
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Versions)?;
        let builder = match (&self.client_ca, &contents.client_ca) {
            (Some(path), Some(pem)) => {
                let verifier = trusted(path, pem)?
                    .clients(provider)
                    .map_err(|source| TlsError::Ca { path: path.clone(), source })?;
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
        Ok(Arc::new(config))
    }
}
