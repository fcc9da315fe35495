//! Sets of runs as a user names them: one run, several, or the last ones of a lab.

use std::{collections::BTreeMap, collections::BTreeSet, path::PathBuf};

use lab_analysis::{compare::Run, findings::Findings};
use lab_model::{Lab, units};
use lab_orchestrator::{RunFolder, StoredRun};
use serde_json::Value;

use super::{ExitError, report, sim::simulated_rules};
use crate::{
    labs::{Places, relative},
    terminal,
};

/// The most runs of one side. Each keeps its folder open, of which a process may have 1,024.
const RUNS_MAX: usize = 200;

/// What stands between a lab and the number of its last runs.
const LAST: char = '@';

/// A set of runs that has been read.
pub(super) struct RunSet {
    runs: Vec<(Findings, BTreeMap<String, String>)>,
}

impl RunSet {
    /// The runs as they are compared.
    pub(super) fn runs(&self) -> Vec<Run<'_>> {
        self.runs.iter().map(|(findings, settings)| Run { findings, settings }).collect()
    }

    /// LAB/TIME of each.
    pub(super) fn names(&self) -> Vec<String> {
        self.runs.iter().map(|(findings, _)| format!("{}/{}", findings.lab, findings.run)).collect()
    }

    /// The set in words: LAB/TIME of one run; of several how many, and from when to when where they are of one lab.
    pub(super) fn title(&self) -> String {
        let names = self.names();
        let labs: BTreeSet<&str> = self.runs.iter().map(|(findings, _)| findings.lab.as_str()).collect();
        match (names.as_slice(), labs.first()) {
            ([one], _) => one.clone(),
            ([first, .., last], Some(lab)) if labs.len() == 1 => {
                let time = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
                format!("{} runs of {lab}, {} to {}", names.len(), time(first), time(last))
            }
            (several, _) => format!("{} runs: {}", several.len(), several.join(", ")),
        }
    }
}

/// Finds the two sets of a comparison. Nothing may stand on both sides, or twice on one; a single run may be held against
/// itself.
pub(super) fn pair(places: &Places, names: [&str; 2]) -> Result<[Vec<RunFolder>; 2], ExitError> {
    let [before, after] = names.map(|names| set(places, names));
    let sides = [before?, after?];
    let mut seen: BTreeSet<PathBuf> = BTreeSet::new();
    let all = || sides.iter().flatten();
    for run in all() {
        let root = run.root().canonicalize().unwrap_or_else(|_| run.root().to_owned());
        if !seen.insert(root) && all().count() > 2 {
            let message = format!("the run {} is named twice", relative(run.root()).display());
            return Err(ExitError::usage(message, "name each run once, on one of the sides"));
        }
    }
    Ok(sides)
}

/// The runs of one side.
fn set(places: &Places, names: &str) -> Result<Vec<RunFolder>, ExitError> {
    // A path may have any letter in it.
    if let Some(run) = RunFolder::find(&places.runs, Some(names))? {
        return Ok(vec![run]);
    }
    let mut runs = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match name.rsplit_once(LAST) {
            Some((lab, which)) if RunFolder::find(&places.runs, Some(name))?.is_none() => {
                runs.extend(last(places, lab, which)?);
            }
            _ => runs.push(report::find(places, Some(name))?),
        }
        if runs.len() > RUNS_MAX {
            return Err(ExitError::usage(
                format!("\"{names}\" names more than {RUNS_MAX} runs"),
                "name fewer; ten a side tell small changes already",
            ));
        }
    }
    if runs.is_empty() {
        return Err(ExitError::usage("a side names no run", "write LAB, LAB/TIME, a path, or LAB@5"));
    }
    Ok(runs)
}

/// The last runs of a lab, the oldest first: `5`, or `6..10` for the five before these.
fn last(places: &Places, lab: &str, which: &str) -> Result<Vec<RunFolder>, ExitError> {
    let Some((from, to)) = places_of(which) else {
        return Err(ExitError::usage(
            format!("\"{which}\" says not which of the last runs of {lab}"),
            format!("{lab}@5 are its last five, {lab}@6..10 the five before these (at most {RUNS_MAX})"),
        ));
    };
    let mut stored: Vec<StoredRun> =
        RunFolder::all(&places.runs)?.into_iter().filter(|run| run.lab() == lab).collect();
    stored.sort_by_key(|run| in_time(&run.name()));
    if stored.len() < to {
        let has = units::counted(units::count_of(stored.len()), "run");
        return Err(ExitError::usage(
            format!(
                "{} holds {has} of {lab}, and {which} names more",
                relative(places.runs.path()).display()
            ),
            format!("make more: lab up {lab} --repeat {}", to - stored.len()),
        ));
    }
    let wanted = &stored[stored.len() - to..stored.len() + 1 - from];
    let mut runs = Vec::new();
    for run in wanted {
        // What is gone since it was listed is no part of the set that was meant.
        let open = run.open()?.ok_or_else(|| {
            ExitError::usage(format!("the run {lab}/{} is gone", run.name()), "name the runs again")
        })?;
        runs.push(open);
    }
    Ok(runs)
}

