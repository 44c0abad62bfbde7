//! Which files and values are accepted, and what is said about the others.

use super::*;

#[test]
fn encrypted_keys_serve_with_the_password() {
    let files = fixtures();
    let mut tls = ServerTls {
        cert_file: Some(files.server.clone()),
        key_file: Some(fixture("keys/rsa-aes-256-cbc.pem")),
        key_password: "bcs-test".into(),
        ..ServerTls::default()
    };
    let server = server_config(&tls, &[]).unwrap();
    connect(&client(Some(&files.ca), None), &server, "bcs").accepted();

    tls.key_password = String::new();
    let text = text_of(server_config(&tls, &[]));
    for part in ["server_key_file", "rsa-aes-256-cbc.pem", "encrypted", "bcs_server_cert_pwd"] {
        assert!(text.contains(part), "{text}");
    }
    tls.key_password = "top-secret".into();
    let text = text_of(server_config(&tls, &[]));
    assert!(text.contains("password is wrong"), "{text}");
    assert!(!text.contains("top-secret"), "{text}");
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let files = fixtures();
    let tls = ServerTls {
        cert_file: Some(files.server.clone()),
        key_file: Some(files.client_key.clone()),
        ..ServerTls::default()
    };
    let text = text_of(server_config(&tls, &[]));
    for part in ["server_key_file", "bcs-client-key.pem", "does not belong", "bcs-server.pem"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn errors_name_the_key_and_the_file() {
    let files = fixtures();
    let missing = fixture("missing.pem");
    let with_ca = |ca: &Path| {
        let ca_file = Some(ca.to_owned());
        client_config(&ClientTls { ca_file, ..ClientTls::default() }, &[])
    };
    let text = text_of(with_ca(&missing));
    assert!(text.starts_with("cannot use file ") && text.contains("missing.pem of ca_file"));
    let text = text_of(with_ca(&files.ca_key.with_file_name("ca-csr.json")));
    assert!(text.contains("ca-csr.json of ca_file: append ca cert failed"), "{text}");

    let server = |cert: Option<&Path>, key: Option<&Path>| {
        let tls = ServerTls {
            cert_file: cert.map(Path::to_owned),
            key_file: key.map(Path::to_owned),
            ..ServerTls::default()
        };
        text_of(server_config(&tls, &[]))
    };
    let key = files.server_key.as_path();
    assert_eq!(server(None, Some(key)), "server_cert_file is not set");
    assert_eq!(server(Some(&files.server), None), "server_key_file is not set");
    let text = server(Some(key), Some(key));
    assert!(text.contains("of server_cert_file: no certificate in it"), "{text}");
}

#[test]
fn ca_bundles_may_hold_other_things() {
    let files = fixtures();
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("bundle.pem");
    let [ca, key] = [&files.ca, &files.server_key].map(|file| fs::read_to_string(file).unwrap());
    let damaged = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
    let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    fs::write(&bundle, format!("{key}{damaged}{broken}{ca}")).unwrap();
    let server = server(&files, None);
    connect(&client(Some(&bundle), None), &server, "bcs").accepted();

    fs::write(&bundle, format!("{key}{damaged}{broken}")).unwrap();
    // Also if nothing would be checked against it.
    for verify in [None, Some(Verify::None)] {
        let tls = ClientTls { ca_file: Some(bundle.clone()), verify, ..ClientTls::default() };
        let text = text_of(client_config(&tls, &[]));
        assert!(text.contains("append ca cert failed"), "{text}");
    }
}

#[test]
fn tls_verify_is_read_strictly() {
    for (value, verify) in
        [("", None), ("chain", Some(Verify::Chain)), ("full", Some(Verify::Full)), ("none", Some(Verify::None))]
    {
        assert_eq!(Verify::from_config(value).unwrap(), verify);
    }
    let text = text_of(Verify::from_config("off"));
    assert!(text.starts_with("tls_verify is \"off\""), "{text}");

    for verify in [Verify::Chain, Verify::Full] {
        let tls = ClientTls { verify: Some(verify), ..ClientTls::default() };
        let text = text_of(client_config(&tls, &[]));
        assert!(text.contains("ca_file is not set"), "{text}");
    }
}
