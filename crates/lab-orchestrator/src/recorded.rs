//! The traces of a run as they lie on disk, opened for one reading.

use std::{
    io,
    path::{Path, PathBuf},
};

use lab_files::ReadError;
use lab_trace::{StoredTrace, Trace};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::{Failure, FailureKind, RunFolder};

/// The most traces of one run: a hundred clients with their helpers are far below.
const TRACES_MAX: usize = 8192;
/// Descriptors that a process needs beside those of the traces.
const DESCRIPTORS_BESIDE: u64 = 64;

/// All traces of a run, open.
#[derive(Debug)]
pub struct Recorded {
    stored: Vec<(String, StoredTrace)>,
    unreadable: Vec<(String, String)>,
}

impl Recorded {
    /// Opens every trace of a run.
    ///
    /// # Errors
    /// [`FailureKind::Output`] when the folder of the traces cannot be read, and when this process lacks the descriptors
    /// or the memory for it, or may not. A file that is no trace is no error: [`Recorded::traces`] names it.
    pub fn open(folder: &RunFolder) -> Result<Recorded, Failure> {
        let paths = trace_files(&folder.traces())
            .map_err(|error| Failure::unread(&folder.traces(), &error.into()))?;
        if paths.len() > TRACES_MAX {
            let message = format!("{} holds more than {TRACES_MAX} traces", folder.traces().display());
            return Err(Failure::new(FailureKind::Output, message));
        }
        make_room(paths.len() as u64);
        let mut recorded = Recorded { stored: Vec::new(), unreadable: Vec::new() };
        for path in paths {
            match StoredTrace::open(&path) {
                Ok(stored) => recorded.stored.push((name_of(&path), stored)),
                Err(error) if is_about_the_file(&error) => {
                    recorded.unreadable.push((name_of(&path), error.to_string()));
                }
                Err(error) => return Err(Failure::unread(&path, &error)),
            }
        }
        Ok(recorded)
    }

    /// The traces, and those that cannot be read as such: name and reason.
    #[must_use]
    pub fn traces(&self) -> (Vec<Trace<'_>>, Vec<(String, String)>) {
        let (mut traces, mut unreadable) = (Vec::new(), self.unreadable.clone());
        for (name, stored) in &self.stored {
            match Trace::of(stored) {
                Ok(trace) => traces.push(trace),
                Err(error) => unreadable.push((name.clone(), error.to_string())),
            }
        }
        (traces, unreadable)
    }

    /// Whether everything could be read that was asked for since the traces were opened. What was made of them is worth
    /// nothing otherwise.
    ///
    /// # Errors
    /// [`FailureKind::Output`], with the trace and the reason.
    pub fn check(&self) -> Result<(), Failure> {
        self.stored.iter().try_for_each(|(name, stored)| {
            stored
                .check()
                .map_err(|error| Failure::unread(Path::new(&format!("{name}.trace")), &error.into()))
        })
    }
}

/// True when a file is at fault itself, so that a report may go on without it.
fn is_about_the_file(error: &ReadError) -> bool {
    match error {
        ReadError::Io(error) => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::IsADirectory),
        _ => true,
    }
}

/// Raises this process's own limit of descriptors as far as it may be, where so many traces need it. What cannot be had
/// is missed when they are opened.
fn make_room(traces: u64) {
    let wanted = traces.saturating_add(DESCRIPTORS_BESIDE);
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < wanted
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard)
    {
        tracing::debug!("the limit of descriptors stays at {soft}: {error}");
    }
}

pub(crate) fn trace_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .filter(|path| path.as_ref().map_or(true, |path| path.extension().is_some_and(|end| end == "trace")))
        .collect::<io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

fn name_of(path: &Path) -> String {
    path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
