//! `lab conform`: the same labs on the real kernel and in virtual time, and how far the two agree.
//!
//! The simulator takes this machine's costs from runs of labs that are there for nothing else, so that every lab that
//! is compared is a prediction.

mod comparison;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use lab_analysis::findings::Findings;
use lab_model::{BackendChoice, Kernel, Lab, Span, Workload};
use lab_orchestrator::{RunFolder, Runs, StoredRun};
use lab_process::platform::KERNEL;
use lab_sim::{Costs, Options, Size};

use self::comparison::{Comparison, Conformance};
use super::{
    ExitError,
    calibration::{Calibrated, Gathered},
    up, virtual_run,
};
use crate::{
    arguments::Conform,
    labs::{Places, is_for_calibration, relative},
    output, parallel, terminal,
};

/// No phase of a short run is longer, unless something in it needs the time.
const SHORT: Span = Span::from_secs(1);
/// A storm that is to see a deadline pass goes on for this long after it.
const BEYOND: Span = Span::from_millis(500);
/// How many seeds each lab is simulated with.
const SEEDS: u64 = 3;

/// Exit codes of what a machine lacks: a backend, a client slot, a privilege.
const CANNOT: [u8; 3] = [69, 75, 77];

/// A lab and why it is not compared.
type Skipped = (String, String);

pub(super) fn conform(places: &Places, arguments: &Conform) -> Result<u8, ExitError> {
    if let Some(folder) = &arguments.output {
        // Minutes of runs must not end at a folder that is not there.
        let what = format!("cannot make {}", folder.display());
        output::folder(places, folder).map_err(|error| ExitError::output(&what, &error))?;
    }
    let (ran, skipped) = match &arguments.recorded {
        Some(folder) => recorded(places, folder, arguments)?,
        None => run_all(places, arguments)?,
    };
    let (for_calibration, compared): (Vec<Ran>, Vec<Ran>) = ran
        .into_iter()
        .partition(|(lab, _)| is_for_calibration(&lab.name) && !arguments.names.contains(&lab.name));
    let calibrated = calibrated(&for_calibration, &compared, arguments.from.as_deref())?;
    let machine = compared.first().and_then(|(_, runs)| runs.first());
    let Some(machine) = machine.map(|run| run.findings.machine.clone()) else {
        return Err(ExitError::usage("there is no lab to compare", "name one: three-clients"));
    };
    let costs = calibrated.calibration.costs;
    let rows: Vec<Comparison> = compared
        .iter()
        .map(|(lab, runs)| {
            let live: Vec<&Findings> = runs.iter().map(|run| &run.findings).collect();
            if let Some(parts) = lab_sim::not_simulated(lab) {
                return Ok(Comparison::live_only(lab, &live, parts));
            }
            let simulated = simulated(lab, costs)?;
            let plan = lab_sim::plan(lab, Kernel::Fanotify, costs);
            // Where a live kernel merges what a client acts on, the size is a bound and no law.
            let law = plan.roots.iter().map(|root| exact(root.size).filter(|_| !plan.merges)).collect();
            Ok(Comparison::of(lab, &live, &simulated, law))
        })
        .collect::<Result<_, ExitError>>()?;
    let runs = match (&arguments.recorded, rounds(arguments)) {
        (Some(_), _) => "recorded live runs".to_owned(),
        (None, 1) => "1 live run".to_owned(),
        (None, rounds) => format!("{rounds} live runs"),
    };
    let whole = Conformance { rows, skipped, runs, short: arguments.short, calibrated, machine };
    if let Some(folder) = &arguments.output {
        write(places, folder, &whole)?;
    }
    if arguments.json {
        terminal::print_json(&whole.json())?;
    } else {
        terminal::say(&whole.text())?;
    }
    Ok(whole.exit_code())
}

const fn rounds(arguments: &Conform) -> u32 {
    if arguments.short { 1 } else { arguments.rounds.get() }
}

/// A lab with its live runs.
type Ran = (Lab, Vec<LiveRun>);
/// Labs with their live runs, and those without any.
type Compared = (Vec<Ran>, Vec<Skipped>);

