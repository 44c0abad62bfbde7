//! TLS of all services, for servers and for clients (common.md 2.1 to 2.3).
//!
//! rustls with aws-lc-rs does TLS 1.2 and 1.3. What it does not read is read here: CA bundles with blocks of other
//! kinds, encrypted private keys, X.509 v1 certificates of servers.

mod certificates;
mod error;
pub(crate) mod key;
mod legacy_encryption;
pub(crate) mod pem;
mod signature;
#[cfg(test)]
mod tests;
mod verify_client;
mod verify_server;
mod x509;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::NoClientAuth;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, ServerConfig};

pub use error::{FileError, TlsError};
pub use key::KeyError;
pub use verify_server::Verify;

use crate::build_constants;
use certificates::{authorities, identity};
use verify_server::AnyCertificate;

/// The configuration keys that name the files, for messages.
#[derive(Debug, Clone, Copy)]
pub struct ConfigKeys {
    /// Key of the CA file.
    pub ca: &'static str,
    /// Key of the certificate file.
    pub cert: &'static str,
    /// Key of the private key file.
    pub key: &'static str,
    /// Where the password of the private key comes from.
    pub password: &'static str,
}

impl ConfigKeys {
    /// The common keys of servers.
    pub const SERVER: Self = Self {
        ca: "ca_file",
        cert: "server_cert_file",
        key: "server_key_file",
        password: build_constants::SERVER_CERT_PWD,
    };
    /// The common keys of clients.
    pub const CLIENT: Self = Self {
        ca: "ca_file",
        cert: "client_cert_file",
        key: "client_key_file",
        password: build_constants::CLIENT_CERT_PWD,
    };
}

/// The files of a TLS server.
#[derive(Clone)]
pub struct ServerTls {
    /// CA of client certificates. If set, clients must present a certificate that it signed.
    pub ca_file: Option<PathBuf>,
    /// The server's certificate, or chain.
    pub cert_file: Option<PathBuf>,
    /// The private key of the certificate.
    pub key_file: Option<PathBuf>,
    /// Password of the private key; empty: none.
    pub key_password: String,
    /// What messages call the files.
    pub config_keys: ConfigKeys,
}

/// No files yet, the password of this installation and the common keys.
impl Default for ServerTls {
    fn default() -> Self {
        Self {
            ca_file: None,
            cert_file: None,
            key_file: None,
            key_password: build_constants::server_cert_pwd(),
            config_keys: ConfigKeys::SERVER,
        }
    }
}

/// The files of a TLS client.
#[derive(Clone)]
pub struct ClientTls {
    /// CA of server certificates.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate, or chain, for servers that ask for one. Used only together with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// The private key of the certificate.
    pub key_file: Option<PathBuf>,
    /// Password of the private key; empty: none.
    pub key_password: String,
    /// How servers are checked. By default [`Verify::Chain`] with a CA file and [`Verify::None`] without one.
    pub verify: Option<Verify>,
    /// What messages call the files.
    pub config_keys: ConfigKeys,
}

/// No files yet, the password of this installation and the common keys.
impl Default for ClientTls {
    fn default() -> Self {
        Self {
            ca_file: None,
            cert_file: None,
            key_file: None,
            key_password: build_constants::client_cert_pwd(),
            verify: None,
            config_keys: ConfigKeys::CLIENT,
        }
    }
}

/// A file name from the configuration, where empty text means that it is not set.
pub fn path(value: &str) -> Option<PathBuf> {
    (!value.is_empty()).then(|| PathBuf::from(value))
}

/// Makes aws-lc-rs the provider of libraries that use the process-wide one. Call it first in `main`; calling it again
/// changes nothing.
pub fn install_provider() {
    // The error says that a provider is installed already, and there is no other in this program.
    let _ = aws_lc_rs::default_provider().install_default();
}

/// The TLS side of a listener that offers `alpn` in this order of preference (common.md 2.1). A client that offers no
/// protocol is served all the same.
pub fn server_config(tls: &ServerTls, alpn: &[&str]) -> Result<Arc<ServerConfig>, TlsError> {
    let keys = &tls.config_keys;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let cert_file = tls.cert_file.as_deref().ok_or(TlsError::NotSet(keys.cert))?;
    let key_file = tls.key_file.as_deref().ok_or(TlsError::NotSet(keys.key))?;
    let identity = identity(keys, cert_file, key_file, &tls.key_password, &provider)?;
    let client_verifier: Arc<dyn ClientCertVerifier> = match tls.ca_file.as_deref() {
        None => Arc::new(NoClientAuth),
        Some(path) => Arc::new(verify_client::SignedByAuthority::new(authorities(keys, path)?, &provider)?),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(client_verifier)
        .with_cert_resolver(identity);
    config.alpn_protocols = protocols(alpn);
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}

/// The TLS side of outgoing connections that offer `alpn` in this order of preference (common.md 2.1).
pub fn client_config(tls: &ClientTls, alpn: &[&str]) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(server_verifier(tls, &provider)?);
    let mut config = match (tls.cert_file.as_deref(), tls.key_file.as_deref()) {
        (Some(cert), Some(key)) => {
            let identity = identity(&tls.config_keys, cert, key, &tls.key_password, &provider)?;
            builder.with_client_cert_resolver(identity)
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols(alpn);
    Ok(Arc::new(config))
}

/// The TLS side of connections to servers whose CA is not in a file but came with a cluster's credentials: a certificate
/// must be signed by one in this PEM text and made out for the name that is dialled. Without any in it none is accepted.
pub fn pinned_client_config(ca_pem: &[u8]) -> Result<Arc<ClientConfig>, TlsError> {
    named_client_config(certificates::authorities_in(ca_pem))
}

/// As [`pinned_client_config`], with the authorities of the operating system. They are read once.
pub fn system_client_config() -> Result<Arc<ClientConfig>, TlsError> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let config = named_client_config(certificates::system_authorities())?;
    Ok(Arc::clone(CONFIG.get_or_init(|| config)))
}

fn named_client_config(authorities: certificates::Authorities) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = verify_server::SignedByAuthority {
        authorities,
        check_name: true,
        algorithms: provider.signature_verification_algorithms,
        remedies: false,
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The CA file must be usable even if nothing is checked against it, as in the original.
fn server_verifier(tls: &ClientTls, provider: &CryptoProvider) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let keys = &tls.config_keys;
    let algorithms = provider.signature_verification_algorithms;
    let authorities = tls.ca_file.as_deref().map(|path| authorities(keys, path)).transpose()?;
    match (tls.verify, authorities) {
        (Some(Verify::None), _) | (None, None) => Ok(Arc::new(AnyCertificate { algorithms })),
        (Some(Verify::Chain | Verify::Full), None) => Err(TlsError::NoAuthority(keys.ca)),
        (verify, Some(authorities)) => Ok(Arc::new(verify_server::SignedByAuthority {
            authorities,
            check_name: verify == Some(Verify::Full),
            algorithms,
            remedies: true,
        })),
    }
}

fn protocols(alpn: &[&str]) -> Vec<Vec<u8>> {
    alpn.iter().map(|name| name.as_bytes().to_vec()).collect()
}
