//! What clients check of servers.

use std::time::Duration;

use rustls::CertificateError;
use rustls::pki_types::{CertificateDer, UnixTime};

use super::*;

#[test]
fn a_server_without_names_passes_chain_but_not_full() {
    let files = fixtures();
    let server = server(&files, None);
    for client in versions(&files, Verify::Chain) {
        connect(&client, &server, "10.1.2.3").accepted();
    }
    for client in versions(&files, Verify::Full) {
        let reason = connect(&client, &server, "10.1.2.3").refused_by_client();
        assert!(reason.contains("of 10.1.2.3 is refused"), "{reason}");
        assert!(reason.contains("set tls_verify to \"chain\""), "{reason}");
    }
}

#[test]
fn a_server_of_another_ca_passes_none_only() {
    let files = fixtures();
    let (_dir, others) = installation(&["bcs.example"]);
    let server = server(&others, None);
    for client in versions(&files, Verify::None) {
        connect(&client, &server, "bcs.example").accepted();
    }
    for verify in [Verify::Chain, Verify::Full] {
        for client in versions(&files, verify) {
            let reason = connect(&client, &server, "bcs.example").refused_by_client();
            assert!(
                reason.ends_with(
                    "the certificate of bcs.example is refused: no configured CA signed it; \
                     set tls_verify to \"none\" to accept any certificate"
                ),
                "{reason}"
            );
        }
    }
}

#[test]
fn the_default_is_chain_with_a_ca_and_none_without() {
    let files = fixtures();
    let (_dir, others) = installation(&[]);
    let [own, foreign] = [&files, &others].map(|files| server(files, None));
    connect(&client(Some(&files.ca), None), &own, "x").accepted();
    connect(&client(Some(&files.ca), None), &foreign, "x").refused_by_client();
    connect(&client(None, None), &foreign, "x").accepted();
}

#[test]
fn a_client_certificate_is_no_server_certificate() {
    let files = fixtures();
    let server = server_of(&files.client, &files.client_key, None);
    let reason = connect(&client(Some(&files.ca), None), &server, "bcs").refused_by_client();
    assert!(reason.contains("extended key usage"), "{reason}");
}

#[test]
fn x509_v1_servers_pass_chain_but_not_full() {
    let files = fixtures();
    let (_dir, others) = installation(&[]);
    for kind in ["rsa", "ec"] {
        let cert = fixture(&format!("v1-{kind}.pem"));
        let key = fixture(&format!("v1-{kind}-key.pem"));
        let server = server_of(&cert, &key, None);
        for verify in [Verify::None, Verify::Chain] {
            for client in versions(&files, verify) {
                connect(&client, &server, "old").accepted();
            }
        }
        for client in versions(&files, Verify::Full) {
            let reason = connect(&client, &server, "old").refused_by_client();
            assert!(reason.contains("X.509 v1 has no host names"), "{reason}");
            assert!(reason.contains("set tls_verify to \"chain\""), "{reason}");
        }
        for client in versions(&others, Verify::Chain) {
            let reason = connect(&client, &server, "old").refused_by_client();
            assert!(reason.contains("no configured CA signed it"), "{reason}");
        }
    }
}

#[test]
fn x509_v1_is_checked_for_signer_signature_and_time() {
    let files = fixtures();
    let read = |path: &Path| certificates::certificates(&fs::read(path).unwrap()).remove(0);
    let authority = read(&files.ca);
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    let check = |certificate: &CertificateDer<'_>, authority: &CertificateDer<'_>, now: u64| {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let authorities = [authority.clone()];
        x509::check_version_1(certificate, &authorities, now, algorithms.all)
    };
    let certificate = read(&fixture("v1-rsa.pem"));
    // Seconds of the years 2000, 2050 and 2200.
    let [before, during, after] = [946_684_800, 2_524_608_000, 7_258_118_400];
    check(&certificate, &authority, during).unwrap();
    for now in [before, after] {
        let error = check(&certificate, &authority, now).unwrap_err().to_string();
        assert!(error.contains("certificate expired") || error.contains("not valid yet"));
    }

    let unknown = Err(CertificateError::UnknownIssuer.into());
    // Another CA of the same name: the server certificate has it, and did not sign.
    assert_eq!(check(&certificate, &read(&files.server), during), unknown);
    let mut forged = certificate.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(check(&forged.into(), &authority, during), unknown);
}

#[test]
fn a_server_must_hold_the_key_of_its_certificate() {
    let files = fixtures();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let load_key = |path: &Path| {
        let file = fs::read(path).unwrap();
        key::load(&file, "", "", provider.key_provider).unwrap()
    };
    for (cert, wrong_key) in [
        (&files.server, &files.client_key),
        (&fixture("v1-rsa.pem"), &files.client_key),
        (&fixture("v1-ec.pem"), &fixture("keys/ec-other.pem")),
    ] {
        let chain = certificates::certificates(&fs::read(cert).unwrap());
        let stolen = CertifiedKey::new(chain, load_key(wrong_key));
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(stolen)));
        for client in versions(&files, Verify::None) {
            let reason = connect(&client, &Arc::new(server.clone()), "bcs").refused_by_client();
            assert!(reason.contains("BadSignature"), "{reason}");
        }
    }
}

#[test]
fn a_self_signed_server_passes_if_it_is_the_ca() {
    let dir = tempfile::tempdir().unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| dir.path().join(name));
    let signing_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["self.example".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let make = |params: &CertificateParams| {
        fs::write(&cert, params.self_signed(&signing_key).unwrap().pem()).unwrap();
        fs::write(&key, signing_key.serialize_pem()).unwrap();
        server_of(&cert, &key, None)
    };
    let server = make(&params);
    connect(&client(Some(&cert), None), &server, "x").accepted();
    let reason = connect(&client(Some(&fixtures().ca), None), &server, "x").refused_by_client();
    assert!(reason.contains("tls_verify"), "{reason}");

    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let server = make(&params);
    connect(&client(Some(&cert), None), &server, "x").refused_by_client();
}

#[test]
fn a_chain_with_an_intermediate_is_sent_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(|name| dir.path().join(name));
    let (root_pem, root) = authority(None);
    let (intermediate_pem, intermediate) = authority(Some(&root));
    let leaf_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let leaf = params.signed_by(&leaf_key, &intermediate).unwrap();
    fs::write(&ca, root_pem).unwrap();
    fs::write(&key, leaf_key.serialize_pem()).unwrap();

    fs::write(&cert, leaf.pem() + &intermediate_pem).unwrap();
    let client = client(Some(&ca), None);
    connect(&client, &server_of(&cert, &key, None), "x").accepted();
    fs::write(&cert, leaf.pem()).unwrap();
    connect(&client, &server_of(&cert, &key, None), "x").refused_by_client();
}

#[test]
fn an_expired_server_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(|name| dir.path().join(name));
    let (root_pem, root) = authority(None);
    let leaf_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    fs::write(&ca, root_pem).unwrap();
    fs::write(&cert, params.signed_by(&leaf_key, &root).unwrap().pem()).unwrap();
    fs::write(&key, leaf_key.serialize_pem()).unwrap();

    let server = server_of(&cert, &key, None);
    let reason = connect(&client(Some(&ca), None), &server, "x").refused_by_client();
    assert!(reason.contains("certificate expired"), "{reason}");
    connect(&client(None, None), &server, "x").accepted();
}
