//! What `/proc/PID/task/TID` says of each thread.

use std::{fs, path::PathBuf};

use lab_process::proc;
use lab_waits::Thread;

use crate::call;

/// The threads of a process, as they are now; none when it is gone.
pub(crate) fn read(pid: u32) -> Vec<Thread> {
    proc::threads(pid).into_iter().filter_map(|tid| thread(pid, tid)).collect()
}

/// How often a thread has left a processor, by the content of its `status`.
fn switches(status: &[u8]) -> u64 {
    let count =
        |name| proc::status_field(status, name).and_then(|count| count.parse::<u64>().ok()).unwrap_or(0);
    count("voluntary_ctxt_switches").saturating_add(count("nonvoluntary_ctxt_switches"))
}

fn thread(pid: u32, tid: u32) -> Option<Thread> {
    let folder = PathBuf::from(format!("/proc/{pid}/task/{tid}"));
    let text = |name: &str| fs::read(folder.join(name)).ok();
    let status = text("status")?;
    let field = |name: &str| proc::status_field(&status, name);
    let call = text("syscall").unwrap_or_default();
    // Who runs waits in nothing.
    let channel = if call.starts_with(b"running") { Vec::new() } else { text("wchan").unwrap_or_default() };
    let channel = String::from_utf8_lossy(&channel).into_owned();
    Some(Thread {
        tid,
        name: field("Name").unwrap_or_default().to_owned(),
        state: field("State")?.chars().next()?,
        channel: if channel == "0" { String::new() } else { channel },
        call: call::parse(&call),
        switches: switches(&status),
        since_ms: 0,
        rested_ms: 0,
    })
}
