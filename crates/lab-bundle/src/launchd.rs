//! The property list of a launchd daemon.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use lab_model::ClientId;

use crate::{Bundle, BundleError, DaemonIdentity, Step, Template, ToolCall, property_list};

pub(crate) const LAUNCHCTL: &str = "/bin/launchctl";
/// "No such process" and "could not find service": the job is gone already.
const ALREADY_GONE: &[i32] = &[3, 113];
/// The largest launchd job that is read when looking for the lab's.
const JOB_BYTES_MAX: u64 = 1 << 20;

/// Where a lab's daemons live on a Mac.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The installed bundles; nothing else is in it, and it goes with them.
    pub bundles: PathBuf,
    /// The launchd jobs of the machine.
    pub daemons: PathBuf,
    /// What the daemons print.
    pub logs: PathBuf,
    /// The sockets on which the lab waits for its daemons. Short: the system allows a socket's path 104 bytes.
    pub sockets: PathBuf,
    /// Where the system writes a report of every process that crashed or was killed by the kernel.
    pub crash_reports: PathBuf,
}

impl Places {
    /// The places on a real Mac.
    #[must_use]
    pub fn of_the_system() -> Places {
        Places {
            bundles: PathBuf::from("/Library/Application Support/chaos-lab/bundles"),
            daemons: PathBuf::from("/Library/LaunchDaemons"),
            logs: PathBuf::from("/Library/Logs/chaos-lab"),
            // The real path: `/var` is a link.
            sockets: PathBuf::from("/private/var/run/chaos-lab"),
            crash_reports: PathBuf::from("/Library/Logs/DiagnosticReports"),
        }
    }

    /// The same places below one folder: for a [`StandIn`](crate::StandIn).
    #[must_use]
    pub fn below(folder: &Path) -> Places {
        Places {
            bundles: folder.join("bundles"),
            daemons: folder.join("daemons"),
            logs: folder.join("logs"),
            sockets: folder.join("sockets"),
            crash_reports: folder.join("crash-reports"),
        }
    }

    /// The log of one client.
    #[must_use]
    pub fn log(&self, client: &ClientId) -> PathBuf {
        self.logs.join(format!("{client}.log"))
    }

    /// The socket on which the lab waits for one client.
    #[must_use]
    pub fn socket(&self, client: &ClientId) -> PathBuf {
        self.sockets.join(format!("{client}.sock"))
    }

    /// The bundle as it is once installed.
    #[must_use]
    pub fn installed(&self, bundle: &Bundle) -> Bundle {
        let root = self.bundles.join(format!("{}.app", bundle.client));
        let executable = root.join("Contents").join("MacOS").join(bundle.client.as_str());
        Bundle { root, executable, ..bundle.clone() }
    }

    fn job(&self, label: &str) -> PathBuf {
        self.daemons.join(format!("{label}.plist"))
    }
}

/// One launchd job of the lab that was found on the machine, by its property list; who installed it does not matter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstalledJob {
    /// Its label: the bundle ID.
    pub label: String,
    /// Its property list.
    pub plist: PathBuf,
    /// What it starts.
    pub executable: PathBuf,
}

impl InstalledJob {
    /// Reads a launchd job; `None` when it is none, or starts nothing by a list of arguments.
    #[must_use]
    pub fn parse(bytes: &[u8], plist: &Path) -> Option<InstalledJob> {
        let job = property_list(bytes).ok()?;
        let label = job.get("Label")?.as_string()?.to_owned();
        let executable = PathBuf::from(job.get("ProgramArguments")?.as_array()?.first()?.as_string()?);
        Some(InstalledJob { label, plist: plist.to_path_buf(), executable })
    }
}

