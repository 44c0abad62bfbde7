//! Making tables as the auto-migration of the original does (user-manager.md 8.2): missing tables and missing columns are
//! made, nothing else is touched.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::database::{Database, Dialect};
use crate::error::SqlError;

/// MySQL's errors for a table, column or key that another instance made in the same moment.
const EXISTS: [u16; 3] = [1050, 1060, 1061];

/// A table.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its columns, in order. The first one is the primary key.
    pub columns: &'static [Column],
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it may be NULL.
    pub null: bool,
    /// Whether values are unique; MySQL names the key after the column.
    pub unique: bool,
    /// The unique key of several columns that it is part of: all columns that name the same key, in their order.
    pub key: Option<&'static str>,
    /// The value of a number that is not given.
    pub default: Option<u32>,
    /// Whether SQLite compares without case, as MySQL does by default.
    pub without_case: bool,
    /// Whether SQLite gets an index on it. The original's MySQL schema has none but the unique ones.
    pub sqlite_index: bool,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number that the database counts up.
    Id,
    /// An unsigned 32 bit number.
    Uint,
    /// A signed 32 bit number.
    Int,
    /// 0 or 1.
    Bool,
    /// A text of at most so many characters.
    Text(u16),
    /// A time, to the second.
    Time,
}

impl Column {
    /// A column that may be NULL.
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            null: true,
            unique: false,
            key: None,
            default: None,
            without_case: false,
            sqlite_index: false,
        }
    }

    /// Without NULL.
    #[must_use]
    pub const fn not_null(self) -> Self {
        Self { null: false, ..self }
    }

    /// With unique values.
    #[must_use]
    pub const fn unique(self) -> Self {
        Self { unique: true, ..self }
    }

    /// Unique together with the other columns of the table that name the same key.
    #[must_use]
    pub const fn unique_with(self, key: &'static str) -> Self {
        Self { key: Some(key), ..self }
    }

    /// With a value for rows that give none.
    #[must_use]
    pub const fn default(self, number: u32) -> Self {
        Self { default: Some(number), ..self }
    }

    /// Compared without case in SQLite too.
    #[must_use]
    pub const fn without_case(self) -> Self {
        Self { without_case: true, ..self }
    }

    /// With an index in SQLite.
    #[must_use]
    pub const fn indexed_in_sqlite(self) -> Self {
        Self { sqlite_index: true, ..self }
    }
}

