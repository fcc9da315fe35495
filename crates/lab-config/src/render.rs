use std::borrow::Cow;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str};

use crate::{Color, Diagnostic, Report};

/// The width to which long lines of the excerpt are cut.
const WIDTH: usize = 120;

/// Renders all mistakes of a report, one after the other, and how many there are.
pub(crate) fn render(report: &Report, color: Color) -> String {
    let renderer = match color {
        Color::Never => Renderer::plain(),
        Color::Always => Renderer::styled(),
    }
    .term_width(WIDTH);
    let mut text = String::new();
    for diagnostic in &report.diagnostics {
        text.push_str(&renderer.render(&groups(report, diagnostic)));
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

fn groups<'a>(report: &'a Report, diagnostic: &'a Diagnostic) -> Vec<Group<'a>> {
    let window = Window::around(&report.source, diagnostic);
    let span = window.span(&diagnostic.place);
    let primary = AnnotationKind::Primary.span(span);
    let primary = match diagnostic.label.as_str() {
        "" => primary,
        label => primary.label(one_line(label)),
    };
    let mut snippet = Snippet::source(without_c1(window.text))
        .line_start(window.line)
        .path(one_line(&report.label))
        .annotation(primary);
    for related in &diagnostic.related {
        let context = AnnotationKind::Context.span(window.span(&related.place));
        snippet = snippet.annotation(context.label(one_line(&related.label)));
    }
    let mut group = Level::ERROR.primary_title(one_line(&diagnostic.message)).element(snippet);
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(one_line(help)));
    }
    vec![group]
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

/// The whole lines of the source that one mistake touches, so that rendering does not cost the whole file.
struct Window<'a> {
    text: &'a str,
    start: usize,
    line: usize,
}

impl<'a> Window<'a> {
    fn around(source: &'a str, diagnostic: &Diagnostic) -> Window<'a> {
        let places = || std::iter::once(&diagnostic.place).chain(diagnostic.related.iter().map(|r| &r.place));
        let first = places().map(|place| place.start).min().unwrap_or(0);
        let last = places().map(|place| place.end).max().unwrap_or(0);
        let start = source[..first].rfind('\n').map_or(0, |newline| newline + 1);
        let end = source[last..].find('\n').map_or(source.len(), |newline| last + newline);
        let line = source[..start].bytes().filter(|byte| *byte == b'\n').count() + 1;
        Window { text: source[start..end].trim_end_matches('\r'), start, line }
    }

    fn span(&self, place: &std::ops::Range<usize>) -> std::ops::Range<usize> {
        place.start - self.start..place.end - self.start
    }
}
