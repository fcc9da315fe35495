//! Rates, queues and headroom over time, with phases and faults shaded.

use lab_analysis::findings::{Findings, HeadroomFigure};
use lab_model::PhaseKind;

use super::{
    palette,
    plot::{Plot, steps},
    svg::{Anchor, Svg, fit, round_up, short, spread},
};
use lab_model::units::{compact, count, count_of, float, length, number, share, share_at_most, time};

const WIDTH: f64 = 1120.0;
const HEIGHT: f64 = 210.0;
/// The room for names at the right.
const LABELS: f64 = 176.0;
/// The most lines or areas with a name of their own.
const NAMED_MAX: usize = 8;
/// When the control is so many times as busy as the storm, the axis is the storm's.
const CUT_FROM: f64 = 3.0;
/// The most faults that are marked.
const FAULTS_MAX: usize = 40;

struct Line {
    name: String,
    class: &'static str,
    values: Vec<Option<f64>>,
    /// What is named first when there are too many.
    weight: f64,
}

fn frame(findings: &Findings, height: f64, [low, high]: [f64; 2]) -> Plot {
    let series = &findings.series;
    let buckets = series.root_ops.len().max(series.decisions_by_cause.first().map_or(0, Vec::len)).max(1);
    let to = float(series.bucket_ns) / 1e9 * length(buckets);
    Plot { x: 64.0, y: 26.0, width: WIDTH - 64.0 - LABELS, height: height - 52.0, from: 0.0, to, low, high }
}

/// Shades the phases and marks the faults.
fn background(svg: &mut Svg, plot: &Plot, findings: &Findings) {
    for (place, phase) in findings.phases.iter().enumerate() {
        let from = plot.across(float(phase.began_ns) / 1e9);
        let to = plot.across(float(phase.began_ns) / 1e9 + phase.seconds);
        let class = if phase.kind == PhaseKind::Storm {
            "phase storm"
        } else if place % 2 == 0 {
            "phase"
        } else {
            "phase odd"
        };
        let tip =
            format!("{} from {} for {} s", phase.kind.name(), time(phase.began_ns), number(phase.seconds));
        svg.rect([from, plot.y, to - from, plot.height], class, &tip);
        svg.text(from + 5.0, plot.y - 8.0, Anchor::Start, "s", &fit(phase.kind.name(), to - from));
    }
    for fault in findings.faults.iter().take(FAULTS_MAX) {
        let x = plot.across(float(fault.at_ns) / 1e9);
        let tip = match fault.until_ns {
            Some(until) => {
                let gap = if fault.detail.is_empty() { "" } else { ", " };
                format!(
                    "{} of {}{gap}{} from {} to {}",
                    fault.kind,
                    fault.actor,
                    fault.detail,
                    time(fault.at_ns),
                    time(until)
                )
            }
            None => format!("{} of {} at {}", fault.kind, fault.actor, time(fault.at_ns)),
        };
        if let Some(until) = fault.until_ns {
            let to = plot.across(float(until) / 1e9);
            svg.rect([x, plot.y, (to - x).max(1.0), plot.height], "phase fault", &tip);
        }
        svg.path(
            &format!("M{} {}V{}", short(x), short(plot.y), short(plot.y + plot.height)),
            "fault",
            None,
            &tip,
        );
    }
    if let [fault] = findings.faults.as_slice() {
        let x = plot.across(float(fault.at_ns) / 1e9);
        let text = fit(&format!("{}: {}", fault.kind, fault.actor), 220.0);
        svg.text(x - 5.0, plot.y + 13.0, Anchor::End, "s bad halo", &text);
    }
}

