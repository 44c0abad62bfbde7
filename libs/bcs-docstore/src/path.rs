//! Where a value stands in a document.

use std::fmt;

/// A way into a document, one key (or array index) after the other.
///
/// Most come from dotted text, as in MongoDB. Keys that hold dots themselves, such as the label
/// `app.kubernetes.io/name`, need [`Path::joined`]; MongoDB's query language cannot name them.
///
/// ```
/// use bcs_docstore::Path;
/// let label = Path::dotted("data.metadata.labels").joined("app.kubernetes.io/name");
/// assert!(!label.is_plain());
/// assert_eq!(label.to_string(), "data.metadata.labels.app.kubernetes.io/name");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path(Vec<String>);

impl Path {
    /// Splits `text` at its dots.
    pub fn dotted(text: &str) -> Self {
        Self(text.split('.').map(str::to_owned).collect())
    }

    /// This path with one more key, taken as it is.
    pub fn joined(mut self, key: &str) -> Self {
        self.0.push(key.to_owned());
        self
    }

    /// The keys from the top of the document down.
    pub fn keys(&self) -> &[String] {
        &self.0
    }

    /// True if MongoDB understands the dotted text: no key holds a dot.
    pub fn is_plain(&self) -> bool {
        self.0.iter().all(|key| !key.contains('.'))
    }

    /// The key, if the path is only one.
    pub fn top_level(&self) -> Option<&str> {
        match self.0.as_slice() {
            [key] => Some(key),
            _ => None,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl From<&str> for Path {
    fn from(text: &str) -> Self {
        Self::dotted(text)
    }
}
