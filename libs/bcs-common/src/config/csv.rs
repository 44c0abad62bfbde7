//! The comma separated form of a list flag, quoted as in CSV.

/// The fields of one CSV line; no field if the text is empty.
pub(super) fn fields(text: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (field, after) = rest.split_at(end);
                if field.contains('"') {
                    return Err("bare \" in non-quoted field".to_owned());
                }
                (field.to_owned(), after)
            }
        };
        fields.push(field);
        rest = match after.strip_prefix(',') {
            Some("") => {
                fields.push(String::new());
                ""
            }
            Some(next) => next,
            None if after.is_empty() => "",
            None => return Err("extraneous or missing \" in quoted-field".to_owned()),
        };
    }
    Ok(fields)
}

/// The text up to the closing quote, with doubled quotes as one, and what follows.
fn unquote(text: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('"') {
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(next) => {
                field.push('"');
                rest = next;
            }
            None => return Ok((field, after)),
        }
    }
    Err("extraneous or missing \" in quoted-field".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn splits_and_unquotes() {
        for (text, want) in [
            ("", &[][..]),
            ("a", &["a"]),
            ("a,b", &["a", "b"]),
            ("a,,b", &["a", "", "b"]),
            ("a,", &["a", ""]),
            (",", &["", ""]),
            (r#""a,b",c"#, &["a,b", "c"]),
            (r#""a""b""#, &["a\"b"]),
            (r#""""#, &[""]),
        ] {
            assert_eq!(fields(text).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn refuses_stray_quotes() {
        for text in [r#"a"b"#, r#""a"#, r#""a"b"#, r#"""""#, "\""] {
            assert!(fields(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn quoted_fields_come_back(input in proptest::collection::vec("[a\",é ]*", 1..4)) {
            let text: Vec<_> = input.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
            prop_assert_eq!(fields(&text.join(",")).unwrap(), input);
        }

        #[test]
        fn never_panics(text in "\\PC*|[a\",]*") {
            let _ = fields(&text);
        }
    }
}
