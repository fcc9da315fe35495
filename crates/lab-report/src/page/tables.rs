//! Tables: cells that are text for people and, beside it, the value to sort by.

use lab_analysis::findings::{Figure, Headroom, HeadroomFigure, Latency};

use super::{Mood, bounds};
use crate::visible::visible;
use lab_model::units::{self, UNKNOWN};

/// A table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// What it shows.
    pub(crate) caption: String,
    /// Its columns.
    pub(crate) columns: Vec<Column>,
    /// Its rows, each as long as the columns.
    pub(crate) rows: Vec<Vec<Cell>>,
    /// Sums below the rows.
    pub(crate) footer: Option<Vec<Cell>>,
    /// What was left out.
    pub(crate) note: Option<String>,
    /// The most rows that a terminal shows.
    pub(crate) terminal_rows: usize,
    /// Whether a picture beside it shows the same, so that it need not stand open.
    pub(crate) folded: bool,
    /// Whether its cells are so short that half the page is enough.
    pub(crate) compact: bool,
}

/// The most rows that a terminal shows of one table.
const TERMINAL_ROWS_MAX: usize = 64;

impl Table {
    /// An empty table.
    pub(crate) fn new(caption: impl Into<String>, columns: Vec<Column>) -> Table {
        Table {
            caption: caption.into(),
            columns,
            rows: Vec::new(),
            footer: None,
            note: None,
            terminal_rows: TERMINAL_ROWS_MAX,
            folded: false,
            compact: false,
        }
    }

    /// The same table, of which a terminal shows only the first rows.
    pub(crate) fn first(mut self, rows: usize) -> Table {
        self.terminal_rows = rows;
        self
    }

    /// The same table, folded where a picture shows it.
    pub(crate) fn folded(mut self) -> Table {
        self.folded = true;
        self
    }

    /// Whether two of its kind stand side by side.
    pub(crate) fn half(&self) -> bool {
        !self.folded && (self.columns.len() <= 4 || self.compact)
    }

    /// The first rows.
    pub(crate) fn shown(&self, most: usize) -> &[Vec<Cell>] {
        &self.rows[..self.rows.len().min(most)]
    }

    /// How many rows are not among the first.
    pub(crate) fn left_out(&self, most: usize) -> usize {
        self.rows.len().saturating_sub(most)
    }

    /// The cells of a row with their columns.
    pub(crate) fn cells<'a>(&'a self, row: &'a [Cell]) -> impl Iterator<Item = (&'a Column, &'a Cell)> {
        self.columns.iter().zip(row)
    }

    /// Keeps the first `most` rows and says how many were left out.
    pub(crate) fn cap(&mut self, most: usize) {
        if self.rows.len() > most {
            let left = units::length(self.rows.len().saturating_sub(most));
            self.rows.truncate(most);
            self.note = Some(format!("{} more left out", units::number(left)));
        }
    }
}

/// The rank of a column that needs none of its own.
const RANK_USUAL: u8 = 5;
/// The rank of a column for wide terminals.
const RANK_WIDE: u8 = 1;

/// A column.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// Its heading.
    pub(crate) heading: String,
    /// Whether its cells stand at the right.
    pub(crate) numeric: bool,
    /// How long it stays where a terminal has no room for all: those of the lowest rank go first, and the first column
    /// never.
    pub(crate) rank: u8,
    /// What it means.
    pub(crate) hint: &'static str,
}

impl Column {
    /// A column of words.
    pub(crate) fn words(heading: impl Into<String>) -> Column {
        Column { heading: heading.into(), numeric: false, rank: RANK_USUAL, hint: "" }
    }

    /// A column of numbers.
    pub(crate) fn numbers(heading: impl Into<String>) -> Column {
        Column { heading: heading.into(), numeric: true, rank: RANK_USUAL, hint: "" }
    }

    /// The same column, of which a terminal shows the less the scarcer room is: [`RANK_USUAL`] without a rank.
    pub(crate) fn rank(mut self, rank: u8) -> Column {
        self.rank = rank;
        self
    }

    /// The same column, left out before all others where room is scarce.
    pub(crate) fn wide(self) -> Column {
        self.rank(RANK_WIDE)
    }

    /// The same column with an explanation.
    pub(crate) fn hint(mut self, hint: &'static str) -> Column {
        self.hint = hint;
        self
    }
}

/// A cell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    /// What it shows.
    pub(crate) text: String,
    /// What it is sorted by; its text when absent.
    pub(crate) sort: Option<f64>,
    /// How good it is.
    pub(crate) mood: Mood,
    /// The client whose report it leads to.
    pub(crate) client: Option<String>,
    /// Whether it is a path or name, to be set in a fixed width.
    pub(crate) code: bool,
    /// A share from 0 to 1 to draw behind the number.
    pub(crate) bar: Option<f64>,
}

impl Cell {
    /// Words; hostile characters are shown.
    pub(crate) fn words(text: &str) -> Cell {
        Cell { text: visible(text), ..Cell::default() }
    }

    /// A path or another name that the lab did not choose.
    pub(crate) fn code(text: &str) -> Cell {
        Cell { code: true, ..Cell::words(text) }
    }

    /// A client, leading to its report.
    pub(crate) fn client(id: &str) -> Cell {
        Cell { client: Some(id.to_owned()), ..Cell::words(id) }
    }

    /// A count.
    pub(crate) fn count(value: u64) -> Cell {
        Cell { text: units::count(value), sort: Some(units::float(value)), ..Cell::default() }
    }

    /// A time in nanoseconds.
    pub(crate) fn time(value: u64) -> Cell {
        Cell { text: units::time(value), sort: Some(units::float(value)), ..Cell::default() }
    }

    /// A figure of a distribution of times, which has none when nothing was measured.
    pub(crate) fn measured(latency: &Latency, figure: Figure) -> Cell {
        let sort = (!latency.is_empty()).then(|| units::float(latency.value(figure)));
        Cell { text: bounds::figure(latency, figure), sort, ..Cell::default() }
    }

    /// A time, or what it was at least.
    pub(crate) fn time_at_least(value: u64) -> Cell {
        let cell = Cell::time(value);
        Cell { text: units::at_least(&cell.text), ..cell }
    }

    /// A figure of what was left of the deadline.
    pub(crate) fn left(headroom: &Headroom, figure: HeadroomFigure) -> Cell {
        let sort = bounds::left_value(headroom, figure);
        Cell { text: bounds::left(headroom, figure), sort, ..Cell::default() }
    }

    /// A share from 0 to 1.
    pub(crate) fn share(value: f64) -> Cell {
        Cell { text: units::share(value), sort: Some(value), ..Cell::default() }
    }

    /// A share that may not be known.
    pub(crate) fn maybe_share(value: Option<f64>) -> Cell {
        value.map_or_else(Cell::unknown, Cell::share)
    }

    /// A plain number.
    pub(crate) fn number(value: f64) -> Cell {
        Cell { text: units::number(value), sort: Some(value), ..Cell::default() }
    }

    /// Not known.
    pub(crate) fn unknown() -> Cell {
        Cell { text: UNKNOWN.to_owned(), ..Cell::default() }
    }

    /// Whether a sign shows the mood.
    pub(crate) fn marked(&self) -> bool {
        self.mood != Mood::Plain
    }

    /// The same cell in a mood.
    pub(crate) fn mood(mut self, mood: Mood) -> Cell {
        self.mood = mood;
        self
    }

    /// The same cell with a bar behind it.
    pub(crate) fn bar(mut self, share: f64) -> Cell {
        self.bar = Some(share.clamp(0.0, 1.0));
        self
    }
}
