//! How long each phase of a run lasts: as written, as meant, and written out.

use std::{
    fmt::{self, Write},
    ops::Range,
};

use lab_model::{PhaseKind, Phases, Safety, Span};

use crate::{
    diagnostic::Diagnostic,
    read::{Field, Problems, records},
    safety::PHASE_MAX,
};

records! {
    /// How long each phase lasts, one after the other; `0s` leaves one out.
    #[schemars(rename = "Phases")]
    "`phases`" RawPhases {
        /// The workload without any client: what an operation costs by itself.
        #[schemars(extend("default" = "1s"))]
        baseline [default]: Span,
        /// The workload with all clients answering at once: what being asked costs.
        #[schemars(extend("default" = "1s"))]
        control [default]: Span,
        /// The control again, beside the products of `external`: what those cost. Left out, it lasts as long
        /// as the control in a lab with such products.
        external [default]: Span,
        /// The workload with the clients as the lab file has them; longer than zero.
        #[schemars(extend("default" = "3s"))]
        storm [default]: Span,
        /// No workload: does it calm down? The longest wait for it.
        #[schemars(extend("default" = "5s"))]
        drain [default]: Span,
    }
}

/// The phases; without any of them written, the place of `run_max` is that of a run too long for it.
pub(crate) fn phases(
    field: &Field<RawPhases>,
    beside_products: bool,
    safety: &Safety,
    run_max_place: Option<&Range<usize>>,
    problems: &mut Problems<'_>,
) -> Phases {
    let raw = field.value();
    let mut span = |written: Option<&Field<Span>>, default: Span| {
        let Some(at) = written.and_then(Field::given) else { return default };
        if at.value > PHASE_MAX {
            let diagnostic =
                Diagnostic::new(at.place.clone(), format!("a phase of {} is too long", at.value))
                    .label("at most 24h");
            problems.add(diagnostic);
        }
        at.value
    };
    let control = span(raw.map(|raw| &raw.control), Span::from_secs(1));
    let phases = Phases {
        baseline: span(raw.map(|raw| &raw.baseline), Span::from_secs(1)),
        control,
        external: span(raw.map(|raw| &raw.external), if beside_products { control } else { Span::default() }),
        storm: span(raw.map(|raw| &raw.storm), Span::from_secs(3)),
        drain: span(raw.map(|raw| &raw.drain), Span::from_secs(5)),
    };
    if let (true, Some(at)) = (phases.storm.is_zero(), raw.and_then(|raw| raw.storm.given())) {
        let diagnostic =
            Diagnostic::new(at.place.clone(), "the storm is the experiment: it cannot be left out")
                .label("expected more than 0s")
                .help("write for example `storm: 3s`");
        problems.add(diagnostic);
    }
    let beside = raw.and_then(|raw| raw.external.given()).filter(|at| !at.value.is_zero());
    if let (false, Some(at)) = (beside_products, beside) {
        let message = "there is no product for the clients to run beside";
        let diagnostic = Diagnostic::new(at.place.clone(), message)
            .label("the lab has no `external`")
            .help("name the product under `external`, or leave this phase out");
        problems.add(diagnostic);
    }
    let total = phases.iter().map(|phase| phase.span.nanos()).fold(0, u64::saturating_add);
    let place = field.given().map(|at| &at.place).or(run_max_place);
    if let (true, Some(place)) = (total > safety.run_max.nanos(), place) {
        let total = Span::from_nanos(total);
        let message = format!("the phases take {total}, a run at most {}", safety.run_max);
        let diagnostic = Diagnostic::new(place.clone(), message)
            .label("longer than `safety.run_max`")
            .help("shorten the phases, or raise `run_max` under `safety`");
        problems.add(diagnostic);
    }
    phases
}

/// Writes them as a section of the lab file: without that beside the products where there are none.
pub(crate) fn write_phases(out: &mut String, phases: &Phases, beside_products: bool) -> fmt::Result {
    let beside = |phase: &PhaseKind| *phase != PhaseKind::External || beside_products;
    let phase = |phase: PhaseKind| format!("{}: {}", phase.name(), phases.span(phase));
    let phases: Vec<String> = PhaseKind::ALL.into_iter().filter(beside).map(phase).collect();
    writeln!(out, "phases: {{ {} }}", phases.join(", "))
}
