//! Finds lab files and the run store. Root takes orders only from lab files that nobody else may have written.

use std::{
    cell::Cell,
    env, fs,
    path::{Path, PathBuf},
};

use lab_config::Limits;
use lab_files::{Distrust, Folder, Kind, ReadError, Trusted};
use lab_model::{Kernel, Lab};
use lab_orchestrator::{Call, Failure, FailureKind, OWN_LACK, Runs};
use lab_process::platform::KERNEL;

use crate::{ExitError, arguments::Arguments, terminal};

/// The folder of lab files.
const CONFIGS: &str = "lab-configs";

/// The folder in it of labs that only show what this machine costs, and what their names begin with.
pub(crate) const CALIBRATION: &str = "calibration";

/// The largest list of paths beside a lab file, in bytes: twice what its paths may have together, for remarks.
const LIST_BYTES_MAX: u64 = 1 << 20;

/// Where everything lies.
#[derive(Debug)]
pub(crate) struct Places {
    /// The folder of lab files.
    pub(crate) configs: PathBuf,
    /// The run store.
    pub(crate) runs: Runs,
    /// Those of the two that the command line named, as whole paths.
    named: [Option<PathBuf>; 2],
    /// The workspace that client and driver are built from.
    workspace: PathBuf,
    /// The users who may have prepared any of it.
    pub(crate) trusted: Trusted,
    /// The modes that files do not get which a user without root asks for.
    pub(crate) mask: u32,
}

