//! Which parts of a document are returned: MongoDB's inclusion projection.

use bson::{Bson, Document};

/// The parts of `document` at `paths` (dotted), always with `_id`.
///
/// A path that runs into a missing key leaves its parents as empty objects; one that runs into a scalar leaves
/// nothing; arrays are projected element by element.
///
/// ```
/// use bcs_docstore::{doc, project::project};
/// let pod = doc! { "_id": 1, "data": { "kind": "Pod", "spec": {} }, "x": 1 };
/// assert_eq!(project(&pod, &["data.kind".into(), "data.none.y".into()]), doc! { "_id": 1, "data": { "kind": "Pod" } });
/// assert_eq!(project(&pod, &["data.none".into()]), doc! { "_id": 1, "data": {} });
/// ```
pub fn project(document: &Document, paths: &[String]) -> Document {
    if paths.is_empty() {
        return document.clone();
    }
    let mut paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    paths.push("_id");
    include(document, &paths)
}

fn include(document: &Document, paths: &[&str]) -> Document {
    let mut kept = Document::new();
    for (key, value) in document {
        let mut whole = false;
        let mut below = Vec::new();
        for path in paths {
            match path.strip_prefix(key.as_str()) {
                Some("") => whole = true,
                Some(rest) => below.extend(rest.strip_prefix('.')),
                None => {}
            }
        }
        if whole {
            kept.insert(key, value.clone());
        } else if !below.is_empty()
            && let Some(part) = include_value(value, &below)
        {
            kept.insert(key, part);
        }
    }
    kept
}

fn include_value(value: &Bson, paths: &[&str]) -> Option<Bson> {
    match value {
        Bson::Document(document) => Some(Bson::Document(include(document, paths))),
        Bson::Array(array) => {
            Some(Bson::Array(array.iter().filter_map(|element| include_value(element, paths)).collect()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    #[test]
    fn arrays_are_projected_element_by_element() {
        let pod = doc! { "_id": 1, "c": [{ "n": 1, "m": 2 }, 5, { "m": 3 }] };
        assert_eq!(project(&pod, &["c.n".into()]), doc! { "_id": 1, "c": [{ "n": 1 }, {}] });
    }

    #[test]
    fn scalars_on_the_way_vanish() {
        assert_eq!(project(&doc! { "_id": 1, "a": 5 }, &["a.b".into()]), doc! { "_id": 1 });
    }
}
