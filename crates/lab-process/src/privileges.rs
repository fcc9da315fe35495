//! What a process of the lab may still do after it has set itself up. A root process keeps the capabilities that its
//! work needs, each by name; everything else it gives up for good, and what it starts cannot have it again.
//!
//! Capabilities are a thread's own, not a process's: whoever gives up does so before there are other threads, or in
//! each of them. Outside Linux there are none, and nothing happens here.

use std::{io, path::Path};

/// A privilege that some process of the lab needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Gives files to other users.
    #[doc(alias = "CAP_CHOWN")]
    Give,
    /// Reads files and enters folders whatever their modes.
    #[doc(alias = "CAP_DAC_READ_SEARCH")]
    ReadSearch,
    /// Writes files and into folders whatever their modes.
    #[doc(alias = "CAP_DAC_OVERRIDE")]
    Override,
    /// Signals processes of other users.
    #[doc(alias = "CAP_KILL")]
    Kill,
    /// Takes capabilities from the bounding set.
    #[doc(alias = "CAP_SETPCAP")]
    SetCapabilities,
    /// Looks into processes that may do more: their descriptors, their environment, where they wait.
    #[doc(alias = "CAP_SYS_PTRACE")]
    Trace,
    /// Mounts, and marks whole file systems with fanotify.
    #[doc(alias = "CAP_SYS_ADMIN")]
    Administer,
    /// Raises limits.
    #[doc(alias = "CAP_SYS_RESOURCE")]
    Resource,
}

/// What programs get that a thread starts after it has given up what it does not need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Programs {
    /// What the thread may use at any time, and no more: `no_new_privs`, and a bounding set of that.
    Used,
    /// What the thread has in reserve as well.
    Kept,
    /// As root what root had before: these are commands that the lab file names.
    AsBefore,
}

/// What a thread keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept<'a> {
    /// What it may use at any time.
    pub used: &'a [Capability],
    /// What it may use within [`with`] only.
    pub reserve: &'a [Capability],
    /// What the programs get that it starts.
    pub programs: Programs,
}

impl Kept<'static> {
    /// No capability at all, for the thread and whatever it starts.
    pub const NOTHING: Kept<'static> = Kept { used: &[], reserve: &[], programs: Programs::Used };
}

/// Gives up, for the calling thread, all that is not kept. What the thread never had it does not get.
///
/// # Errors
/// Those of `capset` and `prctl`, which refuse no thread that wants less: an error means that a filter forbids the
/// calls.
#[doc(alias = "capset")]
pub fn keep(kept: &Kept<'_>) -> io::Result<()> {
    system::keep(kept)
}

/// Gives up, for the calling thread, what it has in reserve and does not keep.
///
/// # Errors
/// Those of `capset`.
pub fn keep_in_reserve(reserve: &[Capability]) -> io::Result<()> {
    system::keep_in_reserve(reserve)
}

/// Does something with capabilities that the calling thread has in reserve.
///
/// # Errors
/// Those of `capset`.
pub fn with<T>(reserve: &[Capability], act: impl FnOnce() -> T) -> io::Result<T> {
    system::with(reserve, act)
}

/// What the calling thread needs to go on reading files and folders, and to write into others, whose modes or those
/// of the folders on the way shut out everybody but another user: below the home folder of whoever called `sudo`.
/// What does not exist needs nothing.
///
/// # Errors
/// Those of `capset`.
pub fn needed_to_reach(read: &[&Path], written: &[&Path]) -> io::Result<Vec<Capability>> {
    system::needed_to_reach(read, written)
}

#[cfg(target_os = "linux")]
mod system {
    use std::{io, path::Path};

    use rustix::{
        fs::{Access, AtFlags, CWD, accessat},
        io::Errno,
        thread::{
            CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
            clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
            set_no_new_privs,
        },
    };

    use super::{Capability, Kept, Programs};

    /// No kernel knows more.
    const NUMBERS: u32 = 64;

