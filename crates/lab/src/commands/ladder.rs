//! `lab ladder`: what each mitigation is worth, in virtual time.

use lab_sim::{Options, Rung, Trials};
use serde_json::{Value, json};

use super::{
    Stop,
    trials::{HEADINGS, about, figures, seeds, storm_only, trials_json},
    up::{refuse_what_is_not_simulated, rules_here},
};
use crate::{arguments::Ladder, labs::Places, table::Table, terminal};

pub(super) fn ladder(places: &Places, arguments: &Ladder) -> Result<u8, Stop> {
    let lab = storm_only(places.read(&arguments.name)?);
    refuse_what_is_not_simulated(&lab)?;
    let kernel = rules_here(arguments.rules);
    let seeds = seeds(&lab, arguments.trials);
    let progress = terminal::Progress::new(&format!("trying mitigations on {}", lab.name));
    let ladder = lab_sim::ladder(&lab, &Options::new(&lab, kernel), &seeds);
    progress.end();
    if arguments.json {
        let rungs = |rungs: &[Rung]| -> Vec<Value> { rungs.iter().map(rung_json).collect() };
        let whole = json!({
            "schema": 1, "lab": lab.name, "backend": "sim", "rules": kernel.name(), "seeds": seeds,
            "base": trials_json(&ladder.base), "alone": rungs(&ladder.alone), "climb": rungs(&ladder.climb),
        });
        terminal::print_json(&whole)?;
        return Ok(0);
    }
    let table = |lead: &str, first: (&str, &Trials), rungs: &[Rung], name: &dyn Fn(&Rung) -> String| {
        let headings = [lead].into_iter().chain(HEADINGS).map(str::to_owned).collect();
        let mut table = Table::with(headings).words([1]);
        table.row([first.0.to_owned()].into_iter().chain(figures(first.1)));
        for rung in rungs {
            table.row([name(rung)].into_iter().chain(figures(&rung.trials)));
        }
        table.text()
    };
    let last =
        |rung: &Rung| rung.with.last().map(|mitigation| mitigation.name()).unwrap_or_default().to_owned();
    let mut text = about(&lab, kernel.name(), &seeds) + "\n";
    text.push_str(&table("one at a time", ("as it is", &ladder.base), &ladder.alone, &last));
    text.push('\n');
    if ladder.climb.is_empty() {
        text.push_str("  none of them helps\n");
    } else {
        let more = |rung: &Rung| format!("+ {}", last(rung));
        text.push_str(&table("best order", ("as it is", &ladder.base), &ladder.climb, &more));
    }
    text.push_str("\n  what each one is blind to\n");
    let mut blind = Table::default().words([1]);
    for rung in &ladder.alone {
        for mitigation in &rung.with {
            blind.row([mitigation.name(), mitigation.blind_spot()].map(str::to_owned));
        }
    }
    terminal::say(&(text + &blind.text()))?;
    Ok(0)
}

fn rung_json(rung: &Rung) -> Value {
    let with: Vec<&str> = rung.with.iter().map(|mitigation| mitigation.name()).collect();
    json!({ "with": with, "trials": trials_json(&rung.trials) })
}
