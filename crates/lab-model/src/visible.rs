//! Text from outside, made safe to show: what would move a cursor, colour a terminal or turn the reading order around
//! is written out instead.

use std::fmt::{self, Display, Write};

/// Shows a text with every control character, and every mark that changes the order of reading, as an escape such as
/// `\u{1b}`. Lines end there too; [`Visible::lines`] keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visible<'a> {
    text: &'a str,
    lines: bool,
}

impl<'a> Visible<'a> {
    /// A text of one line.
    #[must_use]
    pub const fn new(text: &'a str) -> Visible<'a> {
        Visible { text, lines: false }
    }

    /// A text whose line feeds and tabs mean what they say.
    #[must_use]
    pub const fn lines(text: &'a str) -> Visible<'a> {
        Visible { text, lines: true }
    }
}

impl Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.text.chars() {
            match letter {
                '\n' | '\t' if self.lines => f.write_char(letter)?,
                _ if is_shown(letter) => f.write_char(letter)?,
                _ => write!(f, "{}", letter.escape_unicode())?,
            }
        }
        Ok(())
    }
}

/// Whether a letter only shows itself: no C0 or C1 control, no mark of Unicode's bidirectional algorithm (UAX #9), no
/// letter without a width, no line or paragraph separator.
const fn is_shown(letter: char) -> bool {
    !matches!(
        letter,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_written_out_and_letters_are_not() {
        let check = |text, shown: &str| assert_eq!(Visible::new(text).to_string(), shown);
        check("plain, ü and 漢", "plain, ü and 漢");
        check("\u{1b}[31mred", "\\u{1b}[31mred");
        check("two\nlines\r", "two\\u{a}lines\\u{d}");
        check("\u{9b}2J", "\\u{9b}2J");
        check("\u{202e}gnp.exe", "\\u{202e}gnp.exe");
        assert_eq!(Visible::lines("a\n\tb\r").to_string(), "a\n\tb\\u{d}");
    }
}
