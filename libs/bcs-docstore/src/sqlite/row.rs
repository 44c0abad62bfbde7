//! A document as the columns of its row, and back.

use std::borrow::Cow;

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document};
use rusqlite::types::{ToSql, Value, ValueRef};

use super::index::Stored;
use super::table::{Column, DATA, Table};
use crate::json;
use crate::store::encode_document;
use crate::{Encode, Error, FieldRef, Fields, Render, Result, project};

/// The columns of a row; `keys` and `times` in the order of the layout.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) id: Option<Vec<u8>>,
    pub(super) keys: Vec<Option<String>>,
    pub(super) times: Vec<Option<i64>>,
    pub(super) flag: Option<bool>,
    /// JSON text of the field `data`.
    pub(super) data: Option<String>,
    /// JSON text of all other fields, without braces.
    pub(super) rest: Option<String>,
}

impl Row {
    /// Takes a document apart. A new ObjectId is made if it has no `_id`.
    pub(super) fn from_document(table: &Table, document: Document) -> Result<Self> {
        let layout = &table.layout;
        let mut row =
            Self { keys: vec![None; layout.keys.len()], times: vec![None; layout.times.len()], ..Self::default() };
        let mut rest = Document::new();
        let mut has_id = false;
        for (field, value) in document {
            has_id |= field == "_id";
            match (table.column(&field), value) {
                (Some(Column::Data), value) => row.data = Some(text_of(&value)),
                (Some(Column::Key), Bson::String(text)) => {
                    if let Some(slot) = slot(layout.keys, &field, &mut row.keys) {
                        *slot = Some(text);
                    }
                }
                // Equality would have to look into it, and the index cannot.
                (Some(Column::Key), Bson::Array(_)) => {
                    return Err(Error::Invalid(format!("field {field:?} must not be an array")));
                }
                (Some(Column::Time), Bson::DateTime(time)) => {
                    if let Some(slot) = slot(layout.times, &field, &mut row.times) {
                        *slot = Some(time.timestamp_millis());
                    }
                }
                (Some(Column::Flag), Bson::Boolean(flag)) => row.flag = Some(flag),
                (None, Bson::ObjectId(id)) if field == "_id" => row.id = Some(id.bytes().to_vec()),
                (_, value) => {
                    rest.insert(field, value);
                }
            }
        }
        if !has_id {
            row.id = Some(ObjectId::new().bytes().to_vec());
        }
        if !rest.is_empty() {
            row.rest = Some(members(&rest));
        }
        Ok(row)
    }