    fn set_of(capabilities: &[Capability]) -> CapabilitySet {
        capabilities.iter().fold(CapabilitySet::empty(), |set, capability| {
            set | match capability {
                Capability::Give => CapabilitySet::CHOWN,
                Capability::ReadSearch => CapabilitySet::DAC_READ_SEARCH,
                Capability::Override => CapabilitySet::DAC_OVERRIDE,
                Capability::Kill => CapabilitySet::KILL,
                Capability::SetCapabilities => CapabilitySet::SETPCAP,
                Capability::Trace => CapabilitySet::SYS_PTRACE,
                Capability::Administer => CapabilitySet::SYS_ADMIN,
                Capability::Resource => CapabilitySet::SYS_RESOURCE,
            }
        })
    }

    pub(super) fn keep(kept: &Kept<'_>) -> io::Result<()> {
        let (used, reserve) = (set_of(kept.used), set_of(kept.reserve));
        let had = capabilities(None)?;
        let handed_on = match kept.programs {
            Programs::Used => Some(used),
            Programs::Kept => Some(used | reserve),
            Programs::AsBefore => None,
        };
        if let Some(handed_on) = handed_on {
            bound(had, handed_on)?;
            set_no_new_privs(true)?;
        }
        // A kernel without ambient capabilities has none to clear.
        match clear_ambient_capability_set() {
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
        let permitted = had.permitted & (used | reserve);
        let effective = permitted & used;
        Ok(set_capabilities(
            None,
            CapabilitySets { effective, permitted, inheritable: CapabilitySet::empty() },
        )?)
    }

    /// Takes all but `kept` from the bounding set, where the thread may: without the capability to do so,
    /// `no_new_privs` alone keeps programs from getting more.
    fn bound(had: CapabilitySets, kept: CapabilitySet) -> io::Result<()> {
        if !had.permitted.contains(CapabilitySet::SETPCAP) {
            return Ok(());
        }
        set_capabilities(None, CapabilitySets { effective: had.effective | CapabilitySet::SETPCAP, ..had })?;
        for number in 0..NUMBERS {
            let capability = CapabilitySet::from_bits_retain(1 << number);
            match capability_is_in_bounding_set(capability) {
                Ok(true) if !kept.contains(capability) => remove_capability_from_bounding_set(capability)?,
                Ok(_) => {}
                // The first that this kernel does not know.
                Err(_) => break,
            }
        }
        Ok(())
    }

    pub(super) fn keep_in_reserve(reserve: &[Capability]) -> io::Result<()> {
        let before = capabilities(None)?;
        let permitted = before.effective | (before.permitted & set_of(reserve));
        Ok(set_capabilities(None, CapabilitySets { permitted, ..before })?)
    }

    pub(super) fn with<T>(reserve: &[Capability], act: impl FnOnce() -> T) -> io::Result<T> {
        let before = capabilities(None)?;
        let effective = before.effective | (before.permitted & set_of(reserve));
        set_capabilities(None, CapabilitySets { effective, ..before })?;
        let done = act();
        set_capabilities(None, before)?;
        Ok(done)
    }

    pub(super) fn needed_to_reach(read: &[&Path], written: &[&Path]) -> io::Result<Vec<Capability>> {
        let before = capabilities(None)?;
        set_capabilities(None, CapabilitySets { effective: CapabilitySet::empty(), ..before })?;
        let shut = |path: &&Path, access: Access| {
            let access = if path.is_dir() { access | Access::EXEC_OK } else { access };
            accessat(CWD, *path, access, AtFlags::EACCESS) == Err(Errno::ACCESS)
        };
        let needed = [
            (Capability::ReadSearch, read.iter().any(|path| shut(path, Access::READ_OK))),
            (Capability::Override, written.iter().any(|path| shut(path, Access::WRITE_OK))),
        ];
        set_capabilities(None, before)?;
        Ok(needed.into_iter().filter(|(_, needed)| *needed).map(|(capability, _)| capability).collect())
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::{io, path::Path};

    use super::{Capability, Kept};

    pub(super) fn keep(_: &Kept<'_>) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn keep_in_reserve(_: &[Capability]) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn with<T>(_: &[Capability], act: impl FnOnce() -> T) -> io::Result<T> {
        Ok(act())
    }

    pub(super) fn needed_to_reach(_: &[&Path], _: &[&Path]) -> io::Result<Vec<Capability>> {
        Ok(Vec::new())
    }
}

#[cfg(all(test, target_os = "linux"))]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, process::Command};

    use super::*;

    /// A set of the calling thread as the kernel says.
    fn set(name: &str) -> u64 {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        field(&status, name)
    }

    fn field(status: &str, name: &str) -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        u64::from_str_radix(line.unwrap(), 16).unwrap()
    }

