//! The run store: `runs/<lab>/<time>/`, with a link `latest` to the newest.
//!
//! Root writes it, reads it, deletes in it and starts programs from it, so all of it is reached by descriptors of folders
//! that only trusted users may write, and what is made in it is its owner's alone.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use lab_files::{Distrust, Facts, Folder, Kind, Trusted};
use lab_process::platform::{IS_MAC, KERNEL};

use crate::{Failure, FailureKind, interrupts};

/// The mode of every folder of the store.
const FOLDER_MODE: u32 = 0o700;
/// The mode of every file in it.
const FILE_MODE: u32 = 0o600;
/// The name of the link to the newest run of a lab.
const LATEST: &str = "latest";

/// Where the runs lie, and whose they may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runs {
    path: PathBuf,
    trusted: Trusted,
}

impl Runs {
    /// The store at a path, which need not be there yet.
    #[must_use]
    pub fn at(path: PathBuf, trusted: Trusted) -> Runs {
        Runs { path, trusted }
    }

    /// The store's path, for sentences.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who may own what lies in it.
    #[must_use]
    pub fn trusted(&self) -> &Trusted {
        &self.trusted
    }

    /// The store's folder; `None` when there is none yet.
    ///
    /// # Errors
    /// [`FailureKind::Privilege`] when others may write it or a folder on the way, [`FailureKind::Output`] when it cannot
    /// be opened.
    pub fn open(&self) -> Result<Option<Folder>, Failure> {
        match Folder::shared(&self.path, &self.trusted) {
            Ok(folder) => Ok(Some(folder)),
            Err(distrust) if is_missing(&distrust) => Ok(None),
            Err(distrust) => Err(distrusted(&distrust)),
        }
    }

    /// The store's folder, created when it is missing.
    ///
    /// # Errors
    /// As [`Runs::open`].
    pub fn create(&self) -> Result<Folder, Failure> {
        Folder::shared_or_created(&self.path, &self.trusted, FOLDER_MODE)
            .map_err(|distrust| distrusted(&distrust))
    }
}

fn is_missing(distrust: &Distrust) -> bool {
    distrust.io().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// True when this process lacks what it takes to look: it says nothing about what is there.
fn is_own_lack(distrust: &Distrust) -> bool {
    distrust.io().is_some_and(lab_files::is_own_lack)
}

/// A folder of the store that is not used.
fn distrusted(distrust: &Distrust) -> Failure {
    if distrust.is_refusal() {
        let mend = format!("{}; or name another store with --runs", distrust.mend());
        return Failure::new(FailureKind::Privilege, distrust.to_string()).mend(mend);
    }
    match distrust {
        Distrust::Io { path, error } if is_own_lack(distrust) => {
            Failure::output(&format!("cannot open {}", path.display()), error)
        }
        Distrust::Io { path, error } => {
            Failure::output(&format!("cannot write to {}", path.display()), error)
        }
        _ => Failure::new(FailureKind::Output, distrust.to_string())
            .mend("name a folder that can be written with --runs"),
    }
}

/// The folder of one run and where everything in it lies.
#[derive(Clone, Debug)]
pub struct RunFolder {
    root: PathBuf,
    folder: Arc<Folder>,
    trusted: Trusted,
}

/// A run of the store that nobody has opened yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRun {
    root: PathBuf,
    trusted: Trusted,
}

impl StoredRun {
    /// Its folder's path.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its name: its time.
    #[must_use]
    pub fn name(&self) -> String {
        name_of(&self.root)
    }

    /// The name of its lab.
    #[must_use]
    pub fn lab(&self) -> String {
        self.root.parent().map(name_of).unwrap_or_default()
    }

    /// Opens it; `None` when it is not there any more. Below the store no link is followed: one that has taken the place
    /// of a folder since it was listed is refused.
    ///
    /// # Errors
    /// As [`Runs::open`].
    pub fn open(&self) -> Result<Option<RunFolder>, Failure> {
        match self.folder() {
            Ok(folder) => Ok(Some(RunFolder::of(folder, &self.trusted))),
            Err(distrust) if is_missing(&distrust) => Ok(None),
            Err(distrust) => Err(distrusted(&distrust)),
        }
    }

