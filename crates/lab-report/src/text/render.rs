//! Walks a page and writes it as text.

use std::borrow::Cow;

use lab_analysis::findings::Findings;
use textwrap::{WordSeparator, WordSplitter, WrapAlgorithm, core::display_width as width};

use super::{
    Style,
    spark::spark,
    table::{lines, names_within},
};
use crate::{
    page::{Answer, Block, Drawing, Mood, Page, Section, Tree, Verdict},
    visible::visible,
};
use lab_model::units;

/// How far the content of a section stands in.
const INDENT: usize = 2;
/// What was observed is not laid out narrower than this, unless it is shorter.
const OBSERVED_NARROW: usize = 20;
/// The most lines of a tree that a terminal shows.
const TREE_LINES_MAX: usize = 30;
/// A line of a tree is not laid out narrower than this.
const TREE_TEXT_NARROW: usize = 20;
/// The most series that a terminal shows as spark lines.
const SPARKS_MAX: usize = 8;

/// Writes a page.
pub(super) fn render(page: &Page, findings: &Findings, style: &Style) -> String {
    let mut text = Writer { style: *style, text: String::new() };
    text.verdict(page);
    for (place, finding) in page.findings.iter().enumerate() {
        if place == 0 {
            text.heading("Findings");
        }
        let mark = style.mark(finding.mood);
        text.wrapped(&format!("{mark} "), &finding.text, INDENT);
        if let Some(advice) = &finding.advice {
            text.wrapped(&style.faint("→ "), advice, INDENT + 2);
        }
    }
    for section in &page.sections {
        text.section(section, page, findings);
    }
    if !page.answers.is_empty() {
        text.line("");
        page.answers.iter().for_each(|answer| text.answer(answer));
    }
    text.text
}

/// The width of the labels of answers.
const ANSWER_LABEL: usize = 7;

/// What stands before an answer.
fn answer_lead(label: &str, mood: Mood, style: &Style) -> String {
    let mark = style.mark(mood);
    let marked = " ".repeat(if style.unicode { 1 } else { 5_usize.saturating_sub(width(&mark)) });
    format!("{mark}{marked}{label:ANSWER_LABEL$}  ")
}

/// The last of the answers: where the report lies, and how to read on. What has no room behind the path stands below it.
pub(super) fn whereabouts(page: &str, more: &[&str], style: &Style) -> String {
    let mut text = Writer { style: *style, text: String::new() };
    let lead = answer_lead("Report", Mood::Plain, style);
    let beside = |parts: &[&str]| style.signs(&[&[visible(page).as_str()], parts].concat().join(" · "));
    let fits =
        |count: &usize| width(&lead).saturating_add(width(&beside(&more[..*count]))) <= style.columns();
    let count = (0..=more.len()).rev().find(fits).unwrap_or(0);
    // The path is copied from a terminal as one line only where it is not broken here.
    text.line(&format!("{lead}{}", beside(&more[..count])));
    if count < more.len() {
        text.wrapped(&" ".repeat(width(&lead)), &more[count..].join(" · "), 0);
    }
    text.text
}

struct Writer {
    style: Style,
    text: String,
}

impl Writer {
    /// Adds a line as it is.
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn heading(&mut self, title: &str) {
        self.line("");
        let title = self.style.strong(title);
        self.line(&title);
    }

    /// Adds a paragraph behind a lead-in; further lines stand below its first word.
    fn wrapped(&mut self, lead: &str, text: &str, indent: usize) {
        self.text.push_str(&paragraph(&format!("{}{lead}", " ".repeat(indent)), text, &self.style));
    }

    /// Adds what stands above a table, a tree or a drawing.
    fn caption(&mut self, text: &str) {
        self.line("");
        for line in wrap(&self.style.signs(text), self.style.columns().saturating_sub(INDENT).max(20)) {
            let line = self.style.faint(&line);
            self.line(&format!("  {line}"));
        }
    }

