//! Why a TLS configuration cannot be built.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::key::KeyError;

/// A TLS configuration cannot be built. `Display` names the configuration key, and the file where there is one; the
/// reason is the source. Neither holds key material or passwords.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file that TLS needs here is not configured.
    #[error("{0} is not set")]
    NotSet(&'static str),
    /// A configured file cannot be used.
    #[error("cannot use file {} of {config_key}", path.display())]
    File {
        /// The configuration key that names the file.
        config_key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: FileError,
    },
    /// `tls_verify` holds an unknown word.
    #[error("tls_verify is {0:?}: use \"chain\", \"full\", \"none\" or leave it empty")]
    UnknownVerify(String),
    /// `tls_verify` asks for a check against a CA that is not configured.
    #[error("tls_verify checks servers against a CA, but {0} is not set")]
    NoAuthority(&'static str),
    /// The TLS library refuses the combination.
    #[error("cannot set up TLS")]
    Library(#[from] rustls::Error),
    /// The TLS library cannot use the CA certificates to check client certificates.
    #[error("cannot set up the check of client certificates")]
    ClientVerifier(#[from] rustls::server::VerifierBuilderError),
}

/// What is wrong with a certificate or key file.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read it")]
    Read(#[from] io::Error),
    /// A CA bundle holds no certificate that can be used (the original's text).
    #[error("append ca cert failed: no usable certificate in it")]
    NoAuthority,
    /// A certificate file holds no certificate.
    #[error("no certificate in it")]
    NoCertificate,
    /// The first certificate is not X.509.
    #[error("its first certificate is damaged")]
    DamagedCertificate,
    /// The private key cannot be loaded.
    #[error("cannot load the private key")]
    Key(#[from] KeyError),
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the certificate in {}", certificate.display())]
    KeyMismatch {
        /// The certificate file.
        certificate: PathBuf,
    },
}
