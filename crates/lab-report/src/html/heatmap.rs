//! The cause matrix as a heat map: rows approve, columns cause.

use lab_analysis::findings::Findings;

use super::{
    palette,
    svg::{Anchor, Svg, fit},
};
use crate::visible::clip;
use lab_model::units::{count, length, ratio, share};

/// With more columns than this, cells are too narrow for numbers.
const NUMBERED_COLUMNS_MAX: usize = 10;

/// The most signs of a name in the tip of a cell without a number.
const TIP_NAME_MAX: usize = 16;
/// From this strength on, text stands in the other colour.
const STRONG: f64 = 0.72;

/// Room for the names of the approvers.
const LABEL: f64 = 132.0;
/// Room for the sums.
const SUM: f64 = 128.0;

struct Map<'a> {
    findings: &'a Findings,
    svg: Svg,
    numbered: bool,
    cell: f64,
    row: f64,
    top: f64,
    right: f64,
    strongest: u64,
}

/// Draws the matrix; the strength of a cell is its share of the strongest one.
pub(super) fn draw(findings: &Findings, id: &str) -> String {
    let causes = &findings.causes;
    let columns = causes.columns.len();
    let numbered = columns <= NUMBERED_COLUMNS_MAX;
    let cell = (940.0 / length(columns.max(1))).clamp(12.0, 124.0);
    let (row, top, bottom) = if numbered { (46.0, 44.0, 34.0) } else { (16.0, 96.0, 8.0) };
    let width = LABEL + cell * length(columns) + SUM;
    let height = top + row * length(causes.rows.len()) + bottom;
    let svg = Svg::new(id, "Cause matrix: who made what each client had to approve", width, height);
    let strongest = causes.decisions.iter().flatten().copied().max().unwrap_or(0);
    let mut map = Map { findings, svg, numbered, cell, row, top, right: width - 4.0, strongest };
    map.headings();
    for (place, (name, counts)) in causes.rows.iter().zip(&causes.decisions).enumerate() {
        map.approver(top + row * length(place), name, counts);
    }
    if numbered {
        map.sums(top + row * length(causes.rows.len()) + 22.0);
    }
    map.svg.finish()
}

impl Map<'_> {
    fn headings(&mut self) {
        let (cell, top) = (self.cell, self.top);
        for (place, column) in self.findings.causes.columns.iter().enumerate() {
            let x = LABEL + cell * length(place);
            let class = format!("f {}", palette::cause(self.findings, column));
            let tip = format!("{} ({})", column.name, column.kind);
            self.svg.rect([x + 1.0, top - 6.0, cell - 2.0, 4.0], &class, &tip);
            if self.numbered {
                self.svg.text(x + cell / 2.0, top - 14.0, Anchor::Middle, "t", &fit(&column.name, cell));
            } else {
                self.svg.slanted(x + cell / 2.0 + 4.0, top - 12.0, "s", &fit(&column.name, 110.0));
            }
        }
        if self.numbered {
            self.svg.text(LABEL - 10.0, top - 14.0, Anchor::End, "s", "approver \\ cause");
            self.svg.text(self.right, top - 14.0, Anchor::End, "s", "sum");
        }
    }

    fn approver(&mut self, y: f64, name: &str, counts: &[u64]) {
        let causes = &self.findings.causes;
        let middle = y + self.row / 2.0 + 4.0;
        self.svg.text(LABEL - 10.0, middle, Anchor::End, "t", &fit(name, LABEL - 14.0));
        for (place, (cause, decisions)) in causes.columns.iter().zip(counts).enumerate() {
            let x = LABEL + self.cell * length(place);
            self.decisions([x, y, middle], name, &cause.name, *decisions);
        }
        let all: u64 = counts.iter().fold(0, |sum, decisions| sum.saturating_add(*decisions));
        if self.numbered {
            self.svg.text(self.right, middle - 7.0, Anchor::End, "v", &count(all));
            self.svg.text(self.right, middle + 9.0, Anchor::End, "s", &share(ratio(all, causes.total)));
        } else {
            self.svg.text(self.right, middle, Anchor::End, "s", &count(all));
        }
    }

    fn decisions(&mut self, [x, y, middle]: [f64; 3], name: &str, cause: &str, decisions: u64) {
        let strength = ratio(decisions, self.strongest);
        let part = share(ratio(decisions, self.findings.causes.total));
        let tip = if self.numbered {
            format!("{name} decided {} times on events of {cause} ({part})", count(decisions))
        } else {
            // There may be thousands of these cells: their tips must be short.
            format!("{} ← {}: {}", clip(name, TIP_NAME_MAX), clip(cause, TIP_NAME_MAX), count(decisions))
        };
        let own = cause == name;
        let class = if own { "heat own" } else { "heat" };
        let shape = [x + 1.0, y + 1.0, self.cell - 2.0, self.row - 2.0];
        self.svg.shade(shape, class, 0.05 + 0.85 * strength, &tip);
        if self.numbered {
            let (number, small) = if strength > STRONG { ("v on", "s on") } else { ("v", "s") };
            let x = x + self.cell / 2.0;
            self.svg.text(x, middle - 7.0, Anchor::Middle, number, &count(decisions));
            let part = if own { format!("{part} · own") } else { part };
            self.svg.text(x, middle + 9.0, Anchor::Middle, small, &part);
        }
    }

    fn sums(&mut self, y: f64) {
        let causes = &self.findings.causes;
        self.svg.text(LABEL - 10.0, y, Anchor::End, "s", "sum");
        for column in 0..causes.columns.len() {
            let decisions = causes.decisions.iter().filter_map(|row| row.get(column));
            let all: u64 = decisions.fold(0, |sum, one| sum.saturating_add(*one));
            let x = LABEL + self.cell * (length(column) + 0.5);
            self.svg.text(x, y, Anchor::Middle, "s", &share(ratio(all, causes.total)));
        }
        self.svg.text(self.right, y, Anchor::End, "v", &count(causes.total));
    }
}