    /// Runs a test in a thread of its own, where the thread has something to give up; says so where it has not.
    fn as_root(test: impl FnOnce() + Send + 'static) {
        if set("CapPrm") & (1 << 21) == 0 {
            return eprintln!("SKIPPED: no CAP_SYS_ADMIN to give up");
        }
        std::thread::spawn(test).join().unwrap();
    }

    #[test]
    fn nothing_is_left_for_the_thread_and_what_it_starts() {
        as_root(|| {
            keep(&Kept::NOTHING).unwrap();
            for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                assert_eq!(set(name), 0, "{name}");
            }
            assert_eq!(set("NoNewPrivs"), 1);
            let status = Command::new("cat").arg("/proc/self/status").output().unwrap().stdout;
            let status = String::from_utf8(status).unwrap();
            for name in ["CapPrm", "CapEff", "CapBnd"] {
                assert_eq!(field(&status, name), 0, "{name} of a program");
            }
        });
    }

    #[test]
    fn commands_of_the_lab_file_are_as_before() {
        as_root(|| {
            let before = set("CapBnd");
            keep(&Kept { used: &[Capability::Kill], reserve: &[], programs: Programs::AsBefore }).unwrap();
            assert_eq!((set("CapEff"), set("CapPrm"), set("NoNewPrivs")), (1 << 5, 1 << 5, 0));
            let status = Command::new("cat").arg("/proc/self/status").output().unwrap().stdout;
            assert_eq!(field(&String::from_utf8(status).unwrap(), "CapEff"), before);
        });
    }

    #[test]
    fn a_reserve_is_used_for_a_moment() {
        as_root(|| {
            let kept = Kept { reserve: &[Capability::Administer], ..Kept::NOTHING };
            keep(&kept).unwrap();
            assert_eq!((set("CapEff"), set("CapPrm")), (0, 1 << 21));
            let during = with(&[Capability::Administer, Capability::Kill], || set("CapEff")).unwrap();
            assert_eq!((during, set("CapEff")), (1 << 21, 0), "and nothing that is not in reserve");
            keep_in_reserve(&[]).unwrap();
            assert_eq!(set("CapPrm"), 0);
        });
    }

    #[test]
    fn what_shuts_root_out_is_found() {
        as_root(|| {
            let name = format!("privileges-{}", std::process::id());
            let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tmp").join(name);
            let below = home.join("below");
            fs::create_dir_all(&below).unwrap();
            assert_eq!(needed_to_reach(&[&below], &[&below]).unwrap(), []);
            std::os::unix::fs::chown(&home, Some(65534), Some(65534)).unwrap();
            fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
            assert_eq!(needed_to_reach(&[&below], &[&below]).unwrap(), []);
            assert_eq!(needed_to_reach(&[&home], &[&home]).unwrap(), [Capability::Override]);
            fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
            assert_eq!(needed_to_reach(&[&below], &[]).unwrap(), [Capability::ReadSearch]);
            assert_eq!(needed_to_reach(&[&home.join("nothing")], &[]).unwrap(), [Capability::ReadSearch]);
            fs::remove_dir_all(&home).unwrap();
        });
    }
}
