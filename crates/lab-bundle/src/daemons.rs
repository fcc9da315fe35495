//! Clients as launchd daemons: installed, started, asked about, removed.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{
    Bundle, BundleError, CrashReport, Death, InstalledJob, JobState, Places, StandIn, StepError, SystemTools,
    Tools,
    carry_out::{carry_out, take},
    installed_jobs, plan_install, plan_uninstall, print_job, start_job,
};

/// The option of a client that names the socket of its control connection.
pub const CONTROL_OPTION: &str = "--control";
/// The largest crash report that is read.
const CRASH_REPORT_BYTES_MAX: u64 = 16 << 20;

/// A lab's clients as launchd daemons: installed, started one by one, asked about, and taken away.
///
/// It keeps no record of what it did: what is installed is found on the machine. So whoever comes after a crash,
/// with a value of its own, takes away as much as the one that installed.
pub struct Daemons {
    places: Places,
    tools: Box<dyn Tools>,
}

impl Daemons {
    /// Daemons in these places, by these tools.
    #[must_use]
    pub fn new(places: Places, tools: Box<dyn Tools>) -> Daemons {
        Daemons { places, tools }
    }

    /// This Mac's daemons; or, with a folder that holds a program `launchctl`, those of that stand-in.
    #[must_use]
    pub fn of_the_machine(stand_in: Option<&Path>) -> Daemons {
        match stand_in {
            None => Daemons::new(Places::of_the_system(), Box::new(SystemTools)),
            Some(folder) => {
                let tools = StandIn { launchctl: folder.join("launchctl") };
                Daemons::new(Places::below(folder), Box::new(tools))
            }
        }
    }

    /// Where everything lies.
    #[must_use]
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Installs bundles as daemons, loaded and not started: in place of whatever an earlier lab left. Each is told
    /// the socket of its control connection.
    ///
    /// # Errors
    /// At the first step that fails. What was done until then has been taken away again, as far as that went.
    pub fn install(&self, bundles: &[Bundle]) -> Result<(), StepError> {
        self.uninstall()?;
        let arguments = |bundle: &Bundle| {
            let socket = self.places.socket(&bundle.client);
            vec![CONTROL_OPTION.to_owned(), socket.to_string_lossy().into_owned()]
        };
        let plan = plan_install(bundles, &self.places, arguments).map_err(StepError::File)?;
        carry_out(&plan, self.tools.as_ref()).inspect_err(|_| {
            // The reason that counts is the one at hand.
            drop(self.uninstall());
        })
    }

    /// Starts a loaded daemon.
    ///
    /// # Errors
    /// When launchd refuses.
    pub fn start(&self, label: &str) -> Result<(), StepError> {
        self.tools.run(&start_job(label)).map(drop)
    }

    /// What launchd knows of a daemon.
    ///
    /// # Errors
    /// When launchd knows none of that label.
    pub fn state(&self, label: &str) -> Result<JobState, StepError> {
        self.tools.run(&print_job(label)).map(|text| JobState::parse(&text))
    }

    /// Takes all daemons of the lab away, running or not, with all that belongs to them, and returns which there
    /// were. Doing it twice is as good as doing it once; one that resists does not save the others.
    ///
    /// # Errors
    /// The first failure, after everything else has been tried.
    pub fn uninstall(&self) -> Result<Vec<InstalledJob>, StepError> {
        let jobs = installed_jobs(&self.places).map_err(StepError::File)?;
        let steps = plan_uninstall(&jobs, &self.places);
        let mut resisted = None;
        for step in &steps {
            if let Err(error) = take(step, self.tools.as_ref()) {
                resisted.get_or_insert(error);
            }
        }
        resisted.map_or(Ok(jobs), Err)
    }

    /// Why a process ended, by a crash report that was written since `since`; `None` while there is none.
    #[must_use]
    pub fn death(&self, pid: u32, since: SystemTime) -> Option<Death> {
        let entries = fs::read_dir(&self.places.crash_reports).ok()?;
        let is_recent = |path: &PathBuf| {
            fs::metadata(path).is_ok_and(|found| {
                found.is_file()
                    && found.len() <= CRASH_REPORT_BYTES_MAX
                    && found.modified().is_ok_and(|modified| modified >= since)
            })
        };
        entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "ips"))
            .filter(is_recent)
            .filter_map(|path| {
                let text = lab_files::read(&path, CRASH_REPORT_BYTES_MAX).ok()?;
                CrashReport::parse(&String::from_utf8(text).ok()?)
            })
            .find(|report| report.pid == pid)
            .map(|report| report.death)
    }

    /// Copies a daemon's log to where a run keeps its own.
    ///
    /// # Errors
    /// When it cannot be copied; that there is none is no error.
    pub fn keep_log(&self, bundle: &lab_model::ClientId, to: &Path) -> Result<(), BundleError> {
        let log = self.places.log(bundle);
        match fs::copy(&log, to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(BundleError::io("copy", &log)(error))
            }
            _ => Ok(()),
        }
    }
}
