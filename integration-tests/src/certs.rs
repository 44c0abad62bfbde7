//! Certificates for one test: a CA, a server and a client certificate, as PEM files.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::workdir::WorkDir;

/// A CA with one server certificate (`localhost`, 127.0.0.1) and one client certificate (common name `test-client`).
/// The files go with this value.
#[derive(Debug)]
pub struct Certs {
    dir: WorkDir,
}

impl Certs {
    /// Makes new ones.
    pub fn generate() -> Self {
        let dir = WorkDir::new("certs");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test-ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        dir.write("ca.pem", ca.pem());

        leaf(&dir, &ca, "server", &["localhost", "127.0.0.1"]);
        leaf(&dir, &ca, "client", &[]);
        Self { dir }
    }

    /// The CA's certificate.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The server's certificate.
    pub fn server_cert(&self) -> PathBuf {
        self.dir.path().join("server.pem")
    }

    /// The server's private key (PKCS#8, not encrypted).
    pub fn server_key(&self) -> PathBuf {
        self.dir.path().join("server-key.pem")
    }

    /// The client's certificate.
    pub fn client_cert(&self) -> PathBuf {
        self.dir.path().join("client.pem")
    }

    /// The client's private key (PKCS#8, not encrypted).
    pub fn client_key(&self) -> PathBuf {
        self.dir.path().join("client-key.pem")
    }
}

fn leaf(dir: &WorkDir, ca: &CertifiedIssuer<'_, KeyPair>, name: &str, alternative_names: &[&str]) {
    let names: Vec<_> = alternative_names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, format!("test-{name}"));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Both for both: etcd and the services show their server certificate where they are clients.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, ca).unwrap();
    dir.write(&format!("{name}.pem"), certificate.pem());
    dir.write(&format!("{name}-key.pem"), key.serialize_pem());
}
