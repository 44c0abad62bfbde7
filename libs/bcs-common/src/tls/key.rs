//! Loads private keys: any of PKCS#1, PKCS#8 and SEC1 under any label, plain or encrypted (common.md 2.2, 2.3).

use std::sync::Arc;

use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::crypto::KeyProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use thiserror::Error;

use super::legacy_encryption;
use super::pem::{self, Block};

/// The label of PKCS#8 keys that carry their encryption inside (PBES2).
const ENCRYPTED_PKCS8: &str = "ENCRYPTED PRIVATE KEY";
/// The first byte of every DER key: what does not start with it was decrypted with a wrong password.
const DER_SEQUENCE: u8 = 0x30;

/// Why a private key cannot be loaded.
#[derive(Debug, Error)]
pub enum KeyError {
    /// No PEM block with a private key (the original's text).
    #[error("decode private key failed: no private key in PEM form")]
    NoPem,
    /// The key is encrypted and there is no password.
    #[error("it is encrypted and no password is set ({0})")]
    NoPassword(&'static str),
    /// The `DEK-Info` header is damaged.
    #[error("its DEK-Info header is damaged")]
    DekInfo,
    /// The `DEK-Info` header names a cipher that is not supported.
    #[error(
        "it is encrypted with {0:?}; DES-CBC, DES-EDE3-CBC, AES-128-CBC, AES-192-CBC and AES-256-CBC are supported"
    )]
    UnknownCipher(String),
    /// A PKCS#8 key is encrypted by other means than PBES2 with PBKDF2 or scrypt, or is damaged.
    #[error("its PKCS#8 encryption is damaged or not supported")]
    UnknownPkcs8Encryption,
    /// The password is wrong.
    #[error("it does not decrypt: the password is wrong")]
    WrongPassword,
    /// The decoded key is not one that TLS can use.
    #[error(
        "it is not a PKCS#1, PKCS#8 or SEC1 key of type RSA (2048 bits or more), ECDSA (P-256, P-384, P-521) or Ed25519"
    )]
    Unsupported,
}

/// Reads the private key in `file`. An empty `password` means none; a password for a plain key is ignored.
/// `password_name` is what a message calls the password.
pub(crate) fn load(
    file: &[u8],
    password: &str,
    password_name: &'static str,
    provider: &dyn KeyProvider,
) -> Result<Arc<dyn SigningKey>, KeyError> {
    let block = select(pem::blocks(file), password).ok_or(KeyError::NoPem)?;
    let der = decrypt(block, password, password_name)?;
    parse(&der, provider)
}

/// With a password the original looks at the first block only, whatever its label, and wants it encrypted; else at the
/// first block labelled as a private key. The first rule is kept for files that meet it; for the others the second
/// rule accepts what the original refused (a plain key although a password is set).
fn select(blocks: Vec<Block>, password: &str) -> Option<Block> {
    let mut blocks = blocks.into_iter().peekable();
    let first = blocks.next_if(|block| !password.is_empty() && block.header("DEK-Info").is_some());
    first.or_else(|| blocks.find(|block| block.label == "PRIVATE KEY" || block.label.ends_with(" PRIVATE KEY")))
}

/// The DER of the key in `block`.
fn decrypt(block: Block, password: &str, password_name: &'static str) -> Result<Vec<u8>, KeyError> {
    let dek_info = block.header("DEK-Info");
    let pkcs8 = block.label == ENCRYPTED_PKCS8;
    if dek_info.is_none() && !pkcs8 {
        return Ok(block.contents);
    }
    if password.is_empty() {
        return Err(KeyError::NoPassword(password_name));
    }
    let der = match dek_info {
        Some(info) => legacy_encryption::decrypt(info, password.as_bytes(), &block.contents)?,
        None => decrypt_pkcs8(&block.contents, password)?,
    };
    match der.first() {
        Some(&DER_SEQUENCE) => Ok(der),
        _ => Err(KeyError::WrongPassword),
    }
}

fn decrypt_pkcs8(der: &[u8], password: &str) -> Result<Vec<u8>, KeyError> {
    use pkcs8::{Error, pkcs5};

    let info = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| KeyError::UnknownPkcs8Encryption)?;
    match info.decrypt(password) {
        Ok(document) => Ok(document.as_bytes().to_vec()),
        // What is decrypted with a wrong password may have a good padding, but then it is no key.
        Err(Error::EncryptedPrivateKey(pkcs5::Error::DecryptFailed) | Error::Asn1(_)) => Err(KeyError::WrongPassword),
        Err(_) => Err(KeyError::UnknownPkcs8Encryption),
    }
}

/// Tries the forms in the order of the original. The label cannot be trusted: `RSA PRIVATE KEY` may hold PKCS#8.
fn parse(der: &[u8], provider: &dyn KeyProvider) -> Result<Arc<dyn SigningKey>, KeyError> {
    let forms: [PrivateKeyDer<'static>; 3] = [
        PrivateKeyDer::Pkcs1(der.to_vec().into()),
        PrivateKeyDer::Pkcs8(der.to_vec().into()),
        PrivateKeyDer::Sec1(der.to_vec().into()),
    ];
    forms.into_iter().find_map(|form| provider.load_private_key(form).ok()).ok_or(KeyError::Unsupported)
}

#[cfg(test)]
mod tests;
