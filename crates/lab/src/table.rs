//! Tables of text for the commands that have no report of their own.

use lab_model::Visible;

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
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max())
            .map(|widest| widest.unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::from(" ");
            for (column, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[column] - width(cell));
                let left = column == 0 || self.words.contains(&column);
                line.push(' ');
                line.push_str(&if left { format!("{cell}{pad} ") } else { format!("{pad}{cell} ") });
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

fn width(cell: &str) -> usize {
    cell.chars().count()
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
