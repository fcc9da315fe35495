//! `lab up`: one lab from its file to its report, on a live kernel or in virtual time.

use std::{env, fs, io::IsTerminal};

use lab_analysis::findings::Findings;
use lab_model::{BackendChoice, Lab};
use lab_orchestrator::{ExportFormat, Failure, FailureKind, Request, RunFolder};
use lab_sim::{Kernel, Options, Traces};

use super::{Stop, report};
use crate::{
    arguments::{Rules, Up},
    labs::{Places, simulable},
    terminal,
};

/// Simulated traces are kept in memory until the run is over: the most that one process's may take.
const SIMULATED_TRACE_BYTES_MAX: u64 = 1 << 30;
/// Runs of more decisions than this are exported on request only: a million take half a second.
const EXPORTED_DECISIONS_MAX: u64 = 1_500_000;

/// Where a lab runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ground {
    Fanotify,
    Sim(Kernel),
}

/// The rules of this machine's kernel.
pub(super) const fn rules_here(rules: Option<Rules>) -> Kernel {
    match rules {
        Some(Rules::Fanotify) => Kernel::Fanotify,
        Some(Rules::EndpointSecurity) => Kernel::EndpointSecurity,
        None if cfg!(target_os = "macos") => Kernel::EndpointSecurity,
        None => Kernel::Fanotify,
    }
}

pub(super) fn up(places: &Places, arguments: &Up) -> Result<u8, Stop> {
    let mut lab = places.read(&arguments.name)?;
    lab.seed = arguments.seed.unwrap_or(lab.seed);
    lab.backend = arguments.backend.map_or(lab.backend, BackendChoice::from);
    let ground = ground(&lab, arguments)?;
    let (folder, conducted) = match ground {
        Ground::Fanotify => {
            lab.backend = BackendChoice::Fanotify;
            live(places, &lab)?
        }
        Ground::Sim(kernel) => {
            lab.backend = BackendChoice::Sim;
            lab = simulable(lab)?;
            (simulated(places, &lab, kernel)?, Ok(()))
        }
    };
    let review = lab_orchestrator::review(&folder)?;
    let findings = &review.findings;
    let written = lab_orchestrator::write_pages(&folder, findings).and_then(|()| timeline(&folder, findings));
    if arguments.json {
        terminal::print(&lab_report::json::to_string(findings))?;
    } else {
        terminal::print(&lab_report::text::summary(findings, &terminal::style()))?;
        terminal::print(&report::pages(&folder))?;
    }
    written?;
    conducted?;
    Ok(report::exit_code(findings))
}

/// Decides where the lab runs, and says so when nobody else did.
fn ground(lab: &Lab, arguments: &Up) -> Result<Ground, Stop> {
    let kernel = rules_here(arguments.rules);
    // Whoever names rules means the simulator, unless another kernel was named as well.
    let choice = match (lab.backend, arguments.rules) {
        (BackendChoice::Auto, Some(_)) => BackendChoice::Sim,
        (choice, _) => choice,
    };
    if arguments.rules.is_some() && choice != BackendChoice::Sim {
        let message = format!("--rules is for the simulator; {} has its own", choice.name());
        return Err(Stop::usage(message, "add --backend sim, or leave --rules out"));
    }
    match choice {
        BackendChoice::Fanotify => Ok(Ground::Fanotify),
        BackendChoice::Sim => Ok(Ground::Sim(kernel)),
        BackendChoice::EndpointSecurity => {
            let message = "this version starts no live lab on endpoint-security";
            let mend = "use --backend sim --rules endpoint-security";
            Err(Failure::new(FailureKind::BackendMissing, message).mend(mend).into())
        }
        BackendChoice::Auto => Ok(match fanotify_works() {
            Ok(()) => {
                terminal::eprint("auto: fanotify\n");
                Ground::Fanotify
            }
            Err(reason) => {
                terminal::eprint(&format!("auto: sim with {} rules, because {reason}\n", kernel.name()));
                Ground::Sim(kernel)
            }
        }),
    }
}

#[cfg(target_os = "linux")]
fn fanotify_works() -> Result<(), String> {
    lab_backend_fanotify::probe::capacity().map(drop).map_err(|error| error.to_string())
}

#[cfg(not(target_os = "linux"))]
fn fanotify_works() -> Result<(), String> {
    Err("this version starts live labs on Linux only".to_owned())
}

fn live(places: &Places, lab: &Lab) -> Result<(RunFolder, Result<(), Failure>), Stop> {
    let programs = lab_orchestrator::programs(&places.workspace)?;
    let program =
        env::current_exe().map_err(|error| Stop::bug(format!("this program has no path: {error}")))?;
    let request = Request {
        lab,
        runs: &places.runs,
        programs: &programs,
        program: &program,
        conductor_arguments: &["conduct"],
        terminal: std::io::stderr().is_terminal(),
    };
    Ok(lab_orchestrator::launch(&request)?)
}

/// Runs the lab in virtual time. Nothing is written before it is over, so that an interrupted one leaves nothing.
fn simulated(places: &Places, lab: &Lab, kernel: Kernel) -> Result<RunFolder, Stop> {
    let progress = terminal::Progress::new(&format!("simulating {} with {} rules", lab.name, kernel.name()));
    let mut traces = Traces::new(lab.safety.trace_bytes_max.min(SIMULATED_TRACE_BYTES_MAX));
    lab_sim::simulate(lab, &Options::new(lab, kernel), &mut traces);
    progress.end();
    let folder = RunFolder::create(&places.runs, &lab.name)?;
    let write = || {
        fs::write(folder.lab(), lab_config::to_yaml(lab))?;
        traces.into_files().into_iter().try_for_each(|file| fs::write(folder.trace(&file.name), file.bytes))
    };
    write().map_err(|error| Stop::output("cannot write the run", &error))?;
    folder.uninstall();
    Ok(folder)
}

/// Writes the timeline for a viewer beside the report, when that is quick.
fn timeline(folder: &RunFolder, findings: &Findings) -> Result<(), Failure> {
    if findings.totals.decisions > EXPORTED_DECISIONS_MAX {
        return Ok(());
    }
    let path = folder.root().join("trace.pftrace");
    report::export_file(folder, findings, ExportFormat::Perfetto, &path).map(drop)
}
