//! The knee: rate against latency, step by step, both axes logarithmic; what failed, at the first step that did not hold.

use lab_analysis::findings::{Figure, Findings, KneeStep};
use lab_model::units::{count, float, time};

use super::{
    plot::{Plot, path},
    svg::{Anchor, Svg, fit},
};
use crate::visible::visible;

const WIDTH: f64 = 620.0;
const HEIGHT: f64 = 300.0;
/// Room right of the axes, for the names of the lines.
const LEGEND: f64 = 92.0;
/// Room above, for what failed.
const ABOVE: f64 = 40.0;
/// The height of a line of text.
const NAME_HEIGHT: f64 = 13.0;
/// The most reasons that are written above; the table has all.
const BROKEN_MAX: usize = 2;
/// The height of a picture of nothing.
const NOTHING_HEIGHT: f64 = 24.0;
/// The most steps whose rates are written below the axis.
const WRITTEN_MAX: usize = 8;

/// Draws the steps of which operations ended.
pub(super) fn draw(findings: &Findings, id: &str) -> String {
    let label = "Latency of operations against their rate";
    let steps: Vec<&KneeStep> = findings.knee.iter().flat_map(|knee| &knee.steps).filter(measured).collect();
    if steps.is_empty() {
        let mut svg = Svg::new(id, label, WIDTH, NOTHING_HEIGHT);
        svg.text(0.0, 17.0, Anchor::Start, "s", "nothing was measured");
        return svg.finish();
    }
    let mut svg = Svg::new(id, label, WIDTH, HEIGHT);
    let plot = axes(&steps);
    grid(&mut svg, &plot, &steps);
    let place = |step: &&KneeStep, figure| {
        (plot.across(power(step.rate.into())), plot.up(power(step.op_latency_ns.value(figure))))
    };
    for (figure, class, name) in [(Figure::P50, "l kx", "p50"), (Figure::P99, "l heavy k1", "p99")] {
        svg.path(&path(steps.iter().map(|step| Some(place(step, figure)))), class, None, name);
    }
    if let Some(last) = steps.last() {
        let (_, p99) = place(last, Figure::P99);
        // It is never above the other, and has room for its name.
        let p50 = place(last, Figure::P50).1.max(p99 + NAME_HEIGHT);
        for (y, name) in [(p99, "p99"), (p50, "p50")] {
            svg.text(plot.x + plot.width + 8.0, y + 4.0, Anchor::Start, "t", name);
        }
    }
    for step in &steps {
        let (x, y) = place(step, Figure::P99);
        let class = if step.held == Some(false) { "bad" } else { "f k1" };
        svg.circle([x, y, 4.0], class, &tip(step));
    }
    if let Some(broke) = steps.iter().find(|step| step.held == Some(false)) {
        let x = place(broke, Figure::P99).0;
        svg.line([x, plot.y - 6.0, x, plot.y + plot.height], "grid");
        let at = format!("at {} a second: ", count(broke.rate.into()));
        let mut y = NAME_HEIGHT;
        for (place, broken) in broke.broken.iter().take(BROKEN_MAX).enumerate() {
            let text = format!("{}{}", if place == 0 { at.as_str() } else { "" }, visible(&broken.words()));
            svg.text(plot.x, y, Anchor::Start, "s bad", &fit(&text, WIDTH - plot.x - 8.0));
            y += NAME_HEIGHT;
        }
    }
    svg.finish()
}

fn measured(step: &&KneeStep) -> bool {
    step.held.is_some() && !step.op_latency_ns.is_empty()
}

fn tip(step: &KneeStep) -> String {
    let held = match step.held {
        Some(false) => format!("did not hold: {}", visible(&step.why())),
        Some(true) | None => "held".to_owned(),
    };
    let latency = time(step.op_latency_ns.value(Figure::P99));
    format!("{} a second, p99 {latency}: {held}", count(step.rate.into()))
}

fn power(value: u64) -> f64 {
    float(value.max(1)).log10()
}

/// The axes that hold all steps: rates to the right, nanoseconds upwards.
fn axes(steps: &[&KneeStep]) -> Plot {
    let latencies = || {
        let figures =
            |step: &&KneeStep| [Figure::P50, Figure::P99].map(|one| power(step.op_latency_ns.value(one)));
        steps.iter().flat_map(figures)
    };
    let low = latencies().fold(f64::INFINITY, f64::min).floor().clamp(0.0, 18.0);
    let high = latencies().fold(0.0, f64::max).ceil().clamp(low + 1.0, 20.0);
    let rates = || steps.iter().map(|step| power(step.rate.into()));
    let from = rates().fold(f64::INFINITY, f64::min);
    let to = rates().fold(0.0, f64::max).max(from + 0.1);
    let (width, height) = (WIDTH - 70.0 - LEGEND, HEIGHT - ABOVE - 46.0);
    Plot { x: 70.0, y: ABOVE, width, height, from, to, low, high }
}

fn grid(svg: &mut Svg, plot: &Plot, steps: &[&KneeStep]) {
    let mut power_of_ten = plot.low;
    while power_of_ten <= plot.high {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let label = time(10_f64.powf(power_of_ten) as u64).replace(".00", "").replace(".0", "");
        plot.grid(svg, power_of_ten, &label);
        power_of_ten += 1.0;
    }
    let every = steps.len().div_ceil(WRITTEN_MAX).max(1);
    let below = plot.y + plot.height;
    for step in steps.iter().rev().step_by(every) {
        let x = plot.across(power(step.rate.into()));
        svg.line([x, below, x, below + 4.0], "axis");
        svg.text(x, below + 17.0, Anchor::Middle, "s", &count(step.rate.into()));
    }
    svg.text(plot.x + plot.width / 2.0, HEIGHT - 4.0, Anchor::Middle, "s", "operations a second");
}
