//! The key files in `testdata` were made with OpenSSL; the password of the encrypted ones is `bcs-test`.

use proptest::prelude::*;
use rustls::SignatureAlgorithm;
use rustls::crypto::aws_lc_rs;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;

use super::*;

const PASSWORD: &str = "bcs-test";

const VECTOR_AES: &str = "-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-256-CBC,E06225D5E3EB878E1891F81E89343D27

s6DkrCACBRJdpb6x+aMtvvCnZZttaXzv25+Whxdndqec7+m53t45gNp/oB2pTHiS
29JxcF6kDWIUK57vfbCJ5NwwJWpN7o9qGnC6NLS/E2KP30t2wBGRvqXv7G2Rhs7b
OwyZDMitI4wAbOedkYKyN0s5Wngj21k6wYkU8K4yf78=
-----END EC PRIVATE KEY-----
";
const VECTOR_3DES: &str = "-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: DES-EDE3-CBC,C0C75F57E875B06F

ZX+VPe33tiYd3cG3NsNSs1OpXxgLpIM/7aHccmm2oMqGWTFGN6mEDXu2ZXuMYPgn
WZ3XG1Q30u86qZjEB8Bk8DiUNQ6Nztup0/MiPNlPpGzMIpvSfUEE1c4IAypH85BE
Aai2GU9m6zscf5SLeWvpL/1t2lN+AB6xob+f+g6JZRE=
-----END EC PRIVATE KEY-----
";
const ED25519: &[u8] = include_bytes!("../../../testdata/tls/keys/ed25519-pkcs8.pem");
const RSA_PKCS1: &[u8] = include_bytes!("../../../testdata/tls/bcs-server-key.pem");
const RSA_PKCS8: &[u8] = include_bytes!("../../../testdata/tls/keys/rsa-pkcs8.pem");
const RSA_AES_256: &[u8] = include_bytes!("../../../testdata/tls/keys/rsa-aes-256-cbc.pem");
const RSA_PBES2: &[u8] = include_bytes!("../../../testdata/tls/keys/rsa-pbes2-aes256.pem");
/// `RSA_PKCS1` encrypted in every supported way.
const RSA_ENCRYPTED: [&[u8]; 7] = [
    include_bytes!("../../../testdata/tls/keys/rsa-des-cbc.pem"),
    include_bytes!("../../../testdata/tls/keys/rsa-des-ede3-cbc.pem"),
    include_bytes!("../../../testdata/tls/keys/rsa-aes-128-cbc.pem"),
    include_bytes!("../../../testdata/tls/keys/rsa-aes-192-cbc.pem"),
    RSA_AES_256,
    RSA_PBES2,
    include_bytes!("../../../testdata/tls/keys/rsa-pbes2-3des-sha1.pem"),
];
const EC_PKCS8: &[u8] = include_bytes!("../../../testdata/tls/keys/ec-pkcs8.pem");
const EC_SEC1: &[u8] = include_bytes!("../../../testdata/tls/keys/ec-sec1.pem");
/// `EC_SEC1` behind an `EC PARAMETERS` block, as `openssl ecparam -genkey` writes it.
const EC_WITH_PARAMETERS: &[u8] = include_bytes!("../../../testdata/tls/v1-ec-key.pem");

fn load(file: impl AsRef<[u8]>, password: &str) -> Result<Arc<dyn SigningKey>, KeyError> {
    let provider = aws_lc_rs::default_provider();
    super::load(file.as_ref(), password, "the_password", provider.key_provider)
}

fn public_key(key: &dyn SigningKey) -> Vec<u8> {
    key.public_key().unwrap().to_vec()
}

/// The same key under another label.
fn relabel(pem: &[u8], from: &str, to: &str) -> Vec<u8> {
    std::str::from_utf8(pem).unwrap().replace(from, to).into_bytes()
}

#[test]
fn the_vectors_decrypt_to_the_same_key() {
    let sha256 = TLS13_AES_128_GCM_SHA256.tls13().unwrap().common.hash_provider;
    for file in [VECTOR_AES, VECTOR_3DES] {
        let block = pem::blocks(file.as_bytes()).remove(0);
        let der = decrypt(block, PASSWORD, "").unwrap();
        assert_eq!(der.len(), 121);
        let digest = sha256.hash(&der);
        let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, "7582fab4b4470d508c1a233a39a1f3e2ee4fd9a36aa0049344f8de37a024f344");
        load(file, PASSWORD).unwrap();
    }
}

