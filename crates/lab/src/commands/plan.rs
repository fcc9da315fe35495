//! `lab plan`: what a lab would do and what it needs, before anything is touched.

use lab_bundle::Bundle;
use lab_doctor::{Finding, Outcome, Weight};
use lab_model::units;
use lab_model::{Lab, LoadKind, NotifyEvent, OperationKind, Run, Visible, Workload};
use lab_sim::{Costs, Kernel, Size};
use serde_json::{Value, json};

use super::{ExitError, machine, up::rules_here};
use crate::{
    arguments::Plan,
    labs::{Places, relative},
    table::Table,
    terminal,
};

pub(super) fn plan(places: &Places, arguments: &Plan) -> Result<u8, ExitError> {
    let lab = places.read(&arguments.name)?;
    let kernel = rules_here(arguments.rules);
    let plan = lab_sim::plan(&lab, kernel, Costs::default());
    let bundles = bundles(places, &lab, kernel);
    let findings = machine::examine(lab.clients.len(), Some(&lab));
    let missing: Vec<&Finding> =
        findings.iter().filter(|finding| finding.outcome == Outcome::Failed).collect();
    if arguments.json {
        terminal::print_json(&as_json(&lab, &plan, &bundles, &missing))?;
    } else {
        terminal::say(&as_text(&lab, &plan, &bundles, &missing))?;
    }
    Ok(0)
}

/// Where the bundles would lie.
fn bundles(places: &Places, lab: &Lab, kernel: Kernel) -> Vec<Bundle> {
    let into = if kernel.installs_clients() {
        lab_bundle::Places::of_the_system().bundles
    } else {
        relative(places.runs.path()).join(&lab.name).join("TIME").join("bundles")
    };
    lab.clients.iter().map(|client| Bundle::at(client, &into)).collect()
}

const fn what(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Open => "open",
        OperationKind::Exec => "exec",
        OperationKind::Process => "process",
    }
}

fn as_text(lab: &Lab, plan: &lab_sim::Plan, bundles: &[Bundle], missing: &[&Finding]) -> String {
    let about = if lab.about.is_empty() { String::new() } else { format!(": {}", lab.about) };
    let mut text = format!("{}{about}\n", lab.name);
    text.push_str(&predicted(plan));
    text.push_str(&rehearsed(lab, plan));
    text.push_str(
        "\nAUTH and NOTIFY events that each client gets, by originator, and its operations for each\n",
    );
    text.push_str(&matrix(lab, plan));
    text.push_str(&notify_table(lab, plan.kernel));
    text.push_str(&products(lab));
    text.push_str(&commands(lab));
    text.push_str("\nWould be installed for the run, and removed after it\n");
    let mut table = Table::default().words([1, 2]);
    for bundle in bundles {
        let path = bundle.root.display().to_string();
        table.row([bundle.client.to_string(), bundle.bundle_id.to_string(), path]);
    }
    text.push_str(&table.text());
    text.push_str("\nMissing here\n");
    if missing.is_empty() {
        text.push_str("  nothing that is known\n");
    }
    for finding in missing {
        let weight = if finding.weight == Weight::Required { "" } else { " (the lab can do without)" };
        text.push_str(&format!("  {}: {}{weight}\n", finding.check, finding.found));
        if let Some(mend) = &finding.mend {
            text.push_str(&format!("    help: {mend}\n"));
        }
    }
    text
}

/// What follows from the rules alone: sizes and gain.
fn predicted(plan: &lab_sim::Plan) -> String {
    let mut text = format!("\nPredicted, with {} rules\n", plan.kernel.name());
    for root in &plan.roots {
        let kind = what(root.kind);
        text.push_str(&match root.size {
            Size::Exact(decisions) => format!(
                "  each {kind} of the workload makes {} ({} for itself)\n",
                units::counted(decisions, "decision"),
                units::count(root.questions.min(decisions)),
            ),
            Size::Varies => format!(
                "  each {kind} of the workload makes {} decisions on average: what is muted, kept, denied or \
                 disturbed makes it depend on the file or the moment\n",
                plan.rehearsal.amplification.map_or_else(|| units::UNKNOWN.to_owned(), units::number),
            ),
            Size::Endless => {
                format!("  each {kind} of the workload sets off a cascade that does not end by itself\n")
            }
        });
    }
    if plan.merges {
        text.push_str("  an upper bound: fanotify merges unread events of one thread on one file\n");
    }
    text.push_str(&format!("  loop gain {}", units::number(plan.loop_gain)));
    text.push_str(&match plan.circle.as_slice() {
        [] => ": every cascade ends\n".to_owned(),
        [alone] => format!(": {alone} sets itself off\n"),
        several => format!(": {} set each other off\n", several.join(", ")),
    });
    text
}

