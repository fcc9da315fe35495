//! Tables as text, laid out by `comfy-table`.

use comfy_table::{CellAlignment, ContentArrangement, ContentLineStyle, LineStyle, TableStyle};
use lab_model::units;

use super::Style;
use crate::{page::Table, visible::clip};

/// A path or chain longer than this loses its middle.
const CODE_MAX: usize = 64;
/// Words longer than this lose their middle; shorter ones take several lines.
const WORDS_MAX: usize = 240;
/// With more columns than this, those in the middle are left out.
const COLUMNS_MAX: usize = 12;

const UNICODE: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none().junction(' '))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .content_lines(ContentLineStyle::none().junction(' '));
const ASCII: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none().junction(' '))
    .header_separator(LineStyle::none().fill('-').junction('-'))
    .content_lines(ContentLineStyle::none().junction(' '));

/// Lays a table out, without the columns for which a terminal has no room.
pub(super) fn lines(table: &Table, style: &Style, indent: usize) -> Vec<String> {
    let mut table = table.clone();
    table.cap(table.terminal_rows);
    let mut kept: Vec<usize> =
        (0..table.columns.len()).filter(|&place| table.columns[place].narrow).collect();
    let mut notes: Vec<String> = table.note.take().into_iter().collect();
    if kept.len() > COLUMNS_MAX {
        let left_out = kept.len().saturating_sub(COLUMNS_MAX);
        kept.drain(COLUMNS_MAX - 1..kept.len().saturating_sub(1));
        notes.push(format!("{} left out", units::counted(units::count_of(left_out), "more column")));
    }
    let mut drawn = comfy_table::Table::new();
    drawn
        .load_style(if style.unicode { UNICODE } else { ASCII })
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(style.columns().saturating_sub(indent)).unwrap_or(u16::MAX))
        .set_header(kept.iter().map(|&place| style.signs(&table.columns[place].heading)));
    for row in table.rows.iter().chain(table.footer.as_ref()) {
        drawn.add_row(kept.iter().map(|&place| {
            row.get(place).map_or_else(String::new, |cell| {
                style.signs(&clip(&cell.text, if cell.code { CODE_MAX } else { WORDS_MAX }))
            })
        }));
    }
    for (drawn_place, &place) in kept.iter().enumerate() {
        if let Some(column) = drawn.column_mut(drawn_place) {
            column.set_padding((if drawn_place == 0 { 0 } else { 1 }, 0));
            if table.columns[place].numeric {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    let mut lines: Vec<String> = drawn.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.extend(notes.iter().map(|note| style.signs(&format!("{note}; the HTML report has more"))));
    lines
}