    fn folder(&self) -> Result<Folder, Distrust> {
        let of_lab = self.root.parent().unwrap_or(&self.root);
        let store = Folder::shared(of_lab.parent().unwrap_or(of_lab), &self.trusted)?;
        let name = |path: &Path| path.file_name().unwrap_or_default().to_owned();
        store.trusted_folder(name(of_lab), &self.trusted)?.trusted_folder(name(&self.root), &self.trusted)
    }
}

/// The last part of a path.
fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The arena's folder: a mount point on Linux; on macOS a folder of files, whose ending keeps Spotlight from opening them.
const ARENA: &str = if IS_MAC { "arena.noindex" } else { "arena" };

impl RunFolder {
    /// The file of the resolved lab.
    pub const LAB: &str = "lab.yaml";
    /// The file of how the run was called for; there only where its lab alone does not say that.
    pub const CALL: &str = "call.json";
    /// The lab with the change that would mend it, as a lab file; there only where one was found.
    pub const MENDED: &str = "mended.yaml";
    /// The file of what else the machine did while the lab ran; there only where its kernel tells.
    pub const LOAD: &str = "load.json";
    /// The record of who waited for whom, a line for each change.
    pub const WAITS: &str = "waits.jsonl";
    /// The file of what the doctor saw on the machine when the run began.
    pub const DOCTOR: &str = "doctor.json";
    /// The file of the process IDs of a run that goes on; there only while it does.
    pub const ACTIVE: &str = "active.json";
    /// The folder of the traces.
    pub const TRACES: &str = "traces";
    /// The folder of what the processes said on standard error.
    pub const LOGS: &str = "logs";
    /// The folder of the clients' reports.
    pub const CLIENTS: &str = "clients";
    /// The folder of the bundles, while they are installed.
    pub const BUNDLES: &str = "bundles";

