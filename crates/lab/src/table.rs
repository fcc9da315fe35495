//! Tables of text for the commands that have no report of their own.

use lab_model::Visible;
use lab_report::text::Style;

use crate::terminal;

/// How far a table stands in.
const INDENT: usize = 2;

/// Columns of text with headings. The first column stands left, all others right.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
    words: Vec<usize>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Table {
        Table::with(headings.map(str::to_owned).to_vec())
    }

    /// A table with headings that are made up while the program runs.
    pub(crate) fn with(headings: Vec<String>) -> Table {
        Table { headings, ..Table::default() }
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

    /// Writes the table, indented by two columns. Where a terminal has no room for all of it, its last columns go, and a
    /// line says which.
    pub(crate) fn text(&self) -> String {
        self.laid_out(&terminal::table_style())
    }

    fn laid_out(&self, style: &Style) -> String {
        lab_report::text::table(&self.headings, &self.rows, &self.words, style, INDENT)
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
        let style = |width| Style { color: false, unicode: true, width };
        let whole = "  who    count  why\n  alpha      7  it is\n  b      1,234  –\n";
        assert_eq!(table.laid_out(&style(80)), whole);
        let mut wide = Table::new(["who", "first", "second", "third", "fourth"]);
        wide.row(["alpha", "12,345,678", "12,345,678", "12,345,678", "3.00 s"].map(str::to_owned));
        let narrow = wide.laid_out(&style(40));
        assert!(narrow.ends_with("  not shown at 40 columns: third, fourth\n"), "{narrow}");
    }
}
