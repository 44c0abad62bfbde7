//! Label selectors (storage.md 4.5): the whole Kubernetes syntax, and the older one with `+` for every blank.
//!
//! ```text
//! selector    = [ requirement { "," requirement } ]
//! requirement = key | "!" key | key ("=" | "==" | "!=") value | key ("in" | "notin") "(" value { "," value } ")"
//! ```
//! A missing value is the empty text. `!=` and `notin` also select objects without the label, as in Kubernetes.

use std::fmt;

use bcs_docstore::{Bson, Filter, Path};

use crate::error::{Error, Result};

/// Where a resource has its labels.
const LABELS: &str = "data.metadata.labels";

/// A parsed selector: all requirements must be met, none = everything is selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Missing,
    Equal(String),
    NotEqual(String),
    In(Vec<String>),
    NotIn(Vec<String>),
}

impl Selector {
    /// Parses a selector.
    ///
    /// # Errors
    /// [`Error::Invalid`] with what was found and what was wanted.
    pub fn parse(text: &str) -> Result<Self> {
        Parser { tokens: tokens(text), at: 0 }.selector()
    }

    /// The selector as a condition on a stored resource.
    pub fn to_filter(&self) -> Filter {
        Filter::And(self.0.iter().map(Requirement::to_filter).collect())
    }
}

impl Requirement {
    fn to_filter(&self) -> Filter {
        // A label key may hold dots, which are not steps into the document.
        let path = Path::dotted(LABELS).joined(&self.key);
        let texts = |values: &[String]| values.iter().cloned().map(Bson::String).collect();
        match &self.test {
            Test::Exists => Filter::Exists(path, true),
            Test::Missing => Filter::Exists(path, false),
            Test::Equal(value) => Filter::Eq(path, value.as_str().into()),
            Test::NotEqual(value) => Filter::Ne(path, value.as_str().into()),
            Test::In(values) => Filter::In(path, texts(values)),
            Test::NotIn(values) => Filter::NotIn(path, texts(values)),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Open,
    Close,
    Comma,
    Not,
    Equal,
    NotEqual,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Word(word) => write!(f, "{word:?}"),
            Token::Open => f.write_str("'('"),
            Token::Close => f.write_str("')'"),
            Token::Comma => f.write_str("','"),
            Token::Not => f.write_str("'!'"),
            Token::Equal => f.write_str("'='"),
            Token::NotEqual => f.write_str("'!='"),
        }
    }
}

