//! Tables as text: laid out here, drawn by `comfy-table`.
//!
//! Where room is scarce, columns go by their rank and a line says which. What stays is broken between words only; a
//! single long word, such as a path, loses its middle, but never so that two of its column become the same.

use std::collections::BTreeSet;

use comfy_table::{CellAlignment, ContentArrangement, ContentLineStyle, LineStyle, TableStyle};
use textwrap::core::display_width as width;

use super::{
    Style,
    render::{words, wrap},
};
use crate::{
    page::{Column, Table},
    visible::{clip, visible},
};
use lab_model::units;

/// A word that is longer than this loses its middle, however much room there is.
const WORD_LONG: usize = 64;
/// A word that is longer than this may lose its middle where room is scarce.
const WORD_SHORT: usize = 20;
/// A cell of several words is not laid out narrower than this, unless it is shorter.
const CELL_NARROW: usize = 16;
/// Blanks between two columns.
const GAP: usize = 2;
/// The columns that are named as not shown; of more, only the count is.
const NAMED_MAX: usize = 8;

const UNICODE: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none().junction(' '))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .content_lines(ContentLineStyle::none().junction(' '));
const ASCII: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none().junction(' '))
    .header_separator(LineStyle::none().fill('-').junction('-'))
    .content_lines(ContentLineStyle::none().junction(' '));
const BARE: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none().junction(' '))
    .content_lines(ContentLineStyle::none().junction(' '));

/// Lays a table out, without the columns for which a terminal has no room. What was left out of rows, the HTML report has.
pub(super) fn lines(table: &Table, style: &Style, indent: usize) -> Vec<String> {
    let mut table = table.clone();
    table.cap(table.terminal_rows);
    let note = table.note.take().map(|note| style.signs(&format!("{note}; the HTML report has more")));
    let rows: Vec<Vec<String>> = table
        .rows
        .iter()
        .chain(table.footer.as_ref())
        .map(|row| {
            let cell = |place: usize| row.get(place).map_or_else(String::new, |cell| style.signs(&cell.text));
            (0..table.columns.len()).map(cell).collect()
        })
        .collect();
    let mut lines =
        laid_out(&table.columns, &rows, if style.unicode { UNICODE } else { ASCII }, style, indent);
    lines.extend(note);
    lines
}

/// Lays out rows of words below headings without a rule between.
pub(super) fn bare(
    headings: &[String],
    rows: &[Vec<String>],
    words: &[usize],
    style: &Style,
    indent: usize,
) -> String {
    // Some tables have no headings.
    let all = rows.iter().map(Vec::len).max().unwrap_or(0).max(headings.len());
    let column = |place: usize| {
        let heading = headings.get(place).map_or("", String::as_str);
        if place == 0 || words.contains(&place) { Column::words(heading) } else { Column::numbers(heading) }
    };
    let columns: Vec<Column> = (0..all).map(column).collect();
    let signs = |row: &Vec<String>| row.iter().map(|cell| style.signs(&visible(cell))).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(signs).collect();
    let before = " ".repeat(indent);
    laid_out(&columns, &rows, BARE, style, indent).iter().map(|line| format!("{before}{line}\n")).collect()
}

/// Names of at most [`WORD_SHORT`] columns, unless two of them would become the same.
pub(super) fn names_within(names: impl IntoIterator<Item = String>, style: &Style) -> Vec<String> {
    Texts { heading: String::new(), cells: names.into_iter().collect() }.within(WORD_SHORT, style).cells
}

