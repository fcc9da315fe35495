//! The files and programs of the workload, with what the trace says about each.

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString},
    os::fd::AsFd,
    sync::{Arc, OnceLock},
};

use lab_model::{LoadKind, Workload};
use lab_process::platform::device;
use lab_trace::{Target, TraceWriter};
use lab_workload::{created_path, file_path, program_path, tree_path};
use nix::sys::stat::{fstat, stat};

/// One file of the arena. Files are not replaced while the driver runs, so its identity is looked up once.
#[derive(Debug)]
pub(crate) struct Site {
    path: CString,
    target: OnceLock<Target>,
}

/// The files of each load, by its place in the workload; a program's load has one.
#[derive(Debug)]
pub(crate) struct Sites {
    loads: Vec<Arc<[Site]>>,
    /// The files that workers create, by load and worker of it.
    created: Vec<Box<[Site]>>,
}

impl Site {
    fn new(arena: &str, path: &str) -> Result<Site, String> {
        let whole = format!("{}/{path}", arena.trim_end_matches('/'));
        let path = CString::new(whole).map_err(|error| format!("a path holds a NUL byte: {error}"))?;
        Ok(Site { path, target: OnceLock::new() })
    }

    /// Its absolute path.
    pub(crate) fn path(&self) -> &CStr {
        &self.path
    }

    /// What the trace says about the file. The first time it asks the kernel about the open file, or about
    /// the path where there is none (which no client hears of), and records the path. `None` if there is no
    /// such file.
    pub(crate) fn target(&self, open: Option<&impl AsFd>, writer: &TraceWriter) -> Option<Target> {
        if let Some(target) = self.target.get() {
            return Some(*target);
        }
        let facts = match open {
            Some(file) => fstat(file),
            None => stat(self.path()),
        };
        let facts = facts.ok()?;
        let target = self.target.get_or_init(|| Target {
            inode: facts.st_ino,
            device: device(&facts),
            path: writer.path(self.path.to_bytes()),
        });
        Some(*target)
    }

    /// The same of a file that is another one each time: only its path is remembered.
    pub(crate) fn new_target(&self, open: &impl AsFd, writer: &TraceWriter) -> Option<Target> {
        let facts = fstat(open).ok()?;
        let first = self.target(Some(open), writer)?;
        Some(Target { inode: facts.st_ino, device: device(&facts), path: first.path })
    }
}

impl Sites {
    /// Prepares every path, so that none is built while operations run, and looks for the first and last
    /// file of each load.
    pub(crate) fn new(arena: &str, workload: &[Workload]) -> Result<Sites, String> {
        // Loads that name the same folder share its files, so that each path is recorded once.
        let mut shared: BTreeMap<String, Arc<[Site]>> = BTreeMap::new();
        let mut loads = Vec::with_capacity(workload.len());
        let mut created = Vec::with_capacity(workload.len());
        for (place, load) in workload.iter().enumerate() {
            let own_files = || (0..load.files()).map(|index| file_path(load, index)).collect();
            let (name, paths) = match &load.kind {
                LoadKind::OpenStorm(storm) => {
                    let files = 0..most_files(workload, &storm.directory);
                    (storm.directory.clone(), files.map(|index| file_path(load, index)).collect())
                }
                LoadKind::FileMix(_) | LoadKind::OpenList(_) => (format!("load {place}"), own_files()),
                LoadKind::ExecStorm(storm) => {
                    let path = program_path(storm.program);
                    (path.clone(), vec![path])
                }
                LoadKind::ExecTree(_) => (tree_path(), vec![tree_path()]),
                LoadKind::Run(_) => (format!("load {place}"), Vec::new()),
            };
            let new: Result<Vec<Site>, String> = match &load.kind {
                LoadKind::FileMix(mix) => {
                    (0..load.workers).map(|worker| Site::new(arena, &created_path(mix, worker))).collect()
                }
                _ => Ok(Vec::new()),
            };
            created.push(new?.into());
            if !shared.contains_key(&name) {
                let sites: Result<Vec<Site>, String> =
                    paths.iter().map(|path: &String| Site::new(arena, path)).collect();
                shared.insert(name.clone(), sites?.into());
            }
            let sites = &shared[&name];
            for site in sites.first().into_iter().chain(sites.last()) {
                stat(site.path()).map_err(|error| format!("the arena has no {:?}: {error}", site.path()))?;
            }
            loads.push(Arc::clone(sites));
        }
        Ok(Sites { loads, created })
    }

    /// A file of a load.
    pub(crate) fn site(&self, load: usize, file: u32) -> &Site {
        &self.loads[load][file as usize]
    }

    /// The file that a worker of a load creates.
    pub(crate) fn created(&self, load: usize, worker: u16) -> &Site {
        &self.created[load][usize::from(worker)]
    }
}

fn most_files(workload: &[Workload], directory: &str) -> u32 {
    let files = workload.iter().filter_map(|load| match &load.kind {
        LoadKind::OpenStorm(storm) if storm.directory == directory => Some(storm.files),
        _ => None,
    });
    files.max().unwrap_or(0)
}
