//! A sweep as one page: the price of the Nth client, and where a lab stops being stable.
//!
//! Self-contained and without any script. Every text that comes from outside is escaped.

use crate::html::svg::{Anchor, Svg, escape, short, spread};
use lab_model::units;

/// One figure over the runs of a cell: low is at most median is at most high, in the unit of its field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The lowest.
    pub low: f64,
    /// The median.
    pub median: f64,
    /// The highest.
    pub high: f64,
}

/// One combination of the settings that were varied, and what its runs showed. A figure is `None` where no run of it knew
/// one.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The values, in the order of the axes.
    pub settings: Vec<String>,
    /// The worst outcome of any run.
    pub outcome: String,
    /// Median time of a root operation in the storm.
    pub open_p50_ns: Option<Figure>,
    /// What 99% of them took at most.
    pub open_p99_ns: Option<Figure>,
    /// Decisions for each root operation.
    pub amplification: Option<Figure>,
}

/// All that the page of a sweep shows: the axes, and a cell for each combination of their values. The last axis varies
/// fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// The lab.
    pub lab: String,
    /// Where its cells ran.
    pub ground: String,
    /// The settings that were varied.
    pub axes: Vec<String>,
    /// All combinations; the last axis varies fastest.
    pub cells: Vec<Cell>,
}

