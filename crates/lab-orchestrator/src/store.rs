//! The run store: `runs/<lab>/<time>/`, with a link `latest` to the newest.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::{Failure, FailureKind};

/// The folder of one run and where everything in it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    root: PathBuf,
}

/// The arena's folder. On Linux it marks a mount point, empty on the outside; on macOS the files lie in it, and the
/// ending keeps Spotlight from opening them.
const ARENA: &str = if cfg!(target_os = "macos") { "arena.noindex" } else { "arena" };

impl RunFolder {
    /// Creates the folder of a new run of `lab` below `runs` and points `latest` at it.
    ///
    /// # Errors
    /// [`FailureKind::Output`] when it cannot be written.
    pub fn create(runs: &Path, lab: &str) -> Result<RunFolder, Failure> {
        let of_lab = runs.join(lab);
        let failed =
            |error: &io::Error| Failure::output(&format!("cannot write to {}", of_lab.display()), error);
        fs::create_dir_all(&of_lab).map_err(|error| failed(&error))?;
        let of_lab = of_lab.canonicalize().map_err(|error| failed(&error))?;
        let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H-%M-%SZ").to_string();
        for attempt in 1..1000 {
            let name = if attempt == 1 { time.clone() } else { format!("{time}.{attempt}") };
            let root = of_lab.join(&name);
            match fs::create_dir(&root) {
                Ok(()) => {
                    let folder = RunFolder { root };
                    return folder.furnish().map_err(|error| {
                        // The reason that counts is the one at hand.
                        drop(folder.discard());
                        failed(&error)
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        Err(Failure::new(
            FailureKind::Output,
            format!("{} has a thousand runs of this second", of_lab.display()),
        ))
    }

    /// Creates what every run's folder has.
    fn furnish(&self) -> io::Result<RunFolder> {
        for part in [self.traces(), self.logs(), self.clients(), self.arena()] {
            fs::create_dir(part)?;
        }
        point_latest(self.of_lab(), &self.name())?;
        Ok(self.clone())
    }

    /// The folder of all runs of this lab.
    fn of_lab(&self) -> &Path {
        self.root.parent().unwrap_or(&self.root)
    }

    /// True when any process of the lab has recorded an operation.
    #[must_use]
    pub fn has_operations(&self) -> bool {
        let driver = lab_trace::Board::attach(&self.trace("driver"));
        driver.is_ok_and(|board| board.get(lab_trace::Counter::OperationsBegun) > 0)
    }

    /// Removes the whole run, and points `latest` at the newest one that is left.
    ///
    /// # Errors
    /// Those of removing.
    pub fn discard(&self) -> io::Result<()> {
        fs::remove_dir_all(&self.root)?;
        let link = self.of_lab().join("latest");
        if link.exists() || !link.is_symlink() {
            return Ok(());
        }
        let runs = self.of_lab().parent().map(RunFolder::all).unwrap_or_default();
        match runs.iter().rfind(|run| run.of_lab() == self.of_lab()) {
            Some(newest) => point_latest(self.of_lab(), &newest.name()),
            None => {
                fs::remove_file(link)?;
                fs::remove_dir(self.of_lab())
            }
        }
    }

    /// The folder of a run that exists: a path to it, `LAB/TIME`, or `LAB` for the latest run of that lab.
    /// Without a name, the latest run of all.
    #[must_use]
    pub fn find(runs: &Path, name: Option<&str>) -> Option<RunFolder> {
        let folder = |root: PathBuf| {
            let root = root.canonicalize().ok()?;
            root.join("traces").is_dir().then_some(RunFolder { root })
        };
        match name {
            Some(name) => folder(PathBuf::from(name))
                .or_else(|| folder(runs.join(name)))
                .or_else(|| folder(runs.join(name).join("latest"))),
            None => {
                let mut all = RunFolder::all(runs);
                all.sort_by_key(|run| run.name());
                all.pop()
            }
        }
    }

    /// Every run of the store.
    #[must_use]
    pub fn all(runs: &Path) -> Vec<RunFolder> {
        let below = |path: &Path| -> Vec<PathBuf> {
            let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
            entries
                .filter_map(Result::ok)
                .map(|entry| entry.path())
                .filter(|path| !path.is_symlink())
                .collect()
        };
        let mut found: Vec<RunFolder> = below(runs)
            .iter()
            .flat_map(|lab| below(lab))
            .filter(|run| run.join("traces").is_dir())
            .map(|root| RunFolder { root })
            .collect();
        found.sort_by(|a, b| a.root.cmp(&b.root));
        found
    }

    /// A run's folder at a path that is known to be one.
    #[must_use]
    pub fn at(root: PathBuf) -> RunFolder {
        RunFolder { root }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The run's name: its time.
    #[must_use]
    pub fn name(&self) -> String {
        self.root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The resolved lab.
    #[must_use]
    pub fn lab(&self) -> PathBuf {
        self.root.join("lab.yaml")
    }

    /// What the conductor is told.
    #[must_use]
    pub fn plan(&self) -> PathBuf {
        self.root.join("plan.json")
    }

    /// What the doctor saw on the machine when the run began.
    #[must_use]
    pub fn doctor(&self) -> PathBuf {
        self.root.join("doctor.json")
    }

    /// The process IDs of a run that goes on; there only while it does.
    #[must_use]
    pub fn active(&self) -> PathBuf {
        self.root.join("active.json")
    }

    /// The traces.
    #[must_use]
    pub fn traces(&self) -> PathBuf {
        self.root.join("traces")
    }

    /// The trace of one process.
    #[must_use]
    pub fn trace(&self, process: &str) -> PathBuf {
        self.traces().join(format!("{process}.trace"))
    }

    /// What the processes said on standard error.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The clients' reports.
    #[must_use]
    pub fn clients(&self) -> PathBuf {
        self.root.join("clients")
    }

    /// The bundles, while they are installed.
    #[must_use]
    pub fn bundles(&self) -> PathBuf {
        self.root.join("bundles")
    }

    /// The arena's mount point.
    #[must_use]
    pub fn arena(&self) -> PathBuf {
        self.root.join(ARENA)
    }

    /// Removes what only a running lab needs: bundles, the mount point and the marker. Idempotent. Returns
    /// what was there.
    pub fn uninstall(&self) -> Vec<PathBuf> {
        let removed = |path: PathBuf, result: io::Result<()>| result.is_ok().then_some(path);
        [
            removed(self.bundles(), fs::remove_dir_all(self.bundles())),
            removed(self.arena(), remove_arena(&self.arena())),
            removed(self.active(), fs::remove_file(self.active())),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// On Linux nothing but the mount point is removed: if a lab were still mounted there, its files are not ours to
/// touch from outside.
fn remove_arena(arena: &Path) -> io::Result<()> {
    if cfg!(target_os = "linux") { fs::remove_dir(arena) } else { fs::remove_dir_all(arena) }
}

fn point_latest(of_lab: &Path, name: &str) -> io::Result<()> {
    let (link, fresh) = (of_lab.join("latest"), of_lab.join(format!(".latest-{name}")));
    symlink(name, &fresh)?;
    fs::rename(fresh, link)
}
