//! A sweep as jobs for an engine that has more machines: every run of every cell is one `lab up`.
//!
//! A folder with a lab file for each cell, a manifest, and what the engine reads. `lab merge` reads the manifest and
//! what the jobs have left.

use std::path::{Path, PathBuf};

use lab_model::{Backend, Execution, Lab};
use lab_orchestrator::{Failure, interrupts};
use lab_sim::{Cell, Manifest, ManifestCell};

use super::results::key;
use crate::{
    ExitError,
    arguments::Engine,
    labs::{Places, relative},
    output, terminal,
};

/// What one matrix of GitHub Actions may hold.
const GITHUB_JOBS_MAX: usize = 256;
/// What one `ConfigMap` may hold, in bytes.
const CONFIG_MAP_MAX: usize = 1 << 20;
const MANIFEST: &str = "sweep.json";
/// The largest manifest that is read, in bytes: a sweep of all its cells with long settings is far below.
const MANIFEST_BYTES_MAX: u64 = 64 << 20;

/// What `lab merge` needs to know of a sweep.
fn manifest_of(lab: &Lab, backend: Backend, cells: &[Cell], seeds: &[u64]) -> Manifest {
    let axes = cells.first().map_or(&[][..], |cell| &cell.settings);
    let entry = |(place, cell): (usize, &Cell)| ManifestCell {
        file: file_name(place),
        key: key(&cell.lab, backend),
        settings: cell.settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
    };
    Manifest {
        schema: 1,
        lab: lab.name.clone(),
        backend,
        axes: axes.iter().map(|(name, _)| (*name).to_owned()).collect(),
        seeds: seeds.to_vec(),
        cells: cells.iter().enumerate().map(entry).collect(),
    }
}

fn file_name(place: usize) -> String {
    format!("cell-{place:04}.yaml")
}

/// Finds the manifest in one of these folders or directly below.
pub(super) fn manifest(folders: &[PathBuf]) -> Result<(Manifest, PathBuf), ExitError> {
    let path = folders.iter().map(|folder| folder.join(MANIFEST)).find(|path| path.is_file());
    let Some(path) = path else {
        return Err(ExitError::usage(
            format!("none of these folders holds a {MANIFEST}"),
            "name the folder that `lab sweep --emit` wrote as well as those with the results",
        ));
    };
    let text = lab_files::read(&path, MANIFEST_BYTES_MAX).map_err(|error| Failure::unread(&path, &error))?;
    let manifest = Manifest::parse(&text).map_err(|error| {
        ExitError::usage(format!("{} is damaged: {error}", path.display()), "emit the sweep again")
    })?;
    Ok((manifest, path.parent().unwrap_or(Path::new(".")).to_owned()))
}

/// Writes the folder.
pub(super) fn emit(
    places: &Places,
    engine: Engine,
    folder: &Path,
    lab: &Lab,
    backend: Backend,
    cells: &[Cell],
    seeds: &[u64],
) -> Result<u8, ExitError> {
    let manifest = manifest_of(lab, backend, cells, seeds);
    let labs: Vec<(String, String)> = cells
        .iter()
        .enumerate()
        .map(|(place, cell)| {
            (file_name(place), lab_config::to_yaml(&Lab { backend: backend.choice(), ..cell.lab.clone() }))
        })
        .collect();
    let jobs = cells.len() * seeds.len();
    let (name, text) = match engine {
        Engine::GithubActions => {
            too_many(jobs, GITHUB_JOBS_MAX, "jobs in one matrix of GitHub Actions")?;
            ("github-actions.yml", github_actions(&manifest, folder, backend))
        }
        Engine::Kubernetes => {
            let bytes = labs.iter().map(|(_, text)| text.len()).sum();
            too_many(bytes, CONFIG_MAP_MAX, "bytes of lab files in one ConfigMap")?;
            ("kubernetes.yaml", kubernetes(&manifest, &labs, backend))
        }
    };
    let _hold = interrupts::hold();
    let write = || {
        output::folder(places, &folder.join("cells"))?;
        for (name, text) in &labs {
            output::replace(places, &folder.join("cells").join(name), text)?;
        }
        let manifest = format!("{:#}\n", serde_json::to_value(&manifest)?);
        output::replace(places, &folder.join(MANIFEST), &manifest)?;
        output::replace(places, &folder.join(name), &text)
    };
    write().map_err(|error: std::io::Error| {
        ExitError::output(&format!("cannot write {}", folder.display()), &error)
    })?;
    let shown = relative(folder);
    terminal::print(&format!(
        "{}\n{jobs} jobs: {} cells with {} seeds each. When they are through: lab merge {} RESULTS\n",
        shown.join(name).display(),
        cells.len(),
        seeds.len(),
        shown.display()
    ))?;
    Ok(0)
}

fn too_many(found: usize, most: usize, what: &str) -> Result<(), ExitError> {
    if found <= most {
        return Ok(());
    }
    Err(ExitError::usage(
        format!("{found} are more than the {most} {what}"),
        "vary fewer settings or values, or fewer --trials",
    ))
}

