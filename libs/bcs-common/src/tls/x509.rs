//! Checks of certificates that rustls cannot read: X.509 version 1, as `openssl x509 -req` makes them (common.md 2.2).

use std::time::Duration;

use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use rustls::{CertificateError, Error};
use x509_parser::asn1_rs::{Any, FromDer, Sequence};
use x509_parser::certificate::X509Certificate;
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Version;

/// Whether this is a readable certificate of version 1.
pub(super) fn is_version_1(certificate: &CertificateDer<'_>) -> bool {
    parse_x509_certificate(certificate).is_ok_and(|(_, certificate)| certificate.version() == X509Version::V1)
}

/// Checks that one of `authorities` itself signed this certificate of version 1 and that it is valid now. Version 1
/// has no extensions, so there is no usage to check, and it must not be an intermediate CA: nothing could say that it
/// is one.
pub(super) fn check_version_1(
    certificate: &CertificateDer<'_>,
    authorities: &[CertificateDer<'_>],
    now: UnixTime,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
) -> Result<(), Error> {
    let (_, parsed) = parse_x509_certificate(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let algorithm = signature_algorithm(certificate).ok_or(CertificateError::BadEncoding)?;
    let is_signed = authorities
        .iter()
        .filter_map(|authority| parse_x509_certificate(authority).ok())
        .filter(|(_, authority)| authority.subject().as_raw() == parsed.issuer().as_raw())
        .any(|(_, authority)| is_signed_by(&parsed, &authority, &algorithm, algorithms));
    if !is_signed {
        return Err(CertificateError::UnknownIssuer.into());
    }
    check_validity(&parsed, now)?;
    Ok(())
}

/// Checks the validity period.
pub(super) fn check_validity(certificate: &X509Certificate<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let seconds = |time: ASN1Time| Duration::from_secs(time.timestamp().try_into().unwrap_or(0));
    let not_before = UnixTime::since_unix_epoch(seconds(certificate.validity().not_before));
    let not_after = UnixTime::since_unix_epoch(seconds(certificate.validity().not_after));
    let time = now;
    if time < not_before {
        Err(CertificateError::NotValidYetContext { time, not_before })
    } else if time > not_after {
        Err(CertificateError::ExpiredContext { time, not_after })
    } else {
        Ok(())
    }
}

/// The content of the `AlgorithmIdentifier` in a `SubjectPublicKeyInfo`, without tag and length.
pub(super) fn key_algorithm(key: &[u8]) -> Option<Vec<u8>> {
    let (_, key) = Sequence::from_der(key).ok()?;
    let (_, algorithm) = Sequence::from_der(&key.content).ok()?;
    Some(algorithm.content.into_owned())
}

fn is_signed_by(
    certificate: &X509Certificate<'_>,
    authority: &X509Certificate<'_>,
    signature_algorithm: &[u8],
    algorithms: &[&dyn SignatureVerificationAlgorithm],
) -> bool {
    let key = authority.public_key();
    let Some(key_algorithm) = key_algorithm(key.raw) else {
        return false;
    };
    algorithms
        .iter()
        .filter(|candidate| {
            candidate.signature_alg_id().as_ref() == signature_algorithm
                && candidate.public_key_alg_id().as_ref() == key_algorithm
        })
        .any(|algorithm| {
            let signature = &certificate.signature_value.data;
            let signed = certificate.tbs_certificate.as_ref();
            algorithm.verify_signature(&key.subject_public_key.data, signed, signature).is_ok()
        })
}

/// The content of the `AlgorithmIdentifier` after the signed part of a certificate, without tag and length.
fn signature_algorithm(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = Sequence::from_der(certificate).ok()?;
    let (rest, _signed_part) = Any::from_der(&certificate.content).ok()?;
    let (_, algorithm) = Sequence::from_der(rest).ok()?;
    Some(algorithm.content.into_owned())
}