/// Draws decisions a second as areas, one above the other.
pub(super) fn rate(findings: &Findings, id: &str) -> String {
    let series = &findings.series;
    let seconds = float(series.bucket_ns.max(1)) / 1e9;
    let mut areas: Vec<Line> = findings
        .causes
        .columns
        .iter()
        .zip(&series.decisions_by_cause)
        .map(|(column, values)| Line {
            name: column.name.clone(),
            class: palette::cause(findings, column),
            weight: values.iter().map(|value| float(*value)).sum(),
            values: values.iter().map(|value| Some(float(*value) / seconds)).collect(),
        })
        .filter(|line| line.weight > 0.0)
        .collect();
    fold(&mut areas);
    let buckets = areas.iter().map(|line| line.values.len()).max().unwrap_or(0);
    let mut base = vec![0.0; buckets];
    let mut tops = Vec::new();
    for area in &areas {
        for (sum, value) in base.iter_mut().zip(&area.values) {
            *sum += value.unwrap_or(0.0);
        }
        tops.push(base.clone());
    }
    let peak = base.iter().copied().fold(0.0, f64::max);
    let storm = peak_of_storm(findings, &base);
    let cut = storm > 0.0 && peak > storm * CUT_FROM;
    let plot = frame(findings, HEIGHT, [0.0, round_up(if cut { storm } else { peak })]);
    let mut svg = Svg::new(id, "Decisions a second by cause, over time", WIDTH, HEIGHT);
    background(&mut svg, &plot, findings);
    axes(&mut svg, &plot, number);
    let step = plot.width / length(buckets.max(1));
    let mut below = vec![0.0; buckets];
    let mut labels = Vec::new();
    for (area, top) in areas.iter().zip(&tops) {
        let edge = |values: &[f64]| -> Vec<Option<f64>> {
            values.iter().map(|value| Some(plot.up(value.min(plot.high)))).collect()
        };
        let upper = steps(plot.x, step, edge(top));
        // The lower edge is drawn from right to left, so that both make one outline.
        let lower = steps(plot.x + plot.width, -step, edge(&below).into_iter().rev());
        let outline = format!("{upper}{}Z", lower.replacen('M', "L", 1));
        let most = area.values.iter().flatten().copied().fold(0.0, f64::max);
        svg.path(
            &outline,
            &format!("area {}", area.class),
            None,
            &format!("{}: at most {}/s", area.name, number(most.round())),
        );
        // The label stands where the area is widest.
        let widest = top
            .iter()
            .zip(&below)
            .map(|(top, below)| top - below)
            .enumerate()
            .max_by(|one, other| one.1.total_cmp(&other.1));
        let at =
            widest.map_or(0.0, |(place, _)| plot.up(f64::midpoint(top[place], below[place]).min(plot.high)));
        labels.push((at, area.class, format!("{} {}/s", fit(&area.name, 84.0), compact(most))));
        below.clone_from(top);
    }
    if let Some(place) = base.iter().position(|rate| cut && *rate >= peak) {
        let text = format!("↑ {}/s", number(peak.round()));
        svg.text(plot.x + step * (length(place) + 0.5), plot.y + 14.0, Anchor::Middle, "v halo", &text);
    }
    named(&mut svg, &plot, &labels);
    svg.finish()
}

/// The largest rate from the storm's begin on.
fn peak_of_storm(findings: &Findings, rates: &[f64]) -> f64 {
    let Some(storm) = findings.phases.iter().find(|phase| phase.kind == PhaseKind::Storm) else { return 0.0 };
    let bucket = findings.series.bucket_ns.max(1);
    let first = usize::try_from(storm.began_ns.div_ceil(bucket)).unwrap_or(usize::MAX);
    rates.iter().skip(first).copied().fold(0.0, f64::max)
}

/// Keeps the weightiest lines and adds the others up.
fn fold(lines: &mut Vec<Line>) {
    if lines.len() <= NAMED_MAX {
        return;
    }
    lines.sort_by(|one, other| other.weight.total_cmp(&one.weight));
    let rest = lines.split_off(NAMED_MAX - 1);
    let mut values = vec![Some(0.0); rest.iter().map(|line| line.values.len()).max().unwrap_or(0)];
    for line in &rest {
        for (sum, value) in values.iter_mut().zip(&line.values) {
            *sum = Some(sum.unwrap_or(0.0) + value.unwrap_or(0.0));
        }
    }
    let weight = rest.iter().map(|line| line.weight).sum();
    lines.push(Line {
        name: format!("{} others", count(count_of(rest.len()))),
        class: palette::OTHER,
        values,
        weight,
    });
}

fn axes(svg: &mut Svg, plot: &Plot, label: impl Fn(f64) -> String) {
    for part in [0.0, 0.5, 1.0] {
        let value = plot.low + (plot.high - plot.low) * part;
        plot.grid(svg, value, &label(value));
    }
    plot.seconds(svg);
}

