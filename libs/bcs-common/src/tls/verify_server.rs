//! How a client checks the certificate of a server (common.md 2.1, 2.2).

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use x509_parser::parse_x509_certificate;

use super::certificates::Authorities;
use super::error::TlsError;
use super::{signature, x509};

/// What a client checks of a server's certificate: the configuration key `tls_verify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// A configured CA signed it, it is valid now and allowed for servers; its name does not matter.
    Chain,
    /// As [`Verify::Chain`], and it is made out for the name that was dialled.
    Full,
    /// Nothing but that the server holds its key, as the original.
    None,
}

impl Verify {
    /// Reads the value of `tls_verify`; empty text leaves the choice to [`super::client_config`].
    pub fn from_config(value: &str) -> Result<Option<Self>, TlsError> {
        match value {
            "" => Ok(None),
            "chain" => Ok(Some(Self::Chain)),
            "full" => Ok(Some(Self::Full)),
            "none" => Ok(Some(Self::None)),
            other => Err(TlsError::UnknownVerify(other.to_owned())),
        }
    }
}

/// Checks server certificates against configured CAs: [`Verify::Chain`] and [`Verify::Full`].
#[derive(Debug)]
pub(super) struct SignedByAuthority {
    pub authorities: Authorities,
    pub check_name: bool,
    pub algorithms: WebPkiSupportedAlgorithms,
    /// Whether a refusal says which configuration key changes it.
    pub remedies: bool,
}

impl SignedByAuthority {
    fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        // A self-signed certificate that was configured as CA vouches for itself. The chain builder cannot say so:
        // it wants a CA certificate at one end and none at the other.
        if self.is_authority(end_entity, now) {
            return match self.check_name {
                true => verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name),
                false => Ok(()),
            };
        }
        if x509::is_version_1(end_entity) {
            let authorities = &self.authorities.certificates;
            x509::check_version_1(end_entity, authorities, now, self.algorithms.all)?;
            return match self.check_name {
                true => Err(CertificateError::NotValidForName.into()),
                false => Ok(()),
            };
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.authorities.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        if self.check_name {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(())
    }

    fn is_authority(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
        let is_configured = self.authorities.certificates.iter().any(|authority| authority == certificate);
        is_configured
            && parse_x509_certificate(certificate)
                .is_ok_and(|(_, certificate)| x509::check_validity(&certificate, now).is_ok())
    }
}

impl ServerCertVerifier for SignedByAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.check(end_entity, intermediates, server_name, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(error) => Err(Refusal::new(server_name, error, self.remedies).into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::verify_tls12(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::verify_tls13(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Accepts every certificate whose key signed the handshake: [`Verify::None`].
#[derive(Debug)]
pub(super) struct AnyCertificate {
    pub algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::verify_tls12(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::verify_tls13(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// A server's certificate was refused: says whose, why, and what to change.
#[derive(Debug)]
struct Refusal {
    peer: String,
    reason: String,
    remedy: Option<&'static str>,
}

impl Refusal {
    fn new(peer: &ServerName<'_>, error: Error, with_remedy: bool) -> Self {
        const ANY: &str = "set tls_verify to \"none\" to accept any certificate";
        const CHAIN: &str = "set tls_verify to \"chain\" to accept any name";
        let (reason, remedy) = match error {
            // A bad signature: one of that name signed it, but not with the key of ours.
            Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
                ("no configured CA signed it".to_owned(), ANY)
            }
            // rustls gives the names too; this one is ours.
            Error::InvalidCertificate(CertificateError::NotValidForName) => {
                ("X.509 v1 has no host names".to_owned(), CHAIN)
            }
            Error::InvalidCertificate(reason @ CertificateError::NotValidForNameContext { .. }) => {
                (reason.to_string(), CHAIN)
            }
            Error::InvalidCertificate(CertificateError::Other(OtherError(reason))) => (reason.to_string(), ANY),
            Error::InvalidCertificate(reason) => (reason.to_string(), ANY),
            other => (other.to_string(), ANY),
        };
        Self { peer: peer.to_str().into_owned(), reason, remedy: with_remedy.then_some(remedy) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificate of {} is refused: {}", self.peer, self.reason)?;
        self.remedy.map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Other(OtherError(Arc::new(refusal)))
    }
}
