//! How fast a load runs: as written, as meant, and written out.

use std::{
    borrow::Cow,
    fmt::{self, Write},
};

use lab_model::{Expectation, Knee, Rate, Span};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    diagnostic::Diagnostic,
    expectations::expectation,
    read::{Field, List, Problems, Read, records},
    scalar::Bounded,
    tree::{Node, Value},
    write::Names,
};

records! {
    /// Bursts or a ramp; exactly one of `burst` with `every`, and `ramp`.
    #[schemars(
        rename = "PlannedRate",
        extend("oneOf" = [{ "required": ["burst", "every"] }, { "required": ["ramp"] }])
    )]
    "a planned rate" RawPlannedRate {
        /// So many operations at once.
        burst [default]: Bounded<1, 1_000_000>,
        /// From one burst to the next.
        every [default]: Span,
        /// Operations a second at the phase's start and at its end; evenly more, or fewer, in between.
        #[schemars(extend("minItems" = 2, "maxItems" = 2))]
        ramp [default]: List<Bounded<0, 10_000_000>>,
    }

    /// Looks for the rate from which on the lab no longer holds its expectations: the phase is cut into steps, each
    /// at a rate of its own, a constant factor above the last. The report tells which was the last that held.
    #[schemars(rename = "Knee")]
    "`find_knee`" RawKnee {
        /// Operations a second in the first step.
        from: Bounded<1, 10_000_000>,
        /// Operations a second in the last step.
        to: Bounded<1, 10_000_000>,
        /// How many steps. Each lasts the same part of the phase.
        #[schemars(extend("default" = 10))]
        steps [default]: Bounded<2, { Knee::STEPS_MAX as u64 }>,
        /// What each step must hold, beside keeping up with its rate: conditions on `op_latency.storm`, `headroom` and
        /// `deadline.misses`, taken for the step alone, such as `op_latency.storm.p99 < 5ms`.
        hold [default]: List<String>,
    }
}

/// How fast a load runs: `max`, a number of operations a second, or a plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawRate(pub(crate) Rate);

type PerSecond = Bounded<1, 10_000_000>;

impl Read for RawRate {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<RawRate> {
        match &node.value {
            Value::Text(text) if text == "max" => Some(RawRate(Rate::Max)),
            Value::Integer(_) => {
                PerSecond::read(node, problems).map(|rate| RawRate(Rate::PerSecond(rate.get())))
            }
            Value::Map(_) => RawPlannedRate::read(node, problems)?.resolve(node, problems).map(RawRate),
            _ => {
                let expected = "`max`, operations a second, or a planned rate";
                problems.wrong_type(node, expected, "`max`, `500`, or `{ ramp: [100, 5000] }`");
                None
            }
        }
    }
}

impl JsonSchema for RawRate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let per_second = generator.subschema_for::<PerSecond>();
        let planned = generator.subschema_for::<RawPlannedRate>();
        json_schema!({
            "description": "`max` starts the next operation when the last one ended; a number plans so many \
                operations a second over all workers, `{ burst: 100, every: 1s }` so many at once, and \
                `{ ramp: [100, 5000] }` a rate that grows evenly. Latency counts from the planned start.",
            "anyOf": [{ "const": "max", "description": "Closed loop." }, per_second, planned]
        })
    }
}

impl RawPlannedRate {
    fn resolve(&self, node: &Node, problems: &mut Problems<'_>) -> Option<Rate> {
        use Field::{Absent, Bad, Given};
        match (&self.burst, &self.every, &self.ramp) {
            (Given(burst), Given(every), Absent) if !every.value.is_zero() => {
                return Some(Rate::Burst { operations: burst.value.get(), every: every.value });
            }
            (Absent, Absent, Given(ramp)) => {
                if let [from, to] = ramp.value.items.as_slice()
                    && from.value.0 + to.value.0 > 0
                {
                    return Some(Rate::Ramp { from: from.value.get(), to: to.value.get() });
                }
                if !ramp.value.complete {
                    return None;
                }
            }
            (Bad, ..) | (_, Bad, _) | (.., Bad) => return None,
            _ => {}
        }
        let diagnostic = Diagnostic::new(node.place.clone(), "a rate is planned in one way")
            .label("expected `burst` with `every`, or `ramp` with two rates")
            .help("write for example `{ burst: 100, every: 1s }` or `{ ramp: [100, 5000] }`");
        problems.add(diagnostic);
        None
    }
}

/// The rate of a load: as written, or the steps of its knee.
pub(crate) fn rate(rate: &Field<RawRate>, knee: &Field<RawKnee>, problems: &mut Problems<'_>) -> Rate {
    let Some(written) = knee.given() else { return rate.value().map_or(Rate::Max, |rate| rate.0) };
    if let Some(at) = rate.given() {
        let diagnostic = Diagnostic::new(written.place.clone(), "a load has one rate")
            .label("takes the place of `rate`")
            .related(at.place.clone(), "a rate is given here")
            .help("remove `rate` or `find_knee`");
        problems.add(diagnostic);
    }
    let RawKnee { from, to, steps, hold: _ } = &written.value;
    let (Some(from), Some(to)) = (from.value(), to.value()) else { return Rate::Max };
    if from.0 >= to.0 {
        let message = format!("a knee is looked for from {} upwards, not to {}", from.0, to.0);
        let diagnostic = Diagnostic::new(written.place.clone(), message)
            .label("expected `to` above `from`")
            .help("write for example `{ from: 500, to: 50000 }`");
        problems.add(diagnostic);
    }
    Rate::Knee(Knee { from: from.get(), to: to.get(), steps: steps.value().map_or(10, |steps| steps.get()) })
}

/// What the steps of a knee must hold.
pub(crate) fn hold(
    raw: &RawKnee,
    clients: Option<&[String]>,
    problems: &mut Problems<'_>,
) -> Vec<Expectation> {
    let steps_have = |metric: &str| {
        ["op_latency.storm.", "headroom."].iter().any(|start| metric.starts_with(start))
            || metric == "deadline.misses"
    };
    let mut hold = Vec::new();
    for at in raw.hold.value().into_iter().flat_map(|list| &list.items) {
        let Some(condition) = expectation(at, clients, problems) else { continue };
        if !steps_have(&condition.metric) {
            let message = format!("`{}` is not known for a step alone", condition.metric);
            let diagnostic = Diagnostic::new(at.place.clone(), message)
                .label("expected a condition on `op_latency.storm`, `headroom` or `deadline.misses`")
                .help("conditions on the whole run belong under `expect`");
            problems.add(diagnostic);
        }
        hold.push(condition);
    }
    hold
}

/// Writes a rate as the field of a load; `hold` is what each step of a knee must hold.
pub(crate) fn write_rate(out: &mut String, rate: Rate, hold: &[Expectation]) -> fmt::Result {
    match rate {
        Rate::Max => writeln!(out, "      rate: max"),
        Rate::PerSecond(rate) => writeln!(out, "      rate: {rate}"),
        Rate::Burst { operations, every } => {
            writeln!(out, "      rate: {{ burst: {operations}, every: {every} }}")
        }
        Rate::Ramp { from, to } => writeln!(out, "      rate: {{ ramp: [{from}, {to}] }}"),
        Rate::Knee(Knee { from, to, steps }) => {
            let hold: Vec<String> = hold.iter().map(|condition| condition.text.clone()).collect();
            let hold = Names(&hold);
            writeln!(out, "      find_knee: {{ from: {from}, to: {to}, steps: {steps}, hold: {hold} }}")
        }
    }
}
