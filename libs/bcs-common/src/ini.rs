//! The INI reader of `storage-database.conf` and `queue.conf` (common.md 1.8, storage.md 3).
//!
//! It never fails: what it does not understand it skips, as the original did. Two defects of the original are fixed:
//! only a line that is a bracketed name (a comment may follow) starts a section, so a value may hold an IPv6 address,
//! and lines may have any length.

/// A parsed INI text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ini {
    sections: Vec<Section>,
}

/// One section: all entries under the same `[name]`, wherever in the text they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    name: String,
    line: usize,
    repeated: Vec<usize>,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    key: String,
    value: String,
    line: usize,
}

impl Ini {
    /// Parse a text.
    ///
    /// Lines starting with `#` are comments. `key = value` is split at the first `=` and both sides are trimmed. In the
    /// value the rest from a `#` or `//` after a blank or tab is a comment. Entries before the first section, lines without
    /// `=` and entries without a value are skipped.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut ini = Self::default();
        let mut current = None;
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.trim();
            if line.starts_with('#') {
                continue;
            }
            if let Some(name) = section_name(line) {
                current = Some(ini.open(name, index + 1));
            } else if let Some(section) = current.and_then(|position: usize| ini.sections.get_mut(position)) {
                section.add(line, index + 1);
            }
        }
        ini
    }

    /// The sections in the order of their first appearance, each name once.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The section of that name (case-sensitive).
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    fn open(&mut self, name: &str, line: usize) -> usize {
        if let Some(position) = self.sections.iter().position(|section| section.name == name) {
            if let Some(section) = self.sections.get_mut(position) {
                section.repeated.push(line);
            }
            return position;
        }
        self.sections.push(Section { name: name.to_owned(), line, repeated: Vec::new(), entries: Vec::new() });
        self.sections.len() - 1
    }
}

impl Section {
    /// The text between the brackets, trimmed.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of the header line, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// The lines where the same header appears again; later values have won. Worth a warning.
    #[must_use]
    pub fn repeated_at(&self) -> &[usize] {
        &self.repeated
    }

    /// The value of a key (case-sensitive), the last one if it is repeated; never empty.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.last(key).map(|entry| entry.value.as_str())
    }

    /// The number of the line that [`Section::get`] reads, from 1.
    #[must_use]
    pub fn line_of(&self, key: &str) -> Option<usize> {
        self.last(key).map(|entry| entry.line)
    }

    /// The keys and values in the order of the text, repeated keys included.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str()))
    }

    fn last(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.key == key)
    }

    fn add(&mut self, text: &str, line: usize) {
        let Some((key, value)) = text.split_once('=') else {
            return;
        };
        let value = without_comment(value.trim()).trim_end();
        if !value.is_empty() {
            self.entries.push(Entry { key: key.trim_end().to_owned(), value: value.to_owned(), line });
        }
    }
}

fn section_name(line: &str) -> Option<&str> {
    let name = without_comment(line).trim_end().strip_prefix('[')?.strip_suffix(']')?.trim();
    (!name.is_empty()).then_some(name)
}

/// The text before the first ` #`, `<tab>#`, ` //` or `<tab>//`.
fn without_comment(text: &str) -> &str {
    let comment = [" #", "\t#", " //", "\t//"].iter().filter_map(|mark| text.find(mark)).min();
    comment.and_then(|end| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(line: &str) -> Option<String> {
        let ini = Ini::parse(&format!("[s]\n{line}\n"));
        ini.sections()[0].get("key").map(str::to_owned)
    }

    #[test]
    fn sections_keep_their_order_names_and_lines() {
        let ini = Ini::parse("# a\n[mongodb/dynamic]\nAddr = 1\n\n  [zk/watch] # why\r\nAddr=2\r\n[ b ]\n");
        let found: Vec<_> = ini.sections().iter().map(|s| (s.name(), s.line())).collect();
        assert_eq!(found, [("mongodb/dynamic", 2), ("zk/watch", 5), ("b", 7)]);
        assert_eq!(ini.section("zk/watch").unwrap().get("Addr"), Some("2"));
        assert_eq!(ini.section("zk/watch").unwrap().line_of("Addr"), Some(6));
        assert_eq!(ini.section("mongodb/Dynamic"), None);
    }

    #[test]
    fn values_are_trimmed_and_cut_at_comments() {
        for (line, want) in [
            ("key = a b", Some("a b")),
            ("  key\t=\ta\t ", Some("a")),
            ("key=a=b", Some("a=b")),
            ("key = amqp://u:p@h:5672/", Some("amqp://u:p@h:5672/")),
            ("key = a#b", Some("a#b")),
            ("key = a #b", Some("a")),
            ("key = a\t#b", Some("a")),
            ("key = a //b # c", Some("a")),
            ("key = a\t//b", Some("a")),
            ("key = #a", Some("#a")),
            ("key = [::1]:27017", Some("[::1]:27017")),
            ("key = ${x[0]}", Some("${x[0]}")),
            ("key =", None),
            ("key = \t", None),
            ("#key = a", None),
            ("key", None),
            ("KEY = a", None),
        ] {
            assert_eq!(value(line).as_deref(), want, "{line:?}");
        }
    }

    #[test]
    fn the_last_of_repeated_keys_wins_but_an_empty_one_does_not() {
        assert_eq!(value("key = a\nkey = b\nkey ="), Some("b".to_owned()));
    }

    #[test]
    fn repeated_sections_are_one_with_a_note() {
        let ini = Ini::parse("[a]\nx = 1\ny = 1\n[b]\n[a]\nx = 2\n");
        assert_eq!(ini.sections().len(), 2);
        let a = ini.section("a").unwrap();
        assert_eq!((a.get("x"), a.get("y"), a.repeated_at()), (Some("2"), Some("1"), &[5][..]));
        assert_eq!(a.entries().collect::<Vec<_>>(), [("x", "1"), ("y", "1"), ("x", "2")]);
    }

    #[test]
    fn entries_before_a_section_and_empty_headers_are_ignored() {
        assert_eq!(Ini::parse("key = a\n[]\nkey = b\n[ ]\n"), Ini::default());
    }

    #[test]
    fn long_lines_are_not_split() {
        let long = "x".repeat(100_000);
        assert_eq!(value(&format!("key = {long}")), Some(long));
    }

    #[test]
    fn a_byte_order_mark_does_not_hide_the_first_section() {
        assert_eq!(Ini::parse("\u{feff}[a]\n").sections().len(), 1);
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*|[\\[\\]=# \t/\r\na-c\u{feff}]*") {
            let ini = Ini::parse(&text);
            for section in ini.sections() {
                prop_assert!(!section.name().is_empty());
                for (key, value) in section.entries() {
                    prop_assert!(!value.is_empty() && value.trim() == value);
                    prop_assert!(section.get(key).is_some());
                }
            }
        }

        #[test]
        fn plain_entries_come_back(name in "[a-z/]{1,9}", key in "[A-Za-z]{1,9}", value in "[a-zA-Z0-9:,.@=-]{1,30}") {
            let ini = Ini::parse(&format!("[{name}]\n{key} = {value}\n"));
            prop_assert_eq!(ini.section(&name).unwrap().get(&key), Some(value.as_str()));
        }
    }
}
