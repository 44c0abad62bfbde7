//! `$set` on a document: dotted paths to values.

use bson::{Bson, Document};

use crate::{Error, Result};

/// Refuses updates MongoDB refuses: a path set twice, a path below another one, an empty path or key.
///
/// # Errors
/// [`Error::Invalid`], naming the path.
pub fn check(set: &Document) -> Result<()> {
    let mut paths: Vec<&str> = set.keys().map(String::as_str).collect();
    paths.sort_unstable();
    for path in &paths {
        if path.split('.').any(str::is_empty) {
            return Err(Error::Invalid(format!("path {path:?} has an empty key")));
        }
        if path.starts_with('$') {
            return Err(Error::Invalid(format!("path {path:?} begins with $")));
        }
        let mut end = path.len();
        while let Some(dot) = path.get(..end).and_then(|parent| parent.rfind('.')) {
            end = dot;
            if path.get(..end).is_some_and(|parent| paths.binary_search(&parent).is_ok()) {
                return Err(Error::Invalid(format!("updating path {path:?} would conflict with its parent")));
            }
        }
    }
    Ok(())
}

/// Sets `path` (dotted) in `document`; missing parents are made.
///
/// # Errors
/// [`Error::Invalid`] if the path runs through a value that has no keys, or past the end of an array by more than it may.
pub fn set_path(document: &mut Document, path: &str, value: Bson) -> Result<()> {
    let Some((key, rest)) = path.split_once('.') else {
        document.insert(path, value);
        return Ok(());
    };
    let child = document.entry(key.to_owned()).or_insert_with(|| Bson::Document(Document::new()));
    set_below(child, rest, value)
}

/// MongoDB pads arrays with null up to an index; this bounds what a path can make it allocate.
const LONGEST_PADDING: usize = 1_500_000;

fn set_below(parent: &mut Bson, path: &str, value: Bson) -> Result<()> {
    match parent {
        Bson::Document(document) => set_path(document, path, value),
        Bson::Array(array) => {
            let (index, rest) = path.split_once('.').map_or((path, None), |(index, rest)| (index, Some(rest)));
            let index: usize = index
                .parse()
                .ok()
                .filter(|index| *index < array.len() + LONGEST_PADDING)
                .ok_or_else(|| Error::Invalid(format!("cannot create field {index:?} in an array")))?;
            if array.len() <= index {
                array.resize(index + 1, Bson::Null);
            }
            match (array.get_mut(index), rest) {
                (Some(element @ Bson::Null), Some(rest)) => {
                    *element = Bson::Document(Document::new());
                    set_below(element, rest, value)
                }
                (Some(element), Some(rest)) => set_below(element, rest, value),
                (Some(element), None) => {
                    *element = value;
                    Ok(())
                }
                (None, _) => Ok(()),
            }
        }
        _ => Err(Error::Invalid(format!("cannot create field {path:?} in a value that is no object"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    #[test]
    fn paths_make_their_parents() {
        let mut document = doc! { "a": { "x": 1 } };
        set_path(&mut document, "a.b.c", Bson::Int64(2)).unwrap();
        assert_eq!(document, doc! { "a": { "x": 1, "b": { "c": 2_i64 } } });
        assert!(set_path(&mut document, "a.x.y", Bson::Null).is_err());
    }

    #[test]
    fn arrays_are_set_by_index_and_padded() {
        let mut document = doc! { "a": [1] };
        set_path(&mut document, "a.2.b", Bson::Boolean(true)).unwrap();
        assert_eq!(document, doc! { "a": [1, null, { "b": true }] });
        assert!(set_path(&mut document, "a.b", Bson::Null).is_err());
        assert!(set_path(&mut document, "a.99999999999", Bson::Null).is_err());
    }

    #[test]
    fn conflicting_paths_are_refused() {
        check(&doc! { "data": 1, "database": 2, "x.y": 3, "x.z": 4 }).unwrap();
        for bad in [doc! { "data": 1, "data.a.b": 2 }, doc! { "": 1 }, doc! { "a..b": 1 }, doc! { "$set": 1 }] {
            assert!(matches!(check(&bad), Err(Error::Invalid(_))), "{bad}");
        }
    }
}
