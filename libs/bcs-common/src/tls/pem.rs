//! Reads PEM text by the rules of Go's `encoding/pem` (common.md 2.2, 2.3).
//!
//! A ready-made reader does not fit: the usual ones drop the `DEK-Info` header of encrypted keys, or give up the
//! whole file at the first damaged block, where the original skips that block and goes on.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

/// Go ignores set bits after the last byte, so a key that worked there must work here.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// One PEM block that was read without errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// The text between `BEGIN ` and the dashes, such as `CERTIFICATE`.
    pub label: String,
    /// `Key: value` lines before the body, in their order.
    pub headers: Vec<(String, String)>,
    /// The decoded body.
    pub contents: Vec<u8>,
}

impl Block {
    /// The value of a header; names are compared exactly.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The readable blocks of `file` in their order. Anything else, damaged blocks included, is skipped.
pub(crate) fn blocks(file: &[u8]) -> Vec<Block> {
    let text = String::from_utf8_lossy(file);
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let mut rest = lines.as_slice();
    let mut found = Vec::new();
    while let Some((line, after)) = rest.split_first() {
        rest = after;
        let Some(label) = label(line, "-----BEGIN ") else {
            continue;
        };
        // The end is looked for before the next begin: a block that was cut off must not swallow its successor.
        let end = after.iter().position(|line| line.starts_with("-----"));
        let Some((body, tail)) = end.and_then(|end| after.split_at_checked(end)) else {
            continue;
        };
        if tail.first().and_then(|line| self::label(line, "-----END ")) == Some(label) {
            found.extend(block(label, body));
        }
        rest = tail;
    }
    found
}

/// The label of a `BEGIN` or `END` line.
fn label<'a>(line: &'a str, prefix: &str) -> Option<&'a str> {
    line.strip_prefix(prefix)?.strip_suffix("-----")
}

/// Splits the lines between `BEGIN` and `END` into headers and body; `None` if the body is not base64.
fn block(label: &str, lines: &[&str]) -> Option<Block> {
    let mut headers = Vec::new();
    let mut body = lines;
    while let Some((key, value)) = body.first().and_then(|line| line.split_once(':')) {
        headers.push((key.trim().to_owned(), value.trim().to_owned()));
        body = body.get(1..).unwrap_or_default();
    }
    let base64: String = body.iter().flat_map(|line| line.split_whitespace()).collect();
    Some(Block { label: label.to_owned(), headers, contents: BASE64.decode(base64).ok()? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(text: &str) -> Vec<String> {
        blocks(text.as_bytes()).into_iter().map(|block| block.label).collect()
    }

    #[test]
    fn reads_blocks_among_other_text() {
        let text = "Subject: bcs\n-----BEGIN A-----\nAQID\nBA==\n-----END A-----\nnoise\n-----BEGIN B C-----\r\nBQ==\r\n-----END B C-----";
        let blocks = blocks(text.as_bytes());
        assert_eq!(blocks.len(), 2);
        assert_eq!(blocks[0].label, "A");
        assert_eq!(blocks[0].contents, [1, 2, 3, 4]);
        assert_eq!(blocks[1].label, "B C");
        assert_eq!(blocks[1].contents, [5]);
    }

    #[test]
    fn reads_headers_with_and_without_a_blank_line() {
        for blank in ["", "\n", " \r\n"] {
            let text = format!(
                "-----BEGIN K-----\nProc-Type: 4,ENCRYPTED\nDEK-Info:DES-CBC,00 \n{blank}AQ==\n-----END K-----\n"
            );
            let block = blocks(text.as_bytes()).remove(0);
            assert_eq!(block.header("Proc-Type"), Some("4,ENCRYPTED"));
            assert_eq!(block.header("DEK-Info"), Some("DES-CBC,00"));
            assert_eq!(block.header("dek-info"), None);
            assert_eq!(block.contents, [1]);
        }
    }

    #[test]
    fn a_damaged_block_hides_no_other() {
        let good = "-----BEGIN A-----\nAQ==\n-----END A-----\n";
        for bad in [
            "-----BEGIN X-----\n!!\n-----END X-----\n",
            "-----BEGIN X-----\nAQ==\n-----END Y-----\n",
            "-----BEGIN X-----\nAQ==\n",
            "-----BEGIN X----\n",
            "-----END X-----\n",
        ] {
            assert_eq!(labels(&format!("{bad}{good}")), ["A"], "{bad}");
            assert_eq!(labels(&format!("{good}{bad}")), ["A"], "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = blocks(&bytes);
        }

        #[test]
        fn any_mix_of_pem_lines_is_read_without_a_panic(
            lines in proptest::collection::vec(
                prop_oneof![
                    Just("-----BEGIN K-----".to_owned()),
                    Just("-----END K-----".to_owned()),
                    Just("DEK-Info: AES-256-CBC,00".to_owned()),
                    Just(String::new()),
                    "[A-Za-z0-9+/=: -]{0,12}",
                ],
                0..20,
            )
        ) {
            let _ = blocks(lines.join("\n").as_bytes());
        }

        #[test]
        fn what_is_written_is_read(contents: Vec<u8>, label in "[A-Z][A-Z ]{0,20}") {
            let body = BASE64.encode(&contents);
            let text = format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
            let read = blocks(text.as_bytes());
            prop_assert_eq!(read.len(), 1);
            prop_assert_eq!(&read[0].label, &label);
            prop_assert_eq!(&read[0].contents, &contents);
        }
    }
}
