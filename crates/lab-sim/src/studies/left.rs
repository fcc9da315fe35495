//! What a sweep leaves in files: a line for each cell with its runs, and the manifest of a sweep whose runs are jobs of
//! other machines.

use std::collections::BTreeSet;

use lab_model::{Backend, Visible};
use serde::{Deserialize, Serialize};

use super::trials::Trial;

/// The most combinations of one sweep.
pub const CELLS_MAX: usize = 10_000;

/// One cell and its runs: a line of the results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What the runs depend on beside their seed: the resolved lab, where it ran, and the version.
    pub key: u64,
    /// The settings by name, in the order of the axes.
    pub settings: Vec<(String, String)>,
    /// The runs, one a seed.
    pub runs: Vec<Trial>,
}

/// The rows of a file of results. A line that was cut off by a kill, or is of another version, counts as not there.
pub fn rows(text: &str) -> impl Iterator<Item = Row> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok())
}

/// What `lab merge` needs to know of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this format.
    pub schema: u32,
    /// The lab's name.
    pub lab: String,
    /// Where the cells run.
    #[serde(rename = "ground")]
    pub backend: Backend,
    /// The names of the settings that are varied.
    pub axes: Vec<String>,
    /// The seeds of each cell.
    pub seeds: Vec<u64>,
    /// All combinations; the last axis varies fastest.
    pub cells: Vec<ManifestCell>,
}

/// One cell of a manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestCell {
    /// Its lab file.
    pub file: String,
    /// As in [`Row::key`].
    pub key: u64,
    /// As in [`Row::settings`].
    pub settings: Vec<(String, String)>,
}

/// Why bytes are no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is no such JSON.
    #[error("{}", Visible::new(&.0.to_string()))]
    Json(#[from] serde_json::Error),
    /// It is of another version.
    #[error("its schema is {0}, not 1")]
    Schema(u32),
    /// It varies nothing or has more cells than a sweep.
    #[error("it has {0} cells; a sweep has at least one setting, and 1 to {CELLS_MAX} cells")]
    Cells(usize),
    /// A cell does not have the settings of the sweep.
    #[error("cell {0} does not have the sweep's settings")]
    Settings(usize),
    /// Cells are missing: pictures of a sweep are as large as all combinations of its values.
    #[error("it has {0} cells, which are not all combinations of their values")]
    Combinations(usize),
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// [`ManifestError`] if it is not that of a sweep: one setting or more, at most [`CELLS_MAX`] cells, each with all
    /// settings in the order of the axes, and all combinations of the values that occur.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        let manifest: Manifest = serde_json::from_slice(bytes)?;
        let count = manifest.cells.len();
        if manifest.schema != 1 {
            return Err(ManifestError::Schema(manifest.schema));
        }
        if manifest.axes.is_empty() || !(1..=CELLS_MAX).contains(&count) {
            return Err(ManifestError::Cells(count));
        }
        let fits = |cell: &ManifestCell| cell.settings.iter().map(|(name, _)| name).eq(&manifest.axes);
        if let Some(place) = manifest.cells.iter().position(|cell| !fits(cell)) {
            return Err(ManifestError::Settings(place));
        }
        let values = |axis: usize| {
            manifest.cells.iter().map(|cell| &cell.settings[axis].1).collect::<BTreeSet<_>>().len()
        };
        let combinations =
            (0..manifest.axes.len()).try_fold(1_usize, |all, axis| all.checked_mul(values(axis)));
        if combinations.is_none_or(|combinations| combinations > count) {
            return Err(ManifestError::Combinations(count));
        }
        Ok(manifest)
    }

    /// The cells, without any run yet.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let row =
            |cell: &ManifestCell| Row { key: cell.key, settings: cell.settings.clone(), runs: Vec::new() };
        self.cells.iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(axes: &[&str], cells: &[&[(&str, &str)]], expected: &str) {
        let cells: Vec<serde_json::Value> = cells
            .iter()
            .map(|settings| serde_json::json!({ "file": "cell-0000.yaml", "key": 7, "settings": settings }))
            .collect();
        let manifest = serde_json::json!({
            "schema": 1, "lab": "x", "ground": "fanotify", "axes": axes, "seeds": [1], "cells": cells,
        });
        let found = Manifest::parse(manifest.to_string().as_bytes());
        assert_eq!(found.map_or_else(|error| error.to_string(), |_| String::new()), expected);
    }

    #[test]
    fn a_manifest_is_that_of_a_sweep_or_says_why_not() {
        let few = "a sweep has at least one setting, and 1 to 10000 cells";
        check(&["clients"], &[&[("clients", "1")], &[("clients", "2")]], "");
        check(&["clients"], &[&[("clients", "1")], &[("clients", "1")]], "");
        check(&[], &[&[]], &format!("it has 1 cells; {few}"));
        check(&["clients"], &[], &format!("it has 0 cells; {few}"));
        check(&["clients"], &[&[("clients", "1")], &[]], "cell 1 does not have the sweep's settings");
        check(&["clients"], &[&[("when", "1")]], "cell 0 does not have the sweep's settings");
        let diagonal: [&[(&str, &str)]; 2] =
            [&[("clients", "1"), ("when", "1")], &[("clients", "2"), ("when", "2")]];
        check(
            &["clients", "when"],
            &diagonal,
            "it has 2 cells, which are not all combinations of their values",
        );
    }
}
