//! Certificates made for a test, the files a server finds them in, and clients that trust them.

use std::{fs, io, net::SocketAddr, path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use runnel::config::TlsConfig;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

use crate::patiently;

/// Whom certificates come from.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub pem: String,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub cert: String,
    /// The private key.
    pub key: String,
}

impl Authority {
    /// A new one.
    #[expect(clippy::new_without_default, reason = "no two are alike")]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for names and addresses of loopback, as good for a client as for a server.
    pub fn issue(&self) -> Identity {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let params = CertificateParams::new(names).expect("names");
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { cert, key: key.serialize_pem() }
    }

    /// What `openssl req -x509` makes: a certificate that is an authority's and a server's own at once.
    pub fn of_a_server() -> (Self, Identity) {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let identity = Identity { cert: pem.clone(), key: key.serialize_pem() };
        (Self { issuer: Issuer::new(params, key), pem }, identity)
    }

    /// A client that trusts this authority, shows a certificate or none, and offers these protocols.
    pub fn client(&self, identity: Option<&Identity>, alpn: &[&str]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("a certificate");
        roots.add(root).expect("a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the versions are the provider's")
            .with_root_certificates(roots);
        let mut config = match identity {
            Some(Identity { cert, key }) => {
                let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).expect("PEM")];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
                builder.with_client_auth_cert(chain, key).expect("a certificate and its key")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

/// Connects over TLS.
pub async fn connect(
    client: &TlsConnector,
    address: SocketAddr,
) -> io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await.expect("connect");
    patiently("the TLS handshake", client.connect(address.ip().into(), tcp)).await
}

/// A folder that a server finds its certificates in.
pub struct Files(TempDir);

impl Files {
    /// A folder with this certificate and key.
    pub fn new(identity: &Identity) -> Self {
        let files = Self(TempDir::new().expect("a temporary folder"));
        files.write(identity);
        files
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Replaces what is in it.
    pub fn write(&self, Identity { cert, key }: &Identity) {
        fs::write(self.path().join("cert.pem"), cert).expect("write the certificate");
        fs::write(self.path().join("key.pem"), key).expect("write the key");
    }

    /// What tells a server of it.
    pub fn config(&self) -> TlsConfig {
        TlsConfig {
            tls_cert: Some(self.path().join("cert.pem")),
            tls_key: Some(self.path().join("key.pem")),
            ..TlsConfig::default()
        }
    }

    /// The same, and clients need a certificate of this authority.
    pub fn config_for_clients_of(&self, authority: &Authority) -> TlsConfig {
        let client_ca = self.path().join("client-ca.pem");
        fs::write(&client_ca, &authority.pem).expect("write the roots");
        TlsConfig { tls_client_ca: Some(client_ca), ..self.config() }
    }

    /// The same on a command line.
    pub fn args(&self) -> Vec<String> {
        let path = |name| self.path().join(name).display().to_string();
        let args =
            ["--tls-cert".to_owned(), path("cert.pem"), "--tls-key".to_owned(), path("key.pem")];
        args.into()
    }
}
