//! Writes, each carried out on the writer thread inside its transaction.

use std::sync::Arc;

use bson::{Bson, Document};
use bytes::Bytes;
use rusqlite::OptionalExtension as _;
use rusqlite::types::Value;

use super::index::{self, Stored};
use super::narrow::Narrow;
use super::read;
use super::row::{self, Row, Shape};
use super::table::{DATA, Table};
use super::writer::Writing;
use crate::feed::{Change, ChangeKind, Feed};
use crate::json::JsonError;
use crate::{Error, Filter, Index, JsonText, Path, Render, Result, Upsert, update};

/// Fields to set, made ready on the caller's thread: the writer thread has the least time.
#[derive(Debug)]
pub(super) struct Assignments {
    fields: Document,
    /// Column values, if every field is a column and has its type.
    columns: Option<Vec<(String, Value)>>,
}

impl Assignments {
    pub(super) fn new(table: &Table, fields: Document) -> Result<Self> {
        update::check(&fields)?;
        let mut columns = Vec::with_capacity(fields.len());
        let mut rest = Document::new();
        for (field, value) in fields {
            match table.column(&field) {
                Some(column) => match row::column_value(column, value) {
                    Ok(value) => columns.push((field, value)),
                    Err(value) => {
                        rest.insert(field, value);
                    }
                },
                None => {
                    rest.insert(field, value);
                }
            }
        }
        if rest.is_empty() {
            return Ok(Self { fields: rest, columns: Some(columns) });
        }
        // Rare (`extra`, custom resources): keep everything as values, the document is put together for it.
        for (field, value) in columns {
            let value = row::value_of(table, &field, value)?;
            rest.insert(field, value);
        }
        Ok(Self { fields: rest, columns: None })
    }

    /// The same with the field `data` as text.
    fn with_data(table: &Table, mut fields: Document, data: Option<JsonText>) -> Result<Self> {
        let unreadable = |error: JsonError| Error::Invalid(format!("data: {error}"));
        let Some(data) = data else { return Self::new(table, fields) };
        fields.insert(DATA, Bson::Null);
        let mut assignments = Self::new(table, fields)?;
        match &mut assignments.columns {
            Some(columns) => {
                let text = Value::Text(data.normalised().map_err(unreadable)?);
                columns.retain(|(field, _)| field != DATA);
                columns.push((DATA.to_owned(), text));
            }
            None => {
                assignments.fields.insert(DATA, data.decode().map_err(unreadable)?);
            }
        }
        Ok(assignments)
    }

    fn document(&self, table: &Table) -> Result<Document> {
        match &self.columns {
            None => Ok(self.fields.clone()),
            Some(columns) => columns
                .iter()
                .map(|(field, value)| Ok((field.clone(), row::value_of(table, field, value.clone())?)))
                .collect(),
        }
    }

    fn touches(&self, index: &Stored) -> bool {
        let mut names: Box<dyn Iterator<Item = &str>> = match &self.columns {
            Some(columns) => Box::new(columns.iter().map(|(field, _)| field.as_str())),
            None => Box::new(self.fields.keys().filter_map(|path| path.split('.').next())),
        };
        names.any(|field| index.covers(field))
    }

    /// True if every field is set to the text the condition `key` demands: then the row has it already.
    fn keeps(&self, index: &Stored, key: &Document) -> bool {
        let Some(columns) = &self.columns else { return false };
        columns.iter().filter(|(field, _)| index.covers(field)).all(|(field, value)| {
            matches!((value, key.get(field)), (Value::Text(text), Some(Bson::String(wanted))) if text == wanted)
        })
    }
}

/// A write target.
pub(super) struct Target<'a> {
    pub(super) table: &'a Table,
    pub(super) collection: &'a str,
}