/// What a short simulated storm shows.
fn rehearsed(lab: &Lab, plan: &lab_sim::Plan) -> String {
    let rehearsal = &plan.rehearsal;
    let time = |value: Option<u64>| value.map_or_else(|| units::UNKNOWN.to_owned(), units::time);
    let mut text = format!(
        "  outcome {} (a simulated storm of a second or less{})\n",
        rehearsal.outcome.name(),
        if lab.faults.is_empty() { "" } else { " beyond the planned faults" }
    );
    text.push_str(&format!(
        "  a root operation takes {} (p50), {} (p99)\n",
        time(rehearsal.open_p50),
        time(rehearsal.open_p99)
    ));
    text.push_str(&format!(
        "  the slowest decision leaves {} of the deadline of {}\n",
        match rehearsal.headroom_min {
            // Who was killed had not answered when its deadline ran out.
            Some(left) if rehearsal.summary.kills > 0 => units::share_at_most(left),
            left => units::maybe_share(left),
        },
        lab.deadline
    ));
    if lab.judge_of_signatures().is_some() {
        text.push_str(
            "  who signed a program is not known here: a rule about it counts as denying nothing\n",
        );
    }
    text
}

/// Who hears of what after it has happened; and what the kernel would tell nobody, for which `lab up` refuses the lab.
fn notify_table(lab: &Lab, kernel: Kernel) -> String {
    let mut text = String::new();
    for client in lab.clients.iter().filter(|client| lab.notifies(client)) {
        let events = lab.notify_events_of(client);
        let names: Vec<&str> = events.iter().map(NotifyEvent::word).collect();
        text.push_str(&format!("  {}: {}\n", client.id, names.join(", ")));
        for event in events.iter() {
            if let Some(why) = event.unsupported_by(kernel) {
                text.push_str(&format!("    not of `{}`: {why}; `lab up` refuses the lab\n", event.word()));
            }
        }
    }
    if text.is_empty() {
        return text;
    }
    let queue = kernel.notice_queue();
    format!("\nClients of NOTIFY events, for whom nobody waits (each takes another {queue})\n{text}")
}

/// The products that would be started beside the clients.
fn products(lab: &Lab) -> String {
    if lab.external.is_empty() {
        return String::new();
    }
    let mut text = "\nWould be started beside the clients, and is in none of the numbers above\n".to_owned();
    for product in &lab.external {
        text.push_str(&format!("  {}: as root: {}\n", product.id, command_line(&product.start)));
        for (name, value) in &product.environment {
            text.push_str(&format!("    with {}\n", command_line(&[format!("{name}={value}")])));
        }
        for folder in &product.private {
            text.push_str(&format!("    {} is its own in the lab, and vanishes with it\n", folder.path));
        }
        if let Some(kind) = product.arena {
            text.push_str(&format!("    the arena is a {}\n", kind.name()));
        }
    }
    text
}

/// The commands of the workload, which the lab did not write and cannot limit.
fn commands(lab: &Lab) -> String {
    let mut runs = lab.workload.iter().filter_map(run_of).peekable();
    if runs.peek().is_none() {
        return String::new();
    }
    let mut text = "\nThe workload would run commands, with everything that root may do\n".to_owned();
    for (load, run) in runs {
        let workers = units::counted(u64::from(load.workers), "worker");
        text.push_str(&format!("  as root, by {workers}: {}\n", command_line(&run.command)));
    }
    text
}