/// Lays out rows of cells whose signs a terminal may show.
fn laid_out(
    columns: &[Column],
    rows: &[Vec<String>],
    look: TableStyle,
    style: &Style,
    indent: usize,
) -> Vec<String> {
    let room = style.columns().saturating_sub(indent);
    let texts: Vec<Texts> = columns
        .iter()
        .enumerate()
        .map(|(place, column)| {
            let cells = rows.iter().map(|row| row.get(place).cloned().unwrap_or_default()).collect();
            Texts { heading: style.signs(&column.heading), cells }.within(WORD_LONG, style)
        })
        .collect();
    let sizes: Vec<Size> = texts.iter().map(|texts| texts.size(style)).collect();
    let kept = that_fit(columns, &sizes, room);
    let widths = widths(&kept.iter().map(|&place| sizes[place]).collect::<Vec<_>>(), room);
    let mut drawn = comfy_table::Table::new();
    drawn.load_style(look).set_content_arrangement(ContentArrangement::Disabled);
    let mut header = Vec::new();
    let mut cells: Vec<Vec<String>> = vec![Vec::new(); rows.len()];
    for (&place, &across) in kept.iter().zip(&widths) {
        let Texts { heading, cells: column } = texts[place].within(across, style);
        header.push(wrap(&heading, across).join("\n"));
        for (row, cell) in cells.iter_mut().zip(&column) {
            row.push(wrap(cell, across.max(longest_word(cell))).join("\n"));
        }
    }
    if header.iter().any(|heading| !heading.is_empty()) {
        drawn.set_header(header);
    }
    for row in cells {
        drawn.add_row(row);
    }
    for (drawn_place, &place) in kept.iter().enumerate() {
        if let Some(column) = drawn.column_mut(drawn_place) {
            column.set_padding((if drawn_place == 0 { 0 } else { 1 }, 0));
            if columns[place].numeric {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    let mut lines: Vec<String> = drawn.lines().map(|line| line.trim_end().to_owned()).collect();
    if let Some(note) = not_shown(columns, &kept, style) {
        lines.extend(wrap(&style.signs(&note), room));
    }
    lines
}

/// Which columns there was no room for, in words.
fn not_shown(columns: &[Column], kept: &[usize], style: &Style) -> Option<String> {
    let missing: Vec<&str> = (0..columns.len())
        .filter(|place| !kept.contains(place))
        .map(|place| columns[place].heading.as_str())
        .collect();
    if missing.is_empty() {
        return None;
    }
    let named = missing.get(..NAMED_MAX).unwrap_or(&missing).join(", ");
    let more = match missing.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {} more", units::count(units::count_of(more))),
    };
    Some(format!("not shown at {} columns: {named}{more}", style.columns()))
}

/// The texts of one column.
#[derive(Clone, Debug)]
struct Texts {
    heading: String,
    cells: Vec<String>,
}

impl Texts {
    /// The same with no word longer than `room`, unless two of them would become the same.
    fn within(&self, room: usize, style: &Style) -> Texts {
        if self.cells.iter().all(|cell| longest_word(cell) <= room) {
            return self.clone();
        }
        let most = self.distinct_from(room, style);
        let short = |cell: &String| {
            words(cell).into_iter().map(|word| shortened(word, most, style)).collect::<String>()
        };
        Texts { heading: self.heading.clone(), cells: self.cells.iter().map(short).collect() }
    }

    /// How long words must at least be, from `room` on, so that words that differ still do.
    fn distinct_from(&self, room: usize, style: &Style) -> usize {
        let all: BTreeSet<&str> = self.cells.iter().flat_map(|cell| words(cell)).map(str::trim_end).collect();
        let longest = all.iter().map(|word| width(word)).max().unwrap_or(0);
        let mut most = room;
        while most < longest {
            let short: BTreeSet<String> = all.iter().map(|word| shortened(word, most, style)).collect();
            if short.len() == all.len() {
                return most;
            }
            most = most.saturating_add(most.div_ceil(4).max(1));
        }
        longest
    }

    fn size(&self, style: &Style) -> Size {
        let word = self.cells.iter().map(|cell| longest_word(cell)).max().unwrap_or(0);
        let word = if word > WORD_SHORT { self.distinct_from(WORD_SHORT, style) } else { word };
        let cell = self.cells.iter().map(|cell| width(cell)).max().unwrap_or(0);
        let least = word.max(cell.min(CELL_NARROW)).max(longest_word(&self.heading));
        let longest = self.cells.iter().map(|cell| longest_word(cell)).max().unwrap_or(0).max(least);
        Size { least, longest, whole: cell.max(width(&self.heading)).max(longest) }
    }
}

/// A word of at most so many columns, which has lost its middle if it was longer; blanks behind it stay.
fn shortened(word: &str, most: usize, style: &Style) -> String {
    let end = word.trim_end();
    if width(end) <= most {
        return word.to_owned();
    }
    let ellipsis = width(&style.signs("…"));
    let short = style.signs(&clip(end, most.saturating_sub(ellipsis).saturating_add(1)));
    short + &word[end.len()..]
}

fn longest_word(text: &str) -> usize {
    words(text).into_iter().map(|word| width(word.trim_end())).max().unwrap_or(0)
}

/// How wide a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    /// The least columns that hold it.
    least: usize,
    /// The columns in which no word of it loses its middle.
    longest: usize,
    /// The columns that it takes without a further line.
    whole: usize,
}

/// The columns that there is room for. The first, which says what a row is about, always stays; of the others those of
/// the lowest rank go first, and of these the last.
fn that_fit(columns: &[Column], sizes: &[Size], room: usize) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    let taken = |kept: &[usize]| {
        let gaps = GAP.saturating_mul(kept.len().saturating_sub(1));
        kept.iter().map(|&place| sizes[place].least).fold(gaps, usize::saturating_add)
    };
    while kept.len() > 1 && taken(&kept) > room {
        let lowest = kept.iter().skip(1).map(|&place| columns[place].rank).min().unwrap_or(0);
        let Some(last) = kept.iter().rposition(|&place| place != kept[0] && columns[place].rank == lowest)
        else {
            break;
        };
        kept.remove(last);
    }
    kept
}

