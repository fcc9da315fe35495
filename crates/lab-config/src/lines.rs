//! Where the lines of a lab file begin and end, for all that counts lines or shows one.
//!
//! YAML 1.2 breaks lines at a line feed, at a carriage return, and at the pair of them (section 5.4). The editor, the
//! YAML library and the excerpt must mean the same line, so nothing here asks `str::lines`, which knows no lone
//! carriage return.

use std::ops::Range;

/// The lines of one text.
#[derive(Clone, Debug)]
pub(crate) struct Lines<'a> {
    text: &'a str,
    /// Where each begins; the first at 0.
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn of(text: &'a str) -> Lines<'a> {
        let bytes = text.as_bytes();
        let ends =
            |at: usize| bytes[at] == b'\n' || (bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
        let starts = std::iter::once(0).chain((0..bytes.len()).filter(|&at| ends(at)).map(|at| at + 1));
        Lines { text, starts: starts.collect() }
    }

    /// The place of a line in the text, without its break; lines are counted from 0. The end of the text when there
    /// is no such line.
    pub(crate) fn place(&self, line: usize) -> Range<usize> {
        let length = self.text.len();
        let start = self.starts.get(line).copied().unwrap_or(length);
        let end = self.starts.get(line + 1).copied().unwrap_or(length);
        start..start + self.text[start..end].trim_end_matches(['\n', '\r']).len()
    }

    /// The line of a byte, counted from 0; a break belongs to the line that it ends.
    pub(crate) fn of_byte(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at).saturating_sub(1)
    }

    /// The first line of a place, moved onto character boundaries inside the text, without the blanks at its end.
    pub(crate) fn clamped(&self, place: &Range<usize>) -> Range<usize> {
        let start = self.text.floor_char_boundary(place.start);
        let line = self.place(self.of_byte(start));
        let start = start.min(line.end);
        let end = self.text.ceil_char_boundary(place.end).clamp(start, line.end);
        start..start + self.text[start..end].trim_end().len()
    }

    /// Line and column of a byte, both counted from 1; columns are characters.
    pub(crate) fn line_and_column(&self, at: usize) -> (usize, usize) {
        let line = self.of_byte(at);
        let start = self.place(line).start;
        (line + 1, self.text[start..at].chars().count() + 1)
    }

    /// The byte of a line and column that are counted from 1; the end of the text when it has no such line, the end
    /// of the line when that has no such column.
    pub(crate) fn byte(&self, line: usize, column: usize) -> usize {
        let place = self.place(line.saturating_sub(1));
        let mut characters = self.text[place.clone()].char_indices();
        characters.nth(column.saturating_sub(1)).map_or(place.end, |(at, _)| place.start + at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_break_of_yaml_ends_a_line() {
        for (text, lines) in [
            ("", &[""][..]),
            ("a", &["a"]),
            ("a\n", &["a", ""]),
            ("a\r\nb", &["a", "b"]),
            ("a\rb\r\r", &["a", "b", "", ""]),
            ("\n\r", &["", "", ""]),
            ("\r\n\r\n", &["", "", ""]),
            ("\u{2028}a\u{85}b", &["\u{2028}a\u{85}b"]),
        ] {
            let found = Lines::of(text);
            let places: Vec<&str> = (0..found.starts.len()).map(|line| &text[found.place(line)]).collect();
            assert_eq!(places, lines, "{text:?}");
        }
    }

    #[test]
    fn a_byte_has_one_line_and_column_and_they_lead_back_to_it() {
        for text in ["a: 1\rb\r\r", "é\r\n\tö", "\n\n", "a\r\n", "x\ry", "\u{1f600}\u{1f600}\nz"] {
            let lines = Lines::of(text);
            for (at, character) in text.char_indices() {
                let (line, column) = lines.line_and_column(at);
                let expected = if character == '\n' { lines.place(line - 1).end } else { at };
                assert_eq!(lines.byte(line, column), expected, "{text:?} at {at}");
            }
            assert_eq!(lines.byte(99, 1), text.len());
        }
    }

    /// Whatever is asked for, the answer lies in one line of the text.
    #[test]
    fn any_place_is_clamped_into_one_line() {
        for text in ["a: 1\rb\r\r", "é  \r\n\tö", "", "\r\n", "\u{1f600}\n"] {
            let lines = Lines::of(text);
            for start in 0..text.len() + 3 {
                for end in 0..text.len() + 3 {
                    let place = lines.clamped(&(start..end));
                    let line = lines.place(lines.of_byte(place.start));
                    assert!(line.start <= place.start && place.end <= line.end, "{text:?} {start}..{end}");
                    assert!(text.get(place).is_some_and(|found| !found.ends_with([' ', '\t'])));
                }
            }
        }
    }
}