/// Which of the last runs are meant, counted from the newest: from 1, and the later at least the earlier.
fn places_of(which: &str) -> Option<(usize, usize)> {
    let number = |text: &str| text.parse::<usize>().ok().filter(|number| (1..=RUNS_MAX).contains(number));
    match which.split_once("..") {
        None => Some((1, number(which)?)),
        Some((from, to)) => Some((number(from)?, number(to)?)).filter(|(from, to)| from <= to),
    }
}

/// The order of runs: by their time, and those of one second (`TIME.2`) by their number.
fn in_time(name: &str) -> (String, u64) {
    let (time, again) = name.split_once('.').unwrap_or((name, "1"));
    (time.to_owned(), again.parse().unwrap_or(1))
}

/// Reads the runs of one side.
pub(super) fn read(runs: &[RunFolder]) -> Result<RunSet, ExitError> {
    let progress = terminal::Progress::new("reading runs:");
    let mut set = RunSet { runs: Vec::new() };
    for (place, run) in runs.iter().enumerate() {
        if runs.len() > 1 {
            progress.at(place, runs.len());
        }
        let review = lab_orchestrator::review(run)?;
        let settings = settings_of(run, &review.lab, &review.findings)?;
        set.runs.push((review.findings, settings));
    }
    progress.end();
    Ok(set)
}

/// Every setting of a run by its path, as text: the lab's, the kernel's and the machine's.
fn settings_of(
    folder: &RunFolder,
    lab: &Lab,
    findings: &Findings,
) -> Result<BTreeMap<String, String>, ExitError> {
    let mut settings = BTreeMap::new();
    let value = serde_json::to_value(lab).unwrap_or_default();
    flatten("", &value, &mut settings);
    if let Some(rules) = simulated_rules(folder)? {
        settings.insert("rules".to_owned(), rules.name().to_owned());
    }
    let machine = &findings.machine;
    settings.insert("machine.kernel".to_owned(), machine.kernel.clone());
    settings.insert("machine.processors".to_owned(), machine.cpus.to_string());
    settings.insert("machine.lab_version".to_owned(), machine.version.clone());
    Ok(settings)
}

/// Writes the leaves of a value by their paths. Entries of a list go by their ID where they have one.
fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(entries) => {
            for (key, entry) in entries {
                flatten(&below(key), entry, into);
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                let id = item.get("id").and_then(Value::as_str).map(str::to_owned);
                flatten(&below(&id.unwrap_or_else(|| (place + 1).to_string())), item, into);
            }
        }
        Value::String(text) => drop(into.insert(path.to_owned(), text.clone())),
        other => drop(into.insert(path.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_runs_count_from_the_newest() {
        assert_eq!(places_of("5"), Some((1, 5)));
        assert_eq!(places_of("6..10"), Some((6, 10)));
        assert_eq!(places_of("3..3"), Some((3, 3)));
        for nonsense in ["", "0", "-1", "201", "..", "1..", "..5", "5..3", "0..5", "1..201", "five", "1...3"]
        {
            assert_eq!(places_of(nonsense), None, "{nonsense}");
        }
        let mut names = ["T2", "T1.10", "T1.9", "T1"];
        names.sort_by_key(|name| in_time(name));
        assert_eq!(names, ["T1", "T1.9", "T1.10", "T2"]);
    }

    #[test]
    fn settings_go_by_the_id_of_what_they_belong_to() {
        let mut found = BTreeMap::new();
        flatten("", &json!({ "seed": 1, "clients": [{ "id": "a", "x": null }], "list": ["y"] }), &mut found);
        let found: Vec<String> = found.into_iter().map(|(path, value)| format!("{path}={value}")).collect();
        assert_eq!(found, ["clients.a.id=a", "clients.a.x=null", "list.1=y", "seed=1"]);
    }
}
