//! What SQL can say of a filter.

use bson::Bson;
use rusqlite::types::Value;

use super::table::{Column, Table};
use crate::{Filter, Path};

/// SQLite allows 32,766 parameters; longer lists are left to the matcher.
const LONGEST_LIST: usize = 1000;

/// A condition on columns that holds for every document the filter means.
#[derive(Debug, PartialEq)]
pub(super) struct Narrow {
    /// SQL conditions joined by AND, each beginning with ` AND `, to go behind another one.
    pub(super) sql: String,
    pub(super) parameters: Vec<Value>,
    /// True if it holds for no other document: the matcher need not look.
    pub(super) exact: bool,
}

impl Narrow {
    pub(super) fn of(table: &Table, filter: &Filter) -> Self {
        let mut narrow = Self { sql: String::new(), parameters: Vec::new(), exact: true };
        narrow.add(table, filter);
        narrow
    }

    fn add(&mut self, table: &Table, filter: &Filter) {
        if let Filter::And(all) = filter {
            all.iter().for_each(|one| self.add(table, one));
            return;
        }
        match condition(table, filter) {
            Some((sql, parameters)) => {
                self.sql.push_str(" AND ");
                self.sql.push_str(&sql);
                self.parameters.extend(parameters);
            }
            None => self.exact = false,
        }
    }
}

/// An exact SQL form of one condition. A field whose value has another type than its column is NULL in the column;
/// conditions that could mean such a document are not made.
fn condition(table: &Table, filter: &Filter) -> Option<(String, Vec<Value>)> {
    match filter {
        Filter::Eq(path, value) => equals(table, path, std::slice::from_ref(value), false),
        Filter::In(path, values) => equals(table, path, values, false),
        Filter::Ne(path, value) => equals(table, path, std::slice::from_ref(value), true),
        Filter::NotIn(path, values) => equals(table, path, values, true),
        Filter::Less(path, Bson::DateTime(time)) => compares(table, path, "<", time.timestamp_millis()),
        Filter::Greater(path, Bson::DateTime(time)) => compares(table, path, ">", time.timestamp_millis()),
        _ => None,
    }
}

fn equals(table: &Table, path: &Path, values: &[Bson], negated: bool) -> Option<(String, Vec<Value>)> {
    let field = path.top_level()?;
    let column = table.column(field).filter(|column| matches!(column, Column::Key | Column::Flag))?;
    if values.len() > LONGEST_LIST {
        return None;
    }
    let parameters = values
        .iter()
        .map(|value| match (column, value) {
            (Column::Key, Bson::String(text)) => Some(Value::Text(text.clone())),
            (Column::Flag, Bson::Boolean(flag)) => Some(Value::Integer(i64::from(*flag))),
            _ => None,
        })
        .collect::<Option<Vec<Value>>>()?;
    let name = table.column_name(field);
    let places = vec!["?"; parameters.len()].join(",");
    let sql = match (parameters.len(), negated) {
        (1, false) => format!("{name} = ?"),
        (1, true) => format!("{name} IS NOT ?"),
        (_, false) => format!("{name} IN ({places})"),
        (_, true) => format!("({name} IS NULL OR {name} NOT IN ({places}))"),
    };
    Some((sql, parameters))
}

fn compares(table: &Table, path: &Path, operator: &str, millis: i64) -> Option<(String, Vec<Value>)> {
    let field = path.top_level()?;
    (table.column(field) == Some(Column::Time))
        .then(|| (format!("{} {operator} ?", table.column_name(field)), vec![Value::Integer(millis)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Layout;
    use bson::DateTime;

    fn table() -> Table {
        Table::new(Layout {
            name: "t",
            keys: &["clusterId", "namespace"],
            times: &["updateTime"],
            indexes: &[],
            deletion_flag: Some("gone"),
        })
    }

    #[test]
    fn conditions_on_columns_become_sql() {
        let filter = Filter::And(vec![
            Filter::one_of("clusterId", ["A", "B"]),
            Filter::Eq(Path::dotted("namespace"), "n".into()),
            Filter::Ne(Path::dotted("gone"), Bson::Boolean(true)),
            Filter::Less(Path::dotted("updateTime"), Bson::DateTime(DateTime::from_millis(5))),
        ]);
        let narrow = Narrow::of(&table(), &filter);
        assert_eq!(
            narrow.sql,
            r#" AND "clusterId" IN (?,?) AND "namespace" = ? AND _flag IS NOT ? AND "updateTime" < ?"#
        );
        assert_eq!(narrow.parameters.len(), 5);
        assert!(narrow.exact);
    }

    #[test]
    fn what_columns_cannot_decide_is_left_to_the_matcher() {
        for filter in [
            Filter::Eq(Path::dotted("data.x"), "a".into()),
            Filter::Eq(Path::dotted("namespace"), Bson::Null),
            Filter::In(Path::dotted("namespace"), vec!["a".into(), Bson::Int64(1)]),
            Filter::Exists(Path::dotted("namespace"), false),
            Filter::Less(Path::dotted("updateTime"), Bson::Int64(5)),
            Filter::Or(vec![]),
        ] {
            let narrow = Narrow::of(&table(), &filter.clone().and(Filter::one_of("clusterId", ["A"])));
            assert_eq!(narrow.sql, r#" AND "clusterId" = ?"#, "{filter:?}");
            assert!(!narrow.exact);
        }
    }
}
