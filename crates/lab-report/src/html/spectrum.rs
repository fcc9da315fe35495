//! Latency spectra: percentiles on both logarithmic axes, so that the tail has as much room as the middle.

use lab_analysis::findings::Findings;
use lab_model::PhaseKind;

use super::{
    palette,
    plot::{Plot, path},
    svg::{Anchor, Svg, fit, spread},
};
use lab_model::units::{at_least, float, time};

const WIDTH: f64 = 620.0;
const HEIGHT: f64 = 320.0;
/// Room right of the axes, for a name and a time that is only a bound.
const LEGEND: f64 = 178.0;
/// The height of a picture of nothing.
const NOTHING_HEIGHT: f64 = 24.0;
/// The most spectra with a name of their own.
const NAMED_MAX: usize = 8;

struct Curve<'a> {
    name: &'a str,
    class: String,
    named: &'static str,
    points: &'a [(f64, u64)],
    /// From this percentage on they are lower bounds.
    at_least_from: Option<f64>,
}

impl Curve<'_> {
    /// The place of the first point that is a lower bound.
    fn bounded(&self) -> Option<usize> {
        let from = self.at_least_from?;
        self.points.iter().position(|(percent, _)| *percent >= from)
    }
}

/// Root operations, one curve a phase.
pub(super) fn phases(findings: &Findings, id: &str) -> String {
    let curves = findings
        .phases
        .iter()
        .filter(|phase| !phase.spectrum.is_empty())
        .map(|phase| {
            let (class, named) = match phase.kind {
                PhaseKind::Baseline => ("l kw dashed", "kw"),
                PhaseKind::Control => ("l kw", "kw"),
                PhaseKind::External => ("l heavy kw", "kw"),
                PhaseKind::Storm => ("l heavy k1", "k1"),
                PhaseKind::Drain => ("l kx", "kx"),
            };
            Curve {
                name: phase.kind.name(),
                class: class.to_owned(),
                named,
                points: &phase.spectrum,
                at_least_from: phase.spectrum_at_least_from,
            }
        })
        .collect();
    draw(id, "Latency spectrum of root operations by phase", curves)
}

/// Decisions, one curve a client.
pub(super) fn clients(findings: &Findings, id: &str) -> String {
    let mut order: Vec<usize> = (0..findings.clients.len()).collect();
    if order.len() > NAMED_MAX {
        order.sort_by_key(|&place| std::cmp::Reverse(findings.clients[place].latency_others_ns.max));
        order.truncate(NAMED_MAX);
    }
    let curves = order
        .into_iter()
        .map(|place| Curve {
            name: &findings.clients[place].id,
            class: format!("l {}", palette::client(place)),
            named: palette::client(place),
            points: &findings.clients[place].spectrum,
            at_least_from: findings.clients[place].spectrum_at_least_from,
        })
        .filter(|curve| !curve.points.is_empty())
        .collect();
    draw(id, "Latency spectrum of decisions by client", curves)
}

/// One client, beside itself in the control.
pub(super) fn client(findings: &Findings, id: &str, place: usize) -> String {
    let Some(client) = findings.clients.get(place) else { return String::new() };
    let named = palette::client(place);
    let curves = [
        Curve {
            name: "control",
            class: "l kw dashed".to_owned(),
            named: "kw",
            points: &client.control_spectrum,
            at_least_from: client.control_spectrum_at_least_from,
        },
        Curve {
            name: "storm",
            class: format!("l heavy {named}"),
            named,
            points: &client.spectrum,
            at_least_from: client.spectrum_at_least_from,
        },
    ];
    draw(
        id,
        "Latency spectrum of this client's decisions",
        curves.into_iter().filter(|curve| !curve.points.is_empty()).collect(),
    )
}

/// Nines: 0 at 0 %, 1 at 90 %, 2 at 99 %, ...; 100 % has no place of its own.
fn nines(percent: f64) -> f64 {
    -(1.0 - (percent / 100.0).clamp(0.0, 1.0)).max(1e-12).log10()
}

