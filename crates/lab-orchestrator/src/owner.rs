//! Who has the machine's daemons: one lab at a time, because launchd's labels are the machine's.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use lab_bundle::Daemons;

use crate::{Failure, FailureKind, ProcessName};

/// The hold of one launcher on the machine's daemons; let go of when dropped. A launcher that was killed holds
/// nothing: its process is gone.
#[derive(Debug)]
pub(crate) struct Owner {
    note: PathBuf,
}

impl Owner {
    /// Takes hold.
    ///
    /// # Errors
    /// When another launcher, which lives, has it.
    pub(crate) fn take(daemons: &Daemons) -> Result<Owner, Failure> {
        let note = note(daemons);
        if let Some(other) = holder(daemons).filter(ProcessName::lives) {
            let message = format!("another lab has this machine's daemons, started by process {}", other.pid);
            return Err(
                Failure::new(FailureKind::NoSlot, message).mend("wait for its end, or run `lab down`")
            );
        }
        let written = serde_json::to_vec(&ProcessName::of(std::process::id()))
            .map_err(std::io::Error::other)
            .and_then(|text| {
                note.parent().map_or(Ok(()), fs::create_dir_all)?;
                fs::write(&note, text)
            });
        written.map_err(|error| {
            let message = format!("cannot write {}: {error}", note.display());
            Failure::new(FailureKind::Privilege, message).mend("start the lab with sudo")
        })?;
        Ok(Owner { note })
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        forget(&self.note);
    }
}

/// The launcher that has, or had, the machine's daemons.
pub(crate) fn holder(daemons: &Daemons) -> Option<ProcessName> {
    let text = fs::read(note(daemons)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Forgets the launcher that had the machine's daemons and is gone.
pub(crate) fn forget_holder(daemons: &Daemons) {
    forget(&note(daemons));
}

fn forget(note: &Path) {
    if let Err(error) = fs::remove_file(note)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!("{} stays behind: {error}", note.display());
    }
}

/// Beside the folder of the bundles, which goes with them.
fn note(daemons: &Daemons) -> PathBuf {
    daemons.places().bundles.with_file_name("owner.json")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn one_launcher_at_a_time_and_a_dead_one_holds_nothing() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tmp/owner");
        drop(fs::remove_dir_all(&folder));
        let daemons = Daemons::of_the_machine(Some(&folder));
        let first = Owner::take(&daemons).unwrap();
        let refusal = Owner::take(&daemons).unwrap_err();
        assert_eq!(refusal.kind, FailureKind::NoSlot);
        assert!(refusal.message.contains(&std::process::id().to_string()));
        drop(first);
        let dead = ProcessName { pid: std::process::id(), started: 1 };
        fs::write(note(&daemons), serde_json::to_vec(&dead).unwrap()).unwrap();
        let second = Owner::take(&daemons).unwrap();
        assert!(holder(&daemons).unwrap().lives());
        drop(second);
        assert_eq!(holder(&daemons), None);
    }
}
