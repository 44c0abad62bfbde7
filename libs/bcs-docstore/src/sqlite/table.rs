//! One table a database: which column keeps which field.

use crate::Layout;

/// The field whose value is kept as text of its own, because it is the bulk of every document.
pub(super) const DATA: &str = "data";

/// Where a top-level field is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Key,
    Time,
    Flag,
    Data,
}

/// A layout and the SQL made of it once.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) layout: Layout,
    /// All columns in the order of [`super::row::Row`].
    pub(super) columns: String,
    /// The same with `data` left out, for reads that do not need it.
    pub(super) columns_without_data: String,
    pub(super) insert: String,
    pub(super) replace: String,
}

impl Table {
    pub(super) fn new(layout: Layout) -> Self {
        let fields: Vec<String> = layout.keys.iter().chain(layout.times).map(|field| quoted(field)).collect();
        let listed = |data: &str| format!("_seq, _id, {}_flag, {data}, _rest", joined(&fields));
        let places = vec!["?"; fields.len() + 5].join(", ");
        let columns_without_seq = listed(DATA).replacen("_seq, ", "", 1);
        let assignments: Vec<String> = columns_without_seq.split(", ").map(|column| format!("{column} = ?")).collect();
        Self {
            columns: listed(DATA),
            columns_without_data: listed("NULL"),
            insert: format!(
                "INSERT INTO {} (_collection, {columns_without_seq}) VALUES ({places})",
                quoted(layout.name)
            ),
            replace: format!("UPDATE {} SET {} WHERE _seq = ?", quoted(layout.name), assignments.join(", ")),
            layout,
        }
    }

    /// The quoted name.
    pub(super) fn name(&self) -> String {
        quoted(self.layout.name)
    }

    /// Which column keeps `field`.
    pub(super) fn column(&self, field: &str) -> Option<Column> {
        if field == DATA {
            Some(Column::Data)
        } else if self.layout.keys.contains(&field) {
            Some(Column::Key)
        } else if self.layout.times.contains(&field) {
            Some(Column::Time)
        } else if self.layout.deletion_flag == Some(field) {
            Some(Column::Flag)
        } else {
            None
        }
    }

    /// The quoted name of the column that keeps `field`, a field of the layout.
    pub(super) fn column_name(&self, field: &str) -> String {
        if self.layout.deletion_flag == Some(field) { "_flag".to_owned() } else { quoted(field) }
    }

    /// The statements that make table and indexes.
    pub(super) fn schema(&self) -> String {
        let name = self.name();
        let keys: String = self.layout.keys.iter().map(|key| format!("{} TEXT, ", quoted(key))).collect();
        let times: String = self.layout.times.iter().map(|time| format!("{} INTEGER, ", quoted(time))).collect();
        // An ObjectId is a BLOB; another `_id` is kept in `_rest`. `data` and `_rest` are JSON text, `_rest` without
        // braces. The underscores keep our columns apart from fields.
        let mut schema = format!(
            "CREATE TABLE IF NOT EXISTS {name} (_seq INTEGER PRIMARY KEY, _collection TEXT NOT NULL, _id BLOB, \
             {keys}{times}_flag INTEGER, data TEXT, _rest TEXT);\n\
             CREATE INDEX IF NOT EXISTS {} ON {name} (_collection);\n",
            quoted(&format!("{}_collection", self.layout.name))
        );
        for fields in self.layout.indexes {
            let columns: Vec<String> = fields.iter().map(|field| self.column_name(field)).collect();
            let index = quoted(&format!("{}_{}", self.layout.name, fields.join("_")));
            schema.push_str(&format!(
                "CREATE INDEX IF NOT EXISTS {index} ON {name} (_collection, {});\n",
                columns.join(", ")
            ));
        }
        schema
    }
}

/// Names come from layouts in the code, never from clients; quoting only protects words that SQL reserves.
fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

fn joined(fields: &[String]) -> String {
    fields.iter().map(|field| format!("{field}, ")).collect()
}
