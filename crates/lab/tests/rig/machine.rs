//! What the machine can do, and what a lab may have left on it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "as the module above")]

use std::{fs, path::Path, sync::mpsc, thread, time::Duration};

use lab_model::Span;
use lab_process::clock;

/// How long an open of the host may take before it counts as blocked.
const HOST_OPEN_MAX: Duration = Duration::from_secs(5);

/// Why this machine cannot run a live lab.
#[cfg(target_os = "linux")]
pub fn obstacle() -> Option<String> {
    lab_backend_fanotify::probe::capacity().err().map(|error| error.to_string())
}

#[cfg(not(target_os = "linux"))]
pub fn obstacle() -> Option<String> {
    Some("live labs run on Linux".to_owned())
}

/// Processes, mounts in any namespace, and fanotify groups that name `root`.
pub fn remains(root: &Path) -> Vec<String> {
    // Not what belongs to a rig whose name only begins alike.
    let root = &format!("{}/", root.to_str().unwrap());
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path()) {
        let pid = process.file_name().unwrap().to_string_lossy().into_owned();
        if !pid.bytes().all(|byte| byte.is_ascii_digit()) || pid == std::process::id().to_string() {
            continue;
        }
        let program = fs::read_link(process.join("exe")).unwrap_or_default();
        let words = fs::read(process.join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        if program.to_string_lossy().contains(root) || words.contains(root) {
            found.push(format!("process {pid}: {words}"));
        }
        let mounts = fs::read_to_string(process.join("mountinfo")).unwrap_or_default();
        let own = mounts.lines().filter(|line| line.contains(root));
        found.extend(own.map(|line| format!("mount in the namespace of {pid}: {line}")));
    }
    // The namespace that all others of this machine come from may have gained one as well.
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    found.extend(mounts.lines().filter(|line| line.contains(root)).map(|line| format!("host mount: {line}")));
    found
}

/// Waits until something holds, at most for `span`; false when it never did.
pub fn wait_until(span: Span, mut holds: impl FnMut() -> bool) -> bool {
    let until = clock::now().plus(clock::timebase().ticks(span.nanos()));
    loop {
        if holds() {
            return true;
        }
        if clock::now() >= until {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Opens and reads files of the host, which no lab may hold up.
pub fn host_opens_are_free(root: &Path) {
    let file = root.join("probe");
    let (done, result) = mpsc::channel();
    thread::spawn(move || {
        fs::write(&file, "a host's file").unwrap();
        done.send(fs::read_to_string(&file).unwrap() == "a host's file").unwrap();
    });
    assert_eq!(result.recv_timeout(HOST_OPEN_MAX), Ok(true), "the host's own opens are not held up");
}
