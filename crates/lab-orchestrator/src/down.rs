//! Cleans up what a killed launcher may have left. Nothing is touched but what is proven to be a lab's: processes as
//! [`Proven`] has it, files by the descriptor of a run's folder.

use std::{path::PathBuf, time::Duration};

use lab_files::{Kind, Trusted};
use lab_trace::Trace;
use nix::sys::signal::Signal;

use crate::{
    Active, ClientsAre, Failure, FailureKind, ProcessName, RunFolder, Runs, launch::step_failure, owner,
    proven::Proven,
};

/// The largest marker that is read, in bytes.
const ACTIVE_BYTES_MAX: u64 = 1 << 16;
/// A trace without a record is no larger, in bytes.
const EMPTY_TRACE_BYTES_MAX: u64 = 8 << 20;
/// How long a launcher may take to end its lab and to write the report before it is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// How long the kernel may take to end what was killed.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// What is done about a lab that is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LivingLabs {
    /// It is left alone.
    Stay,
    /// It is interrupted, and killed if it does not end.
    End,
}

/// What was found of one run, and removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The run's folder.
    pub run: PathBuf,
    /// Processes that still lived and were ended.
    pub ended: Vec<u32>,
    /// Files and folders that were removed.
    pub removed: Vec<PathBuf>,
    /// The run was left alone, because its lab is up.
    pub up: Option<Launcher>,
}

/// The process that a lab which is up belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launcher {
    /// This one.
    Process(u32),
    /// One that holds the run's folder and could not be told.
    Unknown,
}

/// Removes what runs have left that are over, and ends what still lives of them. Idempotent. Recorded traces stay,
/// damaged or not; a run that recorded nothing goes as a whole. `say` hears what is about to be done to a lab that is
/// up.
///
/// # Errors
/// When others may write the store or a folder in it.
pub fn down(runs: &Runs, living: LivingLabs, say: &mut dyn FnMut(&str)) -> Result<Vec<Found>, Failure> {
    let mut all = Vec::new();
    for run in RunFolder::all(runs)? {
        let Some(folder) = run.open()? else { continue };
        let found = down_one(&folder, living, say)?;
        if !found.ended.is_empty() || !found.removed.is_empty() || found.up.is_some() {
            all.push(found);
        }
    }
    Ok(all)
}

fn down_one(folder: &RunFolder, living: LivingLabs, say: &mut dyn FnMut(&str)) -> Result<Found, Failure> {
    let text = match folder.folder().read(RunFolder::ACTIVE, ACTIVE_BYTES_MAX) {
        // Who has the lab is not known for want of descriptors or memory: its remains are not taken away.
        Err(error) if error.is_own_lack() => {
            return Err(Failure::unread(&folder.active(), &error));
        }
        read => read.ok(),
    };
    let active = text.and_then(|text| serde_json::from_slice::<Active>(&text).ok());
    let mut found = Found { run: folder.root().to_owned(), ended: Vec::new(), removed: Vec::new(), up: None };
    let launcher = active.as_ref().and_then(|active| Proven::launcher(active.launcher));
    let held = folder.is_held();
    if held || launcher.is_some() {
        match (living, launcher) {
            (LivingLabs::End, Some(launcher)) if end_in_order(&launcher, say) => {
                found.ended.push(launcher.pid());
            }
            (_, launcher) => {
                found.up = Some(launcher.map_or(Launcher::Unknown, |one| Launcher::Process(one.pid())));
                return Ok(found);
            }
        }
    }
    // With it the kernel ends every process of the lab. It ends with its launcher, and may not have been told yet.
    let controller = active.as_ref().and_then(|active| active.controller).and_then(Proven::controller);
    if let Some(controller) = controller
        && kill(&controller)
    {
        found.ended.push(controller.pid());
    }
    found.removed = folder.uninstall();
    // Without a marker nothing says that the folder is not somebody's archive.
    let was_up = active.is_some() || !found.ended.is_empty();
    if was_up && recorded_nothing(folder) && folder.discard().is_ok() {
        found.removed.push(folder.root().to_owned());
    }
    Ok(found)
}

/// Ends a lab that is up through its launcher: asks first. False when it lives on.
fn end_in_order(launcher: &Proven, say: &mut dyn FnMut(&str)) -> bool {
    let pid = launcher.pid();
    let seconds = ENDS_WITHIN.as_secs();
    say(&format!(
        "interrupting process {pid}, which ends its lab in order; it is killed if that takes more than {seconds} s"
    ));
    // It may have ended by now, which is what is wanted.
    if launcher.send(Signal::SIGINT).is_ok() && launcher.ends_within(ENDS_WITHIN).is_ok_and(|ended| ended) {
        return true;
    }
    if launcher.ends_within(Duration::ZERO).is_ok_and(|ended| ended) {
        return true;
    }
    say(&format!("killing process {pid}, and its lab with it"));
    kill(launcher)
}

/// Kills a process and waits until it is gone.
fn kill(process: &Proven) -> bool {
    let gone =
        process.send(Signal::SIGKILL).is_ok() && process.ends_within(GONE_WITHIN).is_ok_and(|gone| gone);
    if !gone {
        tracing::warn!("process {} does not end", process.pid());
    }
    gone
}

/// True when no process of the run has recorded anything. What cannot be told counts as recorded.
fn recorded_nothing(run: &RunFolder) -> bool {
    let Ok(traces) = run.folder().trusted_folder(RunFolder::TRACES, run.trusted()) else { return false };
    let Ok(entries) = traces.entries() else { return false };
    entries.iter().all(|entry| {
        let bytes = (entry.kind == Kind::File).then(|| traces.read(&entry.name, EMPTY_TRACE_BYTES_MAX).ok());
        let Some(bytes) = bytes.flatten() else { return false };
        bytes.is_empty() || Trace::parse(&bytes).is_ok_and(|trace| trace.entries().next().is_none())
    })
}

/// What was found of daemons, and taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundDaemons {
    /// The launcher that had them and still lived; ended.
    pub ended: Option<u32>,
    /// The labels of those that were installed.
    pub removed: Vec<String>,
}

/// Takes every daemon of a lab away, running or not, and whatever else was installed for it. Idempotent.
///
/// # Errors
/// When a lab that is up has them and is to stay, and when one of them resists; the others are gone then.
pub fn down_daemons(
    clients_are: &ClientsAre,
    trusted: &Trusted,
    living: LivingLabs,
    say: &mut dyn FnMut(&str),
) -> Result<FoundDaemons, Failure> {
    let Some(daemons) = clients_are.daemons() else { return Ok(FoundDaemons::default()) };
    let launcher: Option<ProcessName> = owner::holder(&daemons, trusted)?;
    let launcher = launcher.and_then(Proven::launcher);
    let ended = launcher.as_ref().map(Proven::pid);
    if let Some(launcher) = launcher
        && (living == LivingLabs::Stay || !end_in_order(&launcher, say))
    {
        let message = format!("the lab of process {} is up and has this machine's daemons", launcher.pid());
        return Err(Failure::new(FailureKind::Usage, message).mend(HOW_TO_END));
    }
    let removed = daemons.uninstall().map_err(|error| step_failure(&error))?;
    owner::forget_holder(&daemons, trusted);
    Ok(FoundDaemons { ended, removed: removed.into_iter().map(|job| job.label).collect() })
}

/// How a lab that is up is ended.
pub const HOW_TO_END: &str = "let it end, press Ctrl-C in its terminal, or use `lab down --force`";
