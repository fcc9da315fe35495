//! What goes to the terminal, and how it looks there.

use std::{
    env,
    io::{self, IsTerminal, Write},
};

use lab_report::text::Style;

use crate::Stop;

/// The width of plain text that goes to no terminal, in columns.
const PLAIN_WIDTH: usize = 120;

fn no_color() -> bool {
    // https://no-color.org: any value that is not empty.
    env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Whether standard error takes colour.
pub(crate) fn color_stderr() -> bool {
    io::stderr().is_terminal() && !no_color()
}

/// How reports look on standard output.
pub(crate) fn style() -> Style {
    let terminal = io::stdout().is_terminal();
    let width = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    Style { color: terminal && !no_color(), width: width.unwrap_or(PLAIN_WIDTH), unicode: terminal }
}

/// Writes to standard output. A closed pipe is no failure: the reader has seen enough.
pub(crate) fn print(text: &str) -> Result<(), Stop> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Stop::output("cannot write the output", &error))
        }
        _ => Ok(()),
    }
}

/// Writes to standard error; when even that fails there is nobody to tell.
pub(crate) fn eprint(text: &str) {
    drop(io::stderr().write_all(text.as_bytes()));
}

/// Says what is wrong and what mends it.
pub(crate) fn complain(message: &str, mend: Option<&str>) {
    let (red, plain) = if color_stderr() { ("\u{1b}[1;31m", "\u{1b}[0m") } else { ("", "") };
    let mend = mend.map(|mend| format!("\n  help: {mend}")).unwrap_or_default();
    eprint(&format!("{red}error{plain}: {message}{mend}\n"));
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
        let progress = Progress { what: what.to_owned(), drawn: io::stderr().is_terminal() };
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
            eprint(&format!("\r\u{1b}[K{}{more}", self.what));
        }
    }

    /// Takes the line away.
    pub(crate) fn end(self) {
        if self.drawn {
            eprint("\r\u{1b}[K");
        }
    }
}

/// Writes JSON to standard output, with a newline at its end.
pub(crate) fn print_json(value: &serde_json::Value) -> Result<(), Stop> {
    print(&format!("{value:#}\n"))
}

/// Writes text for people to standard output: plain ASCII where that is no terminal.
pub(crate) fn say(text: &str) -> Result<(), Stop> {
    print(&style().signs(text))
}
