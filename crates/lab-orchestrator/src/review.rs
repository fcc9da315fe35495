//! Hands a run's traces to analysis and writes what comes out beside them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use lab_analysis::{Context, analyse, findings::Findings};
use lab_model::{BackendChoice, Lab};
use lab_trace::{MappedTrace, Trace};

use crate::{Failure, FailureKind, RunFolder};

/// What the traces of a run show.
#[derive(Clone, Debug)]
pub struct Review {
    /// The lab as it ran.
    pub lab: Lab,
    /// The findings.
    pub findings: Findings,
}

/// Reads a run's traces. The run must be over.
///
/// # Errors
/// [`FailureKind::Output`] when the resolved lab or the folder of traces cannot be read. A trace that cannot
/// be read is listed in the findings.
pub fn review(folder: &RunFolder) -> Result<Review, Failure> {
    let lab = lab_of(folder)?;
    let unreadable_folder = |error: io::Error| {
        let message = format!("cannot read {}: {error}", folder.traces().display());
        Failure::new(FailureKind::Output, message)
    };
    let mut files = Vec::new();
    let mut unreadable = Vec::new();
    for path in trace_files(&folder.traces()).map_err(unreadable_folder)? {
        match MappedTrace::open(&path) {
            Ok(map) => files.push((name_of(&path), map)),
            Err(error) => unreadable.push((name_of(&path), error.to_string())),
        }
    }
    let mut traces = Vec::new();
    for (name, map) in &files {
        match Trace::of(map) {
            Ok(trace) => traces.push(trace),
            Err(error) => unreadable.push((name.clone(), error.to_string())),
        }
    }
    let context = Context {
        lab: &lab,
        run: &folder.name(),
        backend: backend_name(lab.backend),
        replay: &replay(&lab, simulated_rules(&traces)),
        unreadable: &unreadable,
    };
    let findings = analyse(&traces, &context);
    Ok(Review { lab, findings })
}

/// The line that runs the same lab again.
fn replay(lab: &Lab, rules: Option<&str>) -> String {
    let line = format!("lab up {} --seed {}", lab.name, lab.seed);
    match rules {
        Some(rules) => format!("{line} --backend sim --rules {rules}"),
        None => line,
    }
}

/// Whose rules a simulated run followed, as its traces say; `None` for a live run.
fn simulated_rules(traces: &[Trace<'_>]) -> Option<&'static str> {
    let kernel = &traces.first()?.header.identity.host.kernel;
    let rules = kernel.strip_prefix("simulated ")?;
    [BackendChoice::Fanotify, BackendChoice::EndpointSecurity]
        .into_iter()
        .map(BackendChoice::name)
        .find(|name| *name == rules)
}

const fn backend_name(backend: BackendChoice) -> &'static str {
    match backend {
        BackendChoice::Auto => "unknown",
        other => other.name(),
    }
}

/// Reads the lab of a run, as it ran.
///
/// # Errors
/// [`FailureKind::Output`] when it cannot be read or is damaged.
pub fn lab_of(folder: &RunFolder) -> Result<Lab, Failure> {
    let path = folder.lab();
    let source = fs::read(&path).map_err(|error| {
        Failure::new(FailureKind::Output, format!("cannot read {}: {error}", path.display()))
    })?;
    // What has run was within the limits of its machine, which need not be this one.
    let limits = lab_config::Limits { clients_max: u16::MAX };
    lab_config::parse(&path.display().to_string(), source, &limits).map_err(|report| {
        Failure::new(FailureKind::Output, format!("the run's resolved lab is damaged:\n{report}"))
    })
}

pub(crate) fn trace_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .filter(|path| path.as_ref().map_or(true, |path| path.extension().is_some_and(|end| end == "trace")))
        .collect::<io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

fn name_of(path: &Path) -> String {
    path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The findings of a run of the store: from its traces, or, where no lab was run, as its import left them.
///
/// # Errors
/// As [`review`]; [`FailureKind::Output`] also when the import's `report.json` is damaged.
pub fn findings_of(folder: &RunFolder) -> Result<Findings, Failure> {
    let imported = folder.root().join("report.json");
    if folder.lab().exists() || !imported.exists() {
        return Ok(review(folder)?.findings);
    }
    let text = fs::read(&imported).map_err(|error| {
        Failure::new(FailureKind::Output, format!("cannot read {}: {error}", imported.display()))
    })?;
    serde_json::from_slice(&text).map_err(|error| {
        Failure::new(FailureKind::Output, format!("{} is damaged: {error}", imported.display()))
            .mend("import the lines again")
    })
}

/// Writes `report.json`, `report.html` and a page for every client into a run's folder, each whole or not at all. Two
/// processes may do so at once.
///
/// # Errors
/// [`FailureKind::Output`].
pub fn write_pages(folder: &RunFolder, findings: &Findings) -> Result<(), Failure> {
    let failed = |name: &str, error: &io::Error| {
        Failure::output(&format!("cannot write {}", folder.root().join(name).display()), error)
    };
    let write =
        |name: &str, text: &str| folder.write(name, text.as_bytes()).map_err(|error| failed(name, &error));
    write("report.json", &lab_report::json::to_string(findings))?;
    write("report.html", &lab_report::html::run(findings))?;
    for client in &findings.clients {
        if let Some(page) = lab_report::html::client(findings, &client.id) {
            folder
                .write_in(RunFolder::CLIENTS, &lab_report::html::file_name(&client.id), page.as_bytes())
                .map_err(|error| failed(RunFolder::CLIENTS, &error))?;
        }
    }
    folder.hand_over().map_err(|error| failed("", &error))
}