    /// A new row of column values, with a new ObjectId.
    pub(super) fn from_columns<'a>(table: &Table, columns: impl Iterator<Item = &'a (String, Value)>) -> Self {
        let layout = &table.layout;
        let mut row = Self {
            id: Some(ObjectId::new().bytes().to_vec()),
            keys: vec![None; layout.keys.len()],
            times: vec![None; layout.times.len()],
            ..Self::default()
        };
        for (field, value) in columns {
            match (table.column(field), value) {
                (Some(Column::Data), Value::Text(text)) => row.data = Some(text.clone()),
                (Some(Column::Flag), Value::Integer(flag)) => row.flag = Some(*flag != 0),
                (Some(Column::Key), Value::Text(text)) => {
                    if let Some(slot) = slot(layout.keys, field, &mut row.keys) {
                        *slot = Some(text.clone());
                    }
                }
                (Some(Column::Time), Value::Integer(millis)) => {
                    if let Some(slot) = slot(layout.times, field, &mut row.times) {
                        *slot = Some(*millis);
                    }
                }
                _ => {}
            }
        }
        row
    }

    /// Reads all columns of [`Table::columns`], behind `seq`.
    pub(super) fn read(table: &Table, row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let keys = table.layout.keys.len();
        let times = table.layout.times.len();
        Ok(Self {
            id: row.get(1)?,
            keys: (0..keys).map(|index| row.get(2 + index)).collect::<rusqlite::Result<_>>()?,
            times: (0..times).map(|index| row.get(2 + keys + index)).collect::<rusqlite::Result<_>>()?,
            flag: row.get(2 + keys + times)?,
            data: row.get(3 + keys + times)?,
            rest: row.get(4 + keys + times)?,
        })
    }

    /// The parameters of [`Table::insert`] (behind the collection) and of [`Table::replace`] (before `seq`).
    pub(super) fn parameters(&self) -> Vec<&dyn ToSql> {
        let mut parameters: Vec<&dyn ToSql> = vec![&self.id];
        parameters.extend(self.keys.iter().map(|key| key as &dyn ToSql));
        parameters.extend(self.times.iter().map(|time| time as &dyn ToSql));
        parameters.extend([&self.flag as &dyn ToSql, &self.data, &self.rest]);
        parameters
    }

    /// Puts the document together.
    pub(super) fn to_document(&self, table: &Table) -> Result<Document> {
        let mut document = self.fields(table);
        if let Some(data) = &self.data {
            document.insert(DATA, parse(data)?);
        }
        if let Some(rest) = &self.rest
            && let Bson::Document(rest) = parse(&format!("{{{rest}}}"))?
        {
            document.extend(rest);
        }
        Ok(document)
    }

    /// As much of the document as the key of an index is made of.
    pub(super) fn fields_for(&self, table: &Table, index: &Stored) -> Result<Document> {
        let only_columns =
            index.index.keys.iter().all(|(path, _)| table.column(path).is_some_and(|it| it != Column::Data));
        if only_columns && self.rest.is_none() { Ok(self.fields(table)) } else { self.to_document(table) }
    }

    /// The fields that are columns, without `data`.
    pub(super) fn fields(&self, table: &Table) -> Document {
        let mut document = Document::new();
        if let Some(id) = self.id.as_deref().and_then(|id| <[u8; 12]>::try_from(id).ok()) {
            document.insert("_id", ObjectId::from_bytes(id));
        }
        for (field, value) in table.layout.keys.iter().zip(&self.keys) {
            if let Some(value) = value {
                document.insert(*field, value.as_str());
            }
        }
        for (field, value) in table.layout.times.iter().zip(&self.times) {
            if let Some(value) = value {
                document.insert(*field, DateTime::from_millis(*value));
            }
        }
        if let (Some(field), Some(flag)) = (table.layout.deletion_flag, self.flag) {
            document.insert(field, flag);
        }
        document
    }
}

fn slot<'a, T>(fields: &[&str], field: &str, values: &'a mut [T]) -> Option<&'a mut T> {
    fields.iter().position(|name| *name == field).and_then(|index| values.get_mut(index))
}

/// JSON text of a value.
pub(super) fn text_of(value: &Bson) -> String {
    let mut out = Vec::with_capacity(1024);
    json::write_bson(value, &mut out);
    into_text(out)
}

fn members(document: &Document) -> String {
    let mut out = Vec::new();
    json::write_document(document, &mut out);
    let text = into_text(out);
    text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_default().to_owned()
}