/// The most lines of one plot, and the most maps.
const LINES_MAX: usize = 7;
const MAPS_MAX: usize = 12;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;\
color:#1c2430;background:#fff}h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse}\
td,th{padding:.15rem .7rem;text-align:right;border-bottom:1px solid #dde3ea}svg{display:block;max-width:100%;height:auto}\
text{font:12px system-ui,sans-serif;fill:#44505e}.grid{stroke:#e3e8ee}.axis{stroke:#8a97a6}\
.l{fill:none;stroke-width:2}.w{stroke-width:1.5}.c0{stroke:#0b6bcb}.c1{stroke:#c2410c}.c2{stroke:#15803d}.c3{stroke:#7e22ce}\
.c4{stroke:#a16207}.c5{stroke:#be185d}.c6{stroke:#0f766e}.o-stable{fill:#b7e4c7}.o-saturated{fill:#ffe08a}\
.o-divergent{fill:#f4a259}.o-deadlocked{fill:#c1443c}.o-unknown{fill:#d5dae0}.on{fill:#fff}\
@media(prefers-color-scheme:dark){body{color:#e4e9ef;background:#14181d}text{fill:#b7c2ce}.grid{stroke:#2a323b}\
td,th{border-color:#2a323b}.o-stable{fill:#2d6a4f}.o-saturated{fill:#8a6d0b}.m text{fill:#fff}}";

/// The page.
#[must_use]
pub fn page(sweep: &Sweep) -> String {
    let mut body = String::new();
    let clients = sweep.axes.iter().position(|axis| axis == "clients");
    if let Some(axis) = clients {
        section(&mut body, "The price of the Nth client", &price(sweep, axis));
    }
    section(&mut body, "Stable, saturated, divergent, deadlocked", &boundary(sweep));
    section(&mut body, "All combinations", &table(sweep));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{lab}: sweep</title>\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><style>{STYLE}</style></head>\
         <body><h1>{lab}: {axes}</h1><p>{ground}. A figure is the median of its runs; bars reach from the lowest to the \
         highest. An outcome is the worst of any run.</p>{body}</body></html>\n",
        lab = escape(&sweep.lab),
        axes = escape(&sweep.axes.join(" × ")),
        ground = escape(&sweep.ground),
    )
}

fn section(body: &mut String, heading: &str, content: &str) {
    body.push_str(&format!("<h2>{heading}</h2>{content}"));
}

/// A cell's value on an axis; none is an empty one.
fn setting(cell: &Cell, axis: usize) -> &str {
    cell.settings.get(axis).map_or("", String::as_str)
}

/// Groups cells by all settings but some, in the order in which the groups first come.
fn groups<'a>(sweep: &'a Sweep, without: &[usize]) -> Vec<(String, Vec<&'a Cell>)> {
    let mut groups: Vec<(String, Vec<&Cell>)> = Vec::new();
    for cell in &sweep.cells {
        let others = sweep.axes.iter().zip(&cell.settings).enumerate();
        let others = others.filter(|(place, _)| !without.contains(place));
        let name: Vec<String> = others.map(|(_, (axis, value))| format!("{axis} {value}")).collect();
        let name = name.join(", ");
        match groups.iter_mut().find(|(other, _)| *other == name) {
            Some((_, cells)) => cells.push(cell),
            None => groups.push((name, vec![cell])),
        }
    }
    groups
}

/// The median open over the number of clients, a line for each combination of the other settings.
fn price(sweep: &Sweep, axis: usize) -> String {
    let count = |cell: &Cell| setting(cell, axis).parse::<f64>().ok();
    let groups = groups(sweep, &[axis]);
    let shown = &groups[..groups.len().min(LINES_MAX)];
    let figures = || shown.iter().flat_map(|(_, cells)| cells).filter_map(|cell| cell.open_p50_ns);
    let most = sweep.cells.iter().filter_map(count).fold(1.0, f64::max);
    let high = figures().map(|figure| figure.high).fold(1.0, f64::max) * 1.05;
    let (left, top, width, height) = (90.0, 16.0, 640.0, 300.0);
    let across = |clients: f64| left + width * clients / most;
    let up = |value: f64| top + height * (1.0 - value / high);
    let mut svg = Svg::new("price", "Median open over the number of clients", 960.0, height + 60.0);
    for part in 0..=4_u8 {
        let value = high * f64::from(part) / 4.0;
        svg.line([left, up(value), left + width, up(value)], "grid");
        svg.text(left - 8.0, up(value) + 4.0, Anchor::End, "s", &time(value));
    }
    svg.text(left + width / 2.0, top + height + 40.0, Anchor::Middle, "s", "clients");
    let mut marked: Vec<&str> = Vec::new();
    for cell in &sweep.cells {
        if let Some(clients) = count(cell).filter(|_| !marked.contains(&setting(cell, axis))) {
            svg.text(across(clients), top + height + 20.0, Anchor::Middle, "s", setting(cell, axis));
            marked.push(setting(cell, axis));
        }
    }
    let (mut slopes, mut labels) = (String::new(), Vec::new());
    for (place, (name, cells)) in shown.iter().enumerate() {
        // The few operations before a lab locks up, or beside one that feeds itself, tell no price.
        let ends = cells.iter().filter(|cell| !matches!(&*cell.outcome, "deadlocked" | "divergent"));
        let points: Vec<(f64, Figure)> =
            ends.filter_map(|cell| Some((count(cell)?, cell.open_p50_ns?))).collect();
        let class = format!("l c{place}");
        let mut path = String::new();
        for (clients, figure) in &points {
            let lead = if path.is_empty() { 'M' } else { 'L' };
            path.push_str(&format!("{lead}{} {}", short(across(*clients)), short(up(figure.median))));
            let bar = [across(*clients), up(figure.low), across(*clients), up(figure.high)];
            svg.line(bar, &format!("w c{place}"));
        }
        svg.path(&path, &class, None, name);
        if let Some((clients, figure)) = points.last() {
            let label = if name.is_empty() { "p50 of an open" } else { name };
            labels.push((up(figure.median) + 4.0, across(*clients) + 8.0, label));
        }
        slopes.push_str(&nth(name, &points));
    }
    labels.sort_by(|one, other| one.0.total_cmp(&other.0));
    let places: Vec<f64> = labels.iter().map(|label| label.0).collect();
    for ((_, x, label), y) in labels.iter().zip(spread(&places, 15.0, top + height + 8.0)) {
        svg.text(*x, y, Anchor::Start, "s", label);
    }
    let left_out = groups.len().saturating_sub(shown.len());
    let more = if left_out > 0 {
        let lines = units::agreeing(units::count_of(left_out), "more line is", "more lines are");
        format!("<p>{lines} in the table only.</p>")
    } else {
        String::new()
    };
    format!("{}{more}<ul>{slopes}</ul>", svg.finish())
}

/// What one more client costs, from each count to the next.
fn nth(name: &str, points: &[(f64, Figure)]) -> String {
    let steps: Vec<String> = points
        .windows(2)
        .filter(|pair| pair[1].0 > pair[0].0)
        .map(|pair| {
            let each = (pair[1].1.median - pair[0].1.median) / (pair[1].0 - pair[0].0);
            let sign = if each < 0.0 { "−" } else { "+" };
            format!("{sign}{} at {}", time(each.abs()), units::number(pair[1].0))
        })
        .collect();
    let lead = if name.is_empty() { "one more client" } else { name };
    format!("<li>{}: {}</li>", escape(lead), escape(&steps.join(", ")))
}

/// The outcomes over the first two axes, a map for each combination of the others.
fn boundary(sweep: &Sweep) -> String {
    if sweep.axes.is_empty() {
        return String::new();
    }
    let across = 0;
    let down = (sweep.axes.len() > 1).then_some(1);
    let values = |axis: usize| {
        let mut values: Vec<&str> = Vec::new();
        for cell in &sweep.cells {
            if !values.contains(&setting(cell, axis)) {
                values.push(setting(cell, axis));
            }
        }
        values
    };
    let columns = values(across);
    let rows = down.map_or_else(|| vec![""], values);
    let mut without = vec![across];
    without.extend(down);
    let groups = groups(sweep, &without);
    let mut text = String::new();
    for (place, (name, cells)) in groups.iter().take(MAPS_MAX).enumerate() {
        let (left, top, side, row) =
            (120.0, 24.0, (780.0 / columns.len().max(1) as f64).clamp(18.0, 110.0), 30.0);
        let label = format!("Outcome by {}", sweep.axes.join(" and "));
        let size = (left + side * columns.len() as f64 + 60.0, top + row * rows.len() as f64 + 40.0);
        let mut svg = Svg::new(&format!("map{place}"), &label, size.0, size.1);
        for (x, column) in columns.iter().enumerate() {
            svg.text(left + side * (x as f64 + 0.5), top - 8.0, Anchor::Middle, "s", column);
        }
        for (y, value) in rows.iter().enumerate() {
            let name = down.map_or_else(String::new, |axis| format!("{} {value}", sweep.axes[axis]));
            svg.text(left - 8.0, top + row * (y as f64 + 0.65), Anchor::End, "s", &name);
            for (x, column) in columns.iter().enumerate() {
                let is_here = |cell: &&&Cell| {
                    setting(cell, across) == *column && down.is_none_or(|axis| setting(cell, axis) == *value)
                };
                let Some(cell) = cells.iter().find(is_here) else { continue };
                let at = [left + side * x as f64 + 1.0, top + row * y as f64 + 1.0, side - 2.0, row - 2.0];
                svg.rect(at, outcome_class(&cell.outcome), &tip(sweep, cell));
                if side >= 70.0 {
                    let dark = if cell.outcome == "deadlocked" { "on" } else { "s" };
                    svg.text(at[0] + at[2] / 2.0, at[1] + 18.0, Anchor::Middle, dark, &cell.outcome);
                }
            }
        }
        svg.text(left, size.1 - 12.0, Anchor::Start, "s", &format!("{} →", sweep.axes[across]));
        let heading = if name.is_empty() { String::new() } else { format!("<p>{}</p>", escape(name)) };
        text.push_str(&format!("{heading}<div class=\"m\">{}</div>", svg.finish()));
    }
    if groups.len() > MAPS_MAX {
        text.push_str(&format!(
            "<p>{} more maps are in the table only.</p>",
            groups.len().saturating_sub(MAPS_MAX)
        ));
    }
    text
}

/// Classes are this crate's own words, whatever the outcome is called.
fn outcome_class(outcome: &str) -> &'static str {
    match outcome {
        "stable" => "o-stable",
        "saturated" => "o-saturated",
        "divergent" => "o-divergent",
        "deadlocked" => "o-deadlocked",
        _ => "o-unknown",
    }
}

fn tip(sweep: &Sweep, cell: &Cell) -> String {
    let settings: Vec<String> =
        sweep.axes.iter().zip(&cell.settings).map(|(axis, value)| format!("{axis} {value}")).collect();
    format!("{}: {}, p50 {}", settings.join(", "), cell.outcome, shown(cell.open_p50_ns, &time))
}

fn table(sweep: &Sweep) -> String {
    let mut text = String::from("<table><tr>");
    let headings = ["outcome", "decisions per root op", "p50", "p99"];
    for heading in sweep.axes.iter().map(String::as_str).chain(headings) {
        text.push_str(&format!("<th>{}</th>", escape(heading)));
    }
    text.push_str("</tr>");
    for cell in &sweep.cells {
        text.push_str("<tr>");
        let figures = [
            cell.outcome.clone(),
            shown(cell.amplification, &units::number),
            shown(cell.open_p50_ns, &time),
            shown(cell.open_p99_ns, &time),
        ];
        for value in cell.settings.iter().chain(&figures) {
            text.push_str(&format!("<td>{}</td>", escape(value)));
        }
        text.push_str("</tr>");
    }
    text + "</table>"
}

fn shown(figure: Option<Figure>, show: &dyn Fn(f64) -> String) -> String {
    let Some(Figure { low, median, high }) = figure else { return units::UNKNOWN.to_owned() };
    let (low, median, high) = (show(low), show(median), show(high));
    if low == high { median } else { format!("{median} ({low} to {high})") }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; times are positive")]
fn time(nanoseconds: f64) -> String {
    units::time(nanoseconds as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(settings: &[&str], outcome: &str, p50: f64) -> Cell {
        let figure = Figure { low: p50 - 1.0, median: p50, high: p50 + 1.0 };
        Cell {
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            outcome: outcome.to_owned(),
            open_p50_ns: Some(figure),
            open_p99_ns: None,
            amplification: None,
        }
    }

    #[test]
    fn every_cell_is_in_the_map_and_the_table_and_nothing_is_left_unescaped() {
        let sweep = Sweep {
            lab: "<lab>".to_owned(),
            ground: "sim".to_owned(),
            axes: vec!["clients".to_owned(), "when".to_owned()],
            cells: vec![
                cell(&["1", "before"], "stable", 1000.0),
                cell(&["1", "after"], "divergent", 2000.0),
                cell(&["2", "before"], "saturated", 9000.0),
                cell(&["3", "before"], "deadlocked", 9.0),
                cell(&["2", "after"], "<odd>", 4000.0),
            ],
        };
        let page = page(&sweep);
        for class in ["o-stable", "o-saturated", "o-divergent", "o-deadlocked", "o-unknown"] {
            assert_eq!(page.matches(&format!("class=\"{class}\"")).count(), 1, "{class}");
        }
        assert!(!page.contains("<lab>") && !page.contains("<odd>"));
        assert_eq!(page.matches("<td>").count(), 5 * 6);
        assert!(page.contains("when before: +8.00 µs at 2<"), "what it adds; a locked lab tells no price");
    }

    #[test]
    fn one_axis_is_one_row() {
        let axes = vec!["concurrency".to_owned()];
        let cells = vec![cell(&["1"], "stable", 5.0), cell(&["4"], "stable", 6.0)];
        let sweep = Sweep { lab: "l".to_owned(), ground: "sim".to_owned(), axes, cells };
        let page = page(&sweep);
        assert_eq!(page.matches("class=\"o-stable\"").count(), 2);
        assert!(!page.contains("Nth client"));
    }
}