/// A table could not be made.
#[derive(Debug, Error)]
pub enum SchemaError {
    /// The tables there are cannot be listed.
    #[error("cannot read the schema")]
    Read(#[source] SqlError),
    /// A table cannot be made, or a column cannot be added to it.
    #[error("cannot make table {table}")]
    Make {
        /// The table.
        table: &'static str,
        /// Why.
        source: SqlError,
    },
}

/// Makes the tables, columns and keys of several columns that are missing.
///
/// # Errors
/// See [`SchemaError`].
pub async fn make_tables(database: &Database, tables: &[Table]) -> Result<(), SchemaError> {
    let mut existing = columns(database).await.map_err(SchemaError::Read)?;
    for (table, keys) in keys(database).await.map_err(SchemaError::Read)? {
        if let Some(existing) = existing.get_mut(&table) {
            existing.keys = keys;
        }
    }
    let dialect = database.dialect();
    let missing = tables.iter().flat_map(|table| {
        let sql = missing(dialect, table, existing.get(&table.name.to_lowercase()));
        sql.into_iter().map(|sql| (table.name, sql))
    });
    match dialect {
        Dialect::MySql => one_by_one(database, missing).await,
        Dialect::Sqlite => all_at_once(database, missing.collect()).await,
    }
}

/// MySQL has no transactions for the schema, and another instance may do the same just now.
async fn one_by_one(
    database: &Database,
    missing: impl Iterator<Item = (&'static str, String)>,
) -> Result<(), SchemaError> {
    for (table, sql) in missing {
        match database.run(sql).await {
            Err(SqlError::Refused { code, .. }) if EXISTS.contains(&code) => {}
            result => result.map_err(|source| SchemaError::Make { table, source })?,
        }
    }
    Ok(())
}

/// One wait for the disk, not one for each statement.
async fn all_at_once(database: &Database, missing: Vec<(&'static str, String)>) -> Result<(), SchemaError> {
    let Some(&(table, _)) = missing.last() else { return Ok(()) };
    let last = |source| SchemaError::Make { table, source };
    let mut transaction = database.begin().await.map_err(last)?;
    for (table, sql) in missing {
        transaction.run(sql).await.map_err(|source| SchemaError::Make { table, source })?;
    }
    transaction.commit().await.map_err(last)
}

/// What there is of a table, in lower case.
#[derive(Default)]
struct Existing {
    columns: Vec<String>,
    keys: Vec<String>,
}

/// The columns of all tables of the schema.
async fn columns(database: &Database) -> Result<BTreeMap<String, Existing>, SqlError> {
    let sql = match database.dialect() {
        Dialect::MySql => {
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = DATABASE()"
        }
        Dialect::Sqlite => {
            "SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table'"
        }
    };
    let mut tables = BTreeMap::<String, Existing>::new();
    for row in database.read(sql, &[]).await? {
        tables.entry(row.text(0)?.to_lowercase()).or_default().columns.push(row.text(1)?.to_lowercase());
    }
    Ok(tables)
}

/// The keys of all tables of MySQL. In SQLite a key is a part of the table, and no release of ours lacks one.
async fn keys(database: &Database) -> Result<BTreeMap<String, Vec<String>>, SqlError> {
    let mut tables = BTreeMap::<String, Vec<String>>::new();
    if database.dialect() == Dialect::MySql {
        let sql = "SELECT DISTINCT table_name, index_name FROM information_schema.statistics \
                   WHERE table_schema = DATABASE()";
        for row in database.read(sql, &[]).await? {
            tables.entry(row.text(0)?.to_lowercase()).or_default().push(row.text(1)?.to_lowercase());
        }
    }
    Ok(tables)
}

/// The statements that make what is missing of a table.
fn missing(dialect: Dialect, table: &Table, existing: Option<&Existing>) -> Vec<String> {
    let indexed = table.columns.iter().filter(|column| dialect == Dialect::Sqlite && column.sqlite_index);
    let indexes = indexed.map(|column| {
        let (table, column) = (table.name, column.name);
        format!("CREATE INDEX IF NOT EXISTS `{table}_{column}` ON `{table}` (`{column}`)")
    });
    let Some(existing) = existing else {
        return std::iter::once(create(dialect, table)).chain(indexes).collect();
    };
    let absent = table.columns.iter().filter(|column| !existing.columns.iter().any(|name| name == column.name));
    let absent_keys = key_names(table)
        .into_iter()
        .filter(|key| dialect == Dialect::MySql && !existing.keys.contains(&key.to_lowercase()))
        .map(|key| format!("CREATE UNIQUE INDEX `{key}` ON `{}` ({})", table.name, key_columns(table, key)));
    // SQLite can neither add a NOT NULL column without a default nor a UNIQUE one; no release of ours lacks such a column.
    absent
        .map(|column| format!("ALTER TABLE `{}` ADD `{}` {}", table.name, column.name, definition(dialect, column)))
        .chain(absent_keys)
        .chain(indexes)
        .collect()
}

fn create(dialect: Dialect, table: &Table) -> String {
    let column = |column: &Column| format!("`{}` {}", column.name, definition(dialect, column));
    let mut parts: Vec<String> = table.columns.iter().map(column).collect();
    let key = table.columns.first().filter(|key| dialect == Dialect::MySql || key.kind != Kind::Id);
    if let Some(key) = key {
        parts.push(format!("PRIMARY KEY (`{}`)", key.name));
    }
    parts.extend(key_names(table).into_iter().map(|key| match dialect {
        Dialect::MySql => format!("UNIQUE KEY `{key}` ({})", key_columns(table, key)),
        Dialect::Sqlite => format!("UNIQUE ({})", key_columns(table, key)),
    }));
    format!("CREATE TABLE IF NOT EXISTS `{}` ({})", table.name, parts.join(", "))
}

/// The keys of several columns, each once.
fn key_names(table: &Table) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = table.columns.iter().filter_map(|column| column.key).collect();
    names.dedup();
    names
}

fn key_columns(table: &Table, key: &str) -> String {
    let columns = table.columns.iter().filter(|column| column.key == Some(key));
    columns.map(|column| format!("`{}`", column.name)).collect::<Vec<_>>().join(", ")
}

fn definition(dialect: Dialect, column: &Column) -> String {
    let mut text = match (dialect, column.kind) {
        (Dialect::MySql, Kind::Id) => return "int unsigned NOT NULL AUTO_INCREMENT".to_owned(),
        (Dialect::Sqlite, Kind::Id) => return "INTEGER PRIMARY KEY AUTOINCREMENT".to_owned(),
        (Dialect::MySql, Kind::Uint) => "int unsigned".to_owned(),
        (Dialect::MySql, Kind::Int) => "int".to_owned(),
        (Dialect::MySql, Kind::Bool) => "tinyint(1)".to_owned(),
        (Dialect::Sqlite, Kind::Uint | Kind::Int | Kind::Bool) => "INTEGER".to_owned(),
        (Dialect::MySql, Kind::Text(length)) => format!("varchar({length})"),
        (Dialect::Sqlite, Kind::Text(_)) => "TEXT".to_owned(),
        (Dialect::MySql, Kind::Time) => "datetime".to_owned(),
        (Dialect::Sqlite, Kind::Time) => "DATETIME".to_owned(),
    };
    text.push_str(if column.null { " NULL" } else { " NOT NULL" });
    if let Some(number) = column.default {
        text.push_str(&format!(" DEFAULT {number}"));
    }
    if column.without_case && dialect == Dialect::Sqlite {
        text.push_str(" COLLATE NOCASE");
    }
    if column.unique {
        text.push_str(" UNIQUE");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: Table = Table {
        name: "users",
        columns: &[
            Column::new("id", Kind::Id).not_null(),
            Column::new("name", Kind::Text(255)).not_null().unique(),
            Column::new("kind", Kind::Uint).indexed_in_sqlite(),
            Column::new("created_at", Kind::Time),
        ],
    };

    #[test]
    fn makes_what_is_missing() {
        let sql = missing(Dialect::MySql, &USERS, None);
        let want = "CREATE TABLE IF NOT EXISTS `users` (`id` int unsigned NOT NULL AUTO_INCREMENT, \
                    `name` varchar(255) NOT NULL UNIQUE, `kind` int unsigned NULL, `created_at` datetime NULL, \
                    PRIMARY KEY (`id`))";
        assert_eq!(sql, [want]);
        let sql = missing(Dialect::Sqlite, &USERS, None);
        let want = "CREATE TABLE IF NOT EXISTS `users` (`id` INTEGER PRIMARY KEY AUTOINCREMENT, \
                    `name` TEXT NOT NULL UNIQUE, `kind` INTEGER NULL, `created_at` DATETIME NULL)";
        assert_eq!(sql, [want, "CREATE INDEX IF NOT EXISTS `users_kind` ON `users` (`kind`)"]);
        let columns = ["id", "name", "added", "created_at"].map(str::to_owned).to_vec();
        let existing = Existing { columns, keys: Vec::new() };
        let sql = missing(Dialect::MySql, &USERS, Some(&existing));
        assert_eq!(sql, ["ALTER TABLE `users` ADD `kind` int unsigned NULL"]);
    }

    #[test]
    fn keys_of_several_columns() {
        const GRANTS: Table = Table {
            name: "grants",
            columns: &[
                Column::new("id", Kind::Id).not_null(),
                Column::new("backend", Kind::Int).default(1).unique_with("idx"),
                Column::new("name", Kind::Text(16)).without_case().unique_with("idx"),
                Column::new("active", Kind::Bool),
            ],
        };
        let want = "CREATE TABLE IF NOT EXISTS `grants` (`id` int unsigned NOT NULL AUTO_INCREMENT, \
                    `backend` int NULL DEFAULT 1, `name` varchar(16) NULL, `active` tinyint(1) NULL, \
                    PRIMARY KEY (`id`), UNIQUE KEY `idx` (`backend`, `name`))";
        assert_eq!(missing(Dialect::MySql, &GRANTS, None), [want]);
        let want = "CREATE TABLE IF NOT EXISTS `grants` (`id` INTEGER PRIMARY KEY AUTOINCREMENT, \
                    `backend` INTEGER NULL DEFAULT 1, `name` TEXT NULL COLLATE NOCASE, `active` INTEGER NULL, \
                    UNIQUE (`backend`, `name`))";
        assert_eq!(missing(Dialect::Sqlite, &GRANTS, None), [want]);
        let columns = ["id", "backend", "name", "active"].map(str::to_owned).to_vec();
        let mut existing = Existing { columns, keys: vec!["primary".into()] };
        let want = "CREATE UNIQUE INDEX `idx` ON `grants` (`backend`, `name`)";
        assert_eq!(missing(Dialect::MySql, &GRANTS, Some(&existing)), [want]);
        assert!(missing(Dialect::Sqlite, &GRANTS, Some(&existing)).is_empty());
        existing.keys.push("idx".into());
        assert!(missing(Dialect::MySql, &GRANTS, Some(&existing)).is_empty());
    }

    #[tokio::test]
    async fn twice_is_as_once_and_other_columns_stay() {
        let dir = tempfile::tempdir().unwrap();
        let dsn = crate::Dsn::Sqlite(dir.path().join("x.db"));
        let database = Database::new(dsn).unwrap();
        make_tables(&database, &[USERS]).await.unwrap();
        database.run("ALTER TABLE users ADD extra TEXT".into()).await.unwrap();
        make_tables(&database, &[USERS]).await.unwrap();
        let names = columns(&database).await.unwrap().remove("users").unwrap();
        assert_eq!(names.columns, ["id", "name", "kind", "created_at", "extra"]);
    }
}
