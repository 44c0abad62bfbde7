//! Which documents are meant.

use bson::{Bson, Document};

use crate::Path;

/// A condition on a document, with MongoDB's meaning: a path runs through arrays, a missing value equals null,
/// numbers compare across types, `Less` and `Greater` only within a type. [`crate::matcher::matches`] defines it.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// All of these; empty = every document.
    And(Vec<Filter>),
    /// At least one of these; empty = no document.
    Or(Vec<Filter>),
    /// Equal to the value, or an array that holds it.
    Eq(Path, Bson),
    /// Not [`Filter::Eq`].
    Ne(Path, Bson),
    /// [`Filter::Eq`] to one of the values.
    In(Path, Vec<Bson>),
    /// Not [`Filter::In`].
    NotIn(Path, Vec<Bson>),
    /// The path leads to a value, null included (or does not).
    Exists(Path, bool),
    /// Less than the value.
    Less(Path, Bson),
    /// Greater than the value.
    Greater(Path, Bson),
    /// A string that holds this text anywhere, every character literal.
    Contains(Path, String),
    /// An RFC 3339 text with zone, a date, or a number of unix seconds that is before this unix second.
    Before(Path, i64),
    /// The same, after this unix second.
    After(Path, i64),
}

impl Filter {
    /// Every document.
    pub fn all() -> Self {
        Filter::And(Vec::new())
    }

    /// Equality on every key of `conditions`; keys are dotted paths.
    pub fn equal_to(conditions: &Document) -> Self {
        Filter::And(conditions.iter().map(|(key, value)| Filter::Eq(Path::dotted(key), value.clone())).collect())
    }

    /// `path` is one of these texts.
    pub fn one_of<T: Into<String>>(path: impl Into<Path>, texts: impl IntoIterator<Item = T>) -> Self {
        Filter::In(path.into(), texts.into_iter().map(|text| Bson::String(text.into())).collect())
    }

    /// Both.
    pub fn and(self, other: Filter) -> Self {
        match (self, other) {
            (Filter::And(mut all), Filter::And(more)) => {
                all.extend(more);
                Filter::And(all)
            }
            (Filter::And(mut all), one) => {
                all.push(one);
                Filter::And(all)
            }
            (one, other) => Filter::And(vec![one]).and(other),
        }
    }

    /// True if every document is meant.
    pub fn is_all(&self) -> bool {
        matches!(self, Filter::And(all) if all.iter().all(Filter::is_all))
    }
}
