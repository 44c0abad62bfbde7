//! Route templates and their match against the segments of a path.

use std::ops::Range;

/// One segment of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// Equal text.
    Static(&'static str),
    /// `{name}`: any one segment.
    Param(&'static str),
    /// `{name:*}`: the rest of the path.
    Tail(&'static str),
}

/// A parsed template.
#[derive(Debug)]
pub(super) struct Template {
    /// As written, mount first.
    pub text: &'static str,
    pub segments: Vec<Segment>,
    /// How many segments are static.
    pub statics: usize,
}

impl Template {
    pub fn parse(text: &'static str) -> Self {
        let mut segments: Vec<Segment> = Vec::new();
        for part in text.split('/').filter(|part| !part.is_empty()) {
            segments.push(match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                None => Segment::Static(part),
                Some(inner) => match inner.strip_suffix(":*") {
                    Some(name) => Segment::Tail(name),
                    None => Segment::Param(inner),
                },
            });
        }
        let statics = segments.iter().filter(|segment| matches!(segment, Segment::Static(_))).count();
        Self { text, segments, statics }
    }

    /// How many segments are parameters.
    pub fn params(&self) -> usize {
        self.segments.len() - self.statics
    }

    /// Whether it takes paths of any greater length.
    pub fn has_tail(&self) -> bool {
        matches!(self.segments.last(), Some(Segment::Tail(_)))
    }

    /// Whether a path with so many segments can match.
    pub fn fits(&self, segments: usize) -> bool {
        self.segments.len() == segments || (self.has_tail() && self.segments.len() < segments)
    }

    /// Whether the path matches; only for paths that [`fit`](Self::fits).
    pub fn matches(&self, path: &Segments<'_>) -> bool {
        self.segments.iter().zip(path.iter()).all(|(segment, given)| match segment {
            Segment::Static(text) => *text == given,
            Segment::Param(_) | Segment::Tail(_) => true,
        })
    }

    /// Where in the path the parameters are; only for paths that match.
    pub fn spans(&self, path: &Segments<'_>) -> Vec<(&'static str, Range<usize>)> {
        let mut spans = Vec::with_capacity(self.params());
        for (segment, span) in self.segments.iter().zip(&path.spans) {
            match segment {
                Segment::Static(_) => {}
                Segment::Param(name) => spans.push((*name, span.clone())),
                Segment::Tail(name) => spans.push((*name, span.start..path.end)),
            }
        }
        spans
    }
}

/// A decoded, clean path cut into segments; slashes at both ends do not count.
pub(super) struct Segments<'a> {
    path: &'a str,
    spans: Vec<Range<usize>>,
    end: usize,
}

impl<'a> Segments<'a> {
    pub fn of(path: &'a str) -> Self {
        let end = path.trim_end_matches('/').len();
        let mut start = path.len() - path.trim_start_matches('/').len();
        let mut spans = Vec::with_capacity(16);
        while start < end {
            let rest = path.get(start..end).unwrap_or_default();
            let stop = start + rest.find('/').unwrap_or(rest.len());
            spans.push(start..stop);
            start = stop + 1;
        }
        Self { path, spans, end }
    }

    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &'a str> {
        self.spans.iter().map(|span| self.path.get(span.clone()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_three_kinds() {
        let template = Template::parse("/a/{id}/b/{rest:*}");
        assert_eq!(
            template.segments,
            [Segment::Static("a"), Segment::Param("id"), Segment::Static("b"), Segment::Tail("rest")]
        );
        assert_eq!((template.statics, template.params()), (2, 2));
        assert!(Template::parse("").segments.is_empty());
    }

    #[test]
    fn cuts_paths() {
        for (path, segments) in
            [("", &[][..]), ("/", &[]), ("/a", &["a"]), ("/a/b c/", &["a", "b c"]), ("a/b", &["a", "b"])]
        {
            assert_eq!(Segments::of(path).iter().collect::<Vec<_>>(), segments);
        }
    }

    #[test]
    fn a_tail_takes_one_segment_or_more() {
        let template = Template::parse("/p/{rest:*}");
        let matches = |path| {
            let path = Segments::of(path);
            template.fits(path.len()) && template.matches(&path)
        };
        assert!(!matches("/p/"));
        assert!(matches("/p/a"));
        assert!(matches("/p/a/b/c"));
        assert!(!matches("/q/a/b"));
        let path = Segments::of("/p/a/b/");
        assert_eq!(template.spans(&path), [("rest", 3..6)]);
    }
}