/// What `lab up` is told beside the lab file and the seed.
fn where_to(backend: Backend) -> String {
    let (choice, kernel) = (backend.choice().name(), backend.kernel.name());
    match backend.execution {
        Execution::Live => format!("--backend {choice}"),
        Execution::Simulated => format!("--backend {choice} --rules {kernel}"),
    }
}

/// A workflow with one job for each run. Strings are written as JSON, which YAML includes.
fn github_actions(manifest: &Manifest, folder: &Path, backend: Backend) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut include = String::new();
    for (place, entry) in manifest.cells.iter().enumerate() {
        let settings: Vec<String> =
            entry.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        for seed in &manifest.seeds {
            include.push_str(&format!(
                "          - {{ cell: {}, seed: {seed}, settings: {}, run: \"{place:04}-{seed}\" }}\n",
                quoted(&entry.file),
                quoted(&settings.join(" "))
            ));
        }
    }
    let sudo = if backend.execution == Execution::Live { "sudo " } else { "" };
    // The folder as the repository has it, where it lies in one.
    let folder = relative(folder);
    format!(
        "# Written by `lab sweep --emit github-actions`. Copy it to .github/workflows/ and commit {folder} with it.\n\
         name: {name}\n\
         \"on\": workflow_dispatch\n\
         permissions: {{ contents: read }}\n\
         jobs:\n\
         \x20 cell:\n\
         \x20   name: ${{{{ matrix.settings }}}}, seed ${{{{ matrix.seed }}}}\n\
         \x20   runs-on: ubuntu-latest\n\
         \x20   timeout-minutes: 30\n\
         \x20   strategy:\n\
         \x20     fail-fast: false\n\
         \x20     matrix:\n\
         \x20       include:\n\
         {include}\
         \x20   steps:\n\
         \x20     - uses: actions/checkout@v4\n\
         \x20     - run: cargo build --release --package lab\n\
         \x20     # A lab whose expectations fail is a result as well.\n\
         \x20     - run: |\n\
         \x20         {sudo}target/release/lab --runs results up {folder}/cells/${{{{ matrix.cell }}}} {to} --seed ${{{{ matrix.seed }}}} || [ $? -le 2 ]\n\
         \x20         {sudo}chmod -R a+rX results\n\
         \x20     - uses: actions/upload-artifact@v4\n\
         \x20       with: {{ name: \"run-${{{{ matrix.run }}}}\", path: results }}\n",
        folder = folder.display(),
        name = quoted(&format!("sweep {}", manifest.lab)),
        to = where_to(backend),
    )
}

/// A `ConfigMap` with the cells and an indexed Job with one pod for each run.
fn kubernetes(manifest: &Manifest, labs: &[(String, String)], backend: Backend) -> String {
    let name = format!("sweep-{}", manifest.lab);
    let mut data = String::new();
    for (file, text) in labs {
        data.push_str(&format!("  {file}: |\n"));
        for line in text.lines() {
            data.push_str(format!("    {line}").trim_end());
            data.push('\n');
        }
    }
    let seeds: Vec<String> = manifest.seeds.iter().map(u64::to_string).collect();
    let jobs = manifest.cells.len() * manifest.seeds.len();
    // fanotify permission events need CAP_SYS_ADMIN in the initial user namespace, and the lab mounts its arena.
    let security = match backend.execution {
        Execution::Live => "          securityContext: { privileged: true }\n",
        Execution::Simulated => "",
    };
    format!(
        "# Written by `lab sweep --emit kubernetes`. Put in the image that has `lab`, and a claim for the results.\n\
         apiVersion: v1\n\
         kind: ConfigMap\n\
         metadata: {{ name: {name} }}\n\
         data:\n\
         {data}\
         ---\n\
         apiVersion: batch/v1\n\
         kind: Job\n\
         metadata: {{ name: {name} }}\n\
         spec:\n\
         \x20 completionMode: Indexed\n\
         \x20 completions: {jobs}\n\
         \x20 # A live lab wants its machine for itself: raise this only as far as there are machines.\n\
         \x20 parallelism: 1\n\
         \x20 backoffLimit: 0\n\
         \x20 template:\n\
         \x20   spec:\n\
         \x20     restartPolicy: Never\n\
         \x20     containers:\n\
         \x20       - name: lab\n\
         \x20         image: IMAGE\n\
         {security}\
         \x20         command: [\"/bin/sh\", \"-c\"]\n\
         \x20         args:\n\
         \x20           - |\n\
         \x20             set -- {seeds}\n\
         \x20             cell=$(printf '%04d' $((JOB_COMPLETION_INDEX / $#)))\n\
         \x20             shift $((JOB_COMPLETION_INDEX % $#))\n\
         \x20             lab --runs \"/results/$JOB_COMPLETION_INDEX\" up \"/cells/cell-$cell.yaml\" {to} --seed \"$1\" || [ $? -le 2 ]\n\
         \x20         volumeMounts:\n\
         \x20           - {{ name: cells, mountPath: /cells, readOnly: true }}\n\
         \x20           - {{ name: results, mountPath: /results }}\n\
         \x20     volumes:\n\
         \x20       - {{ name: cells, configMap: {{ name: {name} }} }}\n\
         \x20       - {{ name: results, persistentVolumeClaim: {{ claimName: {name} }} }}\n",
        seeds = seeds.join(" "),
        to = where_to(backend),
    )
}