/// The axes that hold all curves: percentiles to the right, nanoseconds upwards.
fn axes(curves: &[Curve<'_>]) -> Plot {
    let points = || curves.iter().flat_map(|curve| curve.points);
    let inner = points().map(|(percent, _)| *percent).filter(|percent| *percent < 100.0);
    // 100 % stands half a nine behind the last percentile that has a place.
    let end = inner.map(nines).fold(nines(50.0), f64::max) + 0.5;
    let powers = || points().map(|(_, value)| power(*value));
    let low = powers().fold(f64::INFINITY, f64::min).floor().clamp(0.0, 18.0);
    let high = powers().fold(0.0, f64::max).ceil().clamp(low + 1.0, 20.0);
    let (width, height) = (WIDTH - 58.0 - LEGEND, HEIGHT - 48.0);
    Plot { x: 58.0, y: 12.0, width, height, from: 0.0, to: end, low, high }
}

fn power(nanoseconds: u64) -> f64 {
    float(nanoseconds.max(1)).log10()
}

fn grid(svg: &mut Svg, plot: &Plot) {
    let mut power = plot.low;
    while power <= plot.high {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        plot.grid(svg, power, &time(10_f64.powf(power) as u64).replace(".00", "").replace(".0", ""));
        power += 1.0;
    }
    let percents = [
        (0.0, "0%"),
        (50.0, "50"),
        (90.0, "90"),
        (99.0, "99"),
        (99.9, "99.9"),
        (99.99, "99.99"),
        (99.999, "99.999"),
    ];
    for (percent, text) in percents.into_iter().filter(|(percent, _)| nines(*percent) < plot.to - 0.3) {
        percentile(svg, plot, nines(percent), text);
    }
    percentile(svg, plot, plot.to, "max");
    svg.text(plot.x + plot.width / 2.0, HEIGHT - 2.0, Anchor::Middle, "s", "percentile");
}

fn draw(id: &str, label: &str, curves: Vec<Curve<'_>>) -> String {
    if curves.is_empty() {
        let mut svg = Svg::new(id, label, WIDTH, NOTHING_HEIGHT);
        svg.text(0.0, 17.0, Anchor::Start, "s", "nothing was measured");
        return svg.finish();
    }
    let mut svg = Svg::new(id, label, WIDTH, HEIGHT);
    let plot = axes(&curves);
    grid(&mut svg, &plot);
    let place = |(percent, value): &(f64, u64)| {
        let x = if *percent >= 100.0 { plot.to } else { nines(*percent) };
        percent.is_finite().then(|| (plot.across(x), plot.up(power(*value))))
    };
    let mut labels = Vec::new();
    for curve in &curves {
        let worst = curve.points.iter().map(|(_, value)| *value).max().unwrap_or(0);
        let bounded = curve.bounded();
        let lasted = if bounded.is_some() { at_least(&time(worst)) } else { time(worst) };
        let tip = format!("{}: max {lasted}", curve.name);
        let known = bounded.unwrap_or(curve.points.len());
        svg.path(&path(curve.points[..known].iter().map(place)), &curve.class, None, &tip);
        if let Some(bounded) = bounded {
            // Where nothing is known but a bound, the line is broken, and begins where the known one ends.
            let rest = &curve.points[bounded.saturating_sub(1)..];
            svg.path(&path(rest.iter().map(place)), &format!("l {} dashed", curve.named), None, &tip);
        }
        labels.push((plot.up(power(worst)), curve.named, format!("{} {lasted}", fit(curve.name, 64.0))));
    }
    let places: Vec<f64> = labels.iter().map(|(y, ..)| *y).collect();
    for ((_, class, text), y) in labels.iter().zip(spread(&places, 15.0, plot.y + plot.height)) {
        svg.rect([plot.x + plot.width + 6.0, y - 4.0, 8.0, 8.0], &format!("f {class}"), "");
        svg.text(plot.x + plot.width + 18.0, y + 4.0, Anchor::Start, "t", text);
    }
    svg.finish()
}

fn percentile(svg: &mut Svg, plot: &Plot, at: f64, text: &str) {
    let x = plot.across(at);
    svg.line([x, plot.y, x, plot.y + plot.height], "grid");
    svg.text(x, plot.y + plot.height + 16.0, Anchor::Middle, "s", text);
}