/// Plans the installation of signed bundles as launchd daemons, loaded and not started. What an earlier run
/// left under the same labels is removed first. `arguments` gives each client's own.
///
/// # Errors
/// When the template of the jobs cannot be filled.
pub fn plan_install(
    bundles: &[Bundle],
    places: &Places,
    arguments: impl Fn(&Bundle) -> Vec<String>,
) -> Result<Vec<Step>, BundleError> {
    let template = Template::embedded()?;
    let folders = [&places.bundles, &places.daemons, &places.logs, &places.sockets];
    let mut steps: Vec<_> = folders.into_iter().cloned().map(Step::MakeFolder).collect();
    for bundle in bundles {
        let installed = places.installed(bundle);
        let label = bundle.bundle_id.as_str();
        let job = places.job(label);
        let log = places.log(&bundle.client);
        let arguments = arguments(bundle);
        let bytes = template.daemon(&DaemonIdentity {
            bundle_id: &bundle.bundle_id,
            executable: &installed.executable,
            arguments: &arguments,
            log: &log,
        })?;
        steps.push(Step::Run(bootout(label)));
        steps.push(Step::Copy { from: bundle.root.clone(), to: installed.root });
        steps.push(Step::Write { path: job.clone(), bytes });
        steps.push(Step::Run(ToolCall::new(LAUNCHCTL, ["bootstrap", "system", &job.to_string_lossy()])));
    }
    Ok(steps)
}

/// Plans the removal of jobs, whatever state they are in. Doing it twice is as good as doing it once.
#[must_use]
pub fn plan_uninstall(jobs: &[InstalledJob], places: &Places) -> Vec<Step> {
    let mut steps: Vec<_> = jobs.iter().map(|job| Step::Run(bootout(&job.label))).collect();
    steps.extend(jobs.iter().map(|job| Step::Remove(job.plist.clone())));
    steps.push(Step::Remove(places.bundles.clone()));
    steps.push(Step::Remove(places.sockets.clone()));
    steps
}

/// Starts a loaded job; the lab does this, never launchd by itself.
#[must_use]
pub fn start_job(label: &str) -> ToolCall {
    ToolCall::new(LAUNCHCTL, ["kickstart".to_owned(), target(label)])
}

/// Kills a job that runs and starts it again.
#[must_use]
pub fn restart_job(label: &str) -> ToolCall {
    ToolCall::new(LAUNCHCTL, ["kickstart".to_owned(), "-k".to_owned(), target(label)])
}

/// Prints what launchd knows of a job, for [`JobState::parse`](crate::JobState::parse).
#[must_use]
pub fn print_job(label: &str) -> ToolCall {
    ToolCall::new(LAUNCHCTL, ["print".to_owned(), target(label)])
}

fn bootout(label: &str) -> ToolCall {
    ToolCall::new(LAUNCHCTL, ["bootout".to_owned(), target(label)]).also_fine(ALREADY_GONE)
}

fn target(label: &str) -> String {
    format!("system/{label}")
}

/// Finds the lab's jobs on this machine, in the order of their labels: those that start something in the
/// folder of the lab's bundles. Needs no record of what was installed, so it works after any crash.
///
/// # Errors
/// When the folder of the jobs cannot be listed, or one of the jobs cannot be read.
pub fn installed_jobs(places: &Places) -> Result<Vec<InstalledJob>, BundleError> {
    let entries = match fs::read_dir(&places.daemons) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(BundleError::io("list", &places.daemons))?,
    };
    let mut jobs = Vec::new();
    for entry in entries {
        let plist = entry.map_err(BundleError::io("list", &places.daemons))?.path();
        if plist.extension().is_some_and(|extension| extension == "plist") {
            jobs.extend(lab_job(&plist, places)?);
        }
    }
    jobs.sort();
    Ok(jobs)
}

/// The job in this file when it is the lab's; files that are no job are somebody else's business.
fn lab_job(plist: &Path, places: &Places) -> Result<Option<InstalledJob>, BundleError> {
    let metadata = match fs::metadata(plist) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(BundleError::io("read", plist))?,
    };
    if !metadata.is_file() || metadata.len() > JOB_BYTES_MAX {
        return Ok(None);
    }
    let bytes = lab_files::read(plist, JOB_BYTES_MAX)
        .map_err(|error| BundleError::io("read", plist)(error.into()))?;
    Ok(InstalledJob::parse(&bytes, plist).filter(|job| job.executable.starts_with(&places.bundles)))
}
