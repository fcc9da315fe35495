//! What a lab asks for and cannot have here, found out before anything is written.

use lab_model::{Client, Lab, LoadKind, Run};
use lab_process::platform::{KERNEL, forbids_programs};
use lab_workload::{ArenaHost, elf::Machine};

use crate::{Failure, FailureKind};

/// Refuses a lab that would fail while it runs.
///
/// # Errors
/// What is wanted and cannot be had, and what mends it.
pub(crate) fn check(lab: &Lab) -> Result<(), Failure> {
    tell_all(lab)?;
    say_who_signed(lab)?;
    mute_what_is_there(lab)?;
    capacity(lab)
}

/// Refuses a run store on whose mount nothing may be executed: the programs are run from there.
pub(crate) fn executes(run: &std::path::Path) -> Result<(), Failure> {
    if !forbids_programs(run) {
        return Ok(());
    }
    let message =
        format!("{} is mounted noexec, and a lab executes its programs from the run store", run.display());
    Err(Failure::new(FailureKind::Output, message)
        .mend("name a folder on another mount with --runs, or mount this one anew with exec"))
}

/// Refuses a client that wants to be told of what this kernel tells nobody of.
fn tell_all(lab: &Lab) -> Result<(), Failure> {
    let Some((client, event, why)) = lab.unsupported_notify(KERNEL) else { return Ok(()) };
    let message = format!("{client} subscribes to NOTIFY `{}` events, and {why}", event.word());
    Err(Failure::new(FailureKind::Usage, message)
        .mend(format!("take `{}` out of its `notify`", event.word())))
}

/// Refuses a client that judges by what this kernel does not say.
fn say_who_signed(lab: &Lab) -> Result<(), Failure> {
    let client = lab.judge_of_signatures().filter(|_| !KERNEL.names_programs());
    let Some(client) = client else { return Ok(()) };
    let message = format!("{client} denies by signature, and fanotify does not say who signed a program");
    Err(Failure::new(FailureKind::Usage, message)
        .mend("deny by `path` or `process`, or run the lab on macOS"))
}

/// Refuses to mute a path that the arena will not have: a kernel hides files, not names.
fn mute_what_is_there(lab: &Lab) -> Result<(), Failure> {
    // Only the content of programs depends on where the arena is.
    let ground = ArenaHost { root: "/".to_owned(), machine: Machine::this() };
    let entries = lab_workload::arena(&lab.workload, &lab.programs_of_clients(), &ground)
        .map_err(|error| Failure::new(FailureKind::Bug, format!("the arena cannot be filled: {error}")))?;
    let folders = lab.workload.iter().filter_map(|load| match &load.kind {
        LoadKind::Run(Run { directory, .. }) => directory.clone(),
        _ => None,
    });
    let paths: Vec<String> = entries.into_iter().map(|entry| entry.path).chain(folders).collect();
    let is_there = |muted: &str| {
        paths
            .iter()
            .any(|path| path.strip_prefix(muted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    };
    let muted = |client: &Client| -> Option<String> {
        let mut muted = lab.behaviors_of(client).flat_map(|behavior| &behavior.mute.paths);
        muted.find(|path| !is_there(path)).cloned()
    };
    let Some((client, path)) = lab.clients.iter().find_map(|client| Some((&client.id, muted(client)?)))
    else {
        return Ok(());
    };
    let mut tops: Vec<&str> = paths.iter().filter_map(|path| path.split('/').next()).collect();
    tops.dedup();
    let message = format!("{client} mutes `{path}`, which is not in the arena when the lab begins");
    let mend = format!("mute something below `{}`, or take it out of `mute.paths`", tops.join("` or `"));
    Err(Failure::new(FailureKind::Usage, message).mend(mend))
}

/// Refuses what the machine cannot do.
fn capacity(lab: &Lab) -> Result<(), Failure> {
    if KERNEL.confines_by_namespaces() { groups(lab) } else { root() }
}

/// Refuses more groups than this user may have.
fn groups(lab: &Lab) -> Result<(), Failure> {
    let capacity = lab_backend_fanotify::probe::capacity()?;
    // A product may have more groups than one; that it has none is unlikely.
    let told: usize = lab.clients.iter().map(|client| lab.notify_events_of(client).groups()).sum();
    let wanted = u32::try_from(lab.clients.len() + told + lab.external.len()).unwrap_or(u32::MAX);
    if wanted > capacity.groups_max {
        let message =
            format!("the lab needs {wanted} fanotify groups, and this user may have {}", capacity.groups_max);
        let mend = format!("raise it: sysctl fs.fanotify.max_user_groups={}", wanted * 2);
        return Err(Failure::new(FailureKind::NoSlot, message).mend(mend));
    }
    Ok(())
}

/// Refuses anybody but root. The free client slots are not known before the clients connect: what refuses one says so.
fn root() -> Result<(), Failure> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let message = "Endpoint Security clients are launchd daemons, and those belong to root";
    Err(Failure::new(FailureKind::Privilege, message).mend("start the lab with sudo"))
}
