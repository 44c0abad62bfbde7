//! The certificates of both sides (api.md 3, 5.5).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bcs_common::build_constants;
use bcs_common::errors::chain;
use bcs_common::tls::{self, ClientTls, ConfigKeys, ServerTls, TlsError, Verify};
use tracing::error;

use crate::options::Options;

/// The keys of the custom certificates of the listener.
const CUSTOM_SERVER: ConfigKeys = ConfigKeys {
    ca: "custom_ca_file",
    cert: "custom_server_cert_file",
    key: "custom_server_key_file",
    password: "custom_server_key_password",
};
/// The keys of the custom certificates of outgoing connections.
const CUSTOM_CLIENT: ConfigKeys = ConfigKeys {
    ca: "custom_ca_file",
    cert: "custom_client_cert_file",
    key: "custom_client_key_file",
    password: "custom_client_key_password",
};

fn file(path: &Path) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then(|| path.to_owned())
}

/// TLS of the HTTPS listener; none without a certificate and its key.
///
/// # Errors
/// A file cannot be used.
pub(crate) fn server(options: &Options) -> Result<Option<Arc<rustls::ServerConfig>>, TlsError> {
    let (cert, custom) = (&options.cert, &options.custom_cert);
    let is_custom = file(&custom.custom_server_cert_file).is_some() && file(&custom.custom_server_key_file).is_some();
    let files = match is_custom {
        true => ServerTls {
            ca_file: file(&custom.custom_ca_file),
            cert_file: file(&custom.custom_server_cert_file),
            key_file: file(&custom.custom_server_key_file),
            key_password: custom.custom_server_key_password.clone(),
            config_keys: CUSTOM_SERVER,
        },
        false => ServerTls {
            ca_file: file(&cert.ca_file),
            cert_file: file(&cert.server_cert_file),
            key_file: file(&cert.server_key_file),
            ..ServerTls::default()
        },
    };
    if files.cert_file.is_none() || files.key_file.is_none() {
        return Ok(None);
    }
    let verify = options.verify_client_tls.verify_client_tls;
    if verify && files.ca_file.is_none() {
        return Err(TlsError::NotSet(files.config_keys.ca));
    }
    let ca_file = files.ca_file.clone().filter(|_| verify);
    tls::server_config(&ServerTls { ca_file, ..files }, &["h2", "http/1.1"]).map(Some)
}

/// The files of outgoing connections.
///
/// # Errors
/// `tls_verify` has an unknown value.
fn client_files(options: &Options) -> Result<ClientTls, TlsError> {
    let (cert, custom) = (&options.cert, &options.custom_cert);
    let verify = Verify::from_config(&options.ours.tls_verify)?;
    let is_custom = file(&custom.custom_client_cert_file).is_some() && file(&custom.custom_client_key_file).is_some();
    Ok(match is_custom {
        true => ClientTls {
            ca_file: file(&custom.custom_ca_file),
            cert_file: file(&custom.custom_client_cert_file),
            key_file: file(&custom.custom_client_key_file),
            key_password: custom.custom_client_key_password.clone(),
            verify,
            config_keys: CUSTOM_CLIENT,
        },
        false => ClientTls {
            ca_file: file(&cert.ca_file),
            cert_file: file(&cert.client_cert_file),
            key_file: file(&cert.client_key_file),
            key_password: build_constants::client_cert_pwd(),
            verify,
            config_keys: ConfigKeys::CLIENT,
        },
    })
}

/// Whether this service has a certificate to show to the servers that it calls.
pub(crate) fn has_client(options: &Options) -> bool {
    client_files(options).is_ok_and(|files| files.cert_file.is_some() && files.key_file.is_some())
}

/// TLS of calls to backends. As the original does, it goes on without a certificate that cannot be loaded, and says so.
///
/// # Errors
/// The CA cannot be used, or does not go with `tls_verify`.
pub(crate) fn client(options: &Options) -> Result<Arc<rustls::ClientConfig>, TlsError> {
    let files = client_files(options)?;
    tls::client_config(&files, &[]).or_else(|reason| {
        error!("requests to backends show no certificate: {}", chain(&reason));
        tls::client_config(&ClientTls { cert_file: None, key_file: None, ..files }, &[])
    })
}

/// TLS of calls to the other instances of this program, whose certificates are not checked unless `tls_verify` says so.
///
/// # Errors
/// As [`client`].
pub(crate) fn peers(options: &Options) -> Result<Arc<rustls::ClientConfig>, TlsError> {
    let files = client_files(options)?;
    let files = ClientTls { verify: files.verify.or(Some(Verify::None)), ..files };
    tls::client_config(&files, &[])
        .or_else(|_| tls::client_config(&ClientTls { cert_file: None, key_file: None, ..files }, &[]))
}

/// TLS of calls to the IAM and the PaaS. The CA of the installation did not sign their certificates, so they are checked
/// only if `tls_verify` says so.
///
/// # Errors
/// A file cannot be used.
pub(crate) fn iam(options: &Options) -> Result<Arc<rustls::ClientConfig>, TlsError> {
    let verify = Verify::from_config(&options.ours.tls_verify)?.unwrap_or(Verify::None);
    let files = ClientTls { ca_file: file(&options.cert.ca_file), verify: Some(verify), ..ClientTls::default() };
    tls::client_config(&files, &["http/1.1"])
}