/// A load with the command that it runs, if it runs one.
const fn run_of(load: &Workload) -> Option<(&Workload, &Run)> {
    match &load.kind {
        LoadKind::Run(run) => Some((load, run)),
        _ => None,
    }
}

/// A command line as a shell would take it: what is not plain stands in quotes, so that it is seen where one word ends.
fn command_line(words: &[String]) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "_-./:=,+@%{}".contains(character);
    let quoted = words.iter().map(|word| {
        if !word.is_empty() && word.chars().all(plain) {
            return word.clone();
        }
        format!("'{}'", Visible::new(&word.replace('\'', r"'\''")))
    });
    quoted.collect::<Vec<String>>().join(" ")
}

fn matrix(lab: &Lab, plan: &lab_sim::Plan) -> String {
    let makers = plan.originators.iter().cloned();
    let headings = [String::new()].into_iter().chain(makers).chain(["workload".to_owned()]);
    let mut table = Table::with(headings.collect());
    for (place, client) in lab.clients.iter().enumerate() {
        let cell = |maker: usize| {
            let (sees, hears) = (plan.sees[place][maker], plan.hears[place][maker]);
            said(sees, hears, plan.reacts[place][maker])
        };
        let row = (0..plan.originators.len()).map(cell);
        let workload = plan.on_workload[place];
        let workload = said(workload.asked, workload.told, workload.operations);
        table.row([client.id.to_string()].into_iter().chain(row).chain([workload]));
    }
    table.text()
}

/// How a client learns of operations, and how many it makes for each.
fn said(asked: bool, told: bool, operations: u64) -> String {
    let how = match (asked, told) {
        (true, true) => "asked, told",
        (true, false) => "asked",
        (false, true) => "told",
        (false, false) => return units::UNKNOWN.to_owned(),
    };
    if operations == 0 { how.to_owned() } else { format!("{how} +{operations}") }
}

fn as_json(lab: &Lab, plan: &lab_sim::Plan, bundles: &[Bundle], missing: &[&Finding]) -> Value {
    let clients: Vec<&str> = lab.clients.iter().map(|client| client.id.as_str()).collect();
    let roots: Vec<Value> = plan
        .roots
        .iter()
        .map(|root| {
            let decisions = match root.size {
                Size::Exact(decisions) => Some(decisions),
                Size::Varies | Size::Endless => None,
            };
            let ends = root.size != Size::Endless;
            json!({ "kind": what(root.kind), "questions": root.questions, "decisions": decisions, "ends": ends })
        })
        .collect();
    let bundles: Vec<Value> = bundles
        .iter()
        .map(|bundle| {
            json!({
                "client": bundle.client.as_str(),
                "bundle_id": bundle.bundle_id.as_str(),
                "path": bundle.root.display().to_string(),
            })
        })
        .collect();
    let external: Vec<Value> = lab
        .external
        .iter()
        .map(|product| json!({ "id": product.id.as_str(), "start": product.start, "as": "root" }))
        .collect();
    let commands: Vec<Value> = lab
        .workload
        .iter()
        .filter_map(run_of)
        .map(|(load, run)| json!({ "command": run.command, "workers": load.workers, "as": "root" }))
        .collect();
    let missing: Vec<Value> = missing.iter().map(|finding| machine::json(finding)).collect();
    let rehearsal = &plan.rehearsal;
    json!({
        "schema": 1,
        "lab": lab.name,
        "rules": plan.kernel.name(),
        "clients": clients,
        "makers": plan.originators,
        "sees": plan.sees,
        "hears": plan.hears,
        "reacts": plan.reacts,
        "loop_gain": plan.loop_gain,
        "circle": plan.circle,
        "roots": roots,
        "rehearsal": {
            "outcome": rehearsal.outcome.name(),
            "amplification": rehearsal.amplification,
            "root_p50_ns": rehearsal.open_p50,
            "root_p99_ns": rehearsal.open_p99,
            "headroom_min": rehearsal.headroom_min,
        },
        "bundles": bundles,
        "external": external,
        "commands": commands,
        "missing": missing,
    })
}
