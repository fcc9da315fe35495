//! Commands about this machine: what runs on it, what was left behind, and whether it can run a lab.

use lab_doctor::{Finding, Outcome, Wanted, Weight};
use lab_model::Lab;
use lab_orchestrator::{
    Active, ClientsAre, Failure, FailureKind, Found, HOW_TO_END, Launcher, LivingLabs, REPORT_BYTES_MAX,
    RunFolder,
};
use lab_process::platform::KERNEL;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ExitError;
use crate::{
    arguments::{Doctor, Down, Status},
    labs::{Places, relative},
    table::Table,
    terminal,
};

/// Without a lab's name the doctor looks for room for this many clients.
const CLIENTS_USUAL: usize = 3;

pub(super) fn down(places: &Places, arguments: &Down) -> Result<u8, ExitError> {
    let living = if arguments.force { LivingLabs::End } else { LivingLabs::Stay };
    let mut say = |what: &str| terminal::eprint(&format!("{what}\n"));
    let found = lab_orchestrator::down(&places.runs, living, &mut say)?;
    // After the runs: their launchers and controllers may use the daemons to the last.
    let daemons =
        ClientsAre::here(arguments.daemons.stand_in.clone(), &places.trusted).and_then(|clients_are| {
            lab_orchestrator::down_daemons(&clients_are, &places.trusted, living, &mut say)
        });
    let taken = daemons.as_ref().map(|taken| taken.ended.is_some() || !taken.removed.is_empty());
    let freezers = lab_orchestrator::down_freezers();
    if found.is_empty() && taken == Ok(false) && freezers.is_empty() {
        terminal::print("nothing was left behind\n")?;
    }
    let up: Vec<String> = found.iter().filter_map(still_up).collect();
    for run in found.into_iter().filter(|run| run.up.is_none()) {
        let mut text = format!("{}\n", relative(&run.run).display());
        for pid in run.ended {
            text.push_str(&format!("  ended process {pid}\n"));
        }
        for path in run.removed {
            text.push_str(&format!("  removed {}\n", relative(&path).display()));
        }
        terminal::print(&text)?;
    }
    for group in freezers {
        terminal::print(&format!("removed the control group {}\n", group.display()))?;
    }
    if !up.is_empty() {
        return Err(ExitError::usage(up.join("; "), HOW_TO_END));
    }
    let daemons = daemons?;
    if let Some(pid) = daemons.ended {
        terminal::print(&format!("ended process {pid}, which had the daemons\n"))?;
    }
    for label in daemons.removed {
        terminal::print(&format!("removed the daemon {label}\n"))?;
    }
    Ok(0)
}

/// Says that the lab of a run is up, if it is.
fn still_up(run: &Found) -> Option<String> {
    let whose = match run.up? {
        Launcher::Process(pid) => format!("process {pid} runs it"),
        Launcher::Unknown => "a process that this `lab` did not start holds its folder".to_owned(),
    };
    Some(format!("{} is up and was left alone: {whose}", relative(&run.run).display()))
}

/// A run as `lab status` shows it.
#[derive(Clone, Debug, Serialize)]
struct Seen {
    lab: String,
    run: String,
    folder: String,
    /// True while its launcher or its controller lives.
    up: bool,
    backend: Option<String>,
    outcome: Option<String>,
    /// Whether the run was whole; `null` in a report of before this was said.
    state: Option<String>,
    expectations: Option<usize>,
    expectations_held: Option<usize>,
}

/// What `lab status` reads of a `report.json`.
#[derive(Deserialize)]
struct Headline {
    backend: Option<String>,
    outcome: Option<String>,
    state: Option<State>,
    expectations: Option<Vec<Expected>>,
}

#[derive(Deserialize)]
struct State {
    word: String,
}

#[derive(Deserialize)]
struct Expected {
    held: Option<bool>,
}

