//! Makes the certificates of an installation, as the install guide does with cfssl: a CA, one certificate for all
//! servers and one for all clients.
//!
//! Two things are better than in the guide: the CA has a name of its own, because OpenSSL takes a leaf with the CA's
//! name for self-signed; and the server certificate can carry host names, for clients that check them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize, date_time_ymd,
};
use thiserror::Error;

/// Name in the certificates of servers and clients.
const COMMON_NAME: &str = "bcs";
/// Name in the CA certificate.
const CA_COMMON_NAME: &str = "bcs-ca";
/// The guide's expiry, in hours.
const VALIDITY: Duration = Duration::from_hours(43_800);
/// Start of the validity before now, for peers whose clock is behind; as cfssl.
const BACKDATE: Duration = Duration::from_mins(5);

/// Certificates cannot be made or stored.
#[derive(Debug, Error)]
pub enum CertsError {
    /// Making a key or a certificate failed.
    #[error("cannot make a certificate")]
    Generate(#[from] rcgen::Error),
    /// A file to write exists and must not be replaced.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// A file or its directory cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A certificate and its private key, both as PEM text.
pub struct Pair {
    /// The certificate.
    pub cert: String,
    /// The private key, PKCS#8 and not encrypted.
    pub key: String,
}

/// The certificates of an installation.
pub struct Certs {
    /// Signs the others; its key is needed only to make more.
    pub ca: Pair,
    /// For listeners: may be used only as server certificate.
    pub server: Pair,
    /// For outgoing connections: may be used only as client certificate.
    pub client: Pair,
}

/// Where the certificates of an installation are, by the guide's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertFiles {
    /// `bcs-ca.pem`
    pub ca: PathBuf,
    /// `bcs-ca-key.pem`
    pub ca_key: PathBuf,
    /// `bcs-server.pem`
    pub server: PathBuf,
    /// `bcs-server-key.pem`
    pub server_key: PathBuf,
    /// `bcs-client.pem`
    pub client: PathBuf,
    /// `bcs-client-key.pem`
    pub client_key: PathBuf,
}

impl CertFiles {
    /// The files in `dir`; they need not exist.
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            ca: dir.join("bcs-ca.pem"),
            ca_key: dir.join("bcs-ca-key.pem"),
            server: dir.join("bcs-server.pem"),
            server_key: dir.join("bcs-server-key.pem"),
            client: dir.join("bcs-client.pem"),
            client_key: dir.join("bcs-client-key.pem"),
        }
    }

    /// All six files.
    pub fn all(&self) -> [&Path; 6] {
        [&self.ca, &self.ca_key, &self.server, &self.server_key, &self.client, &self.client_key]
    }
}

/// Makes new certificates, valid for five years from now. `hosts` are the DNS names and IP addresses in the server
/// certificate; there need not be any.
pub fn generate(hosts: &[String]) -> Result<Certs, CertsError> {
    let ca_key = new_key()?;
    let mut ca_params = params(CA_COMMON_NAME, &[])?;
    ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca_params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = Pair { cert: ca_params.self_signed(&ca_key)?.pem(), key: ca_key.serialize_pem() };
    let issuer = Issuer::new(ca_params, ca_key);
    Ok(Certs {
        server: leaf(&issuer, hosts, ExtendedKeyUsagePurpose::ServerAuth)?,
        client: leaf(&issuer, &[], ExtendedKeyUsagePurpose::ClientAuth)?,
        ca,
    })
}

fn leaf(issuer: &Issuer<'_, KeyPair>, hosts: &[String], purpose: ExtendedKeyUsagePurpose) -> Result<Pair, CertsError> {
    let key = new_key()?;
    let mut params = params(COMMON_NAME, hosts)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![purpose];
    Ok(Pair { cert: params.signed_by(&key, issuer)?.pem(), key: key.serialize_pem() })
}

fn params(common_name: &str, hosts: &[String]) -> Result<CertificateParams, CertsError> {
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, "CN");
    name.push(DnType::StateOrProvinceName, "GD");
    name.push(DnType::LocalityName, "SZ");
    name.push(DnType::OrganizationName, "TX");
    name.push(DnType::OrganizationalUnitName, "CA");
    name.push(DnType::CommonName, common_name);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name = name;
    params.not_before = date_time_ymd(1970, 1, 1) + now.saturating_sub(BACKDATE);
    params.not_after = date_time_ymd(1970, 1, 1) + (now + VALIDITY);
    Ok(params)
}

