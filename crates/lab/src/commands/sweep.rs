//! `lab sweep` and `lab merge`: one lab with many settings, on any kernel, and what that adds up to.
//!
//! Every cell's runs are written to a file as soon as they are there. A sweep that is started again takes from it
//! what is still valid: the same lab, seeds, kernel and version.

mod axes;
mod emit;
mod results;

use std::path::PathBuf;

use lab_analysis::findings::{self, Findings};
use lab_model::units;
use lab_model::{Backend, BackendChoice, Execution, Kernel, Lab, PhaseKind};
use lab_orchestrator::{Failure, FailureKind, RunFolder};
use lab_process::platform::KERNEL;
use lab_report::sweep as picture;
use lab_sim::{Cell, Options, Outcome, Row, Trial, Trials};
use serde_json::{Value, json};

use self::results::{Cells, Results};
use super::{
    ExitError,
    trials::{HEADINGS, figures, seeds, storm_only, trials_json},
    up::{self, refuse_what_is_not_simulated, rules_here},
};
use crate::{
    arguments::{Merge, Sweep},
    labs::{Places, relative},
    output, parallel,
    table::Table,
    terminal,
};

pub(super) fn sweep(places: &Places, arguments: &Sweep) -> Result<u8, ExitError> {
    let lab = storm_only(places.read(&arguments.name)?);
    let backend = decide(arguments)?;
    if backend.execution == Execution::Simulated {
        refuse_what_is_not_simulated(&lab, backend.kernel)?;
    }
    let axes = axes::axes(&arguments.vary)?;
    let cells = lab_sim::cells(&lab, &axes);
    let seeds = seeds(&lab, arguments.trials);
    if let Some(engine) = arguments.emit {
        let folder = arguments.output.clone().unwrap_or_else(|| PathBuf::from(format!("sweep-{}", lab.name)));
        return emit::emit(places, engine, &folder, &lab, backend, &cells, &seeds);
    }
    let names: Vec<&'static str> = axes.iter().map(lab_sim::Axis::name).collect();
    let fingerprint = results::fingerprint(&lab, &names, backend);
    let folder = arguments.output.clone().unwrap_or_else(|| {
        places.runs.path().join("sweeps").join(format!("{}-{fingerprint:016x}", lab.name))
    });
    let results = Results::open(places, &folder, backend, &cells, &seeds)?;
    let progress = terminal::Progress::new(&format!("sweeping {}", lab.name));
    match backend.execution {
        Execution::Simulated => {
            parallel::map(
                &cells,
                parallel::threads(arguments.jobs),
                |done| progress.at(done, cells.len()),
                |cell| {
                    results.complete(cell, |missing| {
                        let options = Options::new(&cell.lab, backend.kernel);
                        Ok(lab_sim::run_cell(cell, &options, missing).runs)
                    })
                },
            )
            .into_iter()
            .collect::<Result<(), ExitError>>()?;
        }
        Execution::Live => {
            for (place, cell) in cells.iter().enumerate() {
                results.complete(cell, |missing| {
                    missing
                        .iter()
                        .map(|&seed| live_trial(places, cell, backend, seed, place, cells.len()))
                        .collect()
                })?;
            }
        }
    }
    progress.end();
    let found = results.cells()?;
    show(places, &lab.name, backend, &names, &found, &folder, arguments.json)
}

/// Where the cells run.
fn decide(arguments: &Sweep) -> Result<Backend, ExitError> {
    match arguments.backend {
        None | Some(BackendChoice::Simulated) => Ok(Backend::simulated(rules_here(arguments.rules))),
        Some(_) if arguments.rules.is_some() => {
            Err(ExitError::usage("--rules is for the simulator", "leave --backend or --rules out"))
        }
        Some(BackendChoice::Live(kernel)) => live(kernel),
        Some(BackendChoice::Auto) => {
            // Whoever wants the simulator gets it without asking for a kernel.
            lab_doctor::live_works(lab_doctor::Consent::No).map_err(|reason| {
                Failure::new(FailureKind::Privilege, format!("no live sweep can run here: {reason}"))
                    .mend("leave --backend out to sweep in the simulator")
            })?;
            live(KERNEL)
        }
    }
}

fn live(kernel: Kernel) -> Result<Backend, ExitError> {
    match kernel {
        Kernel::Fanotify => Ok(Backend::live(kernel)),
        Kernel::EndpointSecurity => Err(ExitError::usage(
            format!("a sweep on {} is not there yet", kernel.name()),
            format!("use --rules {}", kernel.name()),
        )),
    }
}

/// One live run of a cell, which is at this place among so many.
fn live_trial(
    places: &Places,
    cell: &Cell,
    backend: Backend,
    seed: u64,
    place: usize,
    count: usize,
) -> Result<Trial, ExitError> {
    let lab = Lab { seed, backend: backend.choice(), ..cell.lab.clone() };
    let settings: Vec<String> = cell.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    terminal::eprint(&format!("cell {} of {count}: {}, seed {seed}\n", place + 1, settings.join(" ")));
    let (folder, controlled) = up::live(places, &lab, &up::LiveOptions::USUAL)?;
    controlled?;
    Ok(trial_of(&lab_orchestrator::review(&folder)?.findings))
}

