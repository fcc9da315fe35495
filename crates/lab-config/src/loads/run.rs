use std::fmt::{self, Write};

use lab_model::LoadKind;

use super::Kind;
use crate::{
    checks::check_path,
    diagnostic::Diagnostic,
    limits::Beside,
    read::{At, List, Problems},
    write::{Names, Scalar},
};

load! {
    /// Runs a command of your own, on Linux. It sees this machine's files, and the arena as its working directory; what it
    /// opens and runs in the arena, the clients are asked about. Each of its processes and threads is one operation, from
    /// birth to end, as the kernel tells of them; the opens within are not recorded one by one. What still runs when the
    /// phase is over is killed.
    #[schemars(rename = "Run")]
    "`run`" Run {
        /// The program, found as a shell finds it, and its arguments: `[make, -j2]`.
        #[schemars(extend("minItems" = 1))]
        command: List<String>,
        /// Its working directory below the arena, made if it is not there. Left out, it is the arena itself.
        directory [default]: String,
    }
    /// Threads that run it, each once at a time.
    #[schemars(extend("default" = 1))]
    workers;
    /// Runs it this many times in a phase.
    #[schemars(extend("default" = 1))]
    operations_max;
}

impl Kind for Run {
    const WORKERS: u16 = 1;
    const OPERATIONS_MAX: Option<u64> = Some(1);

    fn resolve(at: &At<Run>, _: &Beside<'_>, problems: &mut Problems<'_>) -> Option<LoadKind> {
        let raw = &at.value;
        if let Some(at) = raw.directory.given() {
            check_path(at, problems);
        }
        let command: Vec<String> =
            raw.command.value().into_iter().flat_map(|list| &list.items).map(|at| at.value.clone()).collect();
        if let Some(list) = raw.command.given() {
            let empty = command.first().is_none_or(String::is_empty) && list.value.complete;
            if empty || command.iter().any(|part| part.contains('\0')) {
                let diagnostic = Diagnostic::new(list.place.clone(), "a command has at least a program")
                    .label("expected a program and its arguments")
                    .help("write for example `[make, -j2]`");
                problems.add(diagnostic);
            }
        }
        Some(LoadKind::Run(lab_model::Run { command, directory: raw.directory.value().cloned() }))
    }

    fn write(kind: &LoadKind, out: &mut String) -> fmt::Result {
        let LoadKind::Run(run) = kind else { return Ok(()) };
        writeln!(out, "      command: {}", Names(&run.command))?;
        match &run.directory {
            Some(directory) => writeln!(out, "      directory: {}", Scalar(directory)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use lab_model::{LoadKind, Run, Workload};

    use crate::loads::tests::check;

    #[test]
    fn a_command_runs_once_in_a_phase() {
        let run = Run { command: vec!["make".to_owned(), "-j2".to_owned()], directory: None };
        let load = Workload { operations_max: Some(1), ..Workload::of(LoadKind::Run(run)) };
        check("run: {command: [make, -j2]}", &load);
    }
}