#[test]
fn every_form_loads_under_every_label() {
    const RSA: SignatureAlgorithm = SignatureAlgorithm::RSA;
    const ECDSA: SignatureAlgorithm = SignatureAlgorithm::ECDSA;
    for (file, label, algorithm) in [
        (RSA_PKCS1, "RSA PRIVATE KEY", RSA),
        (RSA_PKCS8, "PRIVATE KEY", RSA),
        (EC_PKCS8, "PRIVATE KEY", ECDSA),
        (EC_SEC1, "EC PRIVATE KEY", ECDSA),
        (ED25519, "PRIVATE KEY", SignatureAlgorithm::ED25519),
    ] {
        for other in ["RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "ANY PRIVATE KEY"] {
            let key = load(relabel(file, label, other), "").unwrap();
            assert_eq!(key.algorithm(), algorithm, "{label} as {other}");
        }
    }
}

#[test]
fn every_encryption_opens_with_its_password() {
    let plain = public_key(&*load(RSA_PKCS1, "").unwrap());
    for file in RSA_ENCRYPTED {
        assert_eq!(public_key(&*load(file, PASSWORD).unwrap()), plain);
    }
}

#[test]
fn a_wrong_password_is_an_error() {
    for file in RSA_ENCRYPTED {
        let error = load(file, "wrong").unwrap_err();
        assert!(matches!(error, KeyError::WrongPassword), "{error}");
    }
}

#[test]
fn a_wrong_password_is_an_error_even_if_the_padding_fits() {
    // Enough passwords that some decrypt to a good padding.
    for attempt in 0..2000 {
        let error = load(VECTOR_3DES, &format!("wrong {attempt}")).unwrap_err();
        assert!(matches!(error, KeyError::WrongPassword | KeyError::Unsupported), "{error}");
    }
}

#[test]
fn a_missing_password_is_an_error_that_names_it() {
    for file in RSA_ENCRYPTED {
        let error = load(file, "").unwrap_err().to_string();
        assert_eq!(error, "it is encrypted and no password is set (the_password)");
    }
}

#[test]
fn a_plain_key_loads_although_there_is_a_password() {
    for file in [RSA_PKCS1, RSA_PKCS8, EC_SEC1, EC_WITH_PARAMETERS, ED25519] {
        load(file, PASSWORD).unwrap();
    }
}

#[test]
fn without_a_password_the_first_private_key_counts() {
    let expected = public_key(&*load(EC_SEC1, "").unwrap());
    let key = load([EC_WITH_PARAMETERS, RSA_PKCS1].concat(), "").unwrap();
    assert_eq!(public_key(&*key), expected);
    // Not the second, although the first cannot be used.
    let error = load([RSA_AES_256, EC_SEC1].concat(), "").unwrap_err();
    assert!(matches!(error, KeyError::NoPassword(_)));
}

#[test]
fn with_a_password_the_first_block_counts_whatever_its_label() {
    let encrypted = relabel(RSA_AES_256, "RSA PRIVATE KEY", "SECRET");
    load([&encrypted, EC_SEC1].concat(), PASSWORD).unwrap();
    let error = load(&encrypted, "").unwrap_err();
    assert!(matches!(error, KeyError::NoPem));
}

#[test]
fn what_is_no_key_is_an_error() {
    const CERTIFICATE: &[u8] = include_bytes!("../../../testdata/tls/bcs-server.pem");
    for file in [&b""[..], b"key", CERTIFICATE] {
        for password in ["", PASSWORD] {
            let error = load(file, password).unwrap_err();
            assert!(error.to_string().starts_with("decode private key failed"));
        }
    }
    let error = load(relabel(CERTIFICATE, "CERTIFICATE", "PRIVATE KEY"), "").unwrap_err();
    assert!(matches!(error, KeyError::Unsupported));
    let error = load(relabel(RSA_PKCS1, "RSA PRIVATE", "ENCRYPTED PRIVATE"), PASSWORD);
    assert!(matches!(error.unwrap_err(), KeyError::UnknownPkcs8Encryption));
}

proptest! {
    #[test]
    fn any_file_is_loaded_or_refused(file: Vec<u8>, password: String) {
        let _ = load(file, &password);
    }

    #[test]
    fn a_damaged_key_is_loaded_or_refused(
        file in proptest::sample::select(vec![RSA_AES_256, EC_SEC1, ED25519, VECTOR_AES.as_bytes()]),
        at: proptest::sample::Index,
        byte: u8,
    ) {
        let mut file = file.to_vec();
        let at = at.index(file.len());
        file[at] = byte;
        let _ = load(file, PASSWORD);
    }
}
