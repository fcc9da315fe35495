//! `lab up`: one lab from its file to its report, on a live kernel or in virtual time.

use std::{env, io::IsTerminal, path::PathBuf};

use lab_analysis::findings::Findings;
use lab_doctor::{Consent, live_works};
use lab_model::{Backend, BackendChoice, Execution, Kernel, Lab};
use lab_orchestrator::{
    Call, ClientsAre, ExportFormat, Failure, FailureKind, Request, RunFolder, interrupts,
};
use lab_process::platform::KERNEL;
use lab_sim::{Options, Traces};

use super::{
    ExitError, advice,
    bundle::signing_of,
    machine, repeat,
    report::{self, Extent},
    virtual_run::TRACE_BYTES_MAX,
};
use crate::{arguments::Up, labs::Places, terminal};

/// Runs of more decisions than this are exported on request only: a million take half a second.
const EXPORTED_DECISIONS_MAX: u64 = 1_500_000;

/// These rules, or those of this machine's kernel.
pub(super) fn rules_here(rules: Option<Kernel>) -> Kernel {
    rules.unwrap_or(KERNEL)
}

pub(super) fn up(places: &Places, arguments: &Up) -> Result<u8, ExitError> {
    let mut lab = places.read(&arguments.name)?;
    lab.seed = arguments.seed.unwrap_or(lab.seed);
    lab.backend = arguments.backend.unwrap_or(lab.backend);
    let decided = decide(&lab, arguments)?;
    lab.backend = decided.backend.choice();
    if let Some(count) = arguments.repeat {
        return repeat::repeat(places, &lab, &decided, count, arguments);
    }
    let (folder, controlled) = ran(places, &lab, &decided, arguments)?;
    // The lab is over: what reads its traces from here on is no root that may do everything.
    lab_orchestrator::give_up_to_read(&[&folder], &[folder.root(), &folder.clients()])?;
    let mut review = lab_orchestrator::review(&folder)?;
    advice::advise(&folder, &review.lab, &mut review.findings);
    let findings = &review.findings;
    let written = write(places, &folder, findings);
    if arguments.json {
        terminal::print_json_text(&lab_report::json::to_string(findings))?;
    } else {
        report::print(&folder, findings, Extent::of(arguments.full))?;
    }
    written?;
    controlled?;
    Ok(report::exit_code(findings))
}

/// Runs the lab once: live or in virtual time.
pub(super) fn ran(
    places: &Places,
    lab: &Lab,
    decided: &Decided,
    arguments: &Up,
) -> Result<(RunFolder, Result<(), Failure>), ExitError> {
    match decided.backend.execution {
        Execution::Live => {
            let named = match arguments.backend {
                Some(BackendChoice::Live(kernel)) => Some(kernel),
                _ => None,
            };
            let call = Call { backend: named, ..places.call(&arguments.name) };
            live(places, lab, &LiveOptions { call: Some(call), ..LiveOptions::from(arguments) })
        }
        Execution::Simulated => {
            let simulated_because = decided.fallback.clone();
            let call = Call { simulated_because, ..places.call(&arguments.name) };
            Ok((simulated(places, lab, decided.backend.kernel, &call)?, Ok(())))
        }
    }
}

/// Writes a run's pages beside its traces.
pub(super) fn write(places: &Places, folder: &RunFolder, findings: &Findings) -> Result<(), Failure> {
    lab_orchestrator::write_pages(folder, findings).and_then(|()| timeline(places, folder, findings))
}

/// Where a lab runs.
pub(super) struct Decided {
    pub(super) backend: Backend,
    /// Why it is simulated although its lab would have run live.
    fallback: Option<String>,
}

impl From<Backend> for Decided {
    fn from(backend: Backend) -> Decided {
        Decided { backend, fallback: None }
    }
}

/// Decides where the lab runs, and says so when nobody else did.
fn decide(lab: &Lab, arguments: &Up) -> Result<Decided, ExitError> {
    let rules = rules_here(arguments.rules);
    // Whoever names rules means the simulator, unless another kernel was named as well.
    let choice = match (lab.backend, arguments.rules) {
        (BackendChoice::Auto, Some(_)) => BackendChoice::Simulated,
        (choice, _) => choice,
    };
    if arguments.rules.is_some() && choice != BackendChoice::Simulated {
        let message = format!("--rules is for the simulator; {} has its own", choice.name());
        return Err(ExitError::usage(message, "add --backend sim, or leave --rules out"));
    }
    match choice {
        BackendChoice::Simulated => Ok(Backend::simulated(rules).into()),
        BackendChoice::Live(KERNEL) => Ok(Backend::live(KERNEL).into()),
        BackendChoice::Live(other) => {
            let mend = format!("use --backend sim --rules {}", other.name());
            Err(Failure::new(FailureKind::BackendMissing, other.whose()).mend(mend).into())
        }
        BackendChoice::Auto => {
            let decided = here_or_simulated(LiveOptions::from(arguments).consent, arguments.allow_sim)?;
            terminal::eprint(&match &decided.fallback {
                None => format!("auto: {}\n", KERNEL.name()),
                Some(reason) => format!("auto: sim with {} rules, because {reason}\n", rules.name()),
            });
            Ok(decided)
        }
    }
}

/// This machine's kernel; where it cannot be used, the simulator. A pipeline that nobody looks at would take the one for
/// the other, so it has to say that it may.
fn here_or_simulated(consent: Consent, allow_sim: bool) -> Result<Decided, ExitError> {
    match live_works(consent) {
        Ok(()) => Ok(Backend::live(KERNEL).into()),
        Err(reason) if allow_sim || std::io::stderr().is_terminal() => {
            Ok(Decided { backend: Backend::simulated(KERNEL), fallback: Some(reason) })
        }
        Err(reason) => {
            let message = format!("no live lab can run here: {reason}");
            let mend = "add --allow-sim to simulate it then, or --backend sim to simulate it anyway";
            Err(Failure::new(FailureKind::Privilege, message).mend(mend).into())
        }
    }
}

