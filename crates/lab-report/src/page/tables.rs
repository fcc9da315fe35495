//! Tables: cells that are text for people and, beside it, the value to sort by.

use super::Mood;
use crate::{
    units::{self, UNKNOWN},
    visible::visible,
};

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
}

impl Table {
    /// An empty table.
    pub(crate) fn new(caption: impl Into<String>, columns: Vec<Column>) -> Table {
        Table { caption: caption.into(), columns, rows: Vec::new(), footer: None, note: None }
    }

    /// Keeps the first `most` rows and says how many were left out.
    pub(crate) fn cap(&mut self, most: usize) {
        if self.rows.len() > most {
            let left = units::length(self.rows.len() - most);
            self.rows.truncate(most);
            self.note = Some(format!("{} more left out", units::number(left)));
        }
    }
}

/// A column.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// Its heading.
    pub(crate) heading: String,
    /// Whether its cells stand at the right.
    pub(crate) numeric: bool,
    /// Whether there is room for it in a terminal.
    pub(crate) narrow: bool,
    /// What it means.
    pub(crate) hint: &'static str,
}

impl Column {
    /// A column of words.
    pub(crate) fn words(heading: impl Into<String>) -> Column {
        Column { heading: heading.into(), numeric: false, narrow: true, hint: "" }
    }

    /// A column of numbers.
    pub(crate) fn numbers(heading: impl Into<String>) -> Column {
        Column { heading: heading.into(), numeric: true, narrow: true, hint: "" }
    }

    /// The same column, left out where room is scarce.
    pub(crate) fn wide(mut self) -> Column {
        self.narrow = false;
        self
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

    /// A time that may not be known.
    pub(crate) fn maybe_time(value: Option<u64>) -> Cell {
        value.map_or_else(Cell::unknown, Cell::time)
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