pub(super) fn status(places: &Places, arguments: &Status) -> Result<u8, ExitError> {
    let mut runs = RunFolder::all(&places.runs)?;
    runs.sort_by_key(|run| std::cmp::Reverse((run.name(), run.root().to_owned())));
    let mut seen: Vec<Seen> = Vec::new();
    for run in runs {
        if let Some(folder) = run.open()? {
            seen.push(look(&folder)?);
        }
    }
    let (up, over): (Vec<Seen>, Vec<Seen>) = seen.into_iter().partition(|run| run.up);
    let last: Vec<Seen> = over.into_iter().take(arguments.last).collect();
    if arguments.json {
        let whole = serde_json::json!({ "schema": 1, "up": up, "last": last });
        terminal::print_json(&whole)?;
        return Ok(0);
    }
    if up.is_empty() {
        terminal::print("no lab is up\n")?;
    }
    for run in &up {
        terminal::print(&format!("up  {}/{}\n", run.lab, run.run))?;
    }
    if !last.is_empty() {
        let mut table = Table::new(["last runs", "backend", "run", "outcome", "held"]).words([1, 2, 3]);
        for run in &last {
            let held = run.expectations_held.zip(run.expectations);
            table.row([
                format!("{}/{}", run.lab, run.run),
                run.backend.clone().unwrap_or_else(|| "-".to_owned()),
                run.state.clone().unwrap_or_else(|| "-".to_owned()),
                run.outcome.clone().unwrap_or_else(|| "no report".to_owned()),
                held.map_or_else(|| "-".to_owned(), |(held, all)| format!("{held} of {all}")),
            ]);
        }
        terminal::print(&table.text())?;
    }
    Ok(0)
}

fn look(folder: &RunFolder) -> Result<Seen, Failure> {
    let path = folder.root().join("report.json");
    let report =
        lab_files::read_if_any(&path, REPORT_BYTES_MAX).map_err(|error| Failure::unread(&path, &error))?;
    let report = report.and_then(|text| serde_json::from_slice::<Headline>(&text).ok());
    let expectations = report.as_ref().and_then(|report| report.expectations.as_ref());
    let lab = folder.root().parent().and_then(|lab| lab.file_name());
    Ok(Seen {
        lab: lab.map(|lab| lab.to_string_lossy().into_owned()).unwrap_or_default(),
        run: folder.name(),
        folder: relative(folder.root()).display().to_string(),
        up: folder.is_held() || Active::of(folder)?.is_some_and(|active| active.lives()),
        backend: report.as_ref().and_then(|report| report.backend.clone()),
        outcome: report.as_ref().and_then(|report| report.outcome.clone()),
        state: report.as_ref().and_then(|report| report.state.as_ref()).map(|state| state.word.clone()),
        expectations: expectations.map(Vec::len),
        expectations_held: expectations.map(|all| all.iter().filter(|seen| seen.held == Some(true)).count()),
    })
}

pub(super) fn doctor(places: &Places, arguments: &Doctor) -> Result<u8, ExitError> {
    let lab = arguments.name.as_ref().map(|name| places.read(name)).transpose()?;
    let clients = lab.as_ref().map_or(CLIENTS_USUAL, |lab| lab.clients.len());
    let findings = if arguments.probe {
        probe(places, wanted(clients, lab.as_ref()))?
    } else {
        examine(clients, lab.as_ref())
    };
    let code = ends_with(&findings);
    if arguments.json {
        terminal::print_json(&sheet(clients, &findings))?;
        return Ok(code);
    }
    let mut text = String::new();
    for finding in &findings {
        let word = match (finding.outcome, finding.weight) {
            (Outcome::Ok, _) => "ok",
            (Outcome::Failed, Weight::Required) => "FAILED",
            (Outcome::Failed, Weight::Advised) => "poor",
            (Outcome::Unknown, _) => "unknown",
        };
        text.push_str(&format!("{word:<8} {:<18} {}\n", finding.check, finding.found));
        if let Some(mend) = &finding.mend {
            text.push_str(&format!("{:28}help: {mend}\n", ""));
        }
    }
    let verdict = if code == 0 {
        "nothing known stands in the way of a live lab\n"
    } else {
        "no live lab can run here; `lab up NAME --backend sim` runs anywhere\n"
    };
    terminal::print(&(text + verdict))?;
    Ok(code)
}

