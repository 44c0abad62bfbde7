//! Reads certificate files: CA bundles, and certificate chains with their private key (common.md 2.2).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use x509_parser::parse_x509_certificate;

use super::error::{FileError, TlsError};
use super::{ConfigKeys, key, pem};

/// The CA certificates of a bundle.
#[derive(Debug)]
pub(super) struct Authorities {
    /// For building chains.
    pub roots: Arc<RootCertStore>,
    /// The certificates as they are, for peers that present one of them as their own.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// Reads a CA bundle. Blocks that are no certificate or do not parse are skipped, as in the original; only a file
/// without any usable one is an error.
pub(super) fn authorities(keys: &ConfigKeys, path: &Path) -> Result<Authorities, TlsError> {
    read(keys.ca, path, |file| {
        let authorities = authorities_in(file);
        if authorities.certificates.is_empty() { Err(FileError::NoAuthority) } else { Ok(authorities) }
    })
}

/// The usable CA certificates in PEM text; there may be none.
pub(super) fn authorities_in(pem: &[u8]) -> Authorities {
    let mut roots = RootCertStore::empty();
    let certificates: Vec<_> =
        certificates(pem).into_iter().filter(|certificate| roots.add(certificate.clone()).is_ok()).collect();
    Authorities { roots: Arc::new(roots), certificates }
}

/// The bundles of the usual systems, the first that there is counts; `SSL_CERT_FILE` goes before, as in Go.
const SYSTEM_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The CA certificates of the operating system; none if it has no bundle.
pub(super) fn system_authorities() -> Authorities {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let mut files = named.into_iter().chain(SYSTEM_BUNDLES.map(PathBuf::from));
    authorities_in(&files.find_map(|file| fs::read(file).ok()).unwrap_or_default())
}

/// Reads an own certificate, with the rest of its chain if the file holds it, and its private key.
pub(super) fn identity(
    keys: &ConfigKeys,
    cert_file: &Path,
    key_file: &Path,
    key_password: &str,
    provider: &CryptoProvider,
) -> Result<Arc<SingleCertAndKey>, TlsError> {
    let (chain, public_key) = read(keys.cert, cert_file, |file| {
        let chain = certificates(file);
        let leaf = chain.first().ok_or(FileError::NoCertificate)?;
        // Not by rustls: it reads no X.509 v1 certificates, and own ones may be that old.
        let (_, leaf) = parse_x509_certificate(leaf).map_err(|_| FileError::DamagedCertificate)?;
        let public_key = leaf.public_key().raw.to_vec();
        Ok((chain, public_key))
    })?;
    let key = read(keys.key, key_file, |file| {
        let key = key::load(file, key_password, keys.password, provider.key_provider)?;
        match key.public_key() {
            Some(of_key) if of_key.as_ref() != public_key => {
                Err(FileError::KeyMismatch { certificate: cert_file.to_owned() })
            }
            _ => Ok(key),
        }
    })?;
    Ok(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key))))
}

/// The certificates in PEM text. Those with headers are skipped, as in the original.
pub(super) fn certificates(file: &[u8]) -> Vec<CertificateDer<'static>> {
    pem::blocks(file)
        .into_iter()
        .filter(|block| block.label == "CERTIFICATE" && block.headers.is_empty())
        .map(|block| block.contents.into())
        .collect()
}

/// Reads a file and hands it to `parse`; errors of both name the file and its configuration key.
fn read<T>(
    config_key: &'static str,
    path: &Path,
    parse: impl FnOnce(&[u8]) -> Result<T, FileError>,
) -> Result<T, TlsError> {
    fs::read(path).map_err(FileError::from).and_then(|file| parse(&file)).map_err(|source| TlsError::File {
        config_key,
        path: path.to_owned(),
        source,
    })
}
