//! How text may look: colour, width, and whether signs beyond ASCII are allowed.

use lab_model::Visible;

use crate::page::Mood;

/// What a terminal, or the lack of one, allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether escape sequences may set colours.
    pub color: bool,
    /// Columns that text is laid out for; at least [`Style::WIDTH_MIN`].
    pub width: usize,
    /// Whether signs beyond ASCII may appear.
    pub unicode: bool,
}

impl Style {
    /// Less than this holds no sentence and no table.
    pub const WIDTH_MIN: usize = 40;

    /// Longer lines nobody reads.
    pub const WIDTH_MAX: usize = 400;

    /// What suits a file, a pipe or a terminal that asked for no colour: plain ASCII, 100 columns.
    #[must_use]
    pub const fn plain() -> Style {
        Style { color: false, width: 100, unicode: false }
    }

    /// The width to lay out for.
    pub(crate) fn columns(&self) -> usize {
        self.width.clamp(Style::WIDTH_MIN, Style::WIDTH_MAX)
    }

    /// The text with every sign replaced that may not appear. All that is written goes through here before it gets any
    /// colour, so what would steer a terminal is written out, wherever it comes from.
    #[must_use]
    pub fn signs(&self, text: &str) -> String {
        let text = Visible::lines(text).to_string();
        if self.unicode || text.is_ascii() {
            return text;
        }
        text.chars().map(ascii).collect()
    }

    /// The text in the colour of a mood.
    pub(crate) fn mood(&self, mood: Mood, text: &str) -> String {
        let code = match mood {
            Mood::Plain => return self.signs(text),
            Mood::Good => "32",
            Mood::Warn => "33",
            Mood::Bad => "31;1",
            Mood::Unknown => "35",
        };
        self.escape(code, text)
    }

    /// The text as a heading.
    pub(crate) fn strong(&self, text: &str) -> String {
        self.escape("1", text)
    }

    /// The text as an aside.
    pub(crate) fn faint(&self, text: &str) -> String {
        self.escape("2", text)
    }

    fn escape(&self, code: &str, text: &str) -> String {
        let text = self.signs(text);
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text }
    }

    /// The mark of a mood.
    pub(crate) fn mark(&self, mood: Mood) -> String {
        let sign = if self.unicode {
            mood.sign()
        } else {
            match mood {
                Mood::Plain => "-",
                Mood::Good => "ok",
                Mood::Warn => "!!",
                Mood::Bad => "FAIL",
                Mood::Unknown => "??",
            }
        };
        self.mood(mood, sign)
    }
}

/// What stands for a sign where only ASCII may appear.
fn ascii(character: char) -> String {
    let replaced = match character {
        '✓' => "ok",
        '✗' => "FAIL",
        '·' => "-",
        '–' => "-",
        '…' => "...",
        'µ' => "u",
        '×' => "x",
        '›' => ">",
        '→' => "->",
        other if other.is_ascii() => return other.to_string(),
        other => return format!("<U+{:04X}>", u32::from(other)),
    };
    replaced.to_owned()
}