/// The exit code that findings lead to.
fn ends_with(findings: &[Finding]) -> u8 {
    findings.iter().find_map(blocking).map_or(0, FailureKind::exit_code)
}

/// All findings, for machines and for the run store.
pub(super) fn sheet(clients: usize, findings: &[Finding]) -> Value {
    let checks: Vec<Value> = findings.iter().map(json).collect();
    serde_json::json!({ "schema": 1, "clients": clients, "blocks": ends_with(findings) != 0, "checks": checks })
}

/// What stands in the way of a lab, by the exit code that it leads to.
fn blocking(finding: &Finding) -> Option<FailureKind> {
    if finding.outcome != Outcome::Failed || finding.weight != Weight::Required {
        return None;
    }
    Some(match finding.check {
        "kernel-options" | "system" => FailureKind::BackendMissing,
        "group-limit" | "slots" => FailureKind::NoSlot,
        "product" => FailureKind::Product,
        _ => FailureKind::Privilege,
    })
}

pub(super) fn json(finding: &Finding) -> Value {
    let required = finding.weight == Weight::Required;
    serde_json::json!({
        "check": finding.check,
        "outcome": finding.outcome.name(),
        "required": required,
        "found": finding.found,
        "mend": finding.mend,
    })
}

/// Looks at this machine, and at what the products under test of a lab need of it.
pub(super) fn examine(clients: usize, lab: Option<&Lab>) -> Vec<Finding> {
    let mut findings = lab_doctor::examine_here(wanted(clients, lab));
    let Some(lab) = lab else { return findings };
    let product =
        |outcome, found, mend| Finding { check: "product", outcome, weight: Weight::Required, found, mend };
    let missing = lab_orchestrator::missing_products(lab);
    if missing.is_empty() && !lab.external.is_empty() {
        let names: Vec<&str> = lab.external.iter().map(|product| product.id.as_str()).collect();
        findings.push(product(Outcome::Ok, format!("{} can be started", names.join(", ")), None));
    }
    findings.extend(missing.into_iter().map(|lack| product(Outcome::Failed, lack.message, lack.mend)));
    findings
}

/// Each client has a queue of its own, and each that is told of what has happened one or two more.
fn wanted(clients: usize, lab: Option<&Lab>) -> Wanted {
    let told = lab.map_or(0, |lab| {
        lab.clients.iter().map(|client| KERNEL.notice_queues(lab.notify_events_of(client))).sum()
    });
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Wanted { clients: number(clients), queues: number(clients + told) }
}

/// Looks at this machine and connects clients as signed as a lab's are.
fn probe(places: &Places, wanted: Wanted) -> Result<Vec<Finding>, ExitError> {
    /// More slots than any machine has been seen to have.
    const SLOTS_MAX: u32 = 256;
    if !KERNEL.installs_clients() {
        return Err(ExitError::usage(
            "--probe connects Endpoint Security clients, which only a Mac has",
            "leave --probe out",
        ));
    }
    let signing = super::bundle::signing_of(places, None)?;
    let probed = lab_orchestrator::probe(places.workspace()?, &signing, SLOTS_MAX, &places.trusted)?;
    let facts = lab_doctor::MacFacts::here(Some(&probed.client)).probed(&probed.printed);
    let signed =
        if signing.is_ad_hoc() { lab_doctor::SignedHow::AdHoc } else { lab_doctor::SignedHow::DeveloperId };
    Ok(lab_doctor::examine_mac(&facts, signed, wanted))
}
