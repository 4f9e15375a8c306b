//! Errors of TLS, in words that say what to do. The messages of rustls contain numbers of algorithms and
//! names of its types.

use std::io;

use tokio_rustls::rustls::{
    AlertDescription, CertificateError, Error, InconsistentKeys, PeerIncompatible,
};

/// Why a handshake failed.
pub fn of_handshake(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(inner) => of(inner),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it closed the connection during the handshake".to_owned()
        }
        None => error.to_string(),
    }
}

/// What an error of rustls means.
pub fn of(error: &Error) -> String {
    let words = match error {
        Error::InvalidCertificate(why) => {
            return format!("invalid peer certificate: {}", of_certificate(why));
        }
        Error::AlertReceived(alert) => return of_alert(*alert),
        Error::InvalidMessage(_) => "what it said is no TLS",
        Error::PeerIncompatible(
            PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::ServerDoesNotSupportTls12Or13,
        ) => "it speaks neither TLS 1.2 nor TLS 1.3",
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "the private key is not that of the certificate"
        }
        Error::NoApplicationProtocol => "it speaks no HTTP/2 over TLS (ALPN)",
        Error::General(why) if why.contains("private key") => {
            "the private key is of no kind that is supported: RSA of at least 2048 bits, P-256, P-384 or \
             Ed25519"
        }
        other => return other.to_string(),
    };
    words.to_owned()
}

fn of_certificate(error: &CertificateError) -> String {
    const DAY_SECONDS: u64 = 24 * 60 * 60;
    match error {
        CertificateError::UnknownIssuer => {
            "it comes from nobody who is trusted here, or it came without those between".to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            format!("{error}: make it with a subjectAltName, the common name is not looked at")
        }
        CertificateError::ExpiredContext { time, not_after } => {
            let days = time.as_secs().saturating_sub(not_after.as_secs()) / DAY_SECONDS;
            format!("certificate expired {days} days ago")
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            let days = not_before.as_secs().saturating_sub(time.as_secs()) / DAY_SECONDS;
            format!("certificate not valid yet, but in {days} days: is a clock wrong?")
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { signature_algorithm_id, .. } => {
            unsupported(signature_algorithm_id)
        }
        CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
            public_key_algorithm_id,
            ..
        } => unsupported(public_key_algorithm_id),
        CertificateError::InvalidPurposeContext { .. } => {
            "it may not be used for this side of TLS (its extendedKeyUsage says so)".to_owned()
        }
        CertificateError::Other(other) => match other.0.downcast_ref() {
            Some(webpki::Error::CaUsedAsEndEntity) => "it is that of an authority (CA:TRUE) and not \
                among those that are trusted: trust this very certificate, or make one with CA:FALSE"
                .to_owned(),
            Some(webpki::Error::UnsupportedCertVersion) => {
                "it is of X.509 version 1: make one of version 3, with a subjectAltName".to_owned()
            }
            _ => other.to_string(),
        },
        other => other.to_string(),
    }
}

/// `algorithm` is an `AlgorithmIdentifier` (RFC 5280 section 4.1.1.2), with or without its enclosing
/// structure.
fn unsupported(algorithm: &[u8]) -> String {
    let named = KINDS.iter().find(|(oid, _)| contains(algorithm, oid)).map(|(_, name)| *name);
    let named = named.unwrap_or("in a way that has no name here");
    format!("it is signed with {named}, which is not supported: RSA, P-256, P-384 and Ed25519 are")
}

fn of_alert(alert: AlertDescription) -> String {
    let words = match alert {
        AlertDescription::CertificateRequired => "it wants a certificate, and was shown none",
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => "it does not take the certificate that it was shown",
        AlertDescription::ProtocolVersion => "it speaks neither TLS 1.2 nor TLS 1.3",
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            "it has no cipher, curve or signature in common with us"
        }
        AlertDescription::UnrecognisedName => "it has no certificate for that name",
        AlertDescription::NoApplicationProtocol => "it speaks no HTTP/2 over TLS (ALPN)",
        other => return format!("it ended the handshake ({other:?})"),
    };
    words.to_owned()
}

/// Common kinds of keys and signatures that are not supported, by their object identifiers.
const KINDS: [(&[u8], &str); 13] = [
    (&[0x2b, 0x81, 0x04, 0x00, 0x23], "P-521"),
    (&[0x2b, 0x81, 0x04, 0x00, 0x21], "P-224"),
    (&[0x2b, 0x81, 0x04, 0x00, 0x0a], "secp256k1"),
    (&[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01], "a Brainpool curve"),
    (&[0x2b, 0x65, 0x71], "Ed448"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01], "DSA"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x03], "DSA"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04], "ECDSA and SHA-512, as on P-521"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01], "ECDSA and SHA-1"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05], "RSA and SHA-1"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04], "RSA and MD5"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a], "RSA-PSS"),
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03], "a signature of the newest kind"),
];

/// The kind of a private key, if it is known and not supported.
pub fn unsupported_key(der: &[u8]) -> Option<&'static str> {
    // With the tag and the length before it: a key is random bytes.
    let names = |oid: &[u8]| {
        let length = u8::try_from(oid.len()).unwrap_or_default();
        // The arc of Brainpool's curves goes on.
        contains(der, &[&[6, length], oid].concat())
            || contains(der, &[&[6, length + 1], oid].concat())
    };
    KINDS.iter().find(|(oid, _)| names(oid)).map(|(_, name)| *name)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio_rustls::rustls::OtherError;

    use super::*;

    #[test]
    fn no_error_that_people_meet_has_a_number_or_a_type_in_it() {
        let certificate = |error| of(&Error::InvalidCertificate(error));
        let other = |error: webpki::Error| {
            certificate(CertificateError::Other(OtherError(Arc::new(error))))
        };
        let p521 = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04];
        for (said, word) in [
            (certificate(CertificateError::UnknownIssuer), "nobody who is trusted"),
            (
                certificate(CertificateError::UnsupportedSignatureAlgorithmContext {
                    signature_algorithm_id: p521.to_vec(),
                    supported_algorithms: Vec::new(),
                }),
                "P-521",
            ),
            (other(webpki::Error::CaUsedAsEndEntity), "CA:FALSE"),
            (other(webpki::Error::UnsupportedCertVersion), "version 3"),
            (of(&Error::AlertReceived(AlertDescription::CertificateRequired)), "shown none"),
            (of(&Error::InconsistentKeys(InconsistentKeys::KeyMismatch)), "private key"),
        ] {
            assert!(said.contains(word), "{said}");
            for odd in ["OID", "[", "{", "CaUsed", "KeyMismatch"] {
                assert!(!said.contains(odd), "{said}");
            }
        }
    }
}
