//! The gain graph: who brings events upon whom, as circles and arrows.

use std::f64::consts::{PI, TAU};

use lab_analysis::findings::Findings;

use super::{
    palette,
    svg::{Anchor, Svg, fit, short},
};
use lab_model::units::{length, number};

/// More clients than this make no readable graph; the most involved are drawn.
const NODES_MAX: usize = 10;
/// The most arrows; of more, the strongest are drawn.
const ARROWS_MAX: usize = 48;
/// With more arrows than this their numbers are only shown when pointed at.
const LABELS_MAX: usize = 14;
const RADIUS: f64 = 25.0;

struct Arrow {
    from: usize,
    to: usize,
    value: f64,
    gain: bool,
}

/// Draws the graph: grey arrows for the drive, coloured ones for the gain.
pub(super) fn draw(findings: &Findings, id: &str) -> String {
    let nodes = most_involved(findings);
    let few = nodes.len() <= 2;
    // Of four clients and more some stand at the bottom, with their own arrows below them.
    let (width, height) = (
        560.0,
        match nodes.len() {
            0..=2 => 220.0,
            3 => 370.0,
            _ => 444.0,
        },
    );
    let mut svg =
        Svg::new(id, "Gain graph: events that one handled event brings, between clients", width, height);
    let middle = (340.0, if few { 110.0 } else { 206.0 });
    let reach = if nodes.len() == 1 { 0.0 } else { 118.0 };
    let place = |index: usize| {
        // The first client stands at the top; two stand side by side.
        let start = if nodes.len() == 2 { PI } else { -PI / 2.0 };
        let angle = start + TAU * length(index) / length(nodes.len().max(1));
        (middle.0 + reach * angle.cos(), middle.1 + reach * angle.sin())
    };
    workload(&mut svg, nodes.len(), middle.1, place);
    let arrows = arrows(findings, &nodes);
    let strongest = arrows.iter().map(|arrow| arrow.value).fold(0.0, f64::max);
    let any_gain = arrows.iter().any(|arrow| arrow.gain);
    let labelled = arrows.iter().filter(|arrow| arrow.gain == any_gain).count() <= LABELS_MAX;
    for arrow in &arrows {
        let class = palette::client(nodes[arrow.from]);
        let names = (&findings.clients[nodes[arrow.from]].id, &findings.clients[nodes[arrow.to]].id);
        let what = if arrow.gain { "client-caused" } else { "workload" };
        let tip = format!(
            "each {what} event that {} handles brings {} events upon {}",
            names.0,
            number(arrow.value),
            names.1
        );
        let class = if arrow.gain { format!("l {class}") } else { format!("l {}", palette::WORKLOAD) };
        let stroke = 1.0 + 3.0 * arrow.value / strongest;
        let look = Look { class: &class, stroke, tip: &tip };
        // Where there is gain, the numbers of the drive would only stand in its way; the table has them.
        let shown = (labelled && (arrow.gain || !any_gain)).then_some(arrow.value);
        if arrow.from == arrow.to {
            own_arrow(&mut svg, place(arrow.from), middle, arrow.gain, look, shown);
        } else {
            arrow_between(&mut svg, place(arrow.from), place(arrow.to), arrow.gain, look, shown);
        }
    }
    for (index, &client) in nodes.iter().enumerate() {
        let (x, y) = place(index);
        let name = &findings.clients[client].id;
        svg.circle([x, y, RADIUS], &format!("node {}", palette::client(client)), name);
        svg.text(x, y + 4.0, Anchor::Middle, "t", &fit(name, 58.0));
    }
    if arrows.is_empty() {
        svg.text(middle.0, height - 8.0, Anchor::Middle, "s", "no client makes events in answer to events");
    } else if nodes.len() < findings.clients.len() {
        let text = format!("the {} most involved of {} clients", nodes.len(), findings.clients.len());
        svg.text(middle.0, height - 8.0, Anchor::Middle, "s", &text);
    }
    svg.finish()
}

fn value_at(matrix: &[Vec<f64>], row: usize, column: usize) -> f64 {
    matrix.get(row).and_then(|row| row.get(column)).copied().filter(|value| value.is_finite()).unwrap_or(0.0)
}

/// The places of the clients to draw, in the lab's order.
fn most_involved(findings: &Findings) -> Vec<usize> {
    let all = findings.clients.len();
    let weight = |client: usize| -> f64 {
        (0..all)
            .map(|other| {
                let both = [(client, other), (other, client)];
                both.iter()
                    .map(|&(row, column)| {
                        value_at(&findings.gain, row, column) + value_at(&findings.drive, row, column)
                    })
                    .sum::<f64>()
            })
            .sum()
    };
    let mut ranked: Vec<(usize, f64)> = (0..all).map(|client| (client, weight(client))).collect();
    ranked.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
    let mut chosen: Vec<usize> = ranked.into_iter().take(NODES_MAX).map(|(client, _)| client).collect();
    chosen.sort_unstable();
    chosen
}

fn arrows(findings: &Findings, nodes: &[usize]) -> Vec<Arrow> {
    let mut arrows = Vec::new();
    for (matrix, gain) in [(&findings.drive, false), (&findings.gain, true)] {
        for (from, &source) in nodes.iter().enumerate() {
            for (to, &target) in nodes.iter().enumerate() {
                let value = value_at(matrix, target, source);
                if value > 0.0 {
                    arrows.push(Arrow { from, to, value, gain });
                }
            }
        }
    }
    arrows.sort_by(|one, other| other.value.total_cmp(&one.value));
    arrows.truncate(ARROWS_MAX);
    arrows
}

