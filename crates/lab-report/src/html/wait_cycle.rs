//! A circle of clients, each waiting for the next.

use std::f64::consts::{PI, TAU};

use lab_analysis::findings::{Findings, WaitCycle};

use super::{
    gain_graph::head,
    palette,
    svg::{Anchor, Svg, fit, short},
};
use lab_model::units::{count_of, counted, length, time};

/// The most members that are drawn.
const MEMBERS_MAX: usize = 12;

/// Draws one circle.
pub(super) fn draw(findings: &Findings, cycle: &WaitCycle, id: &str) -> String {
    let (width, height) = (560.0, 300.0);
    let members: Vec<&String> = cycle.members.iter().take(MEMBERS_MAX).collect();
    let names: Vec<&str> = members.iter().map(|member| member.as_str()).collect();
    let mut svg = Svg::new(id, &format!("Wait cycle: {}", names.join(" waits for ")), width, height);
    let (middle, reach, radius) = ((width / 2.0, height / 2.0), (170.0, 104.0), 30.0);
    let angle = |place: f64| PI + TAU * place / length(members.len().max(1));
    let at = |angle: f64| (middle.0 + reach.0 * angle.cos(), middle.1 + reach.1 * angle.sin());
    let single = members.len() == 1;
    for place in 0..members.len() {
        let (from, to) = (angle(length(place)), angle(length(place) + 1.0));
        // An arrow along the ellipse, in small steps, that begins and ends outside of the circles.
        let clear = if single { 0.5 } else { 0.4 };
        let steps = 24_u8;
        let points: Vec<(f64, f64)> = (0..=steps)
            .map(|step| at(from + clear + (to - from - 2.0 * clear) * f64::from(step) / f64::from(steps)))
            .collect();
        let mut curve = String::new();
        for (step, point) in points.iter().enumerate() {
            curve.push(if step == 0 { 'M' } else { 'L' });
            curve.push_str(&format!("{} {}", short(point.0), short(point.1)));
        }
        let next = names[place.saturating_add(1).checked_rem(names.len()).unwrap_or(0)];
        let tip = format!("{} waits for {next}", names[place]);
        svg.path(&curve, "l wait", Some(2.5), &tip);
        if let [.., before, last] = points.as_slice() {
            head(&mut svg, *before, *last, "l wait", 2.5, &tip);
        }
        let label = at(f64::midpoint(from, to));
        if members.len() <= 4 {
            svg.text(
                label.0,
                label.1 + if label.1 < middle.1 { -10.0 } else { 20.0 },
                Anchor::Middle,
                "s",
                "waits for",
            );
        }
    }
    for (place, name) in names.iter().enumerate() {
        let (x, y) = at(angle(length(place)));
        let class = palette::named(findings, name).unwrap_or(palette::OTHER);
        svg.circle([x, y, radius], &format!("node {class}"), name);
        svg.text(x, y + 4.0, Anchor::Middle, "t", &fit(name, 58.0));
    }
    let lasted =
        cycle.lasted_ns.map_or_else(|| "never ended".to_owned(), |lasted| format!("lasted {}", time(lasted)));
    svg.text(middle.0, middle.1 - 6.0, Anchor::Middle, "v bad", &lasted);
    svg.text(
        middle.0,
        middle.1 + 12.0,
        Anchor::Middle,
        "s",
        &fit(&format!("ended by {}", cycle.ended_by), 240.0),
    );
    if cycle.members.len() > MEMBERS_MAX {
        svg.text(
            middle.0,
            height - 4.0,
            Anchor::Middle,
            "s",
            &counted(count_of(cycle.members.len().saturating_sub(MEMBERS_MAX)), "more member"),
        );
    }
    svg.finish()
}
