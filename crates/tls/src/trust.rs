//! Which peers TLS trusts: those whose certificate is in a file, and those whose certificate was issued by
//! one in the file. `openssl req -x509` makes a certificate that is an authority's and a server's own at
//! once. Other gRPC clients accept it when they are told to trust it, and rustls alone does not.

use std::sync::Arc;

use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

/// The certificates in a file, and those that they have issued.
pub struct Trusted {
    /// The certificates that are trusted themselves.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The certificates that may have issued others.
    pub roots: RootCertStore,
}

impl Trusted {
    /// Verifies the certificates of servers.
    pub fn servers(
        self,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, VerifierBuilderError> {
        let roots = Arc::new(self.roots);
        let chains = WebPkiServerVerifier::builder_with_provider(roots, provider).build()?;
        Ok(Arc::new(Judge { certificates: self.certificates, chains }))
    }

    /// Verifies the certificates of clients.
    pub fn clients(
        self,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
        let roots = Arc::new(self.roots);
        let chains = WebPkiClientVerifier::builder_with_provider(roots, provider).build()?;
        Ok(Arc::new(Judge { certificates: self.certificates, chains }))
    }
}

/// Verifies chains of certificates first, and then the certificates themselves.
#[derive(Debug)]
struct Judge<V> {
    certificates: Vec<CertificateDer<'static>>,
    chains: V,
}

impl<V> Judge<V> {
    /// Whether nothing but its being an authority's is wrong with a certificate that is trusted itself. That
    /// is what is found behind the time in which it is valid, and before anything of its signature, which
    /// says nothing of a certificate that is in our hands.
    fn is_trusted_itself(&self, certificate: &CertificateDer<'_>, wrong: &Error) -> bool {
        let is_an_authority = match wrong {
            Error::InvalidCertificate(CertificateError::Other(other)) => {
                matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
            }
            _ => false,
        };
        is_an_authority && self.certificates.iter().any(|trusted| trusted == certificate)
    }
}

impl ServerCertVerifier for Judge<Arc<WebPkiServerVerifier>> {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.chains.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(wrong) if self.is_trusted_itself(certificate, &wrong) => {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

impl ClientCertVerifier for Judge<Arc<dyn ClientCertVerifier>> {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.chains.verify_client_cert(certificate, intermediates, now) {
            Err(wrong) if self.is_trusted_itself(certificate, &wrong) => {
                Ok(ClientCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}
