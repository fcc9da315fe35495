//! Text from outside, made safe to show: what would move a cursor, colour a terminal, turn the reading order around or
//! not show at all is written out instead.

use std::fmt::{self, Display, Write};

/// Shows a text with every control character, every mark that changes the order of reading and every letter that does
/// not show as an escape such as `\u{1b}`. Lines end there too; [`Visible::lines`] keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visible<'a> {
    text: &'a str,
    of: Of,
}

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Line,
    Lines,
    Json,
}

impl<'a> Visible<'a> {
    /// A text of one line.
    #[must_use]
    pub const fn new(text: &'a str) -> Visible<'a> {
        Visible { text, of: Of::Line }
    }

    /// A text whose line feeds and tabs mean what they say.
    #[must_use]
    pub const fn lines(text: &'a str) -> Visible<'a> {
        Visible { text, of: Of::Lines }
    }

    /// A text that is JSON, and says the same afterwards: JSON has such letters in strings only, where it has escapes
    /// of its own for them. Its writers escape the controls below U+0020 and leave all others as they are.
    #[must_use]
    pub const fn json(text: &'a str) -> Visible<'a> {
        Visible { text, of: Of::Json }
    }
}

impl Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.text.chars() {
            match letter {
                '\n' | '\t' if self.of != Of::Line => f.write_char(letter)?,
                _ if is_shown(letter) => f.write_char(letter)?,
                _ if self.of == Of::Json => {
                    let mut units = [0; 2];
                    letter.encode_utf16(&mut units).iter().try_for_each(|unit| write!(f, "\\u{unit:04x}"))?;
                }
                _ => write!(f, "{}", letter.escape_unicode())?,
            }
        }
        Ok(())
    }
}

/// Whether a letter only shows itself: no C0 or C1 control, no mark of Unicode's bidirectional algorithm (UAX #9), no
/// line or paragraph separator, and none that is ignorable by default (`Default_Ignorable_Code_Point`, Unicode 16) and
/// so has no width.
const fn is_shown(letter: char) -> bool {
    !matches!(
        letter,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
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
        check("a\u{200b}b\u{fe0f}", "a\\u{200b}b\\u{fe0f}");
        assert_eq!(Visible::lines("a\n\tb\r").to_string(), "a\n\tb\\u{d}");
    }

    #[test]
    fn json_says_the_same_with_its_own_escapes() {
        let shown = Visible::json("{\n \"a\u{9b}\": \"\u{202e}\u{e0001}\u{7f}ü\"\n}").to_string();
        assert_eq!(shown, "{\n \"a\\u009b\": \"\\u202e\\udb40\\udc01\\u007fü\"\n}");
    }
}
