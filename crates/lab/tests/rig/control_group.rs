//! A control group of a test's own: a limit on memory or processes that the kernel itself keeps.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "as the module above")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use lab_model::Span;

use super::wait_until;

/// How long after its last process a group may be busy: the kernel takes a process out after its parent has been told.
const BUSY_AT_MOST: Span = Span::from_secs(20);

/// A group that is removed with its value.
#[derive(Debug)]
pub struct ControlGroup {
    folder: PathBuf,
    /// The file that counts how often the limit was met.
    met: &'static str,
}

impl ControlGroup {
    /// A group whose processes have so many bytes of memory together. Why there is none, where the machine lets no one
    /// be made.
    pub fn of_memory(name: &str, bytes: u64) -> Result<ControlGroup, String> {
        match hierarchy("memory")? {
            Hierarchy::One(root) => {
                let group = ControlGroup::make(&root, name, "memory.failcnt")?;
                group.set("memory.limit_in_bytes", bytes)
            }
            Hierarchy::Unified(root) => {
                let group = ControlGroup::make(&root, name, "memory.events")?;
                group.set("memory.max", bytes)
            }
        }
    }

    /// A group that has so many processes and threads at most.
    pub fn of_processes(name: &str, processes: u64) -> Result<ControlGroup, String> {
        let (Hierarchy::One(root) | Hierarchy::Unified(root)) = hierarchy("pids")?;
        ControlGroup::make(&root, name, "pids.events")?.set("pids.max", processes)
    }

    fn make(root: &Path, name: &str, met: &'static str) -> Result<ControlGroup, String> {
        let folder = root.join(format!("lab-test-{name}-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|error| format!("no control group {}: {error}", folder.display()))?;
        Ok(ControlGroup { folder, met })
    }

    fn set(self, file: &str, value: u64) -> Result<ControlGroup, String> {
        let path = self.folder.join(file);
        fs::write(&path, value.to_string())
            .map_err(|error| format!("cannot set {}: {error}", path.display()))?;
        Ok(self)
    }

    /// The same command, in this group from its first moment.
    pub fn command(&self, command: &Command) -> Command {
        let mut within = Command::new("/bin/sh");
        within.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(self.folder.join("cgroup.procs"));
        within.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => within.env(name, value),
                None => within.env_remove(name),
            };
        }
        within
    }

    /// How often the limit was met.
    pub fn met(&self) -> u64 {
        let text = fs::read_to_string(self.folder.join(self.met)).unwrap();
        // A bare number, or a line `max N` among others.
        let number = text.lines().find_map(|line| line.strip_prefix("max ")).unwrap_or(&text);
        number.trim().parse().unwrap()
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let gone = wait_until(BUSY_AT_MOST, || fs::remove_dir(&self.folder).is_ok());
        // A test that has failed has a message of its own.
        assert!(gone || std::thread::panicking(), "{} still has processes", self.folder.display());
    }
}

/// Where groups of a controller are made.
enum Hierarchy {
    /// Its own, of the first version.
    One(PathBuf),
    /// The second version's, which all controllers share.
    Unified(PathBuf),
}

fn hierarchy(controller: &str) -> Result<Hierarchy, String> {
    let root = Path::new("/sys/fs/cgroup");
    let own = root.join(controller);
    if own.join("cgroup.procs").exists() {
        return Ok(Hierarchy::One(own));
    }
    let gives = |folder: &&PathBuf| {
        let given = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
        given.split_whitespace().any(|given| given == controller)
    };
    let unified = [root.to_owned(), root.join("unified")];
    match unified.iter().find(gives) {
        Some(folder) => Ok(Hierarchy::Unified(folder.clone())),
        None => Err(format!("no control group of this machine has the controller `{controller}`")),
    }
}
