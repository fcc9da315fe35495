//! Tables of text for the commands that have no report of their own.

use comfy_table::{CellAlignment, ContentArrangement, ContentLineStyle, TableStyle};
use lab_model::Visible;

const PLAIN: TableStyle = TableStyle::new().content_lines(ContentLineStyle::none());

/// Columns of text with headings. The first column stands left, all others right.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    words: Vec<usize>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Table {
        Table { rows: vec![headings.map(str::to_owned).to_vec()], words: Vec::new() }
    }

    /// A table with headings that are made up while the program runs.
    pub(crate) fn with(headings: Vec<String>) -> Table {
        Table { rows: vec![headings], words: Vec::new() }
    }

    /// Stands a column left: it holds words, not numbers.
    pub(crate) fn words(mut self, columns: impl IntoIterator<Item = usize>) -> Table {
        self.words.extend(columns);
        self
    }

    /// Adds a row. What would steer a terminal in a cell is written out, and a cell stays on its line.
    pub(crate) fn row(&mut self, row: impl IntoIterator<Item = String>) {
        self.rows.push(row.into_iter().map(|cell| Visible::new(&cell).to_string()).collect());
    }

    /// Writes the table, indented by two columns.
    pub(crate) fn text(&self) -> String {
        let mut drawn = comfy_table::Table::new();
        drawn.load_style(PLAIN).set_content_arrangement(ContentArrangement::Disabled);
        for row in &self.rows {
            drawn.add_row(row);
        }
        for (place, column) in drawn.column_iter_mut().enumerate() {
            column.set_padding((2, 0));
            if place > 0 && !self.words.contains(&place) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        drawn.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_words_left() {
        let mut table = Table::new(["who", "count", "why"]).words([2]);
        table.row(["alpha", "7", "it is"].map(str::to_owned));
        table.row(["b", "1,234", "–"].map(str::to_owned));
        assert_eq!(table.text(), "  who    count  why\n  alpha      7  it is\n  b      1,234  –\n");
    }
}
