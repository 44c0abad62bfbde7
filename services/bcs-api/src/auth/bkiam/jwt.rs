//! The JWT of the API gateway.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Why a JWT does not count. Holds no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum JwtError {
    #[error("api gateway jwt is malformed")]
    Malformed,
    #[error("api gateway jwt is not signed with RSA")]
    Algorithm,
    #[error("api gateway jwt has a wrong signature")]
    Signature,
    #[error("api gateway jwt is expired")]
    Expired,
    #[error("api gateway jwt is not valid yet")]
    NotYet,
    #[error("api gateway jwt names no user")]
    NoUser,
}

/// The public key of the API gateway.
pub(super) struct JwtKey(Vec<u8>);

#[derive(Deserialize)]
struct Head {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    exp: Option<f64>,
    nbf: Option<f64>,
    #[serde(default)]
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    username: String,
}

impl JwtKey {
    /// The RSA key in a PEM text (`PUBLIC KEY`).
    pub fn from_pem(pem: &[u8]) -> Option<Self> {
        let key = SubjectPublicKeyInfoDer::from_pem_slice(pem).ok()?;
        // Whether it is an RSA key shows only when it is used.
        let probe = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.as_ref()).parse();
        probe.is_ok().then(|| Self(key.to_vec()))
    }

    /// The user that a JWT names.
    pub fn user(&self, jwt: &str) -> Result<String, JwtError> {
        let (signed, signature) = jwt.rsplit_once('.').ok_or(JwtError::Malformed)?;
        let (head, claims) = signed.split_once('.').ok_or(JwtError::Malformed)?;
        let head: Head = part(head)?;
        let algorithm = algorithm(&head.alg).ok_or(JwtError::Algorithm)?;
        let signature = BASE64.decode(signature).map_err(|_| JwtError::Malformed)?;
        UnparsedPublicKey::new(algorithm, &self.0)
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| JwtError::Signature)?;
        let claims: Claims = part(claims)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
        if claims.exp.is_some_and(|end| now > end) {
            return Err(JwtError::Expired);
        }
        if claims.nbf.is_some_and(|start| now < start) {
            return Err(JwtError::NotYet);
        }
        Some(claims.user.username).filter(|name| !name.is_empty()).ok_or(JwtError::NoUser)
    }
}

fn part<T: DeserializeOwned>(text: &str) -> Result<T, JwtError> {
    let json = BASE64.decode(text).map_err(|_| JwtError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| JwtError::Malformed)
}

fn algorithm(name: &str) -> Option<&'static RsaParameters> {
    match name {
        "RS256" => Some(&RSA_PKCS1_2048_8192_SHA256),
        "RS384" => Some(&RSA_PKCS1_2048_8192_SHA384),
        "RS512" => Some(&RSA_PKCS1_2048_8192_SHA512),
        "PS256" => Some(&RSA_PSS_2048_8192_SHA256),
        "PS384" => Some(&RSA_PSS_2048_8192_SHA384),
        "PS512" => Some(&RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA512, RsaEncoding};
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// An API gateway.
    pub(in super::super) struct Gateway(KeyPair);

    impl Gateway {
        pub(in super::super) fn new() -> Self {
            Self(KeyPair::generate(KeySize::Rsa2048).unwrap())
        }

        pub(in super::super) fn pem(&self) -> String {
            let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()))
        }

        pub(in super::super) fn sign(&self, alg: &str, claims: &Value) -> String {
            let encode = |value: &Value| BASE64.encode(value.to_string());
            let signed = format!("{}.{}", encode(&json!({"alg": alg, "typ": "JWT"})), encode(claims));
            let padding: &'static dyn RsaEncoding = if alg == "PS512" { &RSA_PSS_SHA512 } else { &RSA_PKCS1_SHA256 };
            let mut signature = vec![0; self.0.public_modulus_len()];
            self.0.sign(padding, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
            format!("{signed}.{}", BASE64.encode(signature))
        }
    }

    #[test]
    fn only_what_the_gateway_signed_and_is_valid_now() {
        let gateway = Gateway::new();
        let key = JwtKey::from_pem(gateway.pem().as_bytes()).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let user = json!({"username": "alice"});
        let claims = json!({"user": user, "exp": now + 60, "nbf": now - 60});
        for alg in ["RS256", "PS512"] {
            assert_eq!(key.user(&gateway.sign(alg, &claims)).as_deref(), Ok("alice"), "{alg}");
        }
        for (claims, error) in [
            (json!({"user": user, "exp": now - 60}), JwtError::Expired),
            (json!({"user": user, "nbf": now + 60}), JwtError::NotYet),
            (json!({"exp": now + 60}), JwtError::NoUser),
            (json!({"user": {"username": ""}}), JwtError::NoUser),
            (json!({"user": 7}), JwtError::Malformed),
        ] {
            assert_eq!(key.user(&gateway.sign("RS256", &claims)), Err(error), "{claims}");
        }
        let other = Gateway::new().sign("RS256", &claims);
        assert_eq!(key.user(&other), Err(JwtError::Signature));
        for alg in ["none", "HS256", "RS384"] {
            let refused = key.user(&gateway.sign(alg, &claims)).unwrap_err();
            assert!(matches!(refused, JwtError::Algorithm | JwtError::Signature), "{alg}");
        }
        assert!(JwtKey::from_pem(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_refused(text in "\\PC*|[A-Za-z0-9_-]*\\.[A-Za-z0-9_-]*\\.[A-Za-z0-9_-]*") {
            prop_assert!(JwtKey(Vec::new()).user(&text).is_err());
        }
    }
}
