//! The lines of a report.

/// What was found, in order.
#[derive(Debug, Default)]
pub struct Report(Vec<(Level, String)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Good,
    Warning,
    Failure,
}

impl Report {
    /// Something is as it should be, or will be used.
    pub fn good(&mut self, line: String) {
        self.0.push((Level::Good, line));
    }

    /// Works, but is probably not meant.
    pub fn warning(&mut self, line: String) {
        self.0.push((Level::Warning, line));
    }

    /// Will not work. A line says what to do where that is not plain.
    pub fn failure(&mut self, line: String) {
        self.0.push((Level::Failure, line));
    }

    /// How many things will not work.
    pub fn failures(&self) -> usize {
        self.0.iter().filter(|(level, _)| *level == Level::Failure).count()
    }

    /// One line each.
    pub fn text(&self) -> String {
        let mark = |level| match level {
            Level::Good => "ok     ",
            Level::Warning => "warning",
            Level::Failure => "FAILED ",
        };
        self.0.iter().map(|(level, line)| format!("{} {line}\n", mark(*level))).collect()
    }
}