    fn verdict(&mut self, page: &Page) {
        let Verdict { mood, headline, checks, facts } = &page.verdict;
        let mark = self.style.mark(*mood);
        let painted =
            format!("{mark} {}: {}", self.style.strong(&page.title), self.style.mood(*mood, headline));
        if width(&painted) <= self.style.columns() {
            self.line(&painted);
        } else {
            self.wrapped(&format!("{mark} "), &format!("{}: {headline}", page.title), 0);
        }
        let widest =
            checks.iter().map(|check| width(&self.style.signs(&check.text))).max().unwrap_or(0).min(60);
        for check in checks {
            let mark = self.style.mark(check.mood);
            let text = self.style.signs(&check.text);
            let gap = " ".repeat(widest.saturating_sub(width(&text)).saturating_add(2));
            let marked =
                " ".repeat(if self.style.unicode { 1 } else { 5_usize.saturating_sub(width(&mark)) });
            let lead = format!("{mark}{marked}{text}{gap}");
            let observed = width(&self.style.signs(&check.observed)).min(OBSERVED_NARROW);
            if width(&lead).saturating_add(observed).saturating_add(INDENT) <= self.style.columns() {
                self.wrapped(&lead, &check.observed, INDENT);
            } else {
                self.wrapped(&format!("{mark}{marked}"), &format!("{text}  {}", check.observed), INDENT);
            }
        }
        let label = facts.iter().map(|fact| fact.label.len()).max().unwrap_or(0);
        for fact in facts {
            let value = if fact.rest.is_empty() {
                fact.value.clone()
            } else {
                format!("{} – {}", fact.value, fact.rest)
            };
            let lead = format!("{:label$}  ", fact.label);
            if fact.mood == Mood::Plain || fact.mood == Mood::Good {
                self.wrapped(&lead, &value, INDENT);
            } else {
                let lead = format!("{lead}{} ", self.style.mark(fact.mood));
                self.wrapped(&lead, &value, INDENT);
            }
        }
        if page.origin.is_empty() {
            return;
        }
        let origin: Vec<String> = page.origin.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let lead = format!("{:label$}  ", "From");
        self.wrapped(&lead, &origin.join(" · "), INDENT);
    }

    /// Adds an answer: one line where that holds it, with as many details as have room on it.
    fn answer(&mut self, answer: &Answer) {
        let lead = answer_lead(answer.label, answer.mood, &self.style);
        let room = self.style.columns().saturating_sub(width(&lead));
        let whole = self.style.signs(&answer.value);
        // What explains a piece of advice stands beside the finding.
        let brief = answer.brief && width(&whole) > room;
        let mut line = if brief { before_explanation(&answer.value) } else { &answer.value }.to_owned();
        for detail in &answer.details {
            let longer = format!("{line} · {detail}");
            if width(&self.style.signs(&longer)) > room {
                break;
            }
            line = longer;
        }
        if answer.code {
            // Copied from a terminal it is one line only where it is not broken here.
            self.line(&format!("{lead}{}", self.style.signs(&line)));
        } else {
            self.wrapped(&lead, &line, 0);
        }
    }

    fn section(&mut self, section: &Section, page: &Page, findings: &Findings) {
        self.heading(section.title);
        for sentence in &section.lead {
            self.wrapped("", sentence, INDENT);
        }
        for block in &section.blocks {
            match block {
                Block::Table(table) => {
                    self.caption(&table.caption);
                    for line in lines(table, &self.style, INDENT) {
                        self.line(&format!("  {line}"));
                    }
                }
                Block::List(items) => items.iter().for_each(|item| {
                    let dash = self.style.signs("– ");
                    self.wrapped(&dash, item, INDENT);
                }),
                Block::Code(code) => {
                    self.caption(&code.caption);
                    for line in &code.lines {
                        self.line(&format!("    {line}"));
                    }
                }
                Block::Tree(tree) => self.tree(tree),
                Block::Picture(picture) => {
                    if let Drawing::WaitCycle(_) = picture.drawing {
                        self.wrapped("", &picture.caption, INDENT);
                    }
                    self.sparks(picture.drawing, &picture.caption, page, findings);
                }
            }
        }
    }

    fn tree(&mut self, tree: &Tree) {
        self.caption(&tree.caption);
        let room = self.style.columns().saturating_sub(INDENT);
        for (level, what, when) in tree.lines.iter().take(TREE_LINES_MAX) {
            let when = self.style.signs(when);
            // What is deeper than there is room for stands in no further.
            let deepest = room.saturating_sub(width(&when).saturating_add(TREE_TEXT_NARROW)) / 2;
            let depth = usize::try_from(*level).unwrap_or(0).min(deepest);
            let left = room
                .saturating_sub(depth.saturating_mul(2).saturating_add(width(&when)).saturating_add(2))
                .max(16);
            let mut lines = wrap(&self.style.signs(what), left).into_iter();
            let what = lines.next().unwrap_or_default();
            let gap = " ".repeat(left.saturating_sub(width(&what)).saturating_add(2));
            let stands = "  ".repeat(depth);
            self.line(&format!("  {stands}{what}{gap}{when}"));
            for line in lines {
                self.line(&format!("    {stands}{line}"));
            }
        }
        let cut = tree.lines.len().saturating_sub(TREE_LINES_MAX);
        if cut > 0 {
            let cut = units::counted(units::count_of(cut), "more line");
            self.line(&format!("  {cut} in the HTML report"));
        }
        if let Some(note) = &tree.note {
            self.line(&format!("  {note}"));
        }
    }

