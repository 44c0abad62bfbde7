//! Handshakes between the real client and server configurations, in memory.
//!
//! The certificates in `testdata` were made with the commands of the install guide: `cfssl gencert -initca
//! ca-csr.json`, then `cfssl gencert -ca=bcs-ca.pem -ca-key=bcs-ca-key.pem -config=ca-config.json -profile=server
//! ca-csr.json` and the same for `client`. So all three have the same name. `v1-*` are signed by that CA with
//! `openssl ca` without extensions, which makes X.509 v1.

use std::error::Error as _;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, HandshakeKind, ProtocolVersion, ServerConnection};
use tempfile::TempDir;

mod files;
mod incoming;
mod outgoing;

use super::*;
use crate::certs::{self, CertFiles};

/// Outcome of a handshake and one message each way, seen from both sides.
struct Outcome {
    client: Result<(), rustls::Error>,
    server: Result<(), rustls::Error>,
    alpn: Option<Vec<u8>>,
    version: Option<ProtocolVersion>,
    kind: Option<HandshakeKind>,
    client_certificates: usize,
}

impl Outcome {
    #[track_caller]
    fn accepted(self) -> Self {
        assert_eq!((&self.client, &self.server), (&Ok(()), &Ok(())));
        self
    }

    /// The client refused the server; its error text.
    #[track_caller]
    fn refused_by_client(self) -> String {
        let error = self.client.expect_err("the client should refuse");
        assert!(matches!(self.server, Err(rustls::Error::AlertReceived(_))));
        error.to_string()
    }

    /// The server refused the client; its error text.
    #[track_caller]
    fn refused_by_server(self) -> String {
        let error = self.server.expect_err("the server should refuse");
        assert!(matches!(self.client, Err(rustls::Error::AlertReceived(_))));
        error.to_string()
    }
}

fn connect(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, name: &str) -> Outcome {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    client.writer().write_all(b"ping").unwrap();
    server.writer().write_all(b"pong").unwrap();
    let mut outcome =
        Outcome { client: Ok(()), server: Ok(()), alpn: None, version: None, kind: None, client_certificates: 0 };
    let mut bytes = Vec::new();
    while client.wants_write() || server.wants_write() {
        bytes.clear();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut input = bytes.as_slice();
        while outcome.server.is_ok() && !input.is_empty() {
            server.read_tls(&mut input).unwrap();
            outcome.server = server.process_new_packets().map(drop);
        }
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut input = bytes.as_slice();
        while outcome.client.is_ok() && !input.is_empty() {
            client.read_tls(&mut input).unwrap();
            outcome.client = client.process_new_packets().map(drop);
        }
    }
    if outcome.client.is_ok() && outcome.server.is_ok() {
        let mut message = [0; 4];
        server.reader().read_exact(&mut message).unwrap();
        assert_eq!(&message, b"ping");
        client.reader().read_exact(&mut message).unwrap();
        assert_eq!(&message, b"pong");
    }
    outcome.alpn = client.alpn_protocol().map(<[u8]>::to_vec);
    outcome.version = client.protocol_version();
    outcome.kind = client.handshake_kind();
    outcome.client_certificates = server.peer_certificates().map_or(0, <[_]>::len);
    outcome
}

fn fixtures() -> CertFiles {
    CertFiles::in_dir(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/tls")))
}

fn fixture(name: &str) -> PathBuf {
    fixtures().ca.with_file_name(name)
}

/// New certificates of an installation of its own, in a directory that lives as long as the test.
fn installation(hosts: &[&str]) -> (TempDir, CertFiles) {
    let dir = tempfile::tempdir().unwrap();
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let files = certs::generate(&hosts).unwrap().write(dir.path(), false).unwrap();
    (dir, files)
}

fn server(files: &CertFiles, ca: Option<&Path>) -> Arc<ServerConfig> {
    server_of(&files.server, &files.server_key, ca)
}

fn server_of(cert: &Path, key: &Path, ca: Option<&Path>) -> Arc<ServerConfig> {
    let tls = ServerTls {
        ca_file: ca.map(Path::to_owned),
        cert_file: Some(cert.to_owned()),
        key_file: Some(key.to_owned()),
        ..ServerTls::default()
    };
    server_config(&tls, &["h2", "http/1.1"]).unwrap()
}

/// A client without a certificate.
fn client(ca: Option<&Path>, verify: Option<Verify>) -> Arc<ClientConfig> {
    let tls = ClientTls { ca_file: ca.map(Path::to_owned), verify, ..ClientTls::default() };
    client_config(&tls, &[]).unwrap()
}

/// A client that checks nothing and sends this certificate if asked.
fn client_with(cert: &Path, key: &Path) -> Arc<ClientConfig> {
    let tls = ClientTls { cert_file: Some(cert.to_owned()), key_file: Some(key.to_owned()), ..ClientTls::default() };
    client_config(&tls, &[]).unwrap()
}

/// The same client or server limited to one protocol version.
fn versions(files: &CertFiles, verify: Verify) -> [Arc<ClientConfig>; 2] {
    [&TLS12, &TLS13].map(|version| {
        let tls = ClientTls { ca_file: Some(files.ca.clone()), verify: Some(verify), ..ClientTls::default() };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = server_verifier(&tls, &provider).unwrap();
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Arc::new(config)
    })
}

/// A CA, signed by `parent` or by itself. All have rcgen's default name, so only keys tell them apart.
fn authority(parent: Option<&Issuer<'_, KeyPair>>) -> (String, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let cert = match parent {
        None => params.self_signed(&key).unwrap(),
        Some(parent) => params.signed_by(&key, parent).unwrap(),
    };
    (cert.pem(), Issuer::new(params, key))
}

#[track_caller]
fn text_of(result: Result<impl Sized, TlsError>) -> String {
    let Err(error) = result else {
        panic!("should be refused");
    };
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