/// What a run's report says, as a sweep keeps it.
fn trial_of(findings: &Findings) -> Trial {
    let storm = findings.phases.iter().find(|phase| phase.kind == PhaseKind::Storm);
    let latency = storm.map(|storm| &storm.op_latency_ns).filter(|latency| latency.count > 0);
    Trial {
        seed: findings.seed,
        outcome: match findings.outcome {
            findings::Outcome::Stable => Outcome::Stable,
            findings::Outcome::Saturated => Outcome::Saturated,
            findings::Outcome::Divergent => Outcome::Divergent,
            findings::Outcome::Deadlocked => Outcome::Deadlocked,
            findings::Outcome::Unknown => Outcome::Unknown,
        },
        amplification: findings.amplification,
        open_p50_ns: latency.map(|latency| units::float(latency.p50)),
        open_p99_ns: latency.map(|latency| units::float(latency.p99)),
        missed: units::float(findings.clients.iter().map(|client| client.deadline_misses).sum()),
        in_flight: findings.drain.as_ref().map(|drain| units::float(drain.in_flight)),
        gain: findings.loop_gain.map(|gain| gain.value),
    }
}

/// Reads what the jobs of an emitted sweep have left.
pub(super) fn merge(places: &Places, arguments: &Merge) -> Result<u8, ExitError> {
    let (manifest, folder) = emit::manifest(&arguments.folders)?;
    let mut cells = manifest.rows();
    let mut foreign = 0;
    let mut runs = Vec::new();
    for folder in &arguments.folders {
        runs_below(places, folder, &mut runs)?;
    }
    for run in runs {
        let lab = lab_orchestrator::lab_of(&run)?;
        let key = results::key(&lab, manifest.backend);
        let here = lab.backend == manifest.backend.choice();
        let Some(row) = cells.iter_mut().find(|row| here && row.key == key) else {
            foreign += 1;
            continue;
        };
        let trial = trial_of(&lab_orchestrator::findings_of(&run)?);
        row.runs.retain(|other| other.seed != trial.seed);
        row.runs.push(trial);
    }
    let expected = manifest.seeds.len() * cells.len();
    let there: usize = cells.iter().map(|row| row.runs.len()).sum();
    terminal::eprint(&format!(
        "{there} of {expected} runs are there; {foreign} belong to no cell of this sweep\n"
    ));
    let names: Vec<&str> = manifest.axes.iter().map(String::as_str).collect();
    let code = show(places, &manifest.lab, manifest.backend, &names, &cells, &folder, arguments.json)?;
    Ok(if there < expected { 2 } else { code })
}

/// All run folders in a folder, in the order of their paths.
fn runs_below(
    places: &Places,
    folder: &std::path::Path,
    found: &mut Vec<RunFolder>,
) -> Result<(), ExitError> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    // `latest` is a link to a run that is there under its own name.
    paths.retain(|path| path.is_dir() && !path.is_symlink());
    for path in paths {
        if path.join("lab.yaml").is_file() && path.join("traces").is_dir() {
            found.push(RunFolder::at(&path, &places.trusted)?);
        } else {
            runs_below(places, &path, found)?;
        }
    }
    Ok(())
}

/// The table or the JSON on standard output, and the picture beside the results.
fn show(
    places: &Places,
    lab: &str,
    backend: Backend,
    names: &[&str],
    cells: &Cells,
    folder: &std::path::Path,
    as_json: bool,
) -> Result<u8, ExitError> {
    let trials: Vec<Trials> = cells.iter().map(|row| Trials::of(row.runs.clone())).collect();
    let path = folder.join("sweep.html");
    let page = picture::page(&pictured(lab, backend, names, cells, &trials));
    output::replace(places, &path, &page)
        .map_err(|error| ExitError::output(&format!("cannot write {}", path.display()), &error))?;
    if as_json {
        let rows: Vec<Value> = cells
            .iter()
            .zip(&trials)
            .map(|(row, trials)| {
                let settings: serde_json::Map<String, Value> =
                    row.settings.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
                json!({ "settings": settings, "trials": trials_json(trials) })
            })
            .collect();
        let whole = json!({ "schema": 1, "lab": lab, "backend": backend, "cells": rows });
        terminal::print_json(&whole)?;
        return Ok(0);
    }
    let mut headings: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    headings.extend(HEADINGS.map(str::to_owned));
    let mut table = Table::with(headings).words([names.len()]);
    for (row, trials) in cells.iter().zip(&trials) {
        table.row(row.settings.iter().map(|(_, value)| value.clone()).chain(figures(trials)));
    }
    let runs = cells.first().map_or(0, |row| row.runs.len());
    let of_each = units::counted(units::count_of(runs), "run");
    let spread = if runs > 1 { "; median, and lowest to highest where they differ" } else { "" };
    let text = format!("{lab}: {backend}, {of_each} of each{spread}\n\n{}", table.text());
    terminal::say(&format!("{text}\npicture  {}\n", relative(&path).display()))?;
    Ok(0)
}

/// The rows as the picture wants them.
fn pictured(lab: &str, backend: Backend, names: &[&str], cells: &Cells, trials: &[Trials]) -> picture::Sweep {
    let figure = |range: Option<lab_sim::Range>| {
        range.map(|range| picture::Figure { low: range.low, median: range.median, high: range.high })
    };
    let cell = |(row, trials): (&Row, &Trials)| picture::Cell {
        settings: row.settings.iter().map(|(_, value)| value.clone()).collect(),
        outcome: trials.worst().map_or("unknown", Outcome::name).to_owned(),
        open_p50_ns: figure(trials.open_p50),
        open_p99_ns: figure(trials.open_p99),
        amplification: figure(trials.amplification),
    };
    picture::Sweep {
        lab: lab.to_owned(),
        ground: backend.to_string(),
        axes: names.iter().map(|name| (*name).to_owned()).collect(),
        cells: cells.iter().zip(trials).map(cell).collect(),
    }
}
