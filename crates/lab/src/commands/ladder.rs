//! `lab ladder`: what each mitigation is worth, in virtual time.

use std::sync::atomic::{AtomicUsize, Ordering};

use lab_model::Lab;
use lab_model::units;
use lab_sim::{Ladder, Options, Range, Rung, Trials};
use serde_json::{Value, json};

use super::{
    ExitError,
    trials::{about, figures, nanoseconds, range, seeds, storm_only, trials_json},
    up::{refuse_what_is_not_simulated, rules_here},
};
use crate::{arguments, labs::Places, parallel, table::Table, terminal};

pub(super) fn ladder(places: &Places, arguments: &arguments::Ladder) -> Result<u8, ExitError> {
    let lab = storm_only(places.read(&arguments.name)?);
    let kernel = rules_here(arguments.rules);
    refuse_what_is_not_simulated(&lab, kernel)?;
    let seeds = seeds(&lab, arguments.trials);
    let progress = terminal::Progress::new(&format!("trying mitigations on {}", lab.name));
    let options = Options::new(&lab, kernel);
    let alone_ns = units::float(options.costs.open_entry + options.costs.open_exit);
    let done = AtomicUsize::new(0);
    let ladder = lab_sim::ladder(&lab, &options, &seeds, &|labs| {
        let so_far = |_| progress.done(done.fetch_add(1, Ordering::Relaxed) + 1);
        parallel::map(labs, parallel::threads(None), so_far, |lab| lab_sim::trials(lab, &options, &seeds))
    });
    progress.end();
    if arguments.json {
        let rung = |rung: &Rung| rung_json(&ladder.base, rung, alone_ns);
        let rungs = |rungs: &[Rung]| -> Vec<Value> { rungs.iter().map(rung).collect() };
        let mutes: Vec<Value> = lab
            .clients
            .iter()
            .zip(ladder.mutes.iter().zip(&ladder.muted))
            .map(|(client, (mute, (all, muted)))| {
                json!({ "client": client.id.as_str(), "mute": mute, "decisions": all, "muted": muted })
            })
            .collect();
        let whole = json!({
            "schema": 1, "lab": lab.name, "backend": "sim", "rules": kernel.name(), "seeds": seeds,
            "base": trials_json(&ladder.base), "alone": rungs(&ladder.alone), "climb": rungs(&ladder.climb),
            "mute_set": mutes,
        });
        terminal::print_json(&whole)?;
        return Ok(0);
    }
    let last =
        |rung: &Rung| rung.with.last().map(|mitigation| mitigation.name()).unwrap_or_default().to_owned();
    let mut text = about(&lab, kernel.name(), &seeds);
    text.push_str(
        "change: of p99, run by run against the lab as it is; user cost: what an open takes longer than without clients\n\n",
    );
    text.push_str(&table("one at a time", &ladder, &ladder.alone, alone_ns, &last));
    text.push('\n');
    if ladder.climb.is_empty() {
        text.push_str("  none of them helps\n");
    } else {
        let more = |rung: &Rung| format!("+ {}", last(rung));
        text.push_str(&table("best order", &ladder, &ladder.climb, alone_ns, &more));
    }
    text.push_str("\n  what each one is blind to\n");
    let mut blind = Table::default().words([1]);
    for rung in &ladder.alone {
        for mitigation in &rung.with {
            blind.row([mitigation.name(), mitigation.blind_spot()].map(str::to_owned));
        }
    }
    text.push_str(&blind.text());
    text.push_str(&mute_text(&lab, &ladder));
    terminal::say(&text)?;
    Ok(0)
}

/// A line for the lab as it is and one for each rung.
fn table(
    lead: &str,
    ladder: &Ladder,
    rungs: &[Rung],
    alone_ns: f64,
    name: &dyn Fn(&Rung) -> String,
) -> String {
    let headings = [lead, "outcome", "gain", "open p99", "change", "missed", "user cost"];
    let mut table = Table::new(headings).words([1]);
    let line = |name: String, trials: &Trials, change: Option<Range>| {
        let [outcome, ..] = figures(trials);
        [
            name,
            outcome,
            range(trials.gain, &units::number),
            range(trials.open_p99, &nanoseconds),
            range(change, &percent),
            range(trials.missed, &units::number),
            range(user_cost(trials, alone_ns), &nanoseconds),
        ]
    };
    table.row(line("as it is".to_owned(), &ladder.base, None));
    for rung in rungs {
        let change = lab_sim::change(&ladder.base, &rung.trials, |run| run.open_p99_ns);
        table.row(line(name(rung), &rung.trials, change));
    }
    table.text()
}

fn percent(share: f64) -> String {
    format!("{:+.0}%", share * 100.0)
}

/// What the median open takes longer than one that nobody is asked about.
fn user_cost(trials: &Trials, alone_ns: f64) -> Option<Range> {
    let above = |value: f64| (value - alone_ns).max(0.0);
    trials.open_p50.map(|Range { low, median, high }| Range {
        low: above(low),
        median: above(median),
        high: above(high),
    })
}

/// The mutes as a lab file has them, and what they do not see.
fn mute_text(lab: &Lab, ladder: &Ladder) -> String {
    let mut text = String::new();
    for ((client, mute), (all, muted)) in lab.clients.iter().zip(&ladder.mutes).zip(&ladder.muted) {
        if mute.is_none() {
            continue;
        }
        let helpers = if mute.helpers { "helpers: true, " } else { "" };
        let paths = if mute.paths.is_empty() {
            String::new()
        } else {
            format!("paths: [{}], ", mute.paths.join(", "))
        };
        text.push_str(&format!(
            "    - {{ id: {}, behavior: {{ mute: {{ {helpers}{paths}processes: [{}] }} }} }}  # {} of {} decisions\n",
            client.id,
            mute.processes.join(", "),
            units::count(*muted),
            units::count(*all),
        ));
    }
    if text.is_empty() {
        return "\n  no mute would take anything away\n".to_owned();
    }
    let blind = lab_sim::Mitigation::PeerMute.blind_spot();
    format!(
        "\n  a mute set to paste below clients:, and the decisions that it takes away\n{text}    blind to: {blind}\n"
    )
}

fn rung_json(base: &Trials, rung: &Rung, alone_ns: f64) -> Value {
    let with: Vec<&str> = rung.with.iter().map(|mitigation| mitigation.name()).collect();
    let range = |range: Option<Range>| {
        range.map(|range| json!({ "low": range.low, "median": range.median, "high": range.high }))
    };
    let change = lab_sim::change(base, &rung.trials, |run| run.open_p99_ns);
    let cost = user_cost(&rung.trials, alone_ns);
    json!({
        "with": with,
        "trials": trials_json(&rung.trials),
        "open_p99_change": range(change),
        "user_cost_ns": range(cost),
    })
}
