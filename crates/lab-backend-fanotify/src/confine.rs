//! Keeps a lab to itself, so that nothing outside can be frozen by it and nothing of it is left behind.
//!
//! The lab's first process is process 1 of a PID namespace of its own: whatever ends it ends all of the lab,
//! however deeply its processes have forked. It lives in a mount namespace of its own, where every mount is
//! private: the arena is a tmpfs (or a ramfs) that exists nowhere else and vanishes with the last process.

use std::{ffi::CString, fs, io, os::unix::ffi::OsStrExt, path::Path};

use nix::{
    mount::{MsFlags, mount},
    sys::resource::{Resource, getrlimit, setrlimit},
};

use lab_model::ArenaKind;

use crate::{event::EVENT_BYTES, sys};

/// Starts a program as the first process of a lab: new PID namespace, new mount namespace, killed when the
/// calling process dies. Returns its process ID as the caller sees it. The caller must have one thread only.
///
/// # Errors
/// Those of `clone`: `EPERM` without `CAP_SYS_ADMIN`. A failed exec shows as exit status 127.
pub fn spawn_first_process(program: &Path, arguments: &[&str]) -> io::Result<u32> {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(io::Error::other);
    let program = text(program.as_os_str().as_bytes())?;
    let mut argv = vec![program.clone()];
    for argument in arguments {
        argv.push(text(argument.as_bytes())?);
    }
    sys::spawn_first_process(&program, &argv).map(i32::unsigned_abs)
}

/// Gives the calling thread a mount namespace of its own, a copy of the one that it had.
///
/// # Errors
/// Those of `unshare`: `EPERM` without `CAP_SYS_ADMIN`.
pub fn own_mounts() -> io::Result<()> {
    Ok(nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?)
}

/// True when the calling process is what [`spawn_first_process`] starts: process 1 of a PID namespace below the one
/// that `/proc` still shows, in another mount namespace than the process that started it. Only there does [`enter`]
/// change nobody's mounts but the lab's.
#[must_use]
pub fn is_first_process() -> bool {
    let mounts = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    let parent = fs::read_to_string("/proc/self/status").ok().and_then(|status| parent_of_first(&status));
    let parents = parent.and_then(|parent| mounts(&parent.to_string()));
    parents.is_some() && parents != mounts("self")
}

/// True when a process of another PID namespace just below this one is the first there, in a mount namespace of its
/// own.
#[must_use]
pub fn leads_a_namespace(pid: u32) -> bool {
    let mounts = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let own = mounts("self");
    numbers_of(&status).is_some_and(|numbers| matches!(numbers.as_slice(), [_, 1]))
        && own.is_some()
        && mounts(&pid.to_string()) != own
}

/// The parent of the first process of a PID namespace, as the namespace around it names it; `None` when the status is
/// that of another process, or is seen from inside.
fn parent_of_first(status: &str) -> Option<u32> {
    let numbers = numbers_of(status)?;
    let parent = field(status, "PPid")?.trim().parse().ok()?;
    (numbers.len() > 1 && numbers.last() == Some(&1) && parent > 0).then_some(parent)
}

/// The numbers of a process, from the PID namespace of `/proc` down to its own.
fn numbers_of(status: &str) -> Option<Vec<u32>> {
    field(status, "NSpid")?.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// What of [`enter`] failed. The kernel's own error tells a want of memory from a mistake.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct EnterError {
    /// What was tried.
    pub what: &'static str,
    /// What the kernel said.
    pub source: io::Error,
}

/// Sets the namespaces up, from their first process: makes every mount private, mounts a `/proc` that shows
/// this PID namespace, and mounts the arena.
///
/// # Errors
/// Those of `mount`, with what was tried.
pub fn enter(arena: &Path, kind: ArenaKind, bytes_max: u64) -> Result<(), EnterError> {
    let none: Option<&str> = None;
    let failed =
        |what: &'static str| move |error: nix::Error| EnterError { what, source: io::Error::from(error) };
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(failed("making mounts private"))?;
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("proc"), "/proc", Some("proc"), quiet | MsFlags::MS_NOEXEC, none)
        .map_err(failed("mounting /proc"))?;
    fs::create_dir_all(arena).map_err(|source| EnterError { what: "making the arena's folder", source })?;
    let options = match kind {
        ArenaKind::Tmpfs => format!("size={bytes_max},mode=755"),
        // It knows no size: the workload's files are all that is written there.
        ArenaKind::Ramfs => "mode=755".to_owned(),
    };
    mount(Some("lab-arena"), arena, Some(kind.name()), quiet, Some(options.as_str()))
        .map_err(failed("mounting the arena"))
}

/// Lays an empty tmpfs over a folder of the machine, in this mount namespace only. To be called after [`enter`],
/// so that nobody else sees it.
///
/// # Errors
/// Those of `mount`.
pub fn hide_folder(folder: &Path, bytes_max: u64) -> io::Result<()> {
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let options = format!("size={bytes_max},mode=755");
    Ok(mount(Some("lab-private"), folder, Some("tmpfs"), quiet, Some(options.as_str()))?)
}

/// Raises the limit on open descriptors as far as allowed: a client holds one for every pending event, and
/// without one the kernel denies the open. Returns the limit.
///
/// # Errors
/// Those of `getrlimit` and `setrlimit`.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let most = fs::read_to_string("/proc/sys/fs/nr_open").ok().and_then(|text| text.trim().parse().ok());
    let wanted = most.unwrap_or(hard).max(hard);
    if setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_ok() {
        return Ok(wanted);
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// Events that a process's group has not read yet. The group's descriptor is copied for an instant: as long
/// as the copy lives, the death of that process would not allow its pending events.
///
/// # Errors
/// Those of `pidfd_open`, `pidfd_getfd` and `FIONREAD`.
pub fn unread_events(pid: u32, descriptor: i32) -> io::Result<u64> {
    use std::os::fd::AsFd;
    let copy = sys::pidfd_getfd(pid, descriptor)?;
    Ok(sys::bytes_waiting(copy.as_fd())? / EVENT_BYTES as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_process_is_told_by_how_its_parent_sees_it() {
        let check = |namespaces: &str, parent: &str, expected| {
            let status = format!("Name:\tlab\nPPid:\t{parent}\nNSpid:\t{namespaces}\nNoNewPrivs:\t0\n");
            assert_eq!(parent_of_first(&status), expected, "{status}");
        };
        check("4711\t1", "4700", Some(4700));
        check("4711\t30\t1", "4700", Some(4700));
        // Any process of the machine, a container's first one as it sees itself, another process of a namespace, one
        // whose parent is not in sight.
        check("4711", "4700", None);
        check("1", "0", None);
        check("4711\t2", "4700", None);
        check("4711\t1", "0", None);
        assert_eq!(parent_of_first("NSpid:\t7\t1\n"), None);
        assert_eq!(parent_of_first(""), None);
        assert!(!is_first_process(), "a test is started otherwise");
    }
}
