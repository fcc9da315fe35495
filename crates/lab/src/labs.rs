//! Finds lab files and the run store.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use lab_config::Limits;
use lab_model::Lab;

use crate::{Stop, arguments::Arguments, terminal};

/// The folder of lab files.
const CONFIGS: &str = "lab-configs";

/// The folder in it of labs that only show what this machine costs, and what their names begin with.
pub(crate) const CALIBRATION: &str = "calibration";

/// Where everything lies.
#[derive(Debug)]
pub(crate) struct Places {
    /// The folder of lab files.
    pub(crate) configs: PathBuf,
    /// The run store.
    pub(crate) runs: PathBuf,
    /// The workspace that client and driver are built from.
    pub(crate) workspace: PathBuf,
}

impl Places {
    pub(crate) fn find(arguments: &Arguments) -> Result<Places, Stop> {
        let here = env::current_dir()
            .map_err(|error| Stop::bug(format!("there is no working directory: {error}")))?;
        // The folder this program was built from serves when it still exists, whatever the working directory.
        let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("/"));
        let home = here.ancestors().chain([built_from]).find(|folder| folder.join(CONFIGS).is_dir());
        let home = home.unwrap_or(&here);
        let configs = arguments.configs.clone().unwrap_or_else(|| home.join(CONFIGS));
        let runs = arguments.runs.clone().unwrap_or_else(|| home.join("runs"));
        Ok(Places { configs, runs, workspace: built_from.to_owned() })
    }

    /// All lab files of the folder, by name.
    pub(crate) fn labs(&self) -> Vec<(String, PathBuf)> {
        let Ok(entries) = fs::read_dir(&self.configs) else { return Vec::new() };
        let mut labs: Vec<(String, PathBuf)> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
            .filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path.clone())))
            .collect();
        labs.sort();
        labs
    }

    /// The files of labs that only show what this machine costs.
    pub(crate) fn calibration_labs(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.configs.join(CALIBRATION)) else { return Vec::new() };
        let files = entries.filter_map(Result::ok).map(|entry| entry.path());
        let mut labs: Vec<PathBuf> =
            files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect();
        labs.sort();
        labs
    }

    /// The file that a name stands for.
    pub(crate) fn lab_file(&self, name: &str) -> Result<PathBuf, Stop> {
        let direct = PathBuf::from(name);
        if name.contains('/') || direct.extension().is_some_and(|extension| extension == "yaml") {
            return if direct.is_file() {
                Ok(direct)
            } else {
                Err(Stop::usage(
                    format!("there is no lab file {name}"),
                    "name a lab of `lab list`, or a path to a lab file",
                ))
            };
        }
        let file = self.configs.join(format!("{name}.yaml"));
        if file.is_file() {
            return Ok(file);
        }
        let names: Vec<String> = self.labs().into_iter().map(|(name, _)| name).collect();
        let mend = if names.is_empty() {
            format!("{} holds no lab files; name the folder with --configs", self.configs.display())
        } else if let Some(near) = lab_config::nearest(name, names.iter().map(String::as_str)) {
            format!("did you mean {near}? `lab list` shows all of them")
        } else {
            format!("there are: {}", names.join(", "))
        };
        Err(Stop::usage(format!("there is no lab \"{name}\" in {}", self.configs.display()), mend))
    }

    /// The text of a lab file.
    pub(crate) fn source(&self, name: &str) -> Result<Vec<u8>, Stop> {
        let file = self.lab_file(name)?;
        fs::read(&file).map_err(|error| {
            Stop::usage(format!("cannot read {}: {error}", file.display()), "check the file's mode")
        })
    }

    /// Reads a lab; its mistakes go to standard error.
    pub(crate) fn read(&self, name: &str) -> Result<Lab, Stop> {
        let file = self.lab_file(name)?;
        let source = self.source(name)?;
        let label = relative(&file).display().to_string();
        let folder = file.parent().unwrap_or(Path::new(""));
        let beside = |name: &str| fs::read_to_string(folder.join(name)).map_err(|error| error.to_string());
        lab_config::parse_beside(&label, source, &limits(), &beside).map_err(|report| {
            eprint_report(&report);
            Stop { code: 65, message: String::new(), mend: None }
        })
    }
}

/// True for a lab that only shows what this machine costs.
pub(crate) fn is_for_calibration(lab: &str) -> bool {
    lab.strip_prefix(CALIBRATION).is_some_and(|rest| rest.starts_with('-'))
}

/// Shows all mistakes of a lab file.
pub(crate) fn eprint_report(report: &lab_config::Report) {
    let color = if terminal::color_stderr() { lab_config::Color::Always } else { lab_config::Color::Never };
    terminal::eprint(&report.render(color));
}

/// What this machine allows a lab.
#[cfg(target_os = "linux")]
fn limits() -> Limits {
    let groups = lab_backend_fanotify::probe::groups_max();
    Limits { clients_max: u16::try_from(groups).unwrap_or(u16::MAX) }
}

#[cfg(not(target_os = "linux"))]
fn limits() -> Limits {
    Limits::default()
}

/// The path as a person would write it here.
pub(crate) fn relative(path: &Path) -> PathBuf {
    let here = env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned)).unwrap_or_else(|| path.to_owned())
}
