//! Between the bytes on the wire and JSON, by the tables, with the rules of grpc-gateway (golang's jsonpb).

use std::collections::BTreeMap;

use bcs_common::go::quoted;
use bcs_common::http::json::{write_plain, write_string};

use crate::parser::{JsonError, Kind, Parser};
use crate::view::{self, Found, View, WireError};
use crate::wire::{put_bytes, put_number, put_text};
use crate::{Field, Message, Shape};

/// How JSON is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defaults {
    /// Every field is there: zero, `""`, `[]`, `{}`, and `null` for a message. The gateway's way.
    Written,
    /// Only what is set. The way of the JSON codec of gRPC.
    LeftOut,
}

/// What becomes of a member that is no field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It is passed over. The gateway's way.
    Ignored,
    /// It is an error. The way of the JSON codec of gRPC.
    Refused,
}

/// Appends an encoded message as JSON: fields in the order of their declaration, sorted maps, 64-bit numbers as strings.
///
/// # Errors
/// The bytes are no such message.
pub fn write(message: &'static Message, bytes: &[u8], defaults: Defaults, out: &mut Vec<u8>) -> Result<(), WireError> {
    out.push(b'{');
    let mut first = true;
    for (field, found) in View::of(message, bytes)?.fields() {
        if defaults == Defaults::LeftOut && is_default(found) {
            continue;
        }
        if !std::mem::replace(&mut first, false) {
            out.push(b',');
        }
        out.extend_from_slice(field.json_key.as_bytes());
        write_field(field, found, defaults, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn is_default(found: &Found<'_>) -> bool {
    match found {
        Found::Nothing | Found::Number(0) => true,
        Found::Number(_) | Found::Many(_) => false,
        // An empty message is set all the same, but no encoder writes an empty text.
        Found::Bytes(_) => false,
    }
}

fn write_field(field: &Field, found: &Found<'_>, defaults: Defaults, out: &mut Vec<u8>) -> Result<(), WireError> {
    let number = if let Found::Number(number) = found { *number } else { 0 };
    let many: &[&[u8]] = if let Found::Many(values) = found { values } else { &[] };
    match (&field.shape, found) {
        (Shape::Bool, _) => out.extend_from_slice(if number == 0 { b"false" } else { b"true" }),
        (Shape::Uint64, _) => {
            out.push(b'"');
            out.extend_from_slice(number.to_string().as_bytes());
            out.push(b'"');
        }
        (Shape::Text, Found::Bytes(bytes)) => write_text(field, bytes, out)?,
        (Shape::Text, _) => out.extend_from_slice(b"\"\""),
        (Shape::Message(inner), Found::Bytes(bytes)) => write(inner, bytes, defaults, out)?,
        (Shape::Message(_), _) => out.extend_from_slice(b"null"),
        (Shape::TextList, _) => write_list(many, out, |bytes, out| write_text(field, bytes, out))?,
        (Shape::MessageList(inner), _) => write_list(many, out, |bytes, out| write(inner, bytes, defaults, out))?,
        (Shape::TextMap, _) => write_map(field, many, out)?,
    }
    Ok(())
}

fn write_text(field: &Field, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
    if !write_plain(out, bytes) {
        write_string(out, view::text(field.name, bytes)?);
    }
    Ok(())
}

fn write_list(
    values: &[&[u8]],
    out: &mut Vec<u8>,
    mut write: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    out.push(b'[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(value, out)?;
    }
    out.push(b']');
    Ok(())
}

fn write_map(field: &Field, entries: &[&[u8]], out: &mut Vec<u8>) -> Result<(), WireError> {
    let entries = entries.iter().map(|entry| view::entry(field.name, entry));
    let sorted: BTreeMap<&str, &str> = entries.collect::<Result<_, _>>()?;
    out.push(b'{');
    for (index, (key, value)) in sorted.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(out, key);
        out.push(b':');
        write_string(out, value);
    }
    out.push(b'}');
    Ok(())
}

/// Reads the first JSON value of a text as a message, and gives its encoded form. No value at all and `null` are the
/// empty message; `null` is the default of every field; of two equal keys the last one counts.
///
/// The text of that value is looked at first, the fields afterwards in the order of their declaration: of several errors
/// the client hears the same one as from Go.
///
/// # Errors
/// No JSON, or a value of another type than its field.
pub fn read(message: &'static Message, text: &[u8], unknown: Unknown) -> Result<Vec<u8>, JsonError> {
    let mut parser = Parser::new(text);
    let mut out = Vec::new();
    if !parser.is_at_end() {
        read_message(parser.raw()?, message, unknown, &mut out)?;
    }
    Ok(out)
}

/// Appends the encoded message of a value.
fn read_message(value: &[u8], message: &'static Message, unknown: Unknown, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let mut parser = Parser::new(value);
    match parser.kind()? {
        Kind::Object => {}
        Kind::Null => return Ok(()),
        other => return Err(mismatch(other, "map[string]json.RawMessage")),
    }
    let mut values: Vec<Option<&[u8]>> = vec![None; message.fields.len()];
    let mut stranger = None;
    let mut members = parser.begin_object();
    while let Some(key) = parser.next_key(&mut members)? {
        let value = parser.raw()?;
        let index = message.fields.iter().position(|field| field.name == key);
        match index.and_then(|index| values.get_mut(index)) {
            Some(place) => *place = Some(value),
            None => stranger = stranger.or(Some(key)),
        }
    }
    for (field, value) in message.fields.iter().zip(values) {
        if let Some(value) = value {
            read_field(value, field, unknown, out)?;
        }
    }
    match stranger {
        Some(key) if unknown == Unknown::Refused => {
            Err(JsonError(format!("unknown field {} in {}", quoted(&key), message.name)))
        }
        _ => Ok(()),
    }
}

/// Appends the encoded field, or nothing for a default.
fn read_field(value: &[u8], field: &Field, unknown: Unknown, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let mut parser = Parser::new(value);
    let kind = parser.kind()?;
    if kind == Kind::Null {
        return Ok(());
    }
    match &field.shape {
        Shape::Text => put_text(field, &read_text(&mut parser, kind)?, out),
        Shape::Bool => match kind {
            Kind::Bool => put_number(field, u64::from(parser.literal()? == Some(true)), out),
            other => return Err(mismatch(other, "bool")),
        },
        Shape::Uint64 => put_number(field, read_uint64(&mut parser, kind)?, out),
        Shape::Message(inner) => put_bytes(field.number, &read_inner(value, inner, unknown)?, out),
        Shape::TextList => {
            for element in elements(&mut parser, kind)? {
                put_bytes(field.number, read_nullable_text(element)?.as_bytes(), out);
            }
        }
        Shape::MessageList(inner) => {
            for element in elements(&mut parser, kind)? {
                put_bytes(field.number, &read_inner(element, inner, unknown)?, out);
            }
        }
        Shape::TextMap => {
            for (key, value) in entries(&mut parser, kind)? {
                let value = read_nullable_text(value)?;
                let mut entry = Vec::with_capacity(key.len() + value.len() + 8);
                put_bytes(1, key.as_bytes(), &mut entry);
                put_bytes(2, value.as_bytes(), &mut entry);
                put_bytes(field.number, &entry, out);
            }
        }
    }
    Ok(())
}

fn read_inner(value: &[u8], message: &'static Message, unknown: Unknown) -> Result<Vec<u8>, JsonError> {
    let mut out = Vec::new();
    read_message(value, message, unknown, &mut out)?;
    Ok(out)
}

/// The texts of an array's elements.
fn elements<'a>(parser: &mut Parser<'a>, kind: Kind) -> Result<Vec<&'a [u8]>, JsonError> {
    if kind != Kind::Array {
        return Err(mismatch(kind, "[]json.RawMessage"));
    }
    let mut elements = Vec::new();
    let mut members = parser.begin_array();
    while parser.has_element(&mut members)? {
        elements.push(parser.raw()?);
    }
    Ok(elements)
}

