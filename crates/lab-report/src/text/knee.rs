//! The knee in lines of text: a bar for each step, as long as its latency on a logarithmic scale.

use lab_analysis::findings::{Figure, Knee, KneeStep};
use lab_model::units::{at_least, count, float, time};

use super::Style;

/// The longest bar.
const BAR_MAX: usize = 40;

/// The room that a line needs beside its bar.
const BESIDE: usize = 40;

/// A line for each step that was begun.
pub(super) fn lines(knee: &Knee, style: &Style) -> Vec<String> {
    let steps: Vec<&KneeStep> = knee.steps.iter().filter(|step| !step.op_latency_ns.is_empty()).collect();
    let latency = |step: &KneeStep| step.op_latency_ns.value(Figure::P99);
    let powers = || steps.iter().map(|step| float(latency(step).max(1)).log10());
    // The shortest has a tenth of the room that the longest has.
    let (low, high) = (powers().fold(f64::INFINITY, f64::min), powers().fold(0.0, f64::max));
    let room = style.columns().saturating_sub(BESIDE).clamp(8, BAR_MAX);
    let widest = steps.iter().map(|step| count(step.rate.into()).len()).max().unwrap_or(0);
    let bars = steps.iter().zip(powers()).map(|(step, power)| {
        let part = if high > low { 0.1 + 0.9 * (power - low) / (high - low) } else { 0.1 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the room")]
        let length = (part * float(room as u64)).round() as usize;
        let bar = if style.unicode { "█" } else { "#" }.repeat(length.clamp(1, room));
        let value = time(latency(step));
        let value = if step.op_latency_ns.is_at_least(Figure::P99) { at_least(&value) } else { value };
        let held = if step.held == Some(false) { "  did not hold" } else { "" };
        format!("{:>widest$}/s  {bar} p99 {value}{held}", count(step.rate.into()))
    });
    bars.collect()
}