    /// Series have spark lines for drawings; the other pictures' numbers stand in the tables beside them.
    fn sparks(&mut self, drawing: Drawing, caption: &str, page: &Page, findings: &Findings) {
        if let (Drawing::Knee, Some(knee)) = (drawing, &findings.knee) {
            self.caption(caption);
            for line in super::knee::lines(knee, &self.style) {
                let line = self.style.signs(&line);
                self.line(&format!("  {line}"));
            }
            return;
        }
        let series = &findings.series;
        let client_names = findings.clients.iter().map(|client| client.id.as_str());
        let named: Vec<(&str, &Vec<u64>)> = match drawing {
            Drawing::Rate => {
                let names = findings.causes.columns.iter().map(|column| column.name.as_str());
                names.zip(&series.decisions_by_cause).collect()
            }
            Drawing::Queue => client_names.zip(&series.pending_max).collect(),
            Drawing::ClientQueue => {
                client_names.zip(&series.pending_max).skip(page.client.unwrap_or(0)).take(1).collect()
            }
            _ => return,
        };
        self.caption(caption);
        let names = names_within(named.iter().map(|(name, _)| self.style.signs(&visible(name))), &self.style);
        let label = names.iter().map(|name| width(name)).max().unwrap_or(0);
        for (name, (_, values)) in names.iter().zip(&named).take(SPARKS_MAX) {
            let room = self.style.columns().saturating_sub(label.saturating_add(26)).max(10);
            let line = spark(values, room, &self.style);
            let peak = values.iter().copied().max().unwrap_or(0);
            let peak = if drawing == Drawing::Rate {
                per_second(peak, series.bucket_ns)
            } else {
                units::count(peak)
            };
            let bar = self.style.signs("·");
            self.line(&format!("  {name:label$} {bar}{line}{bar} max {peak}"));
        }
        if named.len() > SPARKS_MAX {
            self.line(&format!("  {} more left out", named.len().saturating_sub(SPARKS_MAX)));
        }
    }
}

fn per_second(decisions: u64, bucket_ns: u64) -> String {
    let seconds = units::float(bucket_ns) / 1e9;
    if seconds > 0.0 {
        format!("{}/s", units::number((units::float(decisions) / seconds).round()))
    } else {
        units::count(decisions)
    }
}

/// Splits text at spaces, but never between a number and its unit. Each word comes with the space behind it.
pub(super) fn words(text: &str) -> Vec<&str> {
    let mut words: Vec<&str> = Vec::new();
    let mut began = 0;
    for (at, _) in text.match_indices(' ').chain(std::iter::once((text.len(), " "))) {
        let behind = at.saturating_add(1).min(text.len());
        let next = text[behind..].split([' ', ',', '.', ';', ')']).next().unwrap_or_default();
        let number = text[began..at].ends_with(|sign: char| sign.is_ascii_digit());
        if number && matches!(next, "ns" | "µs" | "us" | "ms" | "s" | "min" | "h") {
            continue;
        }
        words.push(&text[began..behind]);
        began = behind;
    }
    words
}

/// A paragraph behind a lead-in, of which only the first line has more than blanks.
pub(super) fn paragraph(lead: &str, text: &str, style: &Style) -> String {
    let lead_width = width(lead);
    let room = style.columns().saturating_sub(lead_width).max(20);
    let mut paragraph = String::new();
    for (place, line) in wrap(&style.signs(text), room).into_iter().enumerate() {
        let before = if place == 0 { lead.to_owned() } else { " ".repeat(lead_width) };
        paragraph.push_str(format!("{before}{line}").trim_end());
        paragraph.push('\n');
    }
    paragraph
}

/// Breaks text at spaces into lines of at most `room` columns; a longer word stays whole, and sticks out.
pub(super) fn wrap(text: &str, room: usize) -> Vec<String> {
    let separator =
        WordSeparator::Custom(|line| Box::new(words(line).into_iter().map(textwrap::core::Word::from)));
    let options = textwrap::Options::new(room)
        .word_separator(separator)
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    textwrap::wrap(text, options).into_iter().map(Cow::into_owned).collect()
}

/// What stands before the colon that explains it; a colon within code explains nothing.
fn before_explanation(advice: &str) -> &str {
    let mut before = advice.match_indices(": ").map(|(colon, _)| &advice[..colon]);
    before.find(|before| before.matches('`').count().is_multiple_of(2)).unwrap_or(advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_keeps_every_word_whole() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij k", 4), ["abcdefghij", "k"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("took 12.3 ms, at 5 s", 12), ["took", "12.3 ms, at", "5 s"]);
    }

    #[test]
    fn escape_sequences_take_no_room() {
        assert_eq!(width("\u{1b}[31;1mFAIL\u{1b}[0m"), 4);
    }
}