fn workload(svg: &mut Svg, clients: usize, y: f64, place: impl Fn(usize) -> (f64, f64)) {
    let x = 66.0;
    for index in 0..clients {
        let (to_x, to_y) = place(index);
        let (from, to) = shortened((x, y), (to_x, to_y), 38.0, RADIUS + 8.0);
        svg.line([from.0, from.1, to.0, to.1], "l kw hint");
    }
    svg.rect(
        [x - 40.0, y - 16.0, 80.0, 32.0],
        "node kw",
        "the workload: every client is asked about each of its events",
    );
    svg.text(x, y + 4.0, Anchor::Middle, "t", "workload");
}

fn shortened(from: (f64, f64), to: (f64, f64), start: f64, end: f64) -> ((f64, f64), (f64, f64)) {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let distance = dx.hypot(dy).max(1.0);
    let (ux, uy) = (dx / distance, dy / distance);
    ((from.0 + ux * start, from.1 + uy * start), (to.0 - ux * end, to.1 - uy * end))
}

/// How an arrow looks: its class, how thick it is, and what it says to whoever points at it.
#[derive(Clone, Copy, Debug)]
struct Look<'a> {
    class: &'a str,
    stroke: f64,
    tip: &'a str,
}

fn arrow_between(
    svg: &mut Svg,
    from: (f64, f64),
    to: (f64, f64),
    gain: bool,
    Look { class, stroke, tip }: Look<'_>,
    label: Option<f64>,
) {
    let (from, to) = shortened(from, to, RADIUS + 2.0, RADIUS + 9.0);
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let distance = dx.hypot(dy).max(1.0);
    // There and back bend apart, and the gain bends further than the drive of the same pair.
    let bend = if gain { 0.36 } else { 0.13 } * distance;
    let control = (
        f64::midpoint(from.0, to.0) - dy / distance * bend,
        f64::midpoint(from.1, to.1) + dx / distance * bend,
    );
    let curve = format!(
        "M{} {}Q{} {} {} {}",
        short(from.0),
        short(from.1),
        short(control.0),
        short(control.1),
        short(to.0),
        short(to.1)
    );
    svg.path(&curve, class, Some(stroke), tip);
    head(svg, control, to, class, stroke, tip);
    if let Some(value) = label {
        // Nearer to its head: in their middles the arrows of three clients come so close that a number could be anybody's.
        let (start, bent, end) = (0.1024, 0.4352, 0.4624);
        let at =
            (start * from.0 + bent * control.0 + end * to.0, start * from.1 + bent * control.1 + end * to.1);
        let off = 11.0;
        svg.text(
            at.0 - dy / distance * off,
            at.1 + dx / distance * off + 4.0,
            Anchor::Middle,
            "v halo",
            &number(value),
        );
    }
}

fn own_arrow(
    svg: &mut Svg,
    at: (f64, f64),
    middle: (f64, f64),
    gain: bool,
    Look { class, stroke, tip }: Look<'_>,
    label: Option<f64>,
) {
    let (x, y) = at;
    let (dx, dy) = (x - middle.0, y - middle.1);
    let distance = dx.hypot(dy);
    let (ux, uy) = if distance < 1.0 { (0.0, -1.0) } else { (dx / distance, dy / distance) };
    let turned = |angle: f64| (ux * angle.cos() - uy * angle.sin(), ux * angle.sin() + uy * angle.cos());
    let (out, back) = (turned(-0.6), turned(0.6));
    let start = (x + out.0 * (RADIUS + 2.0), y + out.1 * (RADIUS + 2.0));
    let end = (x + back.0 * (RADIUS + 9.0), y + back.1 * (RADIUS + 9.0));
    // The drive's lies within the gain's.
    let reach = RADIUS * if gain { 3.0 } else { 2.3 };
    let far = |side: (f64, f64)| (x + side.0 * reach, y + side.1 * reach);
    let (one, two) = (far(turned(-0.75)), far(turned(0.75)));
    let curve = format!(
        "M{} {}C{} {} {} {} {} {}",
        short(start.0),
        short(start.1),
        short(one.0),
        short(one.1),
        short(two.0),
        short(two.1),
        short(end.0),
        short(end.1)
    );
    svg.path(&curve, class, Some(stroke), tip);
    head(svg, two, end, class, stroke, tip);
    if let Some(value) = label {
        let away = reach * 0.62 + 14.0;
        svg.text(x + ux * away, y + uy * away + 4.0, Anchor::Middle, "v halo", &number(value));
    }
}

/// An arrow's head at `to`, seen from `from`.
pub(super) fn head(svg: &mut Svg, from: (f64, f64), to: (f64, f64), class: &str, stroke: f64, tip: &str) {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let distance = dx.hypot(dy).max(1.0);
    let (ux, uy) = (dx / distance, dy / distance);
    let (long, half) = (7.0 + stroke, 3.0 + stroke * 0.7);
    let path = format!(
        "M{} {}L{} {}L{} {}Z",
        short(to.0 + ux * long),
        short(to.1 + uy * long),
        short(to.0 - uy * half),
        short(to.1 + ux * half),
        short(to.0 + uy * half),
        short(to.1 - ux * half)
    );
    let class = class.replacen("l ", "f ", 1);
    svg.path(&path, &class, None, tip);
}