fn named(svg: &mut Svg, plot: &Plot, labels: &[(f64, &'static str, String)]) {
    let places: Vec<f64> = labels.iter().map(|(at, ..)| *at).collect();
    let moved = spread(&places, 15.0, plot.y + plot.height);
    for ((_, class, text), y) in labels.iter().zip(moved) {
        svg.rect([plot.x + plot.width + 6.0, y - 4.0, 8.0, 8.0], &format!("f {class}"), "");
        svg.text(plot.x + plot.width + 19.0, y + 4.0, Anchor::Start, "t", &fit(text, LABELS - 20.0));
    }
}

/// Draws pending decisions; only those of one client when `only` names it.
pub(super) fn queue(findings: &Findings, id: &str, only: Option<usize>) -> String {
    let lines = client_lines(findings, only, |place| {
        let values = findings.series.pending_max.get(place).map(Vec::as_slice).unwrap_or_default();
        let most = values.iter().copied().max().unwrap_or(0);
        (values.iter().map(|value| Some(float(*value))).collect(), float(most), count(most))
    });
    let peak = lines.iter().flat_map(|(line, _)| line.values.iter().flatten().copied()).fold(0.0, f64::max);
    let mut svg = Svg::new(id, "Decisions pending at once, over time", WIDTH, HEIGHT);
    let plot = frame(findings, HEIGHT, [0.0, round_up(peak)]);
    background(&mut svg, &plot, findings);
    axes(&mut svg, &plot, number);
    drawn(&mut svg, &plot, lines, "max");
    svg.finish()
}

/// Draws the lowest headroom; only that of one client when `only` names it.
pub(super) fn headroom(findings: &Findings, id: &str, only: Option<usize>) -> String {
    let lines = client_lines(findings, only, |place| {
        let values = findings.series.headroom_min.get(place).map(Vec::as_slice).unwrap_or_default();
        let values: Vec<Option<f64>> =
            values.iter().map(|value| value.filter(|value| value.is_finite())).collect();
        let least = values.iter().flatten().copied().fold(f64::INFINITY, f64::min);
        let headroom = &findings.clients[place].headroom;
        let text = match least.is_finite() {
            true if headroom.is_at_most(HeadroomFigure::Min) => share_at_most(least),
            true => share(least),
            false => "nothing asked".to_owned(),
        };
        (values, -least, text)
    });
    let least = lines.iter().flat_map(|(line, _)| line.values.iter().flatten().copied()).fold(0.0, f64::min);
    // Far from the deadline there is little to see.
    let calm = lines.iter().all(|(line, _)| line.values.iter().flatten().all(|value| *value > 0.9));
    let height = if calm { HEIGHT * 0.6 } else { HEIGHT };
    let mut svg = Svg::new(id, "Lowest headroom, over time", WIDTH, height);
    let plot = frame(findings, height, [least.max(-1.0), 1.0]);
    background(&mut svg, &plot, findings);
    axes(&mut svg, &plot, |value| share((value * 100.0).round() / 100.0));
    let zero = plot.up(0.0);
    svg.path(
        &format!("M{} {}H{}", short(plot.x), short(zero), short(plot.x + plot.width)),
        "limit",
        None,
        "the deadline",
    );
    drawn(&mut svg, &plot, lines, "min");
    svg.finish()
}

type Labelled = (Line, String);

fn client_lines(
    findings: &Findings,
    only: Option<usize>,
    values: impl Fn(usize) -> (Vec<Option<f64>>, f64, String),
) -> Vec<Labelled> {
    let mut lines: Vec<Labelled> = findings
        .clients
        .iter()
        .enumerate()
        .filter(|(place, _)| only.is_none_or(|only| only == *place))
        .map(|(place, client)| {
            let (values, weight, text) = values(place);
            let line = Line { name: client.id.clone(), class: palette::client(place), values, weight };
            (line, text)
        })
        .collect();
    if lines.len() > NAMED_MAX {
        lines.sort_by(|one, other| other.0.weight.total_cmp(&one.0.weight));
    }
    lines
}

fn drawn(svg: &mut Svg, plot: &Plot, lines: Vec<Labelled>, what: &str) {
    let mut labels = Vec::new();
    let all = lines.len();
    for (place, (line, text)) in lines.into_iter().enumerate() {
        let step = plot.width / length(line.values.len().max(1));
        let heights = line.values.iter().map(|value| value.map(|value| plot.up(value)));
        let unnamed = place >= NAMED_MAX;
        let class = if unnamed { "l kx hint".to_owned() } else { format!("l {}", line.class) };
        svg.path(&steps(plot.x, step, heights), &class, None, &format!("{}: {what} {text}", line.name));
        if !unnamed {
            let last = line.values.iter().rev().flatten().next().copied().unwrap_or(plot.low);
            labels.push((plot.up(last), line.class, format!("{} {what} {text}", fit(&line.name, 76.0))));
        }
    }
    named(svg, plot, &labels);
    if all > NAMED_MAX {
        let text = format!("named: the worst {NAMED_MAX} of {}", count(count_of(all)));
        svg.text(plot.x + plot.width, plot.y - 8.0, Anchor::End, "s", &text);
    }
}
