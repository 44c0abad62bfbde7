//! Checks that a peer holds the key of its certificate, for certificates of any X.509 version (common.md 2.2).
//!
//! The functions of rustls that take a certificate refuse version 1, so the public key is taken out here and the
//! signature is checked with the bare key.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::{CertificateError, DigitallySignedStruct, Error};
use x509_parser::parse_x509_certificate;

use super::x509;

/// Checks the signature of a TLS 1.3 handshake.
pub(super) fn verify_tls13(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let (_, certificate) = parse_x509_certificate(certificate).map_err(|_| bad_encoding())?;
    let key = SubjectPublicKeyInfoDer::from(certificate.public_key().raw);
    verify_tls13_signature_with_raw_key(message, &key, signed, algorithms)
}

/// Checks the signature of a TLS 1.2 handshake. There a scheme names only the hash and the kind of key, so each
/// algorithm of the scheme is a candidate until one is made for this key.
pub(super) fn verify_tls12(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let (_, certificate) = parse_x509_certificate(certificate).map_err(|_| bad_encoding())?;
    let key = certificate.public_key();
    let key_algorithm = x509::key_algorithm(key.raw).ok_or_else(bad_encoding)?;
    algorithms
        .mapping
        .iter()
        .filter(|(scheme, _)| *scheme == signed.scheme)
        .flat_map(|(_, candidates)| candidates.iter())
        .find(|candidate| candidate.public_key_alg_id().as_ref() == key_algorithm)
        .and_then(|algorithm| {
            algorithm.verify_signature(&key.subject_public_key.data, message, signed.signature()).ok()
        })
        .map(|()| HandshakeSignatureValid::assertion())
        .ok_or_else(|| CertificateError::BadSignature.into())
}

fn bad_encoding() -> Error {
    CertificateError::BadEncoding.into()
}
