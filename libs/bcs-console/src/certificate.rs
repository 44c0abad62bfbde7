//! Whose a certificate is and when it ends.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bcs_common::tls::{self, ClientTls, TlsError, Verify};
use chrono::{DateTime, SecondsFormat};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde::Serialize;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use x509_parser::parse_x509_certificate;

/// Limit of a handshake with a service of this machine.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(3);

/// What there is to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// Its subject.
    pub subject: String,
    /// Its first moment, RFC 3339.
    pub not_before: String,
    /// Its last moment, RFC 3339.
    pub not_after: String,
}

/// Why it is not known.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// The file holds no PEM certificate.
    #[error("no certificate can be read")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// The certificate is not X.509.
    #[error("the certificate is malformed")]
    Malformed,
}

impl Certificate {
    /// One with these moments, in seconds since 1970.
    pub fn new(subject: &str, not_before: i64, not_after: i64) -> Self {
        let text = |seconds| {
            DateTime::from_timestamp(seconds, 0).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Secs, true)
        };
        Self { subject: subject.to_owned(), not_before: text(not_before), not_after: text(not_after) }
    }

    /// Its first moment in seconds since 1970.
    pub fn not_before_seconds(&self) -> i64 {
        seconds(&self.not_before)
    }

    /// Its last moment in seconds since 1970.
    pub fn not_after_seconds(&self) -> i64 {
        seconds(&self.not_after)
    }
}

fn seconds(moment: &str) -> i64 {
    DateTime::parse_from_rfc3339(moment).map(|moment| moment.timestamp()).unwrap_or_default()
}

/// The first certificate of a PEM file.
///
/// # Errors
/// [`CertificateError`].
pub fn of_file(path: &Path) -> Result<Certificate, CertificateError> {
    of_der(&CertificateDer::from_pem_file(path)?)
}

fn of_der(der: &[u8]) -> Result<Certificate, CertificateError> {
    let (_, certificate) = parse_x509_certificate(der).map_err(|_| CertificateError::Malformed)?;
    let validity = certificate.validity();
    let (from, to) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    Ok(Certificate::new(&certificate.subject().to_string(), from, to))
}

/// Asks services for their certificates, and trusts none of them.
#[derive(Clone)]
pub struct Inspector(TlsConnector);

impl Inspector {
    /// An inspector.
    ///
    /// # Errors
    /// The TLS library refuses its own defaults.
    pub fn new() -> Result<Self, TlsError> {
        let nothing = ClientTls { verify: Some(Verify::None), ..ClientTls::default() };
        let config = tls::client_config(&nothing, &["http/1.1"])?;
        Ok(Self(TlsConnector::from(config)))
    }

    /// The certificate of the service at `address`; none if it shows none in time.
    pub async fn inspect(&self, address: SocketAddr) -> Option<Certificate> {
        let name = ServerName::from(address.ip());
        let handshake = async {
            let socket = TcpStream::connect(address).await.ok()?;
            let stream = self.0.connect(name, socket).await.ok()?;
            let chain = stream.get_ref().1.peer_certificates()?;
            of_der(chain.first()?).ok()
        };
        timeout(HANDSHAKE_LIMIT, handshake).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_certificate_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let files = bcs_common::certs::generate(&[]).unwrap().write(dir.path(), false).unwrap();
        let file = files.all().into_iter().find(|file| file.ends_with("bcs-server.pem")).unwrap().to_owned();
        let certificate = of_file(&file).unwrap();
        assert!(certificate.not_after_seconds() > certificate.not_before_seconds(), "{certificate:?}");
        assert!(certificate.subject.contains("CN="), "{certificate:?}");
        assert!(of_file(&dir.path().join("none")).is_err());
    }
}