/// Refuses to storm a machine that may be somebody's own.
fn refuse_bare_metal(consent: Consent) -> Result<(), ExitError> {
    lab_doctor::may_storm_here(consent).map_err(|finding| {
        let failure = Failure::new(FailureKind::Privilege, format!("this machine is {}", finding.found));
        failure.mend(finding.mend.unwrap_or_default()).into()
    })
}

/// How a live lab is started, beside what its file says.
#[derive(Clone, Debug)]
pub(super) struct LiveOptions {
    /// Whether somebody took the risk for bare metal.
    pub(super) consent: Consent,
    /// The signing file; the workspace's own without one.
    pub(super) signing: Option<PathBuf>,
    /// The folder of a stand-in for `launchctl`.
    pub(super) stand_in: Option<PathBuf>,
    /// How it was called for, where a line is to call for it again.
    pub(super) call: Option<Call>,
}

impl LiveOptions {
    /// As a machine does it of itself.
    pub(super) const USUAL: LiveOptions =
        LiveOptions { consent: Consent::No, signing: None, stand_in: None, call: None };
}

impl From<&Up> for LiveOptions {
    fn from(arguments: &Up) -> LiveOptions {
        LiveOptions {
            consent: if arguments.i_know { Consent::IKnow } else { Consent::No },
            signing: arguments.signing.signing.clone(),
            stand_in: arguments.daemons.stand_in.clone(),
            call: None,
        }
    }
}

pub(super) fn live(
    places: &Places,
    lab: &Lab,
    manner: &LiveOptions,
) -> Result<(RunFolder, Result<(), Failure>), ExitError> {
    refuse_bare_metal(manner.consent)?;
    let signing = signing_of(places, manner.signing.as_deref())?;
    let programs = lab_orchestrator::programs(places.workspace()?)?;
    let program =
        env::current_exe().map_err(|error| ExitError::bug(format!("this program has no path: {error}")))?;
    let request = Request {
        lab,
        runs: &places.runs,
        programs: &programs,
        program: &program,
        controller_arguments: &["control"],
        terminal: std::io::stderr().is_terminal(),
        clients_are: ClientsAre::here(manner.stand_in.clone(), &places.trusted)?,
        // Nothing but a Mac looks at a signature.
        signing: KERNEL.installs_clients().then_some(&signing),
        call: manner.call.as_ref(),
    };
    // Before the lab keeps the machine busy.
    let seen = machine::sheet(lab.clients.len(), &machine::examine(lab.clients.len(), Some(lab)));
    let (folder, controlled) = lab_orchestrator::launch(&request)?;
    folder
        .write(RunFolder::DOCTOR, format!("{seen:#}\n").as_bytes())
        .map_err(|error| ExitError::output("cannot keep what the doctor saw", &error))?;
    Ok((folder, controlled))
}

/// A lab without some of its parts would be another lab.
pub(super) fn refuse_what_is_not_simulated(lab: &Lab, kernel: Kernel) -> Result<(), ExitError> {
    if let Some((client, event, why)) = lab.unsupported_notify(kernel) {
        let event = event.word();
        return Err(ExitError::usage(
            format!("{client} subscribes to NOTIFY `{event}` events, and {why}"),
            format!("take `{event}` out of its `notify`, or simulate it with endpoint-security rules"),
        ));
    }
    match lab_sim::not_simulated(lab) {
        None => Ok(()),
        Some(parts) => Err(ExitError::usage(
            format!("the simulator does not model {parts}, which {} has", lab.name),
            "run it live, or take these parts out",
        )),
    }
}

/// Runs the lab in virtual time. Nothing is written before it is over, so that an interrupted one leaves nothing.
fn simulated(places: &Places, lab: &Lab, kernel: Kernel, call: &Call) -> Result<RunFolder, ExitError> {
    refuse_what_is_not_simulated(lab, kernel)?;
    let progress = terminal::Progress::new(&format!("simulating {} with {} rules", lab.name, kernel.name()));
    let mut traces = Traces::new(lab.safety.trace_bytes_max.min(TRACE_BYTES_MAX));
    lab_sim::simulate(lab, &Options::new(lab, kernel), &mut traces);
    progress.end();
    // Whole or not at all: a signal is heeded between two traces, and takes the run away again.
    let hold = interrupts::hold();
    let folder = RunFolder::create(&places.runs, &lab.name)?;
    let write = || {
        folder.write(RunFolder::LAB, lab_config::to_yaml(lab).as_bytes())?;
        call.keep(&folder, lab)?;
        for file in traces.into_files() {
            if interrupts::wanted() {
                return Ok(false);
            }
            folder.write_in(RunFolder::TRACES, &format!("{}.trace", file.name), &file.bytes)?;
        }
        Ok(true)
    };
    let is_whole = write().map_err(|error| ExitError::output("cannot write the run", &error))?;
    folder.uninstall();
    if !is_whole && let Err(error) = folder.discard() {
        tracing::warn!("the unfinished run {} stays behind: {error}", folder.root().display());
    }
    drop(hold);
    Ok(folder)
}

/// Writes the timeline for a viewer beside the report, when that is quick.
fn timeline(places: &Places, folder: &RunFolder, findings: &Findings) -> Result<(), Failure> {
    if findings.totals.decisions > EXPORTED_DECISIONS_MAX {
        return Ok(());
    }
    let path = folder.root().join("trace.pftrace");
    report::export_file(places, folder, findings, ExportFormat::Perfetto, &path).map(drop)
}