fn into_text(out: Vec<u8>) -> String {
    // The writer makes UTF-8 of UTF-8; this never replaces anything.
    String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn parse(text: &str) -> Result<Bson> {
    json::decode_stored(text).map_err(unreadable)
}

fn unreadable(error: json::JsonError) -> Error {
    Error::Database(Box::new(error))
}

/// A layout field as the value of its column, if its type is the column's.
pub(super) fn column_value(column: Column, value: Bson) -> Result<Value, Bson> {
    match (column, value) {
        (Column::Data, value) => Ok(Value::Text(text_of(&value))),
        (Column::Key, Bson::String(text)) => Ok(Value::Text(text)),
        (Column::Time, Bson::DateTime(time)) => Ok(Value::Integer(time.timestamp_millis())),
        (Column::Flag, Bson::Boolean(flag)) => Ok(Value::Integer(i64::from(flag))),
        (_, value) => Err(value),
    }
}

/// The value of a column, as [`column_value`] took it.
pub(super) fn value_of(table: &Table, field: &str, value: Value) -> Result<Bson> {
    Ok(match (table.column(field), value) {
        (Some(Column::Data), Value::Text(text)) => parse(&text)?,
        (Some(Column::Time), Value::Integer(millis)) => Bson::DateTime(DateTime::from_millis(millis)),
        (Some(Column::Flag), Value::Integer(flag)) => Bson::Boolean(flag != 0),
        (_, Value::Text(text)) => Bson::String(text),
        _ => Bson::Null,
    })
}

/// Which fields of a row go to the client, decided once a read.
pub(super) enum Shape<'a> {
    Whole,
    /// Only these fields of the document itself.
    Fields(&'a [String]),
    /// These paths; the document has to be parsed for them.
    Paths(&'a [String]),
}

impl<'a> Shape<'a> {
    pub(super) fn of(projection: &'a [String]) -> Self {
        if projection.is_empty() {
            Shape::Whole
        } else if projection.iter().all(|path| !path.contains('.')) {
            Shape::Fields(projection)
        } else {
            Shape::Paths(projection)
        }
    }

    fn wants(&self, field: &str) -> bool {
        match self {
            Shape::Fields(fields) => fields.iter().any(|wanted| wanted == field),
            _ => true,
        }
    }

    /// True if rows are needed with their `data`.
    pub(super) fn needs_data(&self) -> bool {
        self.wants(DATA)
    }
}

/// What is asked for of a row (the columns of [`Table::columns`]), as it stands in SQLite's memory.
struct Columns<'r> {
    id: Option<&'r [u8]>,
    /// The fields of the layout.
    fields: Vec<(&'static str, FieldRef<'r>)>,
    /// JSON text of the field `data`.
    data: Option<&'r [u8]>,
    /// JSON text of all other fields, wanted or not, without braces.
    rest: Option<&'r [u8]>,
}

impl<'r> Columns<'r> {
    fn of(table: &Table, row: &'r rusqlite::Row<'_>, shape: &Shape<'_>) -> Result<Self> {
        let layout = &table.layout;
        let mut next = 1..;
        let mut column = || row.get_ref(next.next().unwrap_or_default());
        let id = if let ValueRef::Blob(id) = column()? { Some(id) } else { None };
        // With room for what the others will add.
        let mut fields = Vec::with_capacity(layout.keys.len() + layout.times.len() + 8);
        for field in layout.keys {
            if let ValueRef::Text(text) = column()?
                && shape.wants(field)
            {
                fields.push((*field, FieldRef::Text(utf8(text))));
            }
        }
        for field in layout.times {
            if let ValueRef::Integer(millis) = column()?
                && shape.wants(field)
            {
                fields.push((*field, FieldRef::Time(millis)));
            }
        }
        if let (ValueRef::Integer(flag), Some(field)) = (column()?, layout.deletion_flag)
            && shape.wants(field)
        {
            fields.push((field, FieldRef::Bool(flag != 0)));
        }
        let data = text(column()?).filter(|_| shape.needs_data());
        let rest = text(column()?);
        Ok(Self { id, fields, data, rest })
    }

    fn id(&self) -> Option<Bson> {
        let id = <[u8; 12]>::try_from(self.id?).ok()?;
        Some(Bson::ObjectId(ObjectId::from_bytes(id)))
    }

    fn data(&self) -> Result<Option<Bson>> {
        self.data.map(|data| parse(&utf8(data))).transpose()
    }

    /// What is wanted of the other fields.
    ///
    /// A projection of columns may name one whose value has another type and is therefore kept there.
    fn rest(&self, shape: &Shape<'_>) -> Result<Vec<(String, Bson)>> {
        let Some(rest) = self.rest else { return Ok(Vec::new()) };
        let mut rest = json::decode_stored_members(&["{", &utf8(rest), "}"].concat()).map_err(unreadable)?;
        rest.retain(|(field, _)| field == "_id" || shape.wants(field));
        Ok(rest)
    }
}

/// A text of SQLite. It is UTF-8, and finding that out alone is the quicker way; anything else is made so.
fn utf8(text: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(text).map_or_else(|_| String::from_utf8_lossy(text), Cow::Borrowed)
}

fn text(column: ValueRef<'_>) -> Option<&[u8]> {
    if let ValueRef::Text(text) = column { Some(text) } else { None }
}

/// A row as a document of what is asked for.
pub(super) fn read_document(table: &Table, row: &rusqlite::Row<'_>, shape: &Shape<'_>) -> Result<Document> {
    let fields = read_fields(table, row, shape)?;
    Ok(fields.into_iter().map(|(field, value)| (field.into_owned(), value)).collect())
}

/// The same as fields.
pub(super) fn read_fields(table: &Table, row: &rusqlite::Row<'_>, shape: &Shape<'_>) -> Result<Fields> {
    if let Shape::Paths(paths) = shape {
        let document = project::project(&read_document(table, row, &Shape::Whole)?, paths);
        return Ok(document.into_iter().map(|(field, value)| (Cow::Owned(field), value)).collect());
    }
    let columns = Columns::of(table, row, shape)?;
    let (id, data, rest) = (columns.id(), columns.data()?, columns.rest(shape)?);
    let mut fields = Vec::with_capacity(columns.fields.len() + rest.len() + 2);
    fields.extend(id.map(|id| (Cow::Borrowed("_id"), id)));
    fields.extend(columns.fields.into_iter().map(|(field, value)| (Cow::Borrowed(field), owned(value))));
    fields.extend(data.map(|data| (Cow::Borrowed(DATA), data)));
    fields.extend(rest.into_iter().map(|(field, value)| (Cow::Owned(field), value)));
    Ok(fields)
}

fn owned(value: FieldRef<'_>) -> Bson {
    match value {
        FieldRef::Text(text) => Bson::String(text.into_owned()),
        FieldRef::Time(millis) => Bson::DateTime(DateTime::from_millis(millis)),
        FieldRef::Bool(value) => Bson::Boolean(value),
        FieldRef::Other(value) => value.clone(),
    }
}

/// Appends a row in the form of `encode`.
pub(super) fn encode(
    table: &Table,
    row: &rusqlite::Row<'_>,
    shape: &Shape<'_>,
    encode: Encode,
    out: &mut Vec<u8>,
) -> Result<()> {
    if let Shape::Paths(_) = shape {
        encode_document(&read_document(table, row, shape)?, encode, out);
        return Ok(());
    }
    let columns = Columns::of(table, row, shape)?;
    let (id, data, rest) = (columns.id(), columns.data()?, columns.rest(shape)?);
    let mut fields: Vec<(&str, FieldRef<'_>)> = columns.fields;
    fields.extend(rest.iter().map(|(field, value)| (field.as_str(), value.into())));
    fields.extend(data.iter().map(|data| (DATA, data.into())));
    fields.extend(id.iter().map(|id| ("_id", id.into())));
    encode(&fields, out);
    Ok(())
}

/// Appends a row as JSON, straight from SQLite's memory where no path is asked for.
pub(super) fn write_json(
    table: &Table,
    row: &rusqlite::Row<'_>,
    shape: &Shape<'_>,
    render: Render,
    out: &mut Vec<u8>,
) -> Result<()> {
    let start = out.len();
    if let Shape::Paths(_) = shape {
        let mut document = read_document(table, row, shape)?;
        for hidden in render.hide {
            document.remove(hidden);
        }
        json::write_document(&document, out);
    } else {
        write_columns(table, row, shape, render, out)?;
    }
    if render.restore_dollar {
        json::restore_dollar(out, start);
    }
    Ok(())
}

fn write_columns(
    table: &Table,
    row: &rusqlite::Row<'_>,
    shape: &Shape<'_>,
    render: Render,
    out: &mut Vec<u8>,
) -> Result<()> {
    let columns = Columns::of(table, row, shape)?;
    let mut object = json::Object::begin(out);
    if let Some(id) = columns.id {
        json::write_object_id(id, object.key("_id"));
    }
    for (field, value) in &columns.fields {
        match value {
            FieldRef::Text(text) => json::write_string(text, object.key(field)),
            FieldRef::Time(millis) => json::write_date(*millis, object.key(field)),
            // The deletion flag: the one that is hidden.
            FieldRef::Bool(value) if !render.hide.contains(field) => json::write_bool(*value, object.key(field)),
            FieldRef::Bool(_) => {}
            FieldRef::Other(value) => json::write_bson(value, object.key(field)),
        }
    }
    if let Some(data) = columns.data {
        object.key(DATA).extend_from_slice(data);
    }
    if let Some(rest) = columns.rest {
        // Copied, unless some of it is not wanted.
        if matches!(shape, Shape::Whole) && render.hide.iter().all(|hidden| table.layout.deletion_flag == Some(hidden))
        {
            object.raw().extend_from_slice(rest);
        } else {
            for (field, value) in columns.rest(shape)? {
                if field == "_id" || !render.hide.contains(&field.as_str()) {
                    json::write_bson(&value, object.key(&field));
                }
            }
        }
    }
    object.end();
    Ok(())
}