/// What each column gets: at least what it needs. What is left goes to words that would lose their middle, and only then
/// to cells that would take a further line.
fn widths(sizes: &[Size], room: usize) -> Vec<usize> {
    let gaps = GAP.saturating_mul(sizes.len().saturating_sub(1));
    let mut widths: Vec<usize> = sizes.iter().map(|size| size.least).collect();
    let mut left = room.saturating_sub(widths.iter().copied().fold(gaps, usize::saturating_add));
    for wanted in [|size: &Size| size.longest, |size: &Size| size.whole] {
        let missing = |widths: &[usize], place: usize| wanted(&sizes[place]).saturating_sub(widths[place]);
        // Those that need little more get it first.
        let mut order: Vec<usize> = (0..sizes.len()).collect();
        order.sort_by_key(|&place| missing(&widths, place));
        for (done, place) in order.into_iter().enumerate() {
            let share = left.checked_div(sizes.len().saturating_sub(done)).unwrap_or(0);
            let more = missing(&widths, place).min(share);
            widths[place] = widths[place].saturating_add(more);
            left = left.saturating_sub(more);
        }
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Cell;

    fn table(columns: Vec<Column>, rows: &[&[&str]]) -> Table {
        let mut table = Table::new("", columns);
        table.rows = rows.iter().map(|row| row.iter().map(|cell| Cell::words(cell)).collect()).collect();
        table
    }

    fn at(table: &Table, width: usize) -> String {
        lines(table, &Style { width, unicode: true, color: false }, 0).join("\n")
    }

    fn clients() -> Table {
        let columns = vec![
            Column::words("client"),
            Column::numbers("decisions").rank(8),
            Column::numbers("p50"),
            Column::numbers("operations").wide(),
            Column::words("end").rank(7),
        ];
        table(
            columns,
            &[&["alpha", "1,234", "360 ns", "12", "clean"], &["bravo", "9", "1.20 s", "7", "killed"]],
        )
    }

    #[test]
    fn columns_go_by_rank_and_a_line_says_which() {
        let whole = at(&clients(), 60);
        assert!(whole.starts_with("client  decisions     p50  operations  end"), "{whole}");
        assert!(!whole.contains("not shown"), "{whole}");
        let narrow = at(&clients(), 40);
        assert!(narrow.starts_with("client  decisions     p50  end\n"), "{narrow}");
        assert!(narrow.ends_with("\nnot shown at 40 columns: operations"), "{narrow}");
    }

    #[test]
    fn of_one_rank_the_last_goes_first_and_the_first_column_never() {
        let columns = ["who", "first", "second", "third"].map(Column::words).to_vec();
        let wide = "a-number-of-19-signs";
        let shown = at(&table(columns, &[&["alpha", wide, wide, wide]]), 50);
        assert!(shown.starts_with("who    first                 second"), "{shown}");
        assert!(shown.ends_with("not shown at 50 columns: third"), "{shown}");
    }

    #[test]
    fn cells_break_between_words_only() {
        let columns = vec![Column::words("who"), Column::words("why")];
        let shown =
            at(&table(columns, &[&["alpha", "it waited for 12.3 ms until bravo had answered it"]]), 40);
        assert_eq!(
            shown,
            "who    why\n────────────────────────────────────────\n\
             alpha  it waited for 12.3 ms until bravo\n       had answered it"
        );
    }

    /// Of 60 columns the run needs 33, and all others together 26 while their heading takes two lines.
    #[test]
    fn a_name_stays_whole_before_a_heading_stays_on_one_line() {
        let columns =
            vec![Column::words("run"), Column::words("outcome"), Column::numbers("expectations that held")];
        let run = "three-clients/2026-11-30T22-26-47Z";
        let shown = at(&table(columns, &[&[run, "stable", "5 of 5"]]), 60);
        assert!(shown.contains(run), "{shown}");
        assert!(shown.lines().all(|line| width(line) <= 60), "{shown}");
    }

    #[test]
    fn long_words_lose_their_middle_unless_they_would_become_the_same() {
        let columns = || vec![Column::words("file"), Column::numbers("times")];
        let one = "files/0001/a-folder-with-a-long-name/of-some-file.dat";
        let other = "files/0001/a-folder-with-a-long-name/of-another-file.dat";
        let shown = at(&table(columns(), &[&[one, "1"], &[other, "2"]]), 40);
        assert!(
            shown.contains('…') && shown.contains("some-file.dat") && shown.contains("another-file.dat"),
            "{shown}"
        );
        let alike = ["x".repeat(30) + "1" + &"y".repeat(30), "x".repeat(30) + "2" + &"y".repeat(30)];
        let shown = at(&table(columns(), &[&[&alike[0], "1"], &[&alike[1], "2"]]), 40);
        let names: BTreeSet<&str> = shown.lines().skip(2).filter_map(|line| line.split(' ').next()).collect();
        assert!(names.len() >= alike.len(), "{shown}");
    }
}