fn is_separator(c: char) -> bool {
    // The older syntax writes + where Kubernetes has blanks; neither is part of a label.
    c == '+' || c.is_whitespace()
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            c if is_separator(c) => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            '=' => {
                chars.next_if_eq(&'=');
                Token::Equal
            }
            '!' => match chars.next_if_eq(&'=') {
                Some(_) => Token::NotEqual,
                None => Token::Not,
            },
            first => {
                let mut word = String::from(first);
                while let Some(next) = chars.next_if(|c| !is_separator(*c) && !"(),=!".contains(*c)) {
                    word.push(next);
                }
                Token::Word(word)
            }
        });
    }
    tokens
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn next_if(&mut self, token: &Token) -> bool {
        let same = self.peek() == Some(token);
        self.at += usize::from(same);
        same
    }

    fn selector(mut self) -> Result<Selector> {
        let mut requirements = Vec::new();
        if self.tokens.is_empty() {
            return Ok(Selector(requirements));
        }
        loop {
            requirements.push(self.requirement()?);
            match self.next() {
                None => return Ok(Selector(requirements)),
                Some(Token::Comma) => {}
                Some(other) => return Err(unexpected(Some(other), "',' or the end")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement> {
        if self.next_if(&Token::Not) {
            return Ok(Requirement { key: self.key()?, test: Test::Missing });
        }
        let key = self.key()?;
        let test = match self.peek() {
            None | Some(Token::Comma) => Test::Exists,
            Some(Token::Equal) => {
                self.next();
                Test::Equal(self.value())
            }
            Some(Token::NotEqual) => {
                self.next();
                Test::NotEqual(self.value())
            }
            Some(Token::Word(word)) if word == "in" => {
                self.next();
                Test::In(self.values()?)
            }
            Some(Token::Word(word)) if word == "notin" => {
                self.next();
                Test::NotIn(self.values()?)
            }
            Some(_) => return Err(unexpected(self.next(), "an operator, ',' or the end")),
        };
        Ok(Requirement { key, test })
    }

    fn key(&mut self) -> Result<String> {
        match self.next() {
            Some(Token::Word(key)) => Ok(key),
            other => Err(unexpected(other, "a label key")),
        }
    }

    fn value(&mut self) -> String {
        match self.peek() {
            Some(Token::Word(word)) => {
                let word = word.clone();
                self.at += 1;
                word
            }
            _ => String::new(),
        }
    }

    fn values(&mut self) -> Result<Vec<String>> {
        if !self.next_if(&Token::Open) {
            return Err(unexpected(self.next(), "'('"));
        }
        let mut values = vec![self.value()];
        loop {
            match self.next() {
                Some(Token::Comma) => values.push(self.value()),
                Some(Token::Close) => return Ok(values),
                other => return Err(unexpected(other, "',' or ')'")),
            }
        }
    }
}

fn unexpected(found: Option<Token>, wanted: &str) -> Error {
    let found = found.map_or_else(|| "the end".to_owned(), |token| token.to_string());
    Error::invalid(format!("label selector: found {found}, want {wanted}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl fmt::Display for Selector {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            for (index, Requirement { key, test }) in self.0.iter().enumerate() {
                f.write_str(if index == 0 { "" } else { "," })?;
                match test {
                    Test::Exists => write!(f, "{key}"),
                    Test::Missing => write!(f, "!{key}"),
                    Test::Equal(value) => write!(f, "{key}={value}"),
                    Test::NotEqual(value) => write!(f, "{key}!={value}"),
                    Test::In(values) => write!(f, "{key} in ({})", values.join(",")),
                    Test::NotIn(values) => write!(f, "{key} notin ({})", values.join(", ")),
                }?;
            }
            Ok(())
        }
    }

    fn one(key: &str, test: Test) -> Vec<Requirement> {
        vec![Requirement { key: key.into(), test }]
    }

    fn parsed(text: &str) -> Vec<Requirement> {
        Selector::parse(text).unwrap().0
    }

    fn texts(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn both_syntaxes_mean_the_same() {
        for text in ["app=web", "app==web", "app+=+web", "app+==+web", "app = web", " app  ==\tweb "] {
            assert_eq!(parsed(text), one("app", Test::Equal("web".into())), "{text:?}");
        }
        for text in ["app!=web", "app+!=+web", "app != web"] {
            assert_eq!(parsed(text), one("app", Test::NotEqual("web".into())), "{text:?}");
        }
        for text in ["app+in+(web,db)", "app in (web,db)", "app in(web , db)", "app+in+(+web,db+)"] {
            assert_eq!(parsed(text), one("app", Test::In(texts(&["web", "db"]))), "{text:?}");
        }
        for text in ["app+notin+(web)", "app notin (web)"] {
            assert_eq!(parsed(text), one("app", Test::NotIn(texts(&["web"]))), "{text:?}");
        }
        assert_eq!(parsed("app"), one("app", Test::Exists));
        assert_eq!(parsed("!app"), one("app", Test::Missing));
        assert_eq!(parsed("+ ! app"), one("app", Test::Missing));
        assert_eq!(parsed(""), []);
        assert_eq!(parsed(" + "), []);
    }

    #[test]
    fn requirements_are_separated_by_commas() {
        let found = parsed("tier,app=web,!old,x in (a),in in (in)");
        let keys: Vec<_> = found.iter().map(|requirement| requirement.key.as_str()).collect();
        assert_eq!(keys, ["tier", "app", "old", "x", "in"]);
        assert_eq!(found[4].test, Test::In(texts(&["in"])));
    }

    #[test]
    fn a_missing_value_is_the_empty_text() {
        assert_eq!(parsed("app="), one("app", Test::Equal(String::new())));
        assert_eq!(parsed("app=,b")[0].test, Test::Equal(String::new()));
        assert_eq!(parsed("app in ()"), one("app", Test::In(texts(&[""]))));
        assert_eq!(parsed("app in (,a)"), one("app", Test::In(texts(&["", "a"]))));
    }

    #[test]
    fn syntax_errors_are_errors_and_never_a_wider_selection() {
        for text in [
            ",",
            "a,",
            ",a",
            "a,,b",
            "a in",
            "a in b",
            "a in (b",
            "a in (b c)",
            "a b",
            "a=b c",
            "a=b=c",
            "=b",
            "!",
            "!=a",
            "!a=b",
            "a in (b))",
            "(a)",
            "a!b",
            "a===b",
            "in (a)",
        ] {
            assert!(Selector::parse(text).is_err(), "{text:?} gave {:?}", Selector::parse(text));
        }
        let error = Selector::parse("a in b").unwrap_err().to_string();
        assert_eq!(error, "label selector: found \"b\", want '('");
    }

    #[test]
    fn keys_with_dots_are_one_step() {
        let Filter::And(all) = Selector::parse("app.kubernetes.io/name=x,!tier").unwrap().to_filter() else { panic!() };
        let path = Path::dotted("data.metadata.labels").joined("app.kubernetes.io/name");
        assert_eq!(all[0], Filter::Eq(path, "x".into()));
        assert_eq!(all[1], Filter::Exists(Path::dotted("data.metadata.labels.tier"), false));
    }

    fn test() -> impl Strategy<Value = Test> {
        let value = "[a-z0-9._-]{0,6}";
        let values = proptest::collection::vec(value, 1..4);
        prop_oneof![
            Just(Test::Exists),
            Just(Test::Missing),
            value.prop_map(Test::Equal),
            value.prop_map(Test::NotEqual),
            values.clone().prop_map(Test::In),
            values.prop_map(Test::NotIn),
        ]
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,40}|[a-c!=(),+ ]{0,20}") {
            let _ = Selector::parse(&text);
        }

        #[test]
        fn what_is_written_is_read_back(all in proptest::collection::vec(("[a-z][a-z./-]{0,8}", test()), 0..5)) {
            let selector = Selector(all.into_iter().map(|(key, test)| Requirement { key, test }).collect());
            let text = selector.to_string();
            prop_assert_eq!(Selector::parse(&text).unwrap(), selector.clone());
            prop_assert_eq!(Selector::parse(&text.replace(' ', "+")).unwrap(), selector);
        }
    }
}
