//! How a server checks the certificate of a client (common.md 2.1, 2.2).

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::certificates::Authorities;
use super::{signature, x509};

/// Requires a client certificate that a configured CA signed, that is valid now and allowed for clients; its name does
/// not matter. rustls decides, except about X.509 v1, which it cannot read.
#[derive(Debug)]
pub(super) struct SignedByAuthority {
    rustls: Arc<dyn ClientCertVerifier>,
    authorities: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl SignedByAuthority {
    pub fn new(authorities: Authorities, provider: &Arc<CryptoProvider>) -> Result<Self, VerifierBuilderError> {
        let Authorities { roots, certificates } = authorities;
        Ok(Self {
            rustls: WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider)).build()?,
            authorities: certificates,
            algorithms: provider.signature_verification_algorithms,
        })
    }
}

impl ClientCertVerifier for SignedByAuthority {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.rustls.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if x509::is_version_1(end_entity) {
            let algorithms = self.algorithms.all;
            x509::check_version_1(end_entity, &self.authorities, now, algorithms)?;
            return Ok(ClientCertVerified::assertion());
        }
        self.rustls.verify_client_cert(end_entity, intermediates, now)
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
        self.rustls.supported_verify_schemes()
    }
}
