//! Encrypted configuration values: 3DES-CBC, as `cryptool` of the original writes them (common.md 2.5).
//!
//! The scheme is deterministic and unauthenticated; it hides passwords from a glance into a config file, no more.
//! It is kept because existing configurations hold its output.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use des::TdesEde3;
use thiserror::Error;

use crate::build_constants;

/// Bytes of a 3DES key.
const KEY_SIZE: usize = 24;
/// Bytes of a DES block, and of the initialisation vector.
const BLOCK_SIZE: usize = 8;

/// Why a value could not be encrypted or decrypted. No variant holds any part of the value or of the key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SecretError {
    /// The key does not have 24 bytes.
    #[error("the encryption key ({name}) has {0} bytes, not {KEY_SIZE}", name = build_constants::ENCRYPTION_KEY)]
    KeySize(usize),
    /// The text is not standard base64.
    #[error("the value is not base64")]
    NotBase64,
    /// The decoded bytes do not fill whole blocks.
    #[error("the value has {0} bytes, which is not a multiple of {BLOCK_SIZE}")]
    NotBlocks(usize),
    /// The padding or the decrypted text is wrong: most likely another key was used.
    #[error("the value was not encrypted with this key")]
    WrongKey,
}

/// Encrypts `plain` with the key of this installation ([`build_constants::encryption_key`]).
pub fn encrypt(plain: &str) -> Result<String, SecretError> {
    encrypt_with_key(build_constants::encryption_key().as_bytes(), plain)
}

/// Decrypts `encrypted` with the key of this installation ([`build_constants::encryption_key`]).
/// Empty text stays empty, so that an option which is not set needs no special case.
pub fn decrypt(encrypted: &str) -> Result<String, SecretError> {
    decrypt_with_key(build_constants::encryption_key().as_bytes(), encrypted)
}

/// [`encrypt`] with a 24 byte key of the caller's.
pub fn encrypt_with_key(key: &[u8], plain: &str) -> Result<String, SecretError> {
    let cipher: cbc::Encryptor<TdesEde3> = cipher(key)?;
    Ok(BASE64.encode(cipher.encrypt_padded_vec::<Pkcs7>(plain.as_bytes())))
}

/// [`decrypt`] with a 24 byte key of the caller's.
pub fn decrypt_with_key(key: &[u8], encrypted: &str) -> Result<String, SecretError> {
    // Long values are often pasted with line breaks.
    let text: String = encrypted.split_ascii_whitespace().collect();
    if text.is_empty() {
        return Ok(text);
    }
    let cipher: cbc::Decryptor<TdesEde3> = cipher(key)?;
    let bytes = BASE64.decode(text).map_err(|_| SecretError::NotBase64)?;
    if bytes.len() % BLOCK_SIZE != 0 {
        return Err(SecretError::NotBlocks(bytes.len()));
    }
    let plain = cipher.decrypt_padded_vec::<Pkcs7>(&bytes).map_err(|_| SecretError::WrongKey)?;
    String::from_utf8(plain).map_err(|_| SecretError::WrongKey)
}

/// The initialisation vector is the start of the key, as in the original.
fn cipher<C: KeyIvInit>(key: &[u8]) -> Result<C, SecretError> {
    key.get(..BLOCK_SIZE)
        .filter(|_| key.len() == KEY_SIZE)
        .and_then(|iv| C::new_from_slices(key, iv).ok())
        .ok_or(SecretError::KeySize(key.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COMMUNITY_KEY: &[u8] = b"!@#^&*()1qaz@WSX3ed84RFV";
    const DSN: &str = "root:123456@tcp(127.0.0.1:3306)/bke_core?charset=utf8mb4&parseTime=True&loc=Local";

    #[test]
    fn agrees_with_the_vectors_of_the_original() {
        let vectors: [(&[u8], &str, &str); 5] = [
            (b"abcdefghijklmnopqrstuvwx", "abcdefgjijklmn", "zcFPUJrrEwLzz09Ywjx4Bw=="),
            (COMMUNITY_KEY, "", "ntd6cd6euos="),
            (COMMUNITY_KEY, "bcs", "LK9s4asAj80="),
            (COMMUNITY_KEY, "12345678", "NBaxGuO7R9nvVfclC1K4ww=="),
            (
                COMMUNITY_KEY,
                DSN,
                "NZs7ugTu1VcbGDQqoq8U8ivjFRsyOC8FAVss2CnfgKGtV8mu4/3Z17RHD12K3mc4jsjCYBTfKmCzw/xuNJwCCQxBOB0O8c9PImmHblfj1X6ZictaXOX0Ig==",
            ),
        ];
        for (key, plain, encrypted) in vectors {
            assert_eq!(encrypt_with_key(key, plain).unwrap(), encrypted);
            assert_eq!(decrypt_with_key(key, encrypted).unwrap(), plain);
        }
    }

    #[test]
    fn nothing_decrypts_to_nothing() {
        assert_eq!(decrypt_with_key(COMMUNITY_KEY, "").unwrap(), "");
        assert_eq!(decrypt_with_key(COMMUNITY_KEY, " \n").unwrap(), "");
    }

    #[test]
    fn line_breaks_are_ignored() {
        let pasted = "NBaxGuO7R9nv\r\nVfclC1K4ww==\n";
        assert_eq!(decrypt_with_key(COMMUNITY_KEY, pasted).unwrap(), "12345678");
    }

    #[test]
    fn bad_input_is_an_error_without_the_value() {
        let cases = [
            ("p@ssw0rd-in-plain", SecretError::NotBase64),
            ("LK9s4asAj80", SecretError::NotBase64),
            ("LK9s4asA", SecretError::NotBlocks(6)),
            ("LK9s4asAj81=", SecretError::NotBase64),
            ("zcFPUJrrEwLzz09Ywjx4Bw==", SecretError::WrongKey),
        ];
        for (input, error) in cases {
            let got = decrypt_with_key(COMMUNITY_KEY, input).unwrap_err();
            assert_eq!(got, error, "{input}");
            assert!(!got.to_string().contains(input));
        }
    }

    #[test]
    fn a_key_of_another_length_is_an_error() {
        for key in [&b""[..], b"short", b"abcdefghijklmnopqrstuvwxy"] {
            let error = SecretError::KeySize(key.len());
            assert_eq!(encrypt_with_key(key, "x").unwrap_err(), error);
            assert_eq!(decrypt_with_key(key, "x").unwrap_err(), error);
        }
    }

    proptest! {
        #[test]
        fn what_is_encrypted_decrypts(key: [u8; 24], plain: String) {
            let encrypted = encrypt_with_key(&key, &plain).unwrap();
            prop_assert_eq!(decrypt_with_key(&key, &encrypted).unwrap(), plain);
        }

        #[test]
        fn any_text_is_decrypted_or_refused(key: Vec<u8>, text: String) {
            let _ = decrypt_with_key(&key, &text);
        }

        #[test]
        fn any_bytes_in_base64_are_decrypted_or_refused(key: [u8; 24], bytes: Vec<u8>) {
            let _ = decrypt_with_key(&key, &BASE64.encode(bytes));
        }
    }
}
