//! TLS to a backend: whom we trust, who we are, and by what name we ask for it.

use std::{path::Path, sync::Arc};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{
            CertificateDer, PrivateKeyDer, ServerName,
            pem::{self, PemObject as _},
        },
    },
};

use super::{BackendError, BackendUrl, fault::Fault};
use crate::config::BackendConfig;

/// How to make TLS connections to one backend.
#[derive(Clone)]
pub(super) struct Tls {
    connector: TlsConnector,
    server_name: ServerName<'static>,
}

impl Tls {
    /// Reads the files that `config` names.
    pub(super) fn new(url: &BackendUrl, config: &BackendConfig) -> Result<Self, BackendError> {
        let roots = match &config.backend_ca {
            Some(path) => only(path)?,
            None => of_the_system()?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut client = match (&config.backend_client_cert, &config.backend_client_key) {
            (Some(certificate), Some(key)) => {
                let private = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| BackendError::Pem(key.clone(), error))?;
                builder.with_client_auth_cert(certificates(certificate)?, private)?
            }
            _ => builder.with_no_client_auth(),
        };
        client.alpn_protocols = vec![b"h2".to_vec()];
        let name = config.backend_server_name.as_deref().unwrap_or(url.host());
        let server_name = ServerName::try_from(name.to_owned())
            .map_err(|_| BackendError::ServerName(name.to_owned()))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(client)), server_name })
    }

    pub(super) async fn connect(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Fault> {
        let stream = self
            .connector
            .connect(self.server_name.clone(), stream)
            .await
            .map_err(|error| Fault::Tls(Arc::new(error)))?;
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

/// The certificates of one file and no others.
fn only(path: &Path) -> Result<RootCertStore, BackendError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

fn of_the_system() -> Result<RootCertStore, BackendError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _unusable) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why =
            found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(BackendError::NoSystemRoots(why));
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BackendError> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let certificates = read().map_err(|error| BackendError::Pem(path.to_owned(), error))?;
    if certificates.is_empty() {
        return Err(BackendError::Pem(path.to_owned(), pem::Error::NoItemsFound));
    }
    Ok(certificates)
}
