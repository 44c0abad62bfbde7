//! Query strings and path variables as fields of a request.

use bcs_common::config::number::{parse_bool, parse_uint};
use bcs_common::go::quoted;
use bcs_common::http::router::path::decode;

use crate::parser::JsonError;
use crate::wire::{put_bytes, put_number, put_text};
use crate::{Field, Method, Shape};

/// Appends the fields that the query of a call gives. Of a repeated key the first value counts; unknown keys and those
/// that the path gives are passed over.
///
/// # Errors
/// A broken escape or a `;`, wherever it stands, or a value that its field cannot take; in the words of Go.
pub fn read(method: &Method, query: &str, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let mut seen: Vec<u32> = Vec::new();
    for (key, value) in pairs(query)? {
        // `a[b]=c` is the way to fill maps: for any other field the text in brackets is its first value.
        let (key, value) = match key.strip_suffix(']').and_then(|head| head.rsplit_once('[')) {
            Some((key, inner)) => (key.to_owned(), inner.to_owned()),
            None => (key, value),
        };
        let (name, nested) = key.split_once('.').map_or((key.as_str(), None), |(name, rest)| (name, Some(rest)));
        let field = method.request.fields.iter().find(|field| field.name == name);
        let Some(field) = field.filter(|field| !method.in_path(field)) else { continue };
        if let Some(nested) = nested {
            let nested = nested.split('.').next().unwrap_or_default();
            return Err(JsonError(format!("unexpected nested field {nested} in {name}")));
        }
        if !seen.contains(&field.number) {
            seen.push(field.number);
            read_value(field, &value, out)?;
        }
    }
    Ok(())
}

/// Keys and values, decoded.
fn pairs(query: &str) -> Result<Vec<(String, String)>, JsonError> {
    if query.contains(';') {
        return Err(JsonError("invalid semicolon separator in query".to_owned()));
    }
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((unescape(key)?, unescape(value)?))
    });
    pairs.collect()
}

/// Appends the value of a path variable, even an empty one: it is written over what the body said.
pub(crate) fn put_variable(field: &Field, value: &str, out: &mut Vec<u8>) {
    put_bytes(field.number, value.as_bytes(), out);
}

fn read_value(field: &Field, value: &str, out: &mut Vec<u8>) -> Result<(), JsonError> {
    match &field.shape {
        Shape::Text => put_text(field, value, out),
        Shape::TextList => put_bytes(field.number, value.as_bytes(), out),
        Shape::Bool => put_number(field, u64::from(bool_of(value)?), out),
        Shape::Uint64 => put_number(field, uint_of(value)?, out),
        Shape::Message(_) | Shape::MessageList(_) | Shape::TextMap => {
            return Err(JsonError(format!("unsupported field type {} in query", field.name)));
        }
    }
    Ok(())
}

fn unescape(text: &str) -> Result<String, JsonError> {
    let blanks = text.replace('+', " ");
    decode(&blanks).map(std::borrow::Cow::into_owned).ok_or_else(|| {
        let bytes = blanks.as_bytes();
        let broken = bytes.iter().enumerate().find_map(|(at, byte)| {
            let escape = bytes.get(at..bytes.len().min(at + 3))?;
            let whole = matches!(escape, [b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit());
            (*byte == b'%' && !whole).then(|| String::from_utf8_lossy(escape).into_owned())
        });
        JsonError(format!("invalid URL escape {}", quoted(&broken.unwrap_or_default())))
    })
}

fn bool_of(text: &str) -> Result<bool, JsonError> {
    parse_bool(text).ok_or_else(|| JsonError(format!("strconv.ParseBool: parsing {}: invalid syntax", quoted(text))))
}

fn uint_of(text: &str) -> Result<u64, JsonError> {
    parse_uint(text, u64::MAX)
        .map_err(|error| JsonError(format!("strconv.ParseUint: parsing {}: {error}", quoted(text))))
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::messages::{DeleteClusterReq, ListClusterReq};

    fn list(query: &str) -> Result<ListClusterReq, String> {
        let mut out = Vec::new();
        read(Method::named("ListCluster").unwrap(), query, &mut out).map_err(|error| error.to_string())?;
        Ok(ListClusterReq::decode(out.as_slice()).unwrap())
    }

    #[test]
    fn fields_come_from_the_query() {
        let request = list("projectID=p%201+x&limit=0x10&offset=01751&projectID=second&nosuch=%41&region").unwrap();
        assert_eq!((request.project_id.as_str(), request.limit, request.offset), ("p 1 x", 16, 1001));
        assert_eq!(list("").unwrap(), ListClusterReq::default());
        assert_eq!(list("limit=0&offset=0").unwrap(), ListClusterReq::default());
        assert_eq!(list("limit=1_000").unwrap().limit, 1000);
        assert_eq!(list("limit[7]=x&nosuch.a=1&nosuch[b]").unwrap().limit, 7);
    }

    #[test]
    fn what_a_field_cannot_take_is_an_error() {
        for (query, words) in [
            ("limit=-1", "strconv.ParseUint: parsing \"-1\": invalid syntax"),
            ("limit=", "strconv.ParseUint: parsing \"\": invalid syntax"),
            ("limit=%C2%A0'", "strconv.ParseUint: parsing \"\\u00a0'\": invalid syntax"),
            ("offset=ten", "strconv.ParseUint: parsing \"ten\": invalid syntax"),
            ("limit=0x", "strconv.ParseUint: parsing \"0x\": invalid syntax"),
            ("limit=08", "strconv.ParseUint: parsing \"08\": invalid syntax"),
            ("limit=18446744073709551616", "strconv.ParseUint: parsing \"18446744073709551616\": value out of range"),
            ("a=%zz", "invalid URL escape \"%zz\""),
            ("limit=x&a=%zz", "invalid URL escape \"%zz\""),
            ("limit=1;offset=2", "invalid semicolon separator in query"),
            ("region.name.x=1", "unexpected nested field name in region"),
            ("limit[x]=5", "strconv.ParseUint: parsing \"x\": invalid syntax"),
            ("a=%4", "invalid URL escape \"%4\""),
        ] {
            assert_eq!(list(query), Err(words.to_owned()), "{query}");
        }
    }

    #[test]
    fn the_path_wins_over_the_query() {
        let method = Method::named("DeleteCluster").unwrap();
        let mut out = Vec::new();
        read(method, "clusterID=query&clusterID.x=1&isForced=T", &mut out).unwrap();
        let request = DeleteClusterReq::decode(out.as_slice()).unwrap();
        assert_eq!((request.cluster_id.as_str(), request.is_forced), ("", true));
        let bad = read(method, "isForced=yes", &mut out).unwrap_err();
        assert_eq!(bad.to_string(), "strconv.ParseBool: parsing \"yes\": invalid syntax");
    }
}
