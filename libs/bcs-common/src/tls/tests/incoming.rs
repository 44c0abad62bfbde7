//! What servers ask of clients, and what both agree on.

use super::*;

#[test]
fn without_a_ca_no_client_certificate_is_asked_for() {
    let files = fixtures();
    let server = server(&files, None);
    connect(&client(None, None), &server, "bcs").accepted();
    let with = client_with(&files.client, &files.client_key);
    let outcome = connect(&with, &server, "bcs").accepted();
    assert_eq!(outcome.client_certificates, 0);
}

#[test]
fn with_a_ca_the_client_certificate_of_the_guide_is_required() {
    let files = fixtures();
    let server = server(&files, Some(&files.ca));
    let with = client_with(&files.client, &files.client_key);
    let outcome = connect(&with, &server, "bcs").accepted();
    assert_eq!(outcome.client_certificates, 1);

    let reason = connect(&client(None, None), &server, "bcs").refused_by_server();
    assert_eq!(reason, "peer sent no certificates");
}

#[test]
fn client_certificates_of_another_ca_or_for_servers_are_refused() {
    let files = fixtures();
    let (_dir, others) = installation(&[]);
    let server = server(&files, Some(&files.ca));

    let of_others = client_with(&others.client, &others.client_key);
    let reason = connect(&of_others, &server, "bcs").refused_by_server();
    assert!(reason.contains("UnknownIssuer"), "{reason}");

    let of_server = client_with(&files.server, &files.server_key);
    let reason = connect(&of_server, &server, "bcs").refused_by_server();
    assert!(reason.contains("extended key usage"), "{reason}");
}

#[test]
fn x509_v1_client_certificates_are_accepted_from_the_ca_only() {
    let files = fixtures();
    let (_dir, others) = installation(&[]);
    let server = server(&files, Some(&files.ca));
    let foreign = server_of(&files.server, &files.server_key, Some(&others.ca));
    for kind in ["rsa", "ec"] {
        let cert = fixture(&format!("v1-{kind}.pem"));
        let key = fixture(&format!("v1-{kind}-key.pem"));
        let client = client_with(&cert, &key);
        let outcome = connect(&client, &server, "bcs").accepted();
        assert_eq!(outcome.client_certificates, 1);
        let reason = connect(&client, &foreign, "bcs").refused_by_server();
        assert!(reason.contains("UnknownIssuer"), "{reason}");
    }
}

#[test]
fn generated_certificates_work_like_those_of_the_guide() {
    let (_dir, files) = installation(&["bcs.example", "127.0.0.1"]);
    let server = server(&files, Some(&files.ca));
    let tls = ClientTls {
        ca_file: Some(files.ca.clone()),
        cert_file: Some(files.client.clone()),
        key_file: Some(files.client_key.clone()),
        verify: Some(Verify::Full),
        ..ClientTls::default()
    };
    let client = client_config(&tls, &[]).unwrap();
    for name in ["bcs.example", "127.0.0.1"] {
        connect(&client, &server, name).accepted();
    }
    let reason = connect(&client, &server, "other.example").refused_by_client();
    assert!(reason.contains("the certificate of other.example is refused"), "{reason}");
    assert!(reason.contains("set tls_verify to \"chain\""), "{reason}");
}

#[test]
fn protocols_are_negotiated_or_left_out() {
    let files = fixtures();
    let server = server(&files, None);
    for (offered, chosen) in [(&["http/1.1", "h2"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)] {
        let client = client_config(&ClientTls::default(), offered).unwrap();
        let outcome = connect(&client, &server, "bcs").accepted();
        assert_eq!(outcome.alpn.as_deref(), chosen.map(str::as_bytes));
    }
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_sessions_resume() {
    let files = fixtures();
    let server = server(&files, None);
    let [tls12, tls13] = versions(&files, Verify::Chain);
    for (client, version) in [(tls12, ProtocolVersion::TLSv1_2), (tls13, ProtocolVersion::TLSv1_3)] {
        let first = connect(&client, &server, "bcs").accepted();
        assert_eq!(first.version, Some(version));
        assert_eq!(first.kind, Some(HandshakeKind::Full));
        let second = connect(&client, &server, "bcs").accepted();
        assert_eq!(second.kind, Some(HandshakeKind::Resumed));
    }
    let outcome = connect(&client(None, None), &server, "bcs").accepted();
    assert_eq!(outcome.version, Some(ProtocolVersion::TLSv1_3));
}