    /// Creates the folder of a new run of `lab` in the store and points `latest` at it.
    ///
    /// # Errors
    /// [`FailureKind::Privilege`] when others may write the store, [`FailureKind::Output`] when it cannot be written.
    pub fn create(runs: &Runs, lab: &str) -> Result<RunFolder, Failure> {
        let store = runs.create()?;
        let of_lab = store
            .folder_or_created(lab, &runs.trusted, FOLDER_MODE)
            .map_err(|distrust| distrusted(&distrust))?;
        let failed = |error: &io::Error| {
            Failure::output(&format!("cannot write to {}", of_lab.path().display()), error)
        };
        let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H-%M-%SZ").to_string();
        for attempt in 1..1000 {
            let name = if attempt == 1 { time.clone() } else { format!("{time}.{attempt}") };
            match of_lab.create_folder(&name, FOLDER_MODE) {
                Ok(folder) => {
                    if let Err(error) = folder.hold() {
                        tracing::debug!("`lab down` knows this run by its marker only: {error}");
                    }
                    let folder = RunFolder::of(folder, &runs.trusted);
                    return match folder.furnish(&of_lab) {
                        Ok(()) => Ok(folder),
                        Err(error) => {
                            // The reason that counts is the one at hand.
                            drop(folder.discard());
                            Err(failed(&error))
                        }
                    };
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        Err(Failure::new(
            FailureKind::Output,
            format!("{} has a thousand runs of this second", of_lab.path().display()),
        ))
    }

    /// Creates what every run's folder has.
    fn furnish(&self, of_lab: &Folder) -> io::Result<()> {
        for part in [RunFolder::TRACES, RunFolder::LOGS, RunFolder::CLIENTS, ARENA] {
            self.folder.create_folder(part, FOLDER_MODE)?;
        }
        of_lab.replace_link(LATEST, self.name())
    }

    fn of(folder: Folder, trusted: &Trusted) -> RunFolder {
        RunFolder { root: folder.path().to_owned(), folder: Arc::new(folder), trusted: trusted.clone() }
    }

    /// The run at a path, which must be there.
    ///
    /// # Errors
    /// As [`Runs::open`].
    pub fn at(root: &Path, trusted: &Trusted) -> Result<RunFolder, Failure> {
        let folder = Folder::trusted(root, trusted).map_err(|distrust| distrusted(&distrust))?;
        Ok(RunFolder::of(folder, trusted))
    }

    /// The open folder of the run. What is written, deleted or executed in it is reached from here.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Who may own what lies in it.
    #[must_use]
    pub fn trusted(&self) -> &Trusted {
        &self.trusted
    }

    /// True while the process that made the run has not ended; false also where the file system cannot say.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.folder.is_held().unwrap_or(false)
    }

    /// Writes a file of the run, whole or not at all.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let _hold = interrupts::hold();
        self.folder.replace(name, FILE_MODE, bytes)
    }

    /// Writes a file in one of the run's folders, whole or not at all.
    ///
    /// # Errors
    /// Those of opening the folder, which may be no link, and of writing.
    pub fn write_in(&self, folder: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
        let _hold = interrupts::hold();
        let folder = self.folder.trusted_folder(folder, &self.trusted)?;
        folder.replace(name, FILE_MODE, bytes)
    }

    /// Gives the run to the person who called sudo, when the store is theirs: they read its report without being root.
    ///
    /// # Errors
    /// Those of changing the owner.
    pub fn hand_over(&self) -> io::Result<()> {
        let Some(caller) = self.trusted.caller() else { return Ok(()) };
        let of_lab = self.of_lab()?;
        let store = self.store()?.own_facts()?;
        if store.owner != caller {
            return Ok(());
        }
        self.folder.give(caller, store.group)?;
        of_lab.give_one(LATEST, caller, store.group)?;
        of_lab.give_itself(caller, store.group)
    }

    /// The folder of all runs of this lab.
    fn of_lab(&self) -> Result<Folder, Distrust> {
        Folder::trusted(self.root.parent().unwrap_or(&self.root), &self.trusted)
    }

    /// The folder of all runs.
    fn store(&self) -> Result<Folder, Distrust> {
        Folder::shared(self.root.ancestors().nth(2).unwrap_or(&self.root), &self.trusted)
    }

    /// True when any process of the lab has recorded an operation.
    #[must_use]
    pub fn has_operations(&self) -> bool {
        let begun = lab_trace::Board::read(&self.trace("driver"), lab_trace::Counter::OperationsBegun);
        begun.is_ok_and(|begun| begun > 0)
    }

    /// Removes the whole run, and points `latest` at the newest one that is left.
    ///
    /// # Errors
    /// Those of removing; also when another folder lies in the run's place now.
    pub fn discard(&self) -> io::Result<()> {
        let of_lab = self.of_lab()?;
        if of_lab.facts(self.name())?.identity != self.folder.own_facts()?.identity {
            return Err(io::Error::other("another folder lies in its place"));
        }
        of_lab.remove_tree(self.name())?;
        let latest = of_lab.facts(LATEST).is_ok_and(|facts| facts.kind == Kind::Link);
        if !latest || of_lab.read_link(LATEST)? != Path::new(&self.name()) {
            return Ok(());
        }
        match runs_in(&of_lab, &self.trusted)?.pop() {
            Some(newest) => of_lab.replace_link(LATEST, newest.name()),
            None => {
                of_lab.remove_file(LATEST)?;
                let lab = of_lab.path().file_name().unwrap_or_default();
                self.store()?.remove_folder(lab)
            }
        }
    }

    /// The folder of a run that exists: a path to it, `LAB/TIME`, or `LAB` for the latest run of that lab.
    /// Without a name, the latest run of all.
    ///
    /// # Errors
    /// [`FailureKind::Privilege`] when others may write what the name leads to.
    pub fn find(runs: &Runs, name: Option<&str>) -> Result<Option<RunFolder>, Failure> {
        let Some(name) = name else {
            let mut all = RunFolder::all(runs)?;
            all.sort_by_key(StoredRun::name);
            return all.pop().map_or(Ok(None), |newest| newest.open());
        };
        for path in [PathBuf::from(name), runs.path.join(name), runs.path.join(name).join(LATEST)] {
            match Folder::trusted(&path, &runs.trusted) {
                Ok(folder) if is_run(&folder) => return Ok(Some(RunFolder::of(folder, &runs.trusted))),
                Err(distrust) if distrust.is_refusal() || is_own_lack(&distrust) => {
                    return Err(distrusted(&distrust));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Every run of the store, by path. None of them stays open: a store may have more than this process descriptors.
    ///
    /// # Errors
    /// As [`Runs::open`], for the store and for each folder in it. A folder that cannot be opened is left out.
    pub fn all(runs: &Runs) -> Result<Vec<StoredRun>, Failure> {
        let Some(store) = runs.open()? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        each_folder(&store, &runs.trusted, |of_lab| {
            found.extend(runs_in(&of_lab, &runs.trusted)?);
            Ok(())
        })
        .map_err(|distrust| distrusted(&distrust))?;
        Ok(found)
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The run's name: its time.
    #[must_use]
    pub fn name(&self) -> String {
        name_of(&self.root)
    }

    /// The resolved lab.
    #[must_use]
    pub fn lab(&self) -> PathBuf {
        self.root.join(RunFolder::LAB)
    }

    /// The process IDs of a run that goes on; there only while it does.
    #[must_use]
    pub fn active(&self) -> PathBuf {
        self.root.join(RunFolder::ACTIVE)
    }

    /// The traces.
    #[must_use]
    pub fn traces(&self) -> PathBuf {
        self.root.join(RunFolder::TRACES)
    }

    /// The trace of one process.
    #[must_use]
    pub fn trace(&self, process: &str) -> PathBuf {
        self.traces().join(format!("{process}.trace"))
    }

    /// What the processes said on standard error.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.root.join(RunFolder::LOGS)
    }

    /// The clients' reports.
    #[must_use]
    pub fn clients(&self) -> PathBuf {
        self.root.join(RunFolder::CLIENTS)
    }

    /// The bundles, while they are installed.
    #[must_use]
    pub fn bundles(&self) -> PathBuf {
        self.root.join(RunFolder::BUNDLES)
    }

    /// The arena's mount point.
    #[must_use]
    pub fn arena(&self) -> PathBuf {
        self.root.join(ARENA)
    }

    /// Removes what only a running lab needs: bundles, the mount point and the marker. Idempotent. Returns
    /// what was there.
    pub fn uninstall(&self) -> Vec<PathBuf> {
        let removed = |name: &str, result: io::Result<()>| result.is_ok().then(|| self.root.join(name));
        [
            removed(RunFolder::BUNDLES, self.folder.remove_tree(RunFolder::BUNDLES)),
            removed(ARENA, self.remove_arena()),
            removed(RunFolder::ACTIVE, self.folder.remove_file(RunFolder::ACTIVE)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Where the arena is mounted, nothing but the mount point is removed: if a lab were still mounted there, its files
    /// are not ours to touch from outside.
    fn remove_arena(&self) -> io::Result<()> {
        if KERNEL.confines_by_namespaces() {
            self.folder.remove_folder(ARENA)
        } else {
            self.folder.remove_tree(ARENA)
        }
    }
}

fn is_run(folder: &Folder) -> bool {
    folder.facts(RunFolder::TRACES).is_ok_and(|Facts { kind, .. }| kind == Kind::Folder)
}

/// The runs in the folder of a lab, the newest last.
fn runs_in(of_lab: &Folder, trusted: &Trusted) -> Result<Vec<StoredRun>, Distrust> {
    let mut found = Vec::new();
    each_folder(of_lab, trusted, |folder| {
        if is_run(&folder) {
            found.push(StoredRun { root: folder.path().to_owned(), trusted: trusted.clone() });
        }
        Ok(())
    })?;
    Ok(found)
}

/// Looks at the folders in a folder, by name, one after the other. Those that cannot be opened are left out, and in a
/// sticky folder those of others.
fn each_folder(
    folder: &Folder,
    trusted: &Trusted,
    mut look: impl FnMut(Folder) -> Result<(), Distrust>,
) -> Result<(), Distrust> {
    let entries = folder.entries().unwrap_or_default();
    let shared = folder.is_shared().unwrap_or(false);
    for entry in entries.into_iter().filter(|entry| entry.kind == Kind::Folder) {
        match folder.trusted_folder(&entry.name, trusted) {
            Ok(folder) => look(folder)?,
            Err(distrust) if distrust.is_refusal() && shared => tracing::warn!("left out: {distrust}"),
            Err(distrust) if distrust.is_refusal() => return Err(distrust),
            Err(distrust) if is_own_lack(&distrust) => return Err(distrust),
            Err(distrust) => tracing::debug!("left out: {distrust}"),
        }
    }
    Ok(())
}
