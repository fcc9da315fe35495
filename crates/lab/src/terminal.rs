//! What goes to the terminal, and how it looks there.
//!
//! Nothing that comes from outside (a lab file, a name on disk, what a kernel or a product said, an argument) may steer a
//! terminal. That is kept by the way out and not by those who print: there are two ways.
//!
//! - **Plain text** ([`print`], [`eprint`], [`say`], [`complain`], [`Progress`], [`Log`]) has no colour of its own, so
//!   every control but a line's end and a tab, and every mark that turns the order of reading, is written out, whoever
//!   put it there. Colour that belongs around it is added behind this.
//! - **Painted text** ([`print_painted`], [`eprint_mistakes`]) is a type, which only the crates that lay reports and
//!   mistakes out can make, and they make their parts visible before they paint them. Of it, colours pass where colours
//!   are wanted (`ESC [ digits ; m`), and everything else is written out as above.
//!
//! JSON says the same with escapes of its own ([`print_json`]).

use std::{
    env,
    io::{self, IsTerminal, Write},
};

use lab_model::Visible;
use lab_report::text::{Painted, Style};

use crate::ExitError;

/// The width of text that goes to no terminal, in columns.
const PLAIN_WIDTH: usize = 120;
/// The widths that are believed. In fewer columns than these nothing can be read, whatever is laid out.
const COLUMNS_SANE: std::ops::RangeInclusive<usize> = 10..=10_000;

fn no_color() -> bool {
    // https://no-color.org: any value that is not empty.
    env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Whether standard error takes colour.
fn color_stderr() -> bool {
    io::stderr().is_terminal() && !no_color()
}

/// How wide standard output is, where anybody knows: the terminal itself, or else `COLUMNS`.
fn known_width() -> Option<usize> {
    let terminal = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
    width_of(terminal, env::var("COLUMNS").ok().as_deref())
}

/// The width of a terminal that says one, or else of `COLUMNS`, if that is one.
fn width_of(terminal: Option<usize>, columns: Option<&str>) -> Option<usize> {
    // A terminal that was never told its size says 0.
    let columns = || columns?.parse().ok();
    terminal.filter(|width| *width > 0).or_else(columns).filter(|width| COLUMNS_SANE.contains(width))
}

/// How reports look on standard output.
pub(crate) fn style() -> Style {
    let terminal = io::stdout().is_terminal();
    let width = known_width().unwrap_or(PLAIN_WIDTH);
    Style { color: terminal && !no_color(), width, unicode: terminal }
}

/// How tables look on standard output that a program may read as well: without a terminal, all their columns are there.
pub(crate) fn table_style() -> Style {
    Style { width: known_width().unwrap_or(Style::WIDTH_MAX), ..style() }
}

/// Plain text without anything that steers a terminal.
fn plain(text: &str) -> String {
    Visible::lines(text).to_string()
}

/// Painted text without anything that steers a terminal but its colours, and without these unless they are wanted.
fn painted(text: &str, color: bool) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        let (before, escape) = rest.split_at(at);
        shown.push_str(&plain(before));
        let length = color_length(escape).unwrap_or(0);
        if color && length > 0 {
            shown.push_str(&escape[..length]);
        }
        let skipped = if length > 0 {
            length
        } else {
            shown.push_str(&plain("\u{1b}"));
            1
        };
        rest = &escape[skipped..];
    }
    shown + &plain(rest)
}

/// How long the sequence is that a text begins with, if it sets colours and nothing else.
fn color_length(text: &str) -> Option<usize> {
    let settings = text.strip_prefix("\u{1b}[")?;
    let end = settings.find(|letter: char| !letter.is_ascii_digit() && letter != ';')?;
    settings[end..].starts_with('m').then_some(end + 3)
}

/// Writes to standard output. A closed pipe is no failure: the reader has seen enough.
fn write(text: &str) -> Result<(), ExitError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(ExitError::output("cannot write the output", &error))
        }
        _ => Ok(()),
    }
}

/// Writes to standard error; when even that fails there is nobody to tell.
fn write_error(text: &str) {
    drop(io::stderr().write_all(text.as_bytes()));
}

/// Writes plain text to standard output.
pub(crate) fn print(text: &str) -> Result<(), ExitError> {
    write(&plain(text))
}

