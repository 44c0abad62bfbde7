//! The fields of an encoded message, found in one pass and without copying.

use prost::bytes::Buf;
use prost::encoding::{self, DecodeContext, WireType};
use thiserror::Error;

use crate::{Field, Message, Shape};

/// Bytes that are no message of their type.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct WireError(pub(crate) String);

impl From<prost::DecodeError> for WireError {
    fn from(error: prost::DecodeError) -> Self {
        Self(error.to_string())
    }
}

/// What stands in the message for one field.
#[derive(Clone, Debug)]
pub(crate) enum Found<'a> {
    Nothing,
    Number(u64),
    Bytes(&'a [u8]),
    Many(Vec<&'a [u8]>),
}

/// A message by its fields, in the order of their declaration.
pub(crate) struct View<'a> {
    message: &'static Message,
    found: Vec<Found<'a>>,
}

impl<'a> View<'a> {
    /// Looks through the bytes. Unknown fields are passed over, of several values the last one counts.
    pub(crate) fn of(message: &'static Message, mut bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut found = vec![Found::Nothing; message.fields.len()];
        while !bytes.is_empty() {
            let (number, wire_type) = encoding::decode_key(&mut bytes)?;
            let known = index_of(message, number);
            let known = known.and_then(|index| Some((message.fields.get(index)?, found.get_mut(index)?)));
            let Some((field, place)) = known else {
                encoding::skip_field(wire_type, number, &mut bytes, DecodeContext::default())?;
                continue;
            };
            match (&field.shape, wire_type) {
                (Shape::Bool | Shape::Uint64, WireType::Varint) => {
                    *place = Found::Number(encoding::decode_varint(&mut bytes)?);
                }
                (Shape::Bool | Shape::Uint64, _) => return Err(unexpected(field, wire_type)),
                (shape, WireType::LengthDelimited) => {
                    let value = take(&mut bytes)?;
                    match (shape, &mut *place) {
                        (Shape::Text | Shape::Message(_), place) => *place = Found::Bytes(value),
                        (_, Found::Many(values)) => values.push(value),
                        (_, place) => *place = Found::Many(vec![value]),
                    }
                }
                _ => return Err(unexpected(field, wire_type)),
            }
        }
        Ok(Self { message, found })
    }

    /// The fields with what was found for them.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'static Field, &Found<'a>)> {
        self.message.fields.iter().zip(&self.found)
    }
}

fn index_of(message: &Message, number: u32) -> Option<usize> {
    let is_it = |field: &Field| field.number == number;
    // Most messages declare their fields in the order of the numbers, from 1 on.
    let usual = usize::try_from(number).ok()?.checked_sub(1)?;
    if message.fields.get(usual).is_some_and(is_it) { Some(usual) } else { message.fields.iter().position(is_it) }
}

/// The value behind its length.
fn take<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], WireError> {
    let length = encoding::decode_varint(bytes)?;
    let whole: &'a [u8] = bytes;
    let value = usize::try_from(length).ok().and_then(|length| whole.get(..length));
    let value = value.ok_or_else(|| WireError("unexpected EOF".to_owned()))?;
    bytes.advance(value.len());
    Ok(value)
}

fn unexpected(field: &Field, wire_type: WireType) -> WireError {
    WireError(format!("field {} has wire type {wire_type:?}", field.name))
}

/// A text of the wire.
pub(crate) fn text<'a>(field: &str, bytes: &'a [u8]) -> Result<&'a str, WireError> {
    std::str::from_utf8(bytes).map_err(|_| WireError(format!("field {field} contains invalid UTF-8")))
}

/// The two texts of a map entry.
pub(crate) fn entry<'a>(field: &str, mut bytes: &'a [u8]) -> Result<(&'a str, &'a str), WireError> {
    let (mut key, mut value) = ("", "");
    while !bytes.is_empty() {
        let (number, wire_type) = encoding::decode_key(&mut bytes)?;
        match (number, wire_type) {
            (1, WireType::LengthDelimited) => key = text(field, take(&mut bytes)?)?,
            (2, WireType::LengthDelimited) => value = text(field, take(&mut bytes)?)?,
            _ => encoding::skip_field(wire_type, number, &mut bytes, DecodeContext::default())?,
        }
    }
    Ok((key, value))
}