/// Takes the live runs that a run store holds already, each with the lab as it ran.
///
/// Runs of one lab that ran as different labs (an edited file, another seed) are not alike: those that are like the
/// newest count.
fn recorded(places: &Places, store: &Path, arguments: &Conform) -> Result<Compared, ExitError> {
    let names = &arguments.names;
    let nothing = |message: String| ExitError::usage(message, "name a run store: it holds LAB/TIME/traces");
    let mut of_lab: BTreeMap<String, Vec<StoredRun>> = BTreeMap::new();
    for run in RunFolder::all(&Runs::at(store.to_owned(), places.trusted.clone()))? {
        of_lab.entry(run.lab()).or_default().push(run);
    }
    if let Some(name) = names.iter().find(|name| !of_lab.contains_key(*name)) {
        return Err(nothing(format!("{} holds no run of {name}", store.display())));
    }
    let (mut compared, mut skipped) = (Vec::new(), Vec::new());
    let wanted = |name: &String| {
        let calibrates = arguments.from.is_none() && is_for_calibration(name);
        names.is_empty() || names.contains(name) || calibrates || arguments.from.as_ref() == Some(name)
    };
    for (name, stored) in of_lab.into_iter().filter(|(name, _)| wanted(name)) {
        let live = |run: &StoredRun| {
            let lab = lab_orchestrator::lab_of(&run.open().ok()??).ok()?;
            (lab.backend == BackendChoice::Live(Kernel::Fanotify)).then_some(lab)
        };
        let Some(newest) = stored.iter().rev().find_map(live) else {
            skipped.push((name, "none of its runs is a live one on fanotify".to_owned()));
            continue;
        };
        let progress = terminal::Progress::new(&format!("reading the runs of {name}"));
        let mut runs = Vec::new();
        for run in stored.iter().filter(|run| live(run).as_ref() == Some(&newest)) {
            runs.extend(run.open()?.map(reviewed).transpose()?);
        }
        progress.end();
        compared.push((newest, runs));
    }
    say_skipped(&skipped);
    if compared.is_empty() {
        return Err(nothing(format!("{} holds no live run", store.display())));
    }
    Ok((compared, skipped))
}

fn reviewed(folder: RunFolder) -> Result<LiveRun, ExitError> {
    let findings = lab_orchestrator::review(&folder)?.findings;
    Ok(LiveRun { folder, findings })
}

/// Runs every lab that this machine can, as often as asked.
fn run_all(places: &Places, arguments: &Conform) -> Result<Compared, ExitError> {
    let (labs, mut skipped) = chosen(places, arguments)?;
    // The simulator's costs are taken from fanotify's runs.
    let works = if KERNEL == Kernel::Fanotify {
        lab_doctor::live_works(lab_doctor::Consent::No)
    } else {
        Err("it is compared with fanotify, which is Linux's".to_owned())
    };
    if let Err(reason) = works {
        skipped.extend(labs.iter().map(|lab| (lab.name.clone(), reason.clone())));
        say_skipped(&skipped);
        let message = "no lab can run on this machine's kernel".to_owned();
        return Err(ExitError {
            code: 77,
            message,
            mend: Some("`lab doctor` says what is missing".to_owned()),
        });
    }
    let said = skipped.len();
    say_skipped(&skipped);
    let rounds = rounds(arguments);
    let mut compared = Vec::new();
    for lab in calibrating(places, arguments)?.into_iter().chain(labs) {
        match (1..=rounds).map(|round| live_round(places, &lab, round, rounds)).collect::<Result<Vec<_>, _>>()
        {
            Ok(runs) => compared.push((lab, runs)),
            // What the machine lacks is no fault of the lab's: a product that is not installed, for one.
            Err(stop) if CANNOT.contains(&stop.code) => skipped.push((lab.name, stop.message)),
            Err(stop) => return Err(stop),
        }
    }
    say_skipped(&skipped[said..]);
    Ok((compared, skipped))
}

/// The machine's costs: from the labs that are there for it, or from one that is compared. What starting a program costs
/// then comes from the baselines of the labs that run some: no client takes part in those.
fn calibrated(for_it: &[Ran], compared: &[Ran], from: Option<&str>) -> Result<Calibrated, ExitError> {
    let runs_programs = |lab: &Lab| lab.workload.iter().any(Workload::runs_programs);
    let can_calibrate = |(lab, _): &&Ran| lab_sim::not_simulated(lab).is_none();
    let mut sources: Vec<&Ran> = match from {
        None => for_it.iter().collect(),
        Some(name) => {
            let named = |(lab, _): &&Ran| lab.name == name;
            for_it.iter().chain(compared).filter(can_calibrate).find(named).into_iter().collect()
        }
    };
    if sources.is_empty() {
        let usual = |(lab, _): &&Ran| lab.name == "three-clients";
        let first = compared.iter().filter(can_calibrate).find(usual);
        let Some(first) = first.or_else(|| compared.iter().find(can_calibrate)) else {
            return Err(ExitError::usage(
                "none of these labs can be simulated",
                "name one that can: three-clients",
            ));
        };
        sources.push(first);
    }
    if let [one] = sources.as_slice() {
        let name = one.0.name.clone();
        sources.extend(compared.iter().filter(|(lab, _)| lab.name != name && runs_programs(lab)));
    }
    let mut gathered = Gathered::default();
    for (lab, runs) in sources {
        gathered.add(lab, &runs.iter().map(|run| &run.folder).collect::<Vec<_>>())?;
    }
    Ok(gathered.calibrated(Kernel::Fanotify))
}