/// Writes a script to standard output as it is: for a shell, and made of nothing but this program's own words.
pub(crate) fn print_script(text: &str) -> Result<(), ExitError> {
    write(text)
}

/// Writes plain text to standard error.
pub(crate) fn eprint(text: &str) {
    write_error(&plain(text));
}

/// Writes a report to standard output.
pub(crate) fn print_painted(text: &Painted) -> Result<(), ExitError> {
    write(&painted(text, style().color))
}

/// Writes all mistakes of a lab file to standard error.
pub(crate) fn eprint_mistakes(report: &lab_config::Report) {
    let color = color_stderr();
    let text = report.render(if color { lab_config::Color::Always } else { lab_config::Color::Never });
    write_error(&painted(&text, color));
}

/// Says what is wrong and what mends it.
pub(crate) fn complain(message: &str, mend: Option<&str>) {
    let (red, end) = if color_stderr() { ("\u{1b}[1;31m", "\u{1b}[0m") } else { ("", "") };
    let mend = mend.map(|mend| format!("\n  help: {}", plain(mend))).unwrap_or_default();
    write_error(&format!("{red}error{end}: {}{mend}\n", plain(message)));
}

/// Standard error for what the program logs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(plain(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// One line on standard error that says what goes on; nothing where that is no terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    what: String,
    drawn: bool,
}

impl Progress {
    /// Begins the line.
    pub(crate) fn new(what: &str) -> Progress {
        let progress = Progress { what: Visible::new(what).to_string(), drawn: io::stderr().is_terminal() };
        progress.draw("");
        progress
    }

    /// Says how far it is.
    pub(crate) fn at(&self, done: usize, of: usize) {
        self.draw(&format!(" {done}/{of}"));
    }

    /// Says how much is done of what nobody can tell the size of.
    pub(crate) fn done(&self, done: usize) {
        self.draw(&format!(" {done}"));
    }

    fn draw(&self, more: &str) {
        if self.drawn {
            write_error(&format!("\r\u{1b}[K{}{more}", self.what));
        }
    }

    /// Takes the line away.
    pub(crate) fn end(self) {
        if self.drawn {
            write_error("\r\u{1b}[K");
        }
    }
}

/// Writes a text that is JSON to standard output.
pub(crate) fn print_json_text(text: &str) -> Result<(), ExitError> {
    write(&Visible::json(text).to_string())
}

/// Writes JSON to standard output, with a newline at its end.
pub(crate) fn print_json(value: &serde_json::Value) -> Result<(), ExitError> {
    print_json_text(&format!("{value:#}\n"))
}

/// Writes text for people to standard output: plain ASCII where that is no terminal.
pub(crate) fn say(text: &str) -> Result<(), ExitError> {
    write(&style().signs(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_knows_its_width_better_than_its_environment() {
        assert_eq!(width_of(Some(80), Some("132")), Some(80));
        assert_eq!(width_of(Some(0), Some("132")), Some(132));
        assert_eq!(width_of(None, Some("60")), Some(60));
        for nonsense in ["", "wide", "-80", "0", "3", "80.5", "99999999999999999999", "100000"] {
            assert_eq!(width_of(None, Some(nonsense)), None, "{nonsense}");
        }
        assert_eq!(width_of(None, None), None);
    }

    #[test]
    fn of_painted_text_only_colours_pass_and_only_where_they_are_wanted() {
        let check = |text: &str, with: &str, without: &str| {
            assert_eq!(painted(text, true), with);
            assert_eq!(painted(text, false), without);
        };
        check("\u{1b}[31;1mFAIL\u{1b}[0m\n", "\u{1b}[31;1mFAIL\u{1b}[0m\n", "FAIL\n");
        check("\u{1b}[2J", "\\u{1b}[2J", "\\u{1b}[2J");
        check("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}", "\\u{1b}]0;title\\u{7}");
        check("\u{1b}\u{1b}[", "\\u{1b}\\u{1b}[", "\\u{1b}\\u{1b}[");
        check("a\u{202e}b\u{9b}m\r", "a\\u{202e}b\\u{9b}m\\u{d}", "a\\u{202e}b\\u{9b}m\\u{d}");
        check("", "", "");
    }
}
