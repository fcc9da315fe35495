//! The limits that keep a lab from harming its machine: as written, as meant, and written out.

use std::fmt::{self, Write};

use lab_model::{Safety, Span};

use crate::{
    diagnostic::Diagnostic,
    read::{Problems, records},
    scalar::Bounded,
};

/// The longest that a phase, a deadline or a run may last: a day.
pub(crate) const PHASE_MAX: Span = Span::from_secs(86_400);

records! {
    /// Limits that keep the lab from harming its machine.
    #[schemars(rename = "Safety")]
    "`safety`" RawSafety {
        /// The most a single trace file may grow to, in bytes; what comes after is counted as lost.
        #[schemars(extend("default" = 4_294_967_296_u64))]
        trace_bytes_max [default]: Bounded<{ 1 << 20 }, { 1 << 40 }>,
        /// The size of the arena's file system, in bytes.
        #[schemars(extend("default" = 268_435_456))]
        arena_bytes_max [default]: Bounded<{ 1 << 20 }, { 1 << 40 }>,
        /// The longest a whole run may take before the warden ends it. A run that is cut short fails: exit code 1.
        #[schemars(extend("default" = "10m"))]
        run_max [default]: Span,
        /// The baseline ends early after this many operations: they are cheap, and each one is recorded.
        #[schemars(extend("default" = 200_000))]
        baseline_operations_max [default]: Bounded<1, { u64::MAX }>,
    }
}

/// The limits that are written, and the defaults of the others.
pub(crate) fn safety(raw: Option<&RawSafety>, problems: &mut Problems<'_>) -> Safety {
    let default = Safety::default();
    let Some(raw) = raw else { return default };
    if let Some(at) = raw.run_max.given().filter(|at| at.value.is_zero() || at.value > PHASE_MAX) {
        let diagnostic =
            Diagnostic::new(at.place.clone(), format!("a run cannot be limited to {}", at.value))
                .label("expected more than 0s and at most 24h");
        problems.add(diagnostic);
    }
    Safety {
        trace_bytes_max: raw.trace_bytes_max.value().map_or(default.trace_bytes_max, |max| max.0),
        arena_bytes_max: raw.arena_bytes_max.value().map_or(default.arena_bytes_max, |max| max.0),
        run_max: raw.run_max.value().copied().unwrap_or(default.run_max),
        baseline_operations_max: raw
            .baseline_operations_max
            .value()
            .map_or(default.baseline_operations_max, |max| max.0),
    }
}

/// Writes them as a section of the lab file.
pub(crate) fn write_safety(out: &mut String, safety: &Safety) -> fmt::Result {
    writeln!(out, "safety:")?;
    writeln!(out, "  trace_bytes_max: {}", safety.trace_bytes_max)?;
    writeln!(out, "  arena_bytes_max: {}", safety.arena_bytes_max)?;
    writeln!(out, "  run_max: {}", safety.run_max)?;
    writeln!(out, "  baseline_operations_max: {}", safety.baseline_operations_max)
}
