//! A certificate made for one run, and a client that trusts it.

use std::{fs, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

use crate::client::Wire;

/// The certificate, and who trusts it.
#[derive(Debug)]
pub struct Tls {
    folder: TempDir,
    client: ClientConfig,
}

impl Tls {
    /// A new certificate for `localhost`.
    pub fn new() -> Result<Self> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()])?;
        let folder = TempDir::new().context("no temporary folder")?;
        fs::write(folder.path().join("cert.pem"), cert.pem())?;
        fs::write(folder.path().join("key.pem"), signing_key.serialize_pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone())?;
        let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { folder, client })
    }

    /// What tells a server of it.
    pub fn arguments(&self) -> [(&'static str, PathBuf); 2] {
        let path = |name| self.folder.path().join(name);
        [("--tls-cert", path("cert.pem")), ("--tls-key", path("key.pem"))]
    }

    /// Encrypts a connection to such a server.
    pub async fn connect<I>(&self, io: I, wire: Wire) -> Result<TlsStream<I>>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let mut client = self.client.clone();
        client.alpn_protocols = vec![match wire {
            Wire::WebHttp1 | Wire::WebText => b"http/1.1".to_vec(),
            Wire::WebHttp2 | Wire::Grpc => b"h2".to_vec(),
        }];
        let connector = TlsConnector::from(Arc::new(client));
        let localhost = ServerName::try_from("localhost")?;
        connector.connect(localhost, io).await.context("no TLS")
    }
}
