//! Certificates for one test: a CA, a server and a client certificate, as PEM files.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use bcs_common::tls::{ClientTls, client_config};
use rustls::ClientConfig;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::workdir::WorkDir;

/// The certificate authority as the install guide describes it to cfssl (deploy.md 9.1). The leaves are made of it too.
const GUIDE_NAMES: &str = r#"{"CN": "bcs", "key": {"algo": "rsa", "size": 2048},
  "names": [{"C": "CN", "L": "SZ", "O": "TX", "ST": "GD", "OU": "CA"}]}"#;

/// What the guide's certificates may be used for.
const GUIDE_PROFILES: &str = r#"{"signing": {"default": {"expiry": "43800h"}, "profiles": {
  "server": {"expiry": "43800h", "usages": ["signing", "key encipherment", "server auth"]},
  "client": {"expiry": "43800h", "usages": ["signing", "key encipherment", "client auth"]},
  "peers": {"expiry": "43800h", "usages": ["signing", "key encipherment", "server auth", "client auth"]}}}}"#;

/// A CA with one server certificate and one client certificate. The files go with this value.
#[derive(Debug)]
pub struct Certs {
    dir: WorkDir,
    /// The names of the files of CA, server and client, without their ends.
    names: [&'static str; 3],
}

impl Certs {
    /// Makes new ones: for the server `localhost` and 127.0.0.1, for the client `test-client`.
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
        Self { dir, names: ["ca", "server", "client"] }
    }

    /// Makes new ones for the services as the install guide does, with cfssl: RSA, no alternative names, and all of them
    /// have the subject of the CA.
    pub fn of_the_guide() -> Self {
        Self::by_cfssl(["bcs-ca", "bcs-server", "bcs-client"], ["server", "client"])
    }

    /// Makes new ones for etcd in the same way. One certificate is for servers and clients.
    pub fn of_the_guide_for_etcd() -> Self {
        Self::by_cfssl(["etcd-ca", "etcd", "etcd"], ["peers", "peers"])
    }

    fn by_cfssl(names: [&'static str; 3], profiles: [&str; 2]) -> Self {
        let dir = WorkDir::new("cfssl");
        dir.write("ca-csr.json", GUIDE_NAMES);
        dir.write("ca-config.json", GUIDE_PROFILES);
        let [ca, server, client] = names;
        let mut script = format!("cfssl gencert -initca ca-csr.json | cfssljson -bare {ca}\n");
        for (name, profile) in [(server, profiles[0]), (client, profiles[1])] {
            script += &format!(
                "cfssl gencert -ca={ca}.pem -ca-key={ca}-key.pem -config=ca-config.json -profile={profile} ca-csr.json \
                 | cfssljson -bare {name}\n"
            );
        }
        let output = Command::new("bash").args(["-euo", "pipefail", "-c", &script]).current_dir(dir.path()).output();
        let output = output.unwrap();
        assert!(output.status.success(), "cfssl: {}", String::from_utf8_lossy(&output.stderr));
        Self { dir, names }
    }

    /// A client that shows its certificate and checks who signed the server's, not its name.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        let (cert_file, key_file) = (Some(self.client_cert()), Some(self.client_key()));
        let tls = ClientTls { ca_file: Some(self.ca()), cert_file, key_file, ..ClientTls::default() };
        client_config(&tls, &[]).unwrap()
    }

    /// The CA's certificate.
    pub fn ca(&self) -> PathBuf {
        self.file(0, ".pem")
    }

    fn file(&self, which: usize, end: &str) -> PathBuf {
        self.dir.path().join(format!("{}{end}", self.names[which]))
    }

    /// The server's certificate.
    pub fn server_cert(&self) -> PathBuf {
        self.file(1, ".pem")
    }

    /// The server's private key (not encrypted).
    pub fn server_key(&self) -> PathBuf {
        self.file(1, "-key.pem")
    }

    /// The client's certificate.
    pub fn client_cert(&self) -> PathBuf {
        self.file(2, ".pem")
    }

    /// The client's private key (not encrypted).
    pub fn client_key(&self) -> PathBuf {
        self.file(2, "-key.pem")
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
