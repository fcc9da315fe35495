//! Latency spectra: percentiles on both logarithmic axes, so that the tail has as much room as the middle.

use lab_analysis::findings::Findings;

use super::{
    palette,
    plot::{Plot, path},
    svg::{Anchor, Svg, fit, spread},
};
use crate::units::{float, time};

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 320.0;
/// The most spectra with a name of their own.
const NAMED_MAX: usize = 8;

struct Curve<'a> {
    name: &'a str,
    class: String,
    named: &'static str,
    points: &'a [(f64, u64)],
}

/// Root operations, one curve a phase.
pub(super) fn phases(findings: &Findings, id: &str) -> String {
    let curves = findings
        .phases
        .iter()
        .filter(|phase| !phase.spectrum.is_empty())
        .map(|phase| {
            let (class, named) = match phase.name.as_str() {
                "baseline" => ("l kw dashed", "kw"),
                "control" => ("l kw", "kw"),
                "storm" => ("l heavy k1", "k1"),
                _ => ("l kx", "kx"),
            };
            Curve { name: &phase.name, class: class.to_owned(), named, points: &phase.spectrum }
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
        },
        Curve { name: "storm", class: format!("l heavy {named}"), named, points: &client.spectrum },
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

fn draw(id: &str, label: &str, curves: Vec<Curve<'_>>) -> String {
    let mut svg = Svg::new(id, label, WIDTH, HEIGHT);
    let inner = |curve: &Curve<'_>| -> f64 {
        curve
            .points
            .iter()
            .map(|(percent, _)| *percent)
            .filter(|percent| *percent < 100.0)
            .map(nines)
            .fold(0.0, f64::max)
    };
    // 100 % stands half a nine behind the last percentile that has a place.
    let end = curves.iter().map(inner).fold(1.0, f64::max) + 0.5;
    let values = || {
        curves.iter().flat_map(|curve| curve.points.iter().map(|(_, value)| float((*value).max(1)).log10()))
    };
    let low = values().fold(f64::INFINITY, f64::min).floor().clamp(0.0, 18.0);
    let high = values().fold(0.0, f64::max).ceil().clamp(low + 1.0, 20.0);
    let plot = Plot {
        x: 58.0,
        y: 12.0,
        width: WIDTH - 58.0 - 118.0,
        height: HEIGHT - 48.0,
        from: 0.0,
        to: end,
        low,
        high,
    };
    let mut power = low;
    while power <= high {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        plot.grid(&mut svg, power, &time(10_f64.powf(power) as u64).replace(".00", ""));
        power += 1.0;
    }
    for (percent, text) in [
        (0.0, "0%"),
        (50.0, "50"),
        (90.0, "90"),
        (99.0, "99"),
        (99.9, "99.9"),
        (99.99, "99.99"),
        (99.999, "99.999"),
    ] {
        if nines(percent) < end - 0.3 {
            percentile(&mut svg, &plot, nines(percent), text);
        }
    }
    percentile(&mut svg, &plot, end, "max");
    svg.text(plot.x + plot.width / 2.0, HEIGHT - 2.0, Anchor::Middle, "s", "percentile");
    let place = |(percent, value): &(f64, u64)| {
        let x = if *percent >= 100.0 { end } else { nines(*percent) };
        percent.is_finite().then(|| (plot.across(x), plot.up(float((*value).max(1)).log10())))
    };
    let mut labels = Vec::new();
    for curve in &curves {
        let worst = curve.points.iter().map(|(_, value)| *value).max().unwrap_or(0);
        svg.path(
            &path(curve.points.iter().map(place)),
            &curve.class,
            None,
            &format!("{}: max {}", curve.name, time(worst)),
        );
        let y = plot.up(float(worst.max(1)).log10());
        labels.push((y, curve.named, format!("{} {}", fit(curve.name, 64.0), time(worst))));
    }
    let moved = spread(&labels.iter().map(|(y, ..)| *y).collect::<Vec<_>>(), 15.0, plot.y + plot.height);
    for ((_, class, text), y) in labels.iter().zip(moved) {
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
