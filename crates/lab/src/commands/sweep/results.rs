//! The results of a sweep on disk: one line a cell, written when its runs are there.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use lab_files::{Folder, ReadError};
use lab_model::{Backend, BackendChoice, Lab};
use lab_orchestrator::{Failure, interrupts};
use lab_sim::{Cell, Row, Trial};

use crate::{ExitError, labs::Places, output};

/// The file of results.
const FILE: &str = "results.jsonl";
/// The largest such file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// The rows of a sweep, in the order of its cells.
pub(super) type Cells = Vec<Row>;

/// The file, and what is in it.
#[derive(Debug)]
pub(super) struct Results {
    folder: Folder,
    backend: Backend,
    /// The key and the settings of each cell: a file may say anything of the latter.
    order: Vec<(u64, Settings)>,
    seeds: Vec<u64>,
    rows: Mutex<BTreeMap<u64, Row>>,
}

/// The settings of a cell by name.
type Settings = Vec<(String, String)>;

fn settings(cell: &Cell) -> Settings {
    cell.settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// FNV-1a: the same on every machine and with every compiler.
fn hash(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// What the runs of a lab depend on beside their seed.
pub(super) fn key(lab: &Lab, backend: Backend) -> u64 {
    let lab = Lab { seed: 0, backend: BackendChoice::Auto, ..lab.clone() };
    hash(&[&lab_config::to_yaml(&lab), &backend.to_string(), env!("CARGO_PKG_VERSION")])
}

/// Tells sweeps of one lab over other settings or on other kernels apart.
pub(super) fn fingerprint(lab: &Lab, axes: &[&str], backend: Backend) -> u64 {
    hash(&[&lab.name, &axes.join(" "), &backend.to_string()])
}

impl Results {
    /// Opens the file in a folder, or begins it, and takes from it what is valid for these cells.
    pub(super) fn open(
        places: &Places,
        folder: &Path,
        backend: Backend,
        cells: &[Cell],
        seeds: &[u64],
    ) -> Result<Results, ExitError> {
        let folder = output::folder(places, folder)
            .map_err(|error| ExitError::output(&format!("cannot make {}", folder.display()), &error))?;
        let text = match folder.read(FILE, FILE_BYTES_MAX) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Failure::unread(&folder.path().join(FILE), &error).into()),
        };
        let mut rows = BTreeMap::new();
        for row in lab_sim::rows(&text) {
            rows.insert(row.key, row);
        }
        let order = cells.iter().map(|cell| (key(&cell.lab, backend), settings(cell))).collect();
        let seeds = seeds.to_vec();
        let results = Results { folder, backend, order, seeds, rows: Mutex::new(rows) };
        // What came after a line without its end would be one line with it.
        if !text.is_empty() && !text.ends_with('\n') {
            results.append("\n")?;
        }
        Ok(results)
    }

    /// Runs a cell with the seeds that are not there yet, and writes its line if there were any.
    pub(super) fn complete(
        &self,
        cell: &Cell,
        run: impl FnOnce(&[u64]) -> Result<Vec<Trial>, ExitError>,
    ) -> Result<(), ExitError> {
        let key = key(&cell.lab, self.backend);
        let mut runs = self.rows().get(&key).map_or_else(Vec::new, |row| row.runs.clone());
        let is_there = |seed: &u64| runs.iter().any(|run| run.seed == *seed);
        let missing: Vec<u64> = self.seeds.iter().copied().filter(|seed| !is_there(seed)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        runs.extend(run(&missing)?);
        runs.sort_by_key(|run| run.seed);
        let row = Row { key, settings: settings(cell), runs };
        let line = serde_json::to_string(&row).map_err(|error| ExitError::bug(error.to_string()))?;
        let mut rows = self.rows();
        self.append(&format!("{line}\n"))?;
        rows.insert(key, row);
        Ok(())
    }

    /// The rows of the sweep's cells, with the runs of its seeds only.
    pub(super) fn cells(&self) -> Result<Cells, ExitError> {
        let rows = self.rows();
        let row = |(key, settings): &(u64, Settings)| {
            let mut row = rows.get(key).cloned().ok_or_else(|| ExitError::bug("a cell has no result"))?;
            row.runs.retain(|run| self.seeds.contains(&run.seed));
            row.settings.clone_from(settings);
            Ok(row)
        };
        self.order.iter().map(row).collect()
    }

    fn rows(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, text: &str) -> Result<(), ExitError> {
        let _hold = interrupts::hold();
        let write = || {
            let mut file = self.folder.append_file(FILE, 0o600)?;
            file.write_all(text.as_bytes())
        };
        let path = self.folder.path().join(FILE);
        write().map_err(|error| ExitError::output(&format!("cannot write {}", path.display()), &error))
    }
}
