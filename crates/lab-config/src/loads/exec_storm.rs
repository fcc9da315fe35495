use std::fmt::{self, Write};

use lab_model::{ExecProgram, LoadKind};

use super::Kind;
use crate::{
    limits::Beside,
    read::{At, Problems},
    write::word,
};

load! {
    /// Runs programs from the arena.
    #[schemars(rename = "ExecStorm")]
    "`exec_storm`" ExecStorm {
        /// The program to run; it ends at once with status 0.
        #[schemars(extend("default" = "static"))]
        program [default]: ExecProgram,
    }
    /// Threads that run programs, each one at a time.
    #[schemars(extend("default" = 1))]
    workers;
    /// How fast.
    rate;
    /// Stops after this many operations in a phase. Left out, it goes on until the phase ends.
    operations_max;
}

impl Kind for ExecStorm {
    const WORKERS: u16 = 1;

    fn resolve(at: &At<ExecStorm>, _: &Beside<'_>, _: &mut Problems<'_>) -> Option<LoadKind> {
        let program = at.value.program.value().copied().unwrap_or(ExecProgram::Static);
        Some(LoadKind::ExecStorm(lab_model::ExecStorm { program }))
    }

    fn write(kind: &LoadKind, out: &mut String) -> fmt::Result {
        let LoadKind::ExecStorm(storm) = kind else { return Ok(()) };
        writeln!(out, "      program: {}", word(storm.program))
    }
}

#[cfg(test)]
mod tests {
    use lab_model::{ExecProgram, ExecStorm, LoadKind, Workload};

    use crate::loads::tests::check;

    #[test]
    fn one_worker_runs_the_smallest_program() {
        let storm = |program| Workload::of(LoadKind::ExecStorm(ExecStorm { program }));
        check("exec_storm: {}", &storm(ExecProgram::Static));
        check("exec_storm: {program: script}", &storm(ExecProgram::Script));
    }
}