impl Target<'_> {
    fn database(&self) -> &'static str {
        self.table.layout.name
    }

    fn indexes(&self, writing: &mut Writing<'_>) -> Result<Arc<[Stored]>> {
        writing.indexes(self.database(), self.collection)
    }

    pub(super) fn insert(&self, writing: &mut Writing<'_>, row: &Row) -> Result<()> {
        let mut keys = Vec::new();
        for stored in unique(&self.indexes(writing)?) {
            let key = stored.key(&row.fields_for(self.table, stored)?)?;
            self.check_free(writing, stored, &key, None)?;
            keys.push((stored.id, key));
        }
        let mut parameters: Vec<&dyn rusqlite::ToSql> = vec![&self.collection];
        parameters.extend(row.parameters());
        writing.connection.prepare_cached(&self.table.insert)?.execute(parameters.as_slice())?;
        let seq = writing.connection.last_insert_rowid();
        for (id, key) in keys {
            index::take(writing.connection, id, &key, seq)?;
        }
        if let Some(feed) = writing.feed(self.database(), self.collection) {
            self.publish(writing, feed, ChangeKind::Insert, seq)?;
        }
        Ok(())
    }

    /// Refuses an `_id` that another document has.
    pub(super) fn check_id(&self, writing: &Writing<'_>, id: &Bson) -> Result<()> {
        let same = Filter::Eq(Path::dotted("_id"), id.clone());
        match read::count(writing.connection, self.table, self.collection, &same)? {
            0 => Ok(()),
            _ => Err(Error::Duplicate { index: "_id_".to_owned() }),
        }
    }

    fn check_free(&self, writing: &Writing<'_>, stored: &Stored, key: &[u8], own: Option<i64>) -> Result<()> {
        match index::holder(writing.connection, stored.id, key)? {
            Some(holder) if Some(holder) != own => Err(Error::Duplicate { index: stored.index.name.clone() }),
            _ => Ok(()),
        }
    }

    /// Carries out [`Upsert`].
    pub(super) fn upsert(&self, writing: &mut Writing<'_>, upsert: &PreparedUpsert) -> Result<()> {
        match self.find_for_upsert(writing, &upsert.filter)? {
            None => self.insert(writing, &upsert.new_row(self.table)?),
            Some(found) if found.deleted => {
                self.update_row(writing, &found, &[&upsert.set, &upsert.set_when_new], &upsert.key)
            }
            Some(found) => self.update_row(writing, &found, &[&upsert.set], &upsert.key),
        }
    }

    /// The first live match, else the first deleted one.
    fn find_for_upsert(&self, writing: &Writing<'_>, filter: &Filter) -> Result<Option<Found>> {
        let narrow = Narrow::of(self.table, filter);
        if !narrow.exact {
            let mut rows = read::find_rows(writing.connection, self.table, self.collection, filter)?;
            rows.sort_by_key(|(_, row)| row.flag == Some(true));
            return Ok(rows.into_iter().next().map(|(seq, row)| Found::new(seq, row.flag, row.rest.is_none())));
        }
        let sql = format!(
            "SELECT _seq, _flag, _rest IS NULL FROM {} WHERE _collection = ?{} ORDER BY _flag IS 1, _seq LIMIT 1",
            self.table.name(),
            narrow.sql
        );
        let parameters = std::iter::once(Value::Text(self.collection.to_owned())).chain(narrow.parameters);
        let mut statement = writing.connection.prepare_cached(&sql)?;
        let found = statement
            .query_row(rusqlite::params_from_iter(parameters), |row| {
                Ok(Found::new(row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        Ok(found)
    }

    /// Sets fields of one row. `key` holds conditions the row is known to meet.
    fn update_row(
        &self,
        writing: &mut Writing<'_>,
        found: &Found,
        sets: &[&Assignments],
        key: &Document,
    ) -> Result<()> {
        let indexes = self.indexes(writing)?;
        let keeps_indexes =
            unique(&indexes).all(|stored| sets.iter().all(|set| !set.touches(stored) || set.keeps(stored, key)));
        // A field kept in `rest` might have to move into its column; then the whole document is looked at.
        if found.only_columns && keeps_indexes && sets.iter().all(|set| set.columns.is_some()) {
            // What the row is known to hold is not written again: SQLite would rewrite the index entries for it.
            let is_held = |(field, value): &&(String, Value)| matches!((value, key.get(field)), (Value::Text(text), Some(Bson::String(held))) if text == held);
            let columns: Vec<_> = sets
                .iter()
                .filter_map(|set| set.columns.as_ref())
                .flatten()
                .filter(|column| !is_held(column))
                .collect();
            self.set_columns(writing, found, &columns)
        } else {
            self.set_fields(writing, found, sets, &indexes)
        }
    }

    fn set_columns(&self, writing: &mut Writing<'_>, found: &Found, columns: &[&(String, Value)]) -> Result<()> {
        let sql = format!("UPDATE {} SET {} WHERE _seq = ?", self.table.name(), self.assignments(columns));
        let feed = writing.feed(self.database(), self.collection);
        let before = feed.as_ref().map(|_| self.row(writing, found.seq)).transpose()?;
        let mut parameters: Vec<&dyn rusqlite::ToSql> = columns.iter().map(|(_, value)| value as _).collect();
        parameters.push(&found.seq);
        writing.connection.prepare_cached(&sql)?.execute(parameters.as_slice())?;
        if let (Some(feed), Some(before)) = (feed, before) {
            self.publish_update(writing, feed, found.seq, &before)?;
        }
        Ok(())
    }

    fn assignments(&self, columns: &[&(String, Value)]) -> String {
        let assignments: Vec<String> =
            columns.iter().map(|(field, _)| format!("{} = ?", self.table.column_name(field))).collect();
        assignments.join(", ")
    }

    fn set_fields(
        &self,
        writing: &mut Writing<'_>,
        found: &Found,
        sets: &[&Assignments],
        indexes: &[Stored],
    ) -> Result<()> {
        let before = self.row(writing, found.seq)?;
        let old = before.to_document(self.table)?;
        let mut new = old.clone();
        for set in sets {
            for (path, value) in set.document(self.table)? {
                update::set_path(&mut new, &path, value)?;
            }
        }
        if old.get("_id") != new.get("_id") {
            return Err(Error::Invalid("field \"_id\" cannot be changed".to_owned()));
        }
        let mut moved = Vec::new();
        for stored in unique(indexes) {
            let (was, becomes) = (stored.key(&old)?, stored.key(&new)?);
            if was != becomes {
                self.check_free(writing, stored, &becomes, Some(found.seq))?;
                moved.push((stored.id, was, becomes));
            }
        }
        let row = Row::from_document(self.table, new)?;
        for (id, was, becomes) in moved {
            index::release(writing.connection, id, &was)?;
            index::take(writing.connection, id, &becomes, found.seq)?;
        }
        let mut parameters = row.parameters();
        parameters.push(&found.seq);
        writing.connection.prepare_cached(&self.table.replace)?.execute(parameters.as_slice())?;
        if let Some(feed) = writing.feed(self.database(), self.collection) {
            self.publish_update(writing, feed, found.seq, &before)?;
        }
        Ok(())
    }

    fn row(&self, writing: &Writing<'_>, seq: i64) -> Result<Row> {
        let sql = format!("SELECT {} FROM {} WHERE _seq = ?", self.table.columns, self.table.name());
        Ok(writing.connection.prepare_cached(&sql)?.query_row([seq], |row| Row::read(self.table, row))?)
    }

    pub(super) fn update_many(&self, writing: &mut Writing<'_>, filter: &Filter, set: &Assignments) -> Result<u64> {
        let unobserved = writing.feed(self.database(), self.collection).is_none();
        let indexes = self.indexes(writing)?;
        let narrow = Narrow::of(self.table, filter);
        if let Some(columns) = &set.columns
            && unobserved
            && narrow.exact
            && !unique(&indexes).any(|stored| set.touches(stored))
            && !self.has_strays(writing, columns)?
        {
            let assignments = self.assignments(&columns.iter().collect::<Vec<_>>());
            let sql = format!("UPDATE {} SET {assignments} WHERE _collection = ?{}", self.table.name(), narrow.sql);
            let parameters = columns
                .iter()
                .map(|(_, value)| value.clone())
                .chain([Value::Text(self.collection.to_owned())])
                .chain(narrow.parameters);
            let updated = writing.connection.prepare_cached(&sql)?.execute(rusqlite::params_from_iter(parameters))?;
            return Ok(updated as u64);
        }
        let rows = read::find_rows(writing.connection, self.table, self.collection, filter)?;
        all_or_nothing(writing, |writing| {
            for (seq, row) in &rows {
                let found = Found::new(*seq, row.flag, row.rest.is_none());
                self.update_row(writing, &found, &[set], &Document::new())?;
            }
            Ok(rows.len() as u64)
        })
    }

    /// True if some document keeps one of these fields outside its column, because it had another type.
    fn has_strays(&self, writing: &Writing<'_>, columns: &[(String, Value)]) -> Result<bool> {
        for (field, _) in columns {
            let column = self.table.column_name(field);
            let mut name = Vec::new();
            crate::json::write_string(field, &mut name);
            let sql = format!(
                "SELECT 1 FROM {} WHERE _collection = ? AND {column} IS NULL AND instr(_rest, ?) > 0 LIMIT 1",
                self.table.name()
            );
            let name = String::from_utf8_lossy(&name);
            let mut statement = writing.connection.prepare_cached(&sql)?;
            if statement.exists((self.collection, name.as_ref()))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn delete_many(&self, writing: &mut Writing<'_>, filter: &Filter) -> Result<u64> {
        let feed = writing.feed(self.database(), self.collection);
        let indexes = self.indexes(writing)?;
        let narrow = Narrow::of(self.table, filter);
        if feed.is_none() && unique(&indexes).next().is_none() && narrow.exact {
            let sql = format!("DELETE FROM {} WHERE _collection = ?{}", self.table.name(), narrow.sql);
            let parameters = std::iter::once(Value::Text(self.collection.to_owned())).chain(narrow.parameters);
            let deleted = writing.connection.prepare_cached(&sql)?.execute(rusqlite::params_from_iter(parameters))?;
            return Ok(deleted as u64);
        }
        let rows = read::find_rows(writing.connection, self.table, self.collection, filter)?;
        let sql = format!("DELETE FROM {} WHERE _seq = ?", self.table.name());
        for (seq, row) in &rows {
            for stored in unique(&indexes) {
                let key = stored.key(&row.fields_for(self.table, stored)?)?;
                index::release(writing.connection, stored.id, &key)?;
            }
            writing.connection.prepare_cached(&sql)?.execute([seq])?;
            if let Some(feed) = &feed {
                let change = Change::new(ChangeKind::Delete, Document::new(), Bytes::from_static(b"null"));
                writing.changed(feed.clone(), change);
            }
        }
        Ok(rows.len() as u64)
    }

    pub(super) fn ensure_index(&self, writing: &mut Writing<'_>, wanted: &Index) -> Result<()> {
        let indexes = self.indexes(writing)?;
        if indexes.iter().any(|stored| stored.index.name == wanted.name) {
            return Ok(());
        }
        all_or_nothing(writing, |writing| {
            let stored = index::create(writing.connection, self.database(), self.collection, wanted)?;
            if wanted.unique {
                for (seq, row) in read::find_rows(writing.connection, self.table, self.collection, &Filter::all())? {
                    let key = stored.key(&row.to_document(self.table)?)?;
                    self.check_free(writing, &stored, &key, None)?;
                    index::take(writing.connection, stored.id, &key, seq)?;
                }
            }
            Ok(())
        })?;
        writing.indexes_changed(self.database(), self.collection);
        Ok(())
    }

    pub(super) fn drop_index(&self, writing: &mut Writing<'_>, name: &str) -> Result<()> {
        let indexes = self.indexes(writing)?;
        let stored = indexes
            .iter()
            .find(|stored| stored.index.name == name)
            .ok_or_else(|| Error::NotFound(format!("index {name:?} of collection {:?}", self.collection)))?;
        index::remove(writing.connection, stored.id)?;
        writing.indexes_changed(self.database(), self.collection);
        Ok(())
    }

    fn publish_update(&self, writing: &mut Writing<'_>, feed: Feed, seq: i64, before: &Row) -> Result<()> {
        let after = self.row(writing, seq)?;
        let deletion_flag = if after.flag == before.flag { None } else { after.flag };
        let changed = after != *before;
        self.publish(writing, feed, ChangeKind::Update { deletion_flag, changed }, seq)
    }

    fn publish(&self, writing: &mut Writing<'_>, feed: Feed, kind: ChangeKind, seq: i64) -> Result<()> {
        let sql = format!("SELECT {} FROM {} WHERE _seq = ?", self.table.columns, self.table.name());
        let mut statement = writing.connection.prepare_cached(&sql)?;
        let mut json = Vec::with_capacity(4096);
        let row = statement.query_row([seq], |row| {
            Ok(row::write_json(self.table, row, &Shape::Whole, Render::default(), &mut json)
                .and_then(|()| Ok(Row::read(self.table, row)?)))
        })??;
        drop(statement);
        let mut fields = row.fields(self.table);
        if row.rest.is_some() {
            let rest = Row { data: None, ..row }.to_document(self.table)?;
            fields.extend(rest.into_iter().filter(|(_, value)| !matches!(value, Bson::Document(_) | Bson::Array(_))));
        }
        writing.changed(feed, Change::new(kind, fields, Bytes::from(json)));
        Ok(())
    }
}

fn unique(indexes: &[Stored]) -> impl Iterator<Item = &Stored> {
    indexes.iter().filter(|stored| stored.index.unique)
}

/// A row an update is for.
struct Found {
    seq: i64,
    deleted: bool,
    only_columns: bool,
}

impl Found {
    fn new(seq: i64, flag: Option<bool>, only_columns: bool) -> Self {
        Self { seq, deleted: flag == Some(true), only_columns }
    }
}

/// An [`Upsert`] made ready for the writer thread.
#[derive(Debug)]
pub(super) struct PreparedUpsert {
    key: Document,
    /// The same as column values, if all of it is columns.
    key_columns: Option<Vec<(String, Value)>>,
    filter: Filter,
    set: Assignments,
    set_when_new: Assignments,
}

impl PreparedUpsert {
    pub(super) fn new(table: &Table, upsert: Upsert) -> Result<Self> {
        let Upsert { key, set, data, set_when_new } = upsert;
        update::check(&key)?;
        let set = Assignments::with_data(table, set, data)?;
        let set_when_new = Assignments::new(table, set_when_new)?;
        let key_columns = key
            .iter()
            .map(|(field, value)| {
                let value = row::column_value(table.column(field)?, value.clone()).ok()?;
                Some((field.clone(), value))
            })
            .collect();
        Ok(Self { filter: Filter::equal_to(&key), key, key_columns, set, set_when_new })
    }

    /// The row of a new document: the conditions of the key, then what is set.
    fn new_row(&self, table: &Table) -> Result<Row> {
        let sets = [&self.set, &self.set_when_new];
        if let (Some(key), true) = (&self.key_columns, sets.iter().all(|set| set.columns.is_some())) {
            let columns = sets.iter().filter_map(|set| set.columns.as_ref()).flatten();
            return Ok(Row::from_columns(table, key.iter().chain(columns)));
        }
        let mut document = Document::new();
        for (path, value) in &self.key {
            update::set_path(&mut document, path, value.clone())?;
        }
        for set in sets {
            for (path, value) in set.document(table)? {
                update::set_path(&mut document, &path, value)?;
            }
        }
        Row::from_document(table, document)
    }
}

/// Runs `work` inside a savepoint: if it is refused half-way, nothing of it stays.
fn all_or_nothing<T>(writing: &mut Writing<'_>, work: impl FnOnce(&mut Writing<'_>) -> Result<T>) -> Result<T> {
    writing.connection.execute_batch("SAVEPOINT write")?;
    let changes = writing.changes_noted();
    match work(writing) {
        Ok(value) => {
            writing.connection.execute_batch("RELEASE write")?;
            Ok(value)
        }
        Err(error) => {
            writing.connection.execute_batch("ROLLBACK TO write; RELEASE write")?;
            writing.forget_changes(changes);
            Err(error)
        }
    }
}
