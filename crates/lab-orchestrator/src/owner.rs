//! Who has the machine's daemons: one lab at a time, because launchd's labels are the machine's.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use lab_bundle::Daemons;
use lab_files::{Folder, Trusted};

use crate::{Failure, FailureKind, ProcessName};

/// The hold of one launcher on the machine's daemons; let go of when dropped. A launcher that was killed holds
/// nothing: its process is gone.
#[derive(Debug)]
pub(crate) struct Owner {
    folder: Folder,
    name: OsString,
}

impl Owner {
    /// Takes hold.
    ///
    /// # Errors
    /// When another launcher, which lives, has it.
    pub(crate) fn take(daemons: &Daemons, trusted: &Trusted) -> Result<Owner, Failure> {
        if let Some(other) = holder(daemons, trusted)?.filter(ProcessName::lives) {
            let message = format!("another lab has this machine's daemons, started by process {}", other.pid);
            return Err(
                Failure::new(FailureKind::NoSlot, message).mend("wait for its end, or run `lab down`")
            );
        }
        let note = note(daemons);
        let cannot = |error: io::Error| {
            let message = format!("cannot write {}: {error}", note.display());
            Failure::new(FailureKind::Privilege, message).mend("start the lab with sudo")
        };
        let text = serde_json::to_vec(&ProcessName::of(std::process::id()))
            .map_err(|error| cannot(io::Error::other(error)))?;
        let folder = note.parent().unwrap_or(Path::new("/"));
        let folder = Folder::trusted_or_created(folder, trusted, 0o755).map_err(|distrust| {
            if distrust.is_refusal() { Failure::from(&distrust) } else { cannot(distrust.into()) }
        })?;
        let name = note.file_name().unwrap_or_default().to_owned();
        folder.replace(&name, 0o600, &text).map_err(cannot)?;
        Ok(Owner { folder, name })
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        forget(&self.folder, &self.name);
    }
}

/// The largest note that is read, in bytes.
const NOTE_BYTES_MAX: u64 = 1 << 12;

/// The launcher that has, or had, the machine's daemons.
///
/// # Errors
/// When others may have written who that is.
pub(crate) fn holder(daemons: &Daemons, trusted: &Trusted) -> Result<Option<ProcessName>, Failure> {
    let (folder, name) = match Folder::trusted_parent(&note(daemons), trusted) {
        Ok(found) => found,
        Err(distrust) if distrust.is_refusal() => return Err(Failure::from(&distrust)),
        Err(_) => return Ok(None),
    };
    let text = match folder.read(name, NOTE_BYTES_MAX) {
        Err(error) if error.is_own_lack() => return Err(Failure::unread(&note(daemons), &error)),
        read => read.ok(),
    };
    Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
}

/// Forgets the launcher that had the machine's daemons and is gone.
pub(crate) fn forget_holder(daemons: &Daemons, trusted: &Trusted) {
    if let Ok((folder, name)) = Folder::trusted_parent(&note(daemons), trusted) {
        forget(&folder, &name);
    }
}

fn forget(folder: &Folder, name: &OsString) {
    if let Err(error) = folder.remove_file(name)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!("{} stays behind: {error}", folder.path().join(name).display());
    }
}

/// Beside the folder of the bundles, which goes with them.
fn note(daemons: &Daemons) -> PathBuf {
    daemons.places().bundles.with_file_name("owner.json")
}

// When a process was started is read from `/proc` here; tests run on no other system.
#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn one_launcher_at_a_time_and_a_dead_one_holds_nothing() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tmp/owner");
        drop(fs::remove_dir_all(&folder));
        let daemons = Daemons::of_the_machine(Some(&folder));
        let trusted = Trusted::of_this_process(None);
        let first = Owner::take(&daemons, &trusted).unwrap();
        let refusal = Owner::take(&daemons, &trusted).unwrap_err();
        assert_eq!(refusal.kind, FailureKind::NoSlot);
        assert!(refusal.message.contains(&std::process::id().to_string()));
        drop(first);
        let dead = ProcessName { pid: std::process::id(), started: 1 };
        fs::write(note(&daemons), serde_json::to_vec(&dead).unwrap()).unwrap();
        let second = Owner::take(&daemons, &trusted).unwrap();
        assert!(holder(&daemons, &trusted).unwrap().unwrap().lives());
        drop(second);
        assert_eq!(holder(&daemons, &trusted).unwrap(), None);
    }
}