/// The texts of an object's values; of equal keys the last one.
fn entries<'a>(parser: &mut Parser<'a>, kind: Kind) -> Result<BTreeMap<String, &'a [u8]>, JsonError> {
    if kind != Kind::Object {
        return Err(mismatch(kind, "map[string]json.RawMessage"));
    }
    let mut entries = BTreeMap::new();
    let mut members = parser.begin_object();
    while let Some(key) = parser.next_key(&mut members)? {
        entries.insert(key, parser.raw()?);
    }
    Ok(entries)
}

fn read_nullable_text(value: &[u8]) -> Result<String, JsonError> {
    let mut parser = Parser::new(value);
    match parser.kind()? {
        Kind::Null => Ok(String::new()),
        kind => read_text(&mut parser, kind),
    }
}

fn read_text(parser: &mut Parser<'_>, kind: Kind) -> Result<String, JsonError> {
    if kind == Kind::String { parser.string() } else { Err(mismatch(kind, "string")) }
}

/// A number, or a string with one.
fn read_uint64(parser: &mut Parser<'_>, kind: Kind) -> Result<u64, JsonError> {
    let text = match kind {
        Kind::Number => parser.number()?.to_owned(),
        Kind::String => parser.string()?,
        other => return Err(mismatch(other, "uint64")),
    };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    text.parse().ok().filter(|_| digits).ok_or_else(|| {
        JsonError(match text.as_str() {
            "" => "unexpected end of JSON input".to_owned(),
            text => format!("json: cannot unmarshal number {text} into Go value of type uint64"),
        })
    })
}

fn mismatch(kind: Kind, wanted: &str) -> JsonError {
    let kind = match kind {
        Kind::Object => "object",
        Kind::Array => "array",
        Kind::String => "string",
        Kind::Number => "number",
        Kind::Bool => "bool",
        Kind::Null => "null",
    };
    JsonError(format!("json: cannot unmarshal {kind} into Go value of type {wanted}"))
}

#[cfg(test)]
mod tests;