fn new_key() -> Result<KeyPair, CertsError> {
    Ok(KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?)
}

impl Certs {
    /// Writes the six files to `dir`, which is made if need be; keys are readable by their owner only. Without `force`
    /// nothing is written if any of the files exists.
    pub fn write(&self, dir: &Path, force: bool) -> Result<CertFiles, CertsError> {
        let files = CertFiles::in_dir(dir);
        if !force && let Some(existing) = files.all().into_iter().find(|path| path.exists()) {
            return Err(CertsError::Exists(existing.to_owned()));
        }
        create(dir, || fs::create_dir_all(dir))?;
        for (path, content, mode) in [
            (&files.ca, &self.ca.cert, 0o644),
            (&files.ca_key, &self.ca.key, 0o600),
            (&files.server, &self.server.cert, 0o644),
            (&files.server_key, &self.server.key, 0o600),
            (&files.client, &self.client.cert, 0o644),
            (&files.client_key, &self.client.key, 0o600),
        ] {
            create(path, || replace(path, content, mode))?;
        }
        Ok(files)
    }
}

fn create(path: &Path, action: impl FnOnce() -> io::Result<()>) -> Result<(), CertsError> {
    action().map_err(|source| CertsError::Write { path: path.to_owned(), source })
}

/// An old file is removed, not overwritten: it may be readable by others, and stay so.
fn replace(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use x509_parser::extensions::GeneralName;
    use x509_parser::pem::parse_x509_pem;

    use super::*;

    #[test]
    fn makes_certificates_like_the_guide() {
        let certs = generate(&["bcs.example".into(), "10.0.0.1".into()]).unwrap();
        let (_, ca) = parse_x509_pem(certs.ca.cert.as_bytes()).unwrap();
        let (_, server) = parse_x509_pem(certs.server.cert.as_bytes()).unwrap();
        let (_, client) = parse_x509_pem(certs.client.cert.as_bytes()).unwrap();
        let [ca, server, client] = [&ca, &server, &client].map(|pem| pem.parse_x509().unwrap());

        assert!(ca.is_ca());
        for leaf in [&server, &client] {
            assert_eq!(leaf.issuer(), ca.subject());
            assert_eq!(leaf.subject().to_string(), "C=CN, ST=GD, L=SZ, O=TX, OU=CA, CN=bcs");
            let validity = leaf.validity();
            let seconds = validity.not_after.timestamp() - validity.not_before.timestamp();
            assert_eq!(seconds, 43_800 * 3600 + 300);
            assert!(validity.is_valid());
        }
        let usage = |cert: &x509_parser::prelude::X509Certificate<'_>| {
            let usage = cert.extended_key_usage().unwrap().unwrap().value;
            (usage.server_auth, usage.client_auth)
        };
        assert_eq!(usage(&server), (true, false));
        assert_eq!(usage(&client), (false, true));
        let names = server.subject_alternative_name().unwrap().unwrap();
        assert_eq!(
            names.value.general_names,
            [GeneralName::DNSName("bcs.example"), GeneralName::IPAddress(&[10, 0, 0, 1])]
        );
        assert!(client.subject_alternative_name().unwrap().is_none());
    }

    #[test]
    fn keys_are_private_and_files_are_replaced_only_by_force() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("new");
        let certs = generate(&[]).unwrap();
        let files = certs.write(&dir, false).unwrap();
        for key in [&files.ca_key, &files.server_key, &files.client_key] {
            let mode = fs::metadata(key).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }

        fs::remove_file(&files.ca).unwrap();
        fs::write(&files.client_key, "mine").unwrap();
        fs::set_permissions(&files.client_key, PermissionsExt::from_mode(0o644)).unwrap();
        let refused = certs.write(&dir, false).unwrap_err();
        assert!(matches!(refused, CertsError::Exists(path) if path == files.ca_key));
        assert!(!files.ca.exists(), "a refusal writes nothing");

        certs.write(&dir, true).unwrap();
        assert_eq!(fs::read_to_string(&files.ca).unwrap(), certs.ca.cert);
        assert_eq!(fs::read_to_string(&files.client_key).unwrap(), certs.client.key);
        let mode = fs::metadata(&files.client_key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_host_that_is_no_name_is_an_error() {
        assert!(generate(&["ü".into()]).is_err());
    }
}
