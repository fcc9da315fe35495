//! `lab diff`: two runs, or two sets of runs, side by side.

use lab_analysis::compare::{Comparison, FailOn, Gate, compare};
use lab_orchestrator::RunFolder;
use serde_json::{Value, json};

use super::{ExitError, run_sets};
use crate::{arguments::Diff, labs::Places, terminal};

pub(super) fn diff(places: &Places, arguments: &Diff) -> Result<u8, ExitError> {
    let sides = run_sets::pair(places, [&arguments.before, &arguments.after])?;
    let all: Vec<&RunFolder> = sides.iter().flatten().collect();
    lab_orchestrator::give_up_to_read(&all, &[])?;
    let [before, after] = sides.each_ref().map(|side| run_sets::read(side));
    let (before, after) = (before?, after?);
    let comparison = compare(&before.runs(), &after.runs());
    require_known(&comparison, &arguments.fail_on)?;
    let gate = comparison.gate(&arguments.fail_on);
    let [name, other_name] = [before.title(), after.title()];
    if arguments.json {
        let whole = json!({
            "schema": 1,
            "before": name,
            "after": other_name,
            "runs": { "before": before.names(), "after": after.names() },
            "comparison": comparison,
            "gate": (!arguments.fail_on.is_empty()).then(|| as_json(&gate)),
        });
        terminal::print_json(&whole)?;
    } else {
        let names = [name.as_str(), other_name.as_str()];
        terminal::print_painted(&lab_report::text::comparison(&comparison, names, &terminal::style()))?;
        if !arguments.fail_on.is_empty() {
            terminal::say(&format!("\n{}\n", in_words(&gate, &arguments.fail_on)))?;
        }
    }
    if arguments.fail_on.is_empty() {
        return Ok(0);
    }
    Ok(match gate {
        Gate::Passed => 0,
        Gate::Failed(_) => 1,
        Gate::Unknown(_) => 2,
    })
}

/// Refuses a number that neither side has: a typing error must not pass for "nothing has changed".
fn require_known(comparison: &Comparison, fail_on: &[FailOn]) -> Result<(), ExitError> {
    let names = || comparison.numbers.iter().map(|number| number.name.as_str());
    for wanted in fail_on {
        let FailOn::Number(name) = wanted else { continue };
        if names().any(|known| known == name) {
            continue;
        }
        let mend = match lab_config::nearest(name, names()) {
            Some(near) => format!("did you mean \"{near}\"? It is `worse`, `any`, or a number of the table"),
            None => "write `worse`, `any`, or a number by its name in the table".to_owned(),
        };
        return Err(ExitError::usage(format!("these runs have no number \"{name}\""), mend));
    }
    Ok(())
}

/// The last line of a comparison that may fail a pipeline.
fn in_words(gate: &Gate, fail_on: &[FailOn]) -> String {
    let wanted: Vec<String> = fail_on.iter().map(|wanted| format!("\"{wanted}\"")).collect();
    let wanted = wanted.join(" or ");
    match gate {
        Gate::Passed => format!("passed   nothing has changed that fails on {wanted}"),
        Gate::Failed(numbers) => format!("failed   on {wanted}: {}", numbers.join(", ")),
        Gate::Unknown(reasons) => format!("unknown  whether it fails on {wanted}: {}", reasons.join("; ")),
    }
}

fn as_json(gate: &Gate) -> Value {
    match gate {
        Gate::Passed => json!({ "result": "passed" }),
        Gate::Failed(numbers) => json!({ "result": "failed", "numbers": numbers }),
        Gate::Unknown(reasons) => json!({ "result": "unknown", "reasons": reasons }),
    }
}