const fn exact(size: Size) -> Option<u64> {
    match size {
        Size::Exact(size) => Some(size),
        Size::Varies | Size::Endless => None,
    }
}

/// The labs that only show what this machine costs, unless the costs come from another.
fn calibrating(places: &Places, arguments: &Conform) -> Result<Vec<Lab>, ExitError> {
    if arguments.from.is_some() {
        return Ok(Vec::new());
    }
    let read = |file: PathBuf| {
        let lab = places.read(&file.display().to_string())?;
        // They are short as they are, and a figure of less would be none.
        Ok(Lab { backend: BackendChoice::Live(Kernel::Fanotify), ..lab })
    };
    places.calibration_labs()?.into_iter().map(read).collect()
}

/// The labs that are compared, and those that cannot be.
fn chosen(places: &Places, arguments: &Conform) -> Result<(Vec<Lab>, Vec<Skipped>), ExitError> {
    let names = match arguments.names.as_slice() {
        [] => places.labs()?.into_iter().map(|(name, _)| name).collect(),
        names => names.to_vec(),
    };
    let (mut labs, mut skipped) = (Vec::new(), Vec::new());
    for name in names {
        let mut lab = places.read(&name)?;
        if matches!(lab.backend, BackendChoice::Simulated | BackendChoice::Live(Kernel::EndpointSecurity)) {
            skipped.push((lab.name, format!("it is for {} only", lab.backend.name())));
            continue;
        }
        lab.backend = BackendChoice::Live(Kernel::Fanotify);
        if arguments.short {
            shorten(&mut lab);
        }
        labs.push(lab);
    }
    Ok((labs, skipped))
}

/// Says what is left out on standard error, whatever the form of the result.
fn say_skipped(skipped: &[Skipped]) {
    for (name, reason) in skipped {
        terminal::eprint(&format!("SKIPPED {name}: {reason}\n"));
    }
}

/// Phases of a second and less. What must pass within them still does: a deadline that a storm outlasts.
fn shorten(lab: &mut Lab) {
    let phases = &mut lab.phases;
    let quarter = Span::from_nanos(SHORT.nanos() / 4);
    phases.baseline = phases.baseline.min(quarter);
    phases.control = phases.control.min(quarter);
    // A planned fault has its time in the storm, and what follows on it takes its own.
    if !lab.faults.is_empty() || lab.clients.iter().any(|client| client.restart.is_some()) {
        return;
    }
    phases.drain = phases.drain.min(SHORT);
    let outlasts = lab.deadline < phases.storm;
    let needed = if outlasts { Span::from_nanos(lab.deadline.nanos() + BEYOND.nanos()) } else { SHORT };
    // A deadline of minutes is not what such a storm is about.
    let needed = if needed > Span::from_secs(3) { SHORT } else { needed.max(SHORT) };
    // A storm that ends with its operations takes no longer than they do, and its law counts all of them.
    if !lab.workload.iter().all(|load| load.operations_max.is_some()) {
        phases.storm = phases.storm.min(needed);
    }
}

struct LiveRun {
    folder: RunFolder,
    findings: Findings,
}

fn live_round(places: &Places, lab: &Lab, round: u32, rounds: u32) -> Result<LiveRun, ExitError> {
    let of = if rounds > 1 { format!(", round {round} of {rounds}") } else { String::new() };
    terminal::eprint(&format!("{}{of}\n", lab.name));
    let (folder, controlled) = up::live(places, lab, &up::LiveOptions::USUAL)?;
    controlled?;
    let run = reviewed(folder)?;
    lab_orchestrator::write_pages(&run.folder, &run.findings)?;
    Ok(run)
}

/// The findings of the same lab in virtual time, by the same analysis: with the lab's own seed, and the next ones.
fn simulated(lab: &Lab, costs: Costs) -> Result<Vec<Findings>, ExitError> {
    let seeds: Vec<u64> = (0..SEEDS).map(|number| lab.seed.wrapping_add(number)).collect();
    let progress = terminal::Progress::new(&format!("simulating {}", lab.name));
    let all = parallel::map(&seeds, parallel::threads(None), |_| (), |&seed| of_seed(lab, costs, seed));
    progress.end();
    all.into_iter().collect()
}

fn of_seed(lab: &Lab, costs: Costs, seed: u64) -> Result<Findings, ExitError> {
    let options = Options { costs, seed, ..Options::new(lab, Kernel::Fanotify) };
    virtual_run::analysed(lab, &options).map(|(_, findings)| findings)
}

fn write(places: &Places, folder: &Path, whole: &Conformance) -> Result<(), ExitError> {
    let file = |name: &str, text: String| {
        let path = folder.join(name);
        let what = format!("cannot write {}", relative(&path).display());
        output::replace(places, &path, &text).map_err(|error| ExitError::output(&what, &error))
    };
    file("conformance.json", format!("{:#}\n", whole.json()))?;
    file("conformance.md", whole.markdown())
}
