//! `lab up --repeat`: one lab several times, one run after the other, and how far the runs differ.

use std::collections::BTreeMap;

use lab_analysis::{
    compare::{self, NumberSpread, Run},
    findings::{Findings, Judgement},
};
use lab_model::{Execution, Lab, PhaseKind, units};
use lab_orchestrator::RunFolder;
use serde_json::{Value, json};

use super::{
    ExitError, report,
    up::{self, Decided},
};
use crate::{arguments::Up, labs::Places, terminal};

/// The runs that took place.
struct Repeated<'a> {
    lab: &'a Lab,
    /// How many there were to be.
    planned: u32,
    /// The seed of each, and what it showed.
    runs: Vec<(u64, Findings)>,
    json: bool,
}

pub(super) fn repeat(
    places: &Places,
    lab: &Lab,
    decided: &Decided,
    planned: u32,
    arguments: &Up,
) -> Result<u8, ExitError> {
    let mut repeated = Repeated { lab, planned, runs: Vec::new(), json: arguments.json };
    let ended = repeated.all(places, decided, arguments);
    repeated.sum_up(ended.is_ok())?;
    ended?;
    Ok(repeated.exit_code())
}

impl Repeated<'_> {
    /// Makes all runs, until one fails to be one: a signal in a live lab ends that lab in its own way, and is such a
    /// failure; at any other time it ends this process at once, and the lines so far have said how many ran.
    fn all(&mut self, places: &Places, decided: &Decided, arguments: &Up) -> Result<(), ExitError> {
        for place in 0..self.planned {
            let seed = match decided.backend.execution {
                Execution::Live => self.lab.seed,
                Execution::Simulated => self.lab.seed.wrapping_add(u64::from(place)),
            };
            let lab = Lab { seed, ..self.lab.clone() };
            let (folder, controlled) = up::ran(places, &lab, decided, arguments)?;
            let review = lab_orchestrator::review(&folder)?;
            up::write(places, &folder, &review.findings)?;
            self.take(seed, &folder, review.findings)?;
            controlled?;
        }
        Ok(())
    }

    /// Keeps a run, and says how it ended.
    fn take(&mut self, seed: u64, folder: &RunFolder, findings: Findings) -> Result<(), ExitError> {
        self.runs.push((seed, findings));
        let Some((_, findings)) = self.runs.last() else { return Ok(()) };
        let line = format!(
            "{} of {}  {}/{}  {}\n",
            self.runs.len(),
            self.planned,
            self.lab.name,
            folder.name(),
            in_words(findings)
        );
        if self.json {
            terminal::eprint(&line);
            Ok(())
        } else {
            terminal::say(&line)
        }
    }

    /// Says how far the runs differ, and how many of them there were.
    fn sum_up(&self, all: bool) -> Result<(), ExitError> {
        let settings = BTreeMap::new();
        let runs: Vec<Run<'_>> =
            self.runs.iter().map(|(_, findings)| Run { findings, settings: &settings }).collect();
        let numbers = compare::spread(&runs);
        if self.json {
            return terminal::print_json(&self.as_json(&runs, &numbers));
        }
        if runs.is_empty() {
            return terminal::say(&format!("none of {} ran\n", self.counted()));
        }
        let mut text = format!("\n{}\n\n", self.headline(&runs, all));
        if runs.len() == 1 {
            text.push_str("  One run has no spread.\n");
        }
        terminal::say(&text)?;
        if runs.len() > 1 {
            terminal::print_painted(&lab_report::text::spread(
                &numbers,
                runs.len(),
                false,
                &terminal::style(),
            ))?;
        }
        let set = if runs.len() == 1 { String::new() } else { format!("@{}", runs.len()) };
        // To try it takes as long as some of the runs, and comes out alike for all of them.
        terminal::say(&format!(
            "\ncompare  lab diff BEFORE {lab}{set}\nmend     lab report {lab} tries what would mend it\n",
            lab = self.lab.name
        ))
    }

    fn headline(&self, runs: &[Run<'_>], all: bool) -> String {
        let count = |wanted: Judgement| {
            self.runs.iter().filter(|(_, findings)| findings.judgement() == wanted).count()
        };
        let judged: Vec<String> = [Judgement::Good, Judgement::Failed, Judgement::Unknown]
            .into_iter()
            .filter(|wanted| count(*wanted) > 0)
            .map(|wanted| format!("{} {}", count(wanted), wanted.name()))
            .collect();
        let ran = if all {
            self.counted()
        } else {
            format!("{} of {} ran, and no more", runs.len(), self.counted())
        };
        format!("{}: {ran}: {}; outcome {}", self.lab.name, judged.join(", "), compare::outcomes(runs))
    }

    /// `5 runs`.
    fn counted(&self) -> String {
        units::counted(u64::from(self.planned), "run")
    }

    fn as_json(&self, runs: &[Run<'_>], numbers: &[NumberSpread]) -> Value {
        let of_run = |(seed, findings): &(u64, Findings)| {
            json!({
                "run": findings.run,
                "seed": seed,
                "state": findings.state.word,
                "outcome": findings.outcome,
                "judgement": findings.judgement(),
                "exit_code": report::exit_code(findings),
            })
        };
        json!({
            "schema": 1,
            "lab": self.lab.name,
            "planned": self.planned,
            "runs": self.runs.iter().map(of_run).collect::<Vec<Value>>(),
            "outcomes": compare::outcomes(runs),
            "numbers": numbers,
        })
    }

    /// That of the worst run: something failed, or else it cannot be told.
    fn exit_code(&self) -> u8 {
        let codes: Vec<u8> = self.runs.iter().map(|(_, findings)| report::exit_code(findings)).collect();
        if codes.contains(&1) { 1 } else { codes.into_iter().max().unwrap_or(2) }
    }
}

/// How a run ended, in a few words.
fn in_words(findings: &Findings) -> String {
    let mut words = vec![
        findings.judgement().name().to_owned(),
        findings.state.word.name().to_owned(),
        findings.outcome.name().to_owned(),
    ];
    let storm = findings.phases.iter().find(|phase| phase.kind == PhaseKind::Storm);
    if let Some(storm) = storm.filter(|storm| storm.op_latency_ns.count > 0) {
        let latency = &storm.op_latency_ns;
        words.push(format!("operation p50 {}", units::time(latency.p50)));
    }
    let answers = findings.answers();
    if let Some(missed) = answers.missed {
        words.push(format!("{} missed", units::count(missed.deadlines)));
    }
    if let Some(closest) = answers.closest {
        let share = if closest.at_most {
            units::share_at_most(closest.headroom)
        } else {
            units::share(closest.headroom)
        };
        words.push(format!("lowest headroom {share}"));
    }
    words.join(", ")
}
