//! Mistakes as a compiler shows them: the excerpt, the mark, the fix.

use std::{borrow::Cow, error::Error, fmt, ops::Range};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str};

use crate::{
    diagnostic::{Color, Diagnostic, Report},
    lines::Lines,
};

/// The width to which long lines of the excerpt are cut.
const WIDTH: usize = 120;
/// Places that are further apart than this many lines are shown in two excerpts.
const LINES_MAX: usize = 100;
/// How much of a place is marked, in bytes; as much again is shown behind it, and places in columns further apart are
/// shown in two excerpts. The renderer cuts lines to what is marked, so all of a mark must be about as wide as a line.
const PLACE_BYTES_MAX: usize = WIDTH;

impl Report {
    /// The mistakes as a reader sees them: message, file:line:column, excerpt, help.
    #[must_use]
    pub fn render(&self, color: Color) -> String {
        render(self, color)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Color::Never))
    }
}

impl Error for Report {}

/// Renders all mistakes of a report, one after the other, and how many there are.
fn render(report: &Report, color: Color) -> String {
    let renderer = match color {
        Color::Never => Renderer::plain(),
        Color::Always => Renderer::styled(),
    }
    .term_width(WIDTH);
    let mut text = String::new();
    let lines = Lines::of(&report.source);
    for diagnostic in &report.diagnostics {
        text.push_str(&renderer.render(&[group(report, &lines, diagnostic)]));
        text.push_str("\n\n");
    }
    let count = report.diagnostics.len() + report.more;
    let noun = if count == 1 { "1 mistake".to_owned() } else { format!("{count} mistakes") };
    let shown = match report.more {
        0 => String::new(),
        _ => format!(" (the first {} are shown)", report.diagnostics.len()),
    };
    let title = format!("{}: {noun}{shown}; nothing was started", one_line(&report.label));
    text.push_str(&renderer.render(&[Group::with_title(Level::ERROR.primary_title(title))]));
    text.push('\n');
    text
}

fn group<'a>(report: &'a Report, lines: &Lines<'a>, diagnostic: &'a Diagnostic) -> Group<'a> {
    let mut group = Group::with_title(Level::ERROR.primary_title(one_line(&diagnostic.message)));
    for excerpt in Excerpt::of(&report.source, lines, diagnostic) {
        let mut snippet =
            Snippet::source(excerpt.text).line_start(excerpt.line + 1).path(one_line(&report.label));
        for (kind, place, label) in excerpt.marks {
            let mark = kind.span(place);
            snippet = snippet.annotation(match label {
                "" => mark,
                label => mark.label(one_line(label)),
            });
        }
        group = group.element(snippet);
    }
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(one_line(help)));
    }
    group
}

/// A text from the file, fit to stand in a message: one line, no control characters.
fn one_line(text: &str) -> String {
    normalize_untrusted_str(&without_c1(&text.replace(['\n', '\r', '\t'], " ")))
}

/// The text without the control characters U+0080 to U+009F, which some terminals obey and the renderer lets
/// pass. Their stand-in has as many bytes, so places stay where they are.
fn without_c1(text: &str) -> Cow<'_, str> {
    let is_c1 = |c: char| ('\u{80}'..='\u{9f}').contains(&c);
    if text.contains(is_c1) { text.replace(is_c1, "\u{b7}").into() } else { text.into() }
}

/// Whether two places fit into one excerpt.
fn is_near(lines: &Lines<'_>, one: usize, other: usize) -> bool {
    let [(line, column), (other_line, other_column)] = [one, other].map(|at| {
        let line = lines.of_byte(at);
        (line, at - lines.place(line).start)
    });
    line.abs_diff(other_line) <= LINES_MAX && column.abs_diff(other_column) <= PLACE_BYTES_MAX
}

/// Lines of the source that one mistake touches, each ended by a line feed whatever ended it, so that the renderer
/// counts as the places do, and rendering does not cost the whole file.
struct Excerpt<'a> {
    text: String,
    /// Its first line, counted from 0.
    line: usize,
    /// What is marked in it, by places in `text`, with what stands there.
    marks: Vec<(AnnotationKind, Range<usize>, &'a str)>,
}

impl<'a> Excerpt<'a> {
    /// The excerpts that show a mistake: its own place first, places that lie far from it in excerpts of their own.
    fn of(source: &str, lines: &Lines<'_>, diagnostic: &'a Diagnostic) -> Vec<Excerpt<'a>> {
        let own = (AnnotationKind::Primary, &diagnostic.place, diagnostic.label.as_str());
        let related = diagnostic.related.iter();
        let related =
            related.map(|related| (AnnotationKind::Context, &related.place, related.label.as_str()));
        let (near, far): (Vec<_>, Vec<_>) = std::iter::once(own)
            .chain(related)
            .partition(|(_, place, _)| is_near(lines, place.start, diagnostic.place.start));
        let apart = far.chunks(1).map(|one| Excerpt::around(source, lines, one));
        std::iter::once(Excerpt::around(source, lines, &near)).chain(apart).collect()
    }

    /// The lines from the first to the last of these places.
    fn around(
        source: &str,
        lines: &Lines<'_>,
        places: &[(AnnotationKind, &Range<usize>, &'a str)],
    ) -> Excerpt<'a> {
        let line_of = |place: &Range<usize>| lines.of_byte(place.start);
        let touched = places.iter().map(|(_, place, _)| line_of(place));
        let (first, last) = (touched.clone().min().unwrap_or(0), touched.max().unwrap_or(0));
        let mut text = String::new();
        let mut starts = Vec::new();
        for line in first..=last {
            let place = lines.place(line);
            let marked = places.iter().filter(|(_, place, _)| line_of(place) == line);
            let end = marked.map(|(_, place, _)| place.start).max().unwrap_or(place.start);
            let end = source.floor_char_boundary(end.saturating_add(2 * PLACE_BYTES_MAX).min(place.end));
            if line > first {
                text.push('\n');
            }
            starts.push(text.len());
            text.push_str(&without_c1(&source[place.start..end]));
        }
        let mark = |&(kind, place, label): &(AnnotationKind, &Range<usize>, &'a str)| {
            let line = line_of(place);
            let start = starts[line - first] + (place.start - lines.place(line).start);
            let end = text.floor_char_boundary((start + place.len()).min(start + PLACE_BYTES_MAX));
            (kind, start..end, label)
        };
        Excerpt { line: first, marks: places.iter().map(mark).collect(), text }
    }
}
