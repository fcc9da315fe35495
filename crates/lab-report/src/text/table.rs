//! Tables as text, laid out by `comfy-table`.

use comfy_table::{CellAlignment, ContentArrangement, ContentLineStyle, LineStyle, TableStyle};

use super::Style;
use crate::{page::Table, visible::clip};

/// A cell longer than this loses its middle.
const CELL_MAX: usize = 64;
/// The most rows that a terminal shows of one table.
const ROWS_MAX: usize = 64;

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
    table.cap(ROWS_MAX);
    let kept: Vec<usize> = (0..table.columns.len()).filter(|&place| table.columns[place].narrow).collect();
    let mut drawn = comfy_table::Table::new();
    drawn
        .load_style(if style.unicode { UNICODE } else { ASCII })
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(style.columns() - indent).unwrap_or(u16::MAX))
        .set_header(kept.iter().map(|&place| style.signs(&table.columns[place].heading)));
    for row in table.rows.iter().chain(table.footer.as_ref()) {
        drawn.add_row(kept.iter().map(|&place| {
            row.get(place).map_or_else(String::new, |cell| style.signs(&clip(&cell.text, CELL_MAX)))
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
    lines.extend(table.note.as_deref().map(|note| style.signs(note)));
    lines
}
