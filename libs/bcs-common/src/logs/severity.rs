//! The four levels of the log files.

/// A level; a message goes to the file of its own level and to those of all lower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    Info,
    Warning,
    Error,
    Fatal,
}

impl Severity {
    pub const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Error, Self::Fatal];

    /// The level in file names and JSON lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }

    /// The first character of a line.
    pub fn letter(self) -> char {
        match self {
            Self::Info => 'I',
            Self::Warning => 'W',
            Self::Error => 'E',
            Self::Fatal => 'F',
        }
    }

    /// 0 to 3, as in `stderrthreshold`.
    pub fn number(self) -> i64 {
        match self {
            Self::Info => 0,
            Self::Warning => 1,
            Self::Error => 2,
            Self::Fatal => 3,
        }
    }
}

/// The number of a `stderrthreshold`: a number, where more than 3 means never, or a name in any case.
pub(super) fn parse_threshold(text: &str) -> Option<i64> {
    let named = Severity::ALL.into_iter().find(|severity| severity.name().eq_ignore_ascii_case(text));
    named.map(Severity::number).or_else(|| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds() {
        for (text, want) in [("2", Some(2)), ("error", Some(2)), ("INFO", Some(0)), ("Fatal", Some(3)), ("9", Some(9))]
        {
            assert_eq!(parse_threshold(text), want, "{text}");
        }
        assert_eq!((parse_threshold(""), parse_threshold("warn")), (None, None));
    }
}
