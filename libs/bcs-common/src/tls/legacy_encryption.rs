//! Decrypts traditional ("RFC 1423") encrypted PEM keys, the ones with a `DEK-Info` header (common.md 2.3).

use aes::{Aes128, Aes192, Aes256};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, IvSizeUser, KeyIvInit, KeySizeUser};
use des::{Des, TdesEde3};
use md5::{Digest, Md5};

use super::key::KeyError;

/// Bytes of the initialisation vector that salt the key derivation, whatever the block size.
const SALT_SIZE: usize = 8;

/// Decrypts `data` as the value of the `DEK-Info` header, `<algorithm>,<iv in hex>`, says.
/// Wrong passwords are found by their padding, which one in 256 passes: the caller must check the result.
pub(super) fn decrypt(dek_info: &str, password: &[u8], data: &[u8]) -> Result<Vec<u8>, KeyError> {
    let (algorithm, iv) = dek_info.split_once(',').ok_or(KeyError::DekInfo)?;
    let iv = hex(iv.trim()).ok_or(KeyError::DekInfo)?;
    match algorithm.trim() {
        "DES-CBC" => decrypt_cbc::<Decryptor<Des>>(password, &iv, data),
        "DES-EDE3-CBC" => decrypt_cbc::<Decryptor<TdesEde3>>(password, &iv, data),
        "AES-128-CBC" => decrypt_cbc::<Decryptor<Aes128>>(password, &iv, data),
        "AES-192-CBC" => decrypt_cbc::<Decryptor<Aes192>>(password, &iv, data),
        "AES-256-CBC" => decrypt_cbc::<Decryptor<Aes256>>(password, &iv, data),
        other => Err(KeyError::UnknownCipher(other.to_owned())),
    }
}

fn decrypt_cbc<C>(password: &[u8], iv: &[u8], data: &[u8]) -> Result<Vec<u8>, KeyError>
where
    C: BlockModeDecrypt + KeyIvInit + KeySizeUser + IvSizeUser,
{
    let salt = iv.get(..SALT_SIZE).ok_or(KeyError::DekInfo)?;
    let key = derive_key(password, salt, C::key_size());
    let cipher = C::new_from_slices(&key, iv).map_err(|_| KeyError::DekInfo)?;
    cipher.decrypt_padded_vec::<Pkcs7>(data).map_err(|_| KeyError::WrongPassword)
}

/// OpenSSL's `EVP_BytesToKey` with one round of MD5: each digest covers the one before it, the password and the salt.
fn derive_key(password: &[u8], salt: &[u8], size: usize) -> Vec<u8> {
    let mut key = Vec::with_capacity(size + 16);
    let mut digest = Vec::new();
    while key.len() < size {
        digest = Md5::new().chain_update(&digest).chain_update(password).chain_update(salt).finalize().to_vec();
        key.extend_from_slice(&digest);
    }
    key.truncate(size);
    key
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|value| value.try_into().ok())).collect();
    let (pairs, rest) = digits.as_deref()?.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn to_hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn derives_the_keys_of_the_vectors() {
        let iv = hex("0123456789ABCDEF0123456789ABCDEF").unwrap();
        let key = "5a09a490df9cfeb7dee900490dbda5607cb719f0db4c047fbedfe2f25a1073e1";
        for size in [8, 16, 24, 32] {
            let derived = derive_key(b"bcs-test", &iv[..SALT_SIZE], size);
            assert_eq!(to_hex(&derived), key[..2 * size]);
        }
    }

    #[test]
    fn derives_the_keys_of_the_vector_files() {
        for (iv, key) in [
            ("E06225D5E3EB878E1891F81E89343D27", "0de18988c4a92b79a91133ecf9e07faa7ff7a480016f97c79fd682f0d4ea9a85"),
            ("C0C75F57E875B06F", "05af9f0bd4d3c3e67b4c840412a84c26892f9d69a8e33f40"),
        ] {
            let salt = hex(iv).unwrap();
            let derived = derive_key(b"bcs-test", &salt[..SALT_SIZE], key.len() / 2);
            assert_eq!(to_hex(&derived), key);
        }
    }

    #[test]
    fn a_header_that_makes_no_sense_is_an_error() {
        for header in [
            "",
            "AES-256-CBC",
            "AES-256-CBC,",
            "AES-256-CBC,0",
            "AES-256-CBC,zz",
            // An initialisation vector that is not one block.
            "AES-256-CBC,0123456789ABCDEF",
            "DES-CBC,0123456789ABCDEF0123456789ABCDEF",
        ] {
            let error = decrypt(header, b"x", &[0; 16]).unwrap_err();
            assert!(matches!(error, KeyError::DekInfo), "{header}: {error}");
        }
        let error = decrypt("RC2-CBC,0123456789ABCDEF", b"x", &[0; 16]).unwrap_err();
        assert!(matches!(error, KeyError::UnknownCipher(name) if name == "RC2-CBC"));
    }

    proptest! {
        #[test]
        fn any_header_and_data_are_decrypted_or_refused(
            header in "(DES-CBC|DES-EDE3-CBC|AES-128-CBC|AES-192-CBC|AES-256-CBC|.*),?([0-9A-Fa-f]{16}|[0-9a-f]{32}|.*)",
            password: Vec<u8>,
            data: Vec<u8>,
        ) {
            let _ = decrypt(&header, &password, &data);
        }
    }
}
