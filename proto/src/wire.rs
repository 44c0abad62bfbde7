//! Fields as they are encoded on the wire.

use prost::encoding::{self, WireType};

use crate::Field;

/// Appends a text field; an empty one is its default and stays out.
pub fn put_text(field: &Field, text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() {
        put_bytes(field.number, text.as_bytes(), out);
    }
}

/// Appends a number or bool; zero is its default and stays out.
pub fn put_number(field: &Field, number: u64, out: &mut Vec<u8>) {
    if number != 0 {
        encoding::encode_key(field.number, WireType::Varint, out);
        encoding::encode_varint(number, out);
    }
}

/// Appends a value with its length.
pub fn put_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encoding::encode_key(number, WireType::LengthDelimited, out);
    encoding::encode_varint(u64::try_from(bytes.len()).unwrap_or(u64::MAX), out);
    out.extend_from_slice(bytes);
}

/// Appends an entry of a map of texts; an empty text is its default and stays out.
pub fn put_pair(field: &Field, key: &str, value: &str, out: &mut Vec<u8>) {
    let mut entry = Vec::with_capacity(key.len() + value.len() + 8);
    for (number, text) in [(1, key), (2, value)] {
        if !text.is_empty() {
            put_bytes(number, text.as_bytes(), &mut entry);
        }
    }
    put_bytes(field.number, &entry, out);
}
