//! One look at a machine.

use std::{collections::BTreeSet, io, time::Instant};

use lab_process::proc;
use lab_waits::{Process, Snapshot, Wait};

use crate::{descriptors::Descriptors, locks, memory::Memory, mounts, sockets::Sockets, threads};

/// The kernel's own threads are children of this process (`kthreadd`).
const KERNEL_THREADS: u32 = 2;

/// Looks once at all processes that `/proc` shows, but the one that looks.
///
/// # Errors
/// Those of reading `/proc`.
pub fn look() -> io::Result<Snapshot> {
    let own = std::process::id();
    let pids: Vec<u32> = proc::processes()?.into_iter().filter(|&pid| pid != own).collect();
    Ok(look_at(&pids))
}

/// Looks at the threads of all processes and at nothing that connects these, to be followed by a whole look.
#[must_use]
pub fn look_at_threads() -> Snapshot {
    let own = std::process::id();
    let pids = proc::processes().unwrap_or_default().into_iter().filter(|&pid| pid != own);
    let process = |pid| Process { pid, threads: threads::read(pid), ..Process::default() };
    Snapshot { version: Snapshot::VERSION, processes: pids.map(process).collect(), ..Snapshot::default() }
}

/// Looks once at some processes. One that is gone is left out.
#[must_use]
pub fn look_at(pids: &[u32]) -> Snapshot {
    let began = Instant::now();
    let mut snapshot = Snapshot { version: Snapshot::VERSION, ..Snapshot::default() };
    let mut sockets = Sockets::of_observer(&Descriptors::read(std::process::id()).unwrap_or_default());
    let mut unseen = 0_usize;
    for &pid in pids {
        let Some(stat) = proc::stat(pid) else { continue };
        if pid == KERNEL_THREADS || stat.parent == KERNEL_THREADS || stat.state == 'Z' {
            continue;
        }
        let name = proc::name(pid).unwrap_or_default().to_string_lossy().into_owned();
        let descriptors = Descriptors::read(pid);
        unseen += usize::from(descriptors.is_none());
        let descriptors = descriptors.unwrap_or_default();
        sockets.learn_namespace(pid, &descriptors);
        let threads = threads::read(pid);
        let mounts = mounts::namespace(pid);
        let descriptors = descriptors.all;
        snapshot.processes.push(Process { pid, parent: stat.parent, name, mounts, threads, descriptors });
    }
    match sockets.read() {
        Ok(()) => sockets.connect(&mut snapshot.processes),
        Err(error) => snapshot.unreadable.push(format!("who is at the other end of sockets: {error}")),
    }
    if unseen > 0 {
        snapshot
            .unreadable
            .push(format!("the descriptors of {unseen} processes, which belong to other users"));
    }
    match locks::read() {
        Ok(locks) => snapshot.locks = locks,
        Err(error) => snapshot.unreadable.push(format!("leases and locks: {error}")),
    }
    look_closer(&mut snapshot);
    snapshot.took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    snapshot
}

/// Reads of those who wait what their memory says about it, and where they could wait.
fn look_closer(snapshot: &mut Snapshot) {
    let mut namespaces = BTreeSet::new();
    for process in &mut snapshot.processes {
        let memory = Memory::of(process);
        for number in 0..process.threads.len() {
            let is_hard = Wait::of(process, &process.threads[number]).kind.is_hard();
            let (pid, tid) = (process.pid, process.threads[number].tid);
            let Some(call) = &mut process.threads[number].call else { continue };
            memory.read_arguments(pid, tid, call, is_hard);
            if is_hard && namespaces.insert(process.mounts) {
                snapshot.mounts.insert(process.mounts, mounts::read(process.pid));
            }
        }
    }
}