impl Places {
    /// Looks where the working directory is. Whether others may write what is found is looked at when it is used.
    pub(crate) fn find(arguments: &Arguments, mask: u32) -> Result<Places, ExitError> {
        let here = match env::current_dir() {
            Ok(here) => here,
            // It is needed only for what is not said in full.
            Err(_) if is_absolute(&arguments.configs) && is_absolute(&arguments.runs) => PathBuf::from("/"),
            Err(error) => {
                let message = format!("this process has no working directory: {error}");
                let mend = "go to a folder that exists (cd), or name whole paths with --configs and --runs";
                return Err(ExitError::usage(message, mend));
            }
        };
        // The folder this program was built from serves when it still exists, whatever the working directory.
        let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("/"));
        let home = here.ancestors().chain([built_from]).find(|folder| folder.join(CONFIGS).is_dir());
        let home = home.unwrap_or(&here);
        let configs = arguments.configs.clone().unwrap_or_else(|| home.join(CONFIGS));
        let runs = arguments.runs.clone().unwrap_or_else(|| home.join("runs"));
        fits(&here.join(&runs))?;
        let trusted = Trusted::of_this_process(caller());
        let runs = Runs::at(runs, trusted.clone());
        let named =
            [&arguments.configs, &arguments.runs].map(|path| path.as_ref().map(|path| here.join(path)));
        Ok(Places { configs, runs, named, workspace: built_from.to_owned(), trusted, mask })
    }

    /// How a run of this lab is called for again: a name as it is, a path as a whole one.
    pub(crate) fn call(&self, name: &str) -> Call {
        let lab = if is_path(name) { absolute(name) } else { name.to_owned() };
        let [configs, runs] = self.named.clone();
        Call { lab, configs, runs, ..Call::default() }
    }

    /// The workspace, whose build scripts and programs are executed.
    pub(crate) fn workspace(&self) -> Result<&Path, ExitError> {
        match Folder::trusted(&self.workspace, &self.trusted) {
            Err(distrust) if distrust.is_refusal() => Err(Failure::from(&distrust).into()),
            // cargo says better what is wrong with a workspace that is not there.
            _ => Ok(&self.workspace),
        }
    }

    /// The lab files in the folder of lab files or in one below it; none when there is no such folder.
    fn lab_files(&self, folder: &Path) -> Result<Vec<PathBuf>, ExitError> {
        let folder = match Folder::trusted(folder, &self.trusted) {
            Ok(folder) => folder,
            Err(distrust) if distrust.is_refusal() => return Err(distrusted(&distrust)),
            Err(_) => return Ok(Vec::new()),
        };
        let entries = folder.entries().unwrap_or_default().into_iter();
        let paths = entries
            .filter(|entry| matches!(entry.kind, Kind::File | Kind::Link))
            .map(|entry| folder.path().join(entry.name))
            .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
        Ok(paths.collect())
    }

    /// All lab files of the folder, by name.
    pub(crate) fn labs(&self) -> Result<Vec<(String, PathBuf)>, ExitError> {
        let named = |path: PathBuf| Some((path.file_stem()?.to_str()?.to_owned(), path));
        let mut labs: Vec<(String, PathBuf)> =
            self.lab_files(&self.configs)?.into_iter().filter_map(named).collect();
        labs.sort();
        Ok(labs)
    }

    /// The files of labs that only show what this machine costs.
    pub(crate) fn calibration_labs(&self) -> Result<Vec<PathBuf>, ExitError> {
        self.lab_files(&self.configs.join(CALIBRATION))
    }

    /// The file that a name stands for.
    pub(crate) fn lab_file(&self, name: &str) -> Result<PathBuf, ExitError> {
        let direct = PathBuf::from(name);
        if is_path(name) {
            let mend = "name a lab of `lab list`, or a path to a lab file";
            return match fs::metadata(&direct) {
                Ok(facts) if facts.is_file() => Ok(direct),
                Ok(_) => Err(ExitError::usage(format!("{name} is not a regular file"), mend)),
                Err(_) => Err(ExitError::usage(format!("there is no lab file {name}"), mend)),
            };
        }
        let file_name_bytes = name.len() + ".yaml".len();
        if file_name_bytes > NAME_BYTES_MAX {
            let message = format!(
                "a lab's name of {} bytes is longer than any file's: it may have {}",
                name.len(),
                NAME_BYTES_MAX - ".yaml".len()
            );
            return Err(ExitError::usage(message, "`lab list` shows the names"));
        }
        // A folder that others may write is refused, whether or not it has a lab of that name.
        let labs = self.labs()?;
        let file = self.configs.join(format!("{name}.yaml"));
        if file.is_file() {
            return Ok(file);
        }
        let names: Vec<String> = labs.into_iter().map(|(name, _)| name).collect();
        let mend = if names.is_empty() {
            format!("{} holds no lab files; name the folder with --configs", self.configs.display())
        } else if let Some(near) = lab_config::nearest(name, names.iter().map(String::as_str)) {
            format!("did you mean {near}? `lab list` shows all of them")
        } else {
            format!("there are: {}", names.join(", "))
        };
        Err(ExitError::usage(format!("there is no lab \"{name}\" in {}", self.configs.display()), mend))
    }

    /// The text of a lab file.
    pub(crate) fn source(&self, name: &str) -> Result<Vec<u8>, ExitError> {
        self.source_of(&self.lab_file(name)?)
    }

    /// The content of a lab file, which is a regular one within the limit of all lab files.
    fn source_of(&self, file: &Path) -> Result<Vec<u8>, ExitError> {
        let opened = Folder::trusted_file(file, &self.trusted).map_err(|distrust| match distrust.io() {
            Some(error) if lab_files::is_own_lack(error) => Failure::from(&distrust).mend(OWN_LACK).into(),
            Some(error) => unread(file, error),
            None => distrusted(&distrust),
        })?;
        let bytes_max = lab_config::SOURCE_BYTES_MAX as u64;
        lab_files::read_file(&opened, bytes_max).map_err(|error| match error {
            error if error.is_own_lack() => Failure::unread(file, &error).into(),
            ReadError::TooLarge { bytes_max } => ExitError {
                code: 65,
                message: format!(
                    "{} is larger than {bytes_max} bytes, the most that a lab file has",
                    file.display()
                ),
                mend: Some("name a lab file; long lists of paths go into a file beside it".to_owned()),
            },
            error => unread(file, &error),
        })
    }

    /// Reads a lab; its mistakes go to standard error.
    pub(crate) fn read(&self, name: &str) -> Result<Lab, ExitError> {
        let file = self.lab_file(name)?;
        let source = self.source_of(&file)?;
        let label = relative(&file).display().to_string();
        let folder = file.parent().unwrap_or(Path::new(""));
        // What this process lacks is no mistake of the lab file.
        let lacking = Cell::new(None);
        let beside = |name: &str| {
            let path = Path::new(name);
            let text = lab_files::read_beneath(folder, path, LIST_BYTES_MAX).map_err(|error| {
                let said = error.to_string();
                if error.is_own_lack() {
                    lacking.set(Some(Failure::unread(&folder.join(path), &error)));
                }
                said
            })?;
            String::from_utf8(text).map_err(|_| "it is not UTF-8 text".to_owned())
        };
        let lab = lab_config::parse_beside(&label, source, &limits(), &beside);
        match (lab, lacking.take()) {
            (Ok(lab), _) => Ok(lab),
            (Err(_), Some(failure)) => Err(failure.into()),
            (Err(report), None) => {
                terminal::eprint_mistakes(&report);
                Err(ExitError { code: 65, message: String::new(), mend: None })
            }
        }
    }
}

