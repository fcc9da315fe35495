//! The cause matrix as a heat map: rows approve, columns cause.

use lab_analysis::findings::Findings;

use super::{
    palette,
    svg::{Anchor, Svg, fit},
};
use crate::{
    units::{count, length, ratio, share},
    visible::clip,
};

/// With more columns than this, cells are too narrow for numbers.
const NUMBERED_COLUMNS_MAX: usize = 10;

/// The most signs of a name in the tip of a cell without a number.
const TIP_NAME_MAX: usize = 16;
/// From this strength on, text stands in the other colour.
const STRONG: f64 = 0.72;

/// Draws the matrix; the strength of a cell is its share of the strongest one.
pub(super) fn draw(findings: &Findings, id: &str) -> String {
    let causes = &findings.causes;
    let columns = causes.columns.len();
    let numbered = columns <= NUMBERED_COLUMNS_MAX;
    let label = 132.0;
    let sum = 128.0;
    let cell = (940.0 / length(columns.max(1))).clamp(12.0, 124.0);
    let row = if numbered { 46.0 } else { 16.0 };
    let top = if numbered { 44.0 } else { 96.0 };
    let width = label + cell * length(columns) + sum;
    let height = top + row * length(causes.rows.len()) + if numbered { 34.0 } else { 8.0 };
    let mut svg = Svg::new(id, "Cause matrix: who made what each client had to approve", width, height);
    let strongest = causes.decisions.iter().flatten().copied().max().unwrap_or(0);
    for (place, column) in causes.columns.iter().enumerate() {
        let x = label + cell * length(place);
        let class = format!("f {}", palette::cause(findings, column));
        svg.rect(
            [x + 1.0, top - 6.0, cell - 2.0, 4.0],
            &class,
            &format!("{} ({})", column.name, column.kind),
        );
        if numbered {
            svg.text(x + cell / 2.0, top - 14.0, Anchor::Middle, "t", &fit(&column.name, cell));
        } else {
            svg.slanted(x + cell / 2.0 + 4.0, top - 12.0, "s", &fit(&column.name, 110.0));
        }
    }
    if numbered {
        svg.text(label - 10.0, top - 14.0, Anchor::End, "s", "approver \\ cause");
        svg.text(width - 4.0, top - 14.0, Anchor::End, "s", "sum");
    }
    for (place, (name, counts)) in causes.rows.iter().zip(&causes.decisions).enumerate() {
        let y = top + row * length(place);
        let middle = y + row / 2.0 + 4.0;
        svg.text(label - 10.0, middle, Anchor::End, "t", &fit(name, label - 14.0));
        for (column, decisions) in counts.iter().enumerate().take(columns) {
            let cause = &causes.columns[column];
            let strength = ratio(*decisions, strongest);
            let part = share(ratio(*decisions, causes.total));
            let tip = if numbered {
                format!("{name} decided {} times on events of {} ({part})", count(*decisions), cause.name)
            } else {
                // There may be thousands of these cells: their tips must be short.
                format!(
                    "{} ← {}: {}",
                    clip(name, TIP_NAME_MAX),
                    clip(&cause.name, TIP_NAME_MAX),
                    count(*decisions)
                )
            };
            let x = label + cell * length(column);
            let own = cause.name == *name;
            let class = if own { "heat own" } else { "heat" };
            svg.shade([x + 1.0, y + 1.0, cell - 2.0, row - 2.0], class, 0.05 + 0.85 * strength, &tip);
            if numbered {
                let on = if strength > STRONG { "v on" } else { "v" };
                svg.text(x + cell / 2.0, middle - 7.0, Anchor::Middle, on, &count(*decisions));
                let on = if strength > STRONG { "s on" } else { "s" };
                let part = if own { format!("{part} · own") } else { part };
                svg.text(x + cell / 2.0, middle + 9.0, Anchor::Middle, on, &part);
            }
        }
        let all: u64 = counts.iter().fold(0, |sum, decisions| sum.saturating_add(*decisions));
        if numbered {
            svg.text(width - 4.0, middle - 7.0, Anchor::End, "v", &count(all));
            svg.text(width - 4.0, middle + 9.0, Anchor::End, "s", &share(ratio(all, causes.total)));
        } else {
            svg.text(width - 4.0, middle, Anchor::End, "s", &count(all));
        }
    }
    if numbered {
        let y = top + row * length(causes.rows.len()) + 22.0;
        svg.text(label - 10.0, y, Anchor::End, "s", "sum");
        for column in 0..columns {
            let all: u64 = causes
                .decisions
                .iter()
                .filter_map(|row| row.get(column))
                .fold(0, |sum, one| sum.saturating_add(*one));
            svg.text(
                label + cell * (length(column) + 0.5),
                y,
                Anchor::Middle,
                "s",
                &share(ratio(all, causes.total)),
            );
        }
        svg.text(width - 4.0, y, Anchor::End, "v", &count(causes.total));
    }
    svg.finish()
}