/// The most bytes that the path of a run store has. A path of Linux has 4095 (PATH_MAX without its end), and below the
/// store lie the folders of lab, run and bundle, whose names have up to 255 bytes each.
const STORE_BYTES_MAX: usize = 3072;

/// The most bytes of a file's name (NAME_MAX of all file systems that a lab runs on).
const NAME_BYTES_MAX: usize = 255;

/// Refuses a run store whose path is longer than the kernel takes one, with what a run puts below it.
fn fits(runs: &Path) -> Result<(), ExitError> {
    let mend = "name a folder with a shorter path with --runs";
    let bytes = runs.as_os_str().len();
    let name = runs.iter().map(std::ffi::OsStr::len).max().unwrap_or(0);
    let message = if bytes > STORE_BYTES_MAX {
        format!("the path of the run store has {bytes} bytes, and may have {STORE_BYTES_MAX}")
    } else if name > NAME_BYTES_MAX {
        format!(
            "a folder in the path of the run store has a name of {name} bytes, and may have {NAME_BYTES_MAX}"
        )
    } else {
        return Ok(());
    };
    Err(ExitError::usage(message, mend))
}

/// Whether a lab is named by the path of its file.
fn is_path(name: &str) -> bool {
    name.contains('/') || Path::new(name).extension().is_some_and(|extension| extension == "yaml")
}

/// A path as a whole one; as it is when there is no working directory.
fn absolute(path: &str) -> String {
    std::path::absolute(path).map_or_else(|_| path.to_owned(), |path| path.display().to_string())
}

fn is_absolute(path: &Option<PathBuf>) -> bool {
    path.as_ref().is_some_and(|path| path.is_absolute())
}

fn unread(file: &Path, error: &dyn std::fmt::Display) -> ExitError {
    ExitError::usage(
        format!("cannot read {}: {error}", file.display()),
        "name a regular file that you may read",
    )
}

/// The user who called sudo, when one did.
fn caller() -> Option<u32> {
    env::var("SUDO_UID").ok()?.parse().ok()
}

/// Lab files that root does not take orders from.
fn distrusted(distrust: &Distrust) -> ExitError {
    let Failure { message, .. } = Failure::from(distrust);
    let mend = format!("{}; or name another folder with --configs", distrust.mend());
    Failure::new(FailureKind::Privilege, message).mend(mend).into()
}

/// True for a lab that only shows what this machine costs.
pub(crate) fn is_for_calibration(lab: &str) -> bool {
    lab.strip_prefix(CALIBRATION).is_some_and(|rest| rest.starts_with('-'))
}

/// What this machine allows a lab.
fn limits() -> Limits {
    match KERNEL {
        Kernel::Fanotify => {
            let groups = lab_backend_fanotify::probe::groups_max();
            Limits { clients_max: u16::try_from(groups).unwrap_or(u16::MAX) }
        }
        Kernel::EndpointSecurity => Limits::default(),
    }
}

/// The path as a person would write it here.
pub(crate) fn relative(path: &Path) -> PathBuf {
    let here = env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned)).unwrap_or_else(|| path.to_owned())
}
