//! Shrinks a lab that shows something to the smallest one that still does.

use lab_model::{AuthEvent, Behavior, Concurrency, FaultAction, Lab, LoadKind, NotifyEvents, Reaction, Span};

use crate::{Counting, Options, Summary, scenario::strangers::drop_strangers, simulate};

/// A lab from which nothing can be taken away without losing what it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minimized {
    /// The lab.
    pub lab: Lab,
    /// What was taken away, in order.
    pub steps: Vec<String>,
    /// How many runs that took.
    pub runs: u32,
    /// False when the runs were used up before nothing more could be taken away.
    pub complete: bool,
}

/// The shortest storm and drain that are tried.
const SPAN_MIN: Span = Span::from_millis(100);
/// What a load without a limit on its operations is limited to first.
const OPERATIONS_FIRST: u64 = 1024;

/// Takes away clients, faults, loads, operations and switches as long as `shows` still says yes of the run, in at most
/// `runs_max` runs; `None` when it says no of the lab as it is.
pub fn minimize(
    lab: &Lab,
    options: &Options,
    mut shows: impl FnMut(&Summary) -> bool,
    runs_max: u32,
) -> Option<Minimized> {
    let mut runs = 0_u32;
    let mut holds = |lab: &Lab| {
        runs += 1;
        shows(&simulate(lab, options, &mut Counting::default()))
    };
    if !holds(lab) {
        return None;
    }
    let mut found = Minimized { lab: lab.clone(), steps: Vec::new(), runs: 1, complete: false };
    // Every candidate is smaller in one thing and larger in none, so this ends.
    'smaller: loop {
        for (step, candidate) in candidates(&found.lab) {
            if found.runs >= runs_max {
                return Some(found);
            }
            found.runs += 1;
            if holds(&candidate) {
                found.lab = candidate;
                found.steps.push(step);
                continue 'smaller;
            }
        }
        found.complete = true;
        return Some(found);
    }
}

/// Labs with one thing less, the greatest steps first.
fn candidates(lab: &Lab) -> Vec<(String, Lab)> {
    let mut found = Vec::new();
    let mut offer = |step: String, change: &dyn Fn(&mut Lab)| {
        let mut candidate = lab.clone();
        change(&mut candidate);
        forget_the_absent(&mut candidate);
        if candidate != *lab {
            found.push((step, candidate));
        }
    };
    if lab.clients.len() > 1 {
        for (place, client) in lab.clients.iter().enumerate() {
            offer(format!("without {}", client.id), &|lab| {
                lab.clients.remove(place);
                drop_strangers(lab);
            });
        }
    }
    if lab.workload.len() > 1 {
        for place in 0..lab.workload.len() {
            offer(format!("without load {}", place + 1), &|lab| drop(lab.workload.remove(place)));
        }
    }
    for (place, fault) in lab.faults.iter().enumerate() {
        let what = format!("{} of {} at {}", fault.action.name(), fault.on, fault.at);
        offer(format!("without the {what}"), &|lab| drop(lab.faults.remove(place)));
        offer(format!("the {what}: in half the time"), &|lab| {
            // Down to a millisecond, in whole ones: who reads the lab file wants to see when.
            lab.faults[place].at = Span::from_millis(fault.at.nanos() / 2_000_000);
        });
        offer(format!("half the {what}"), &|lab| lab.faults[place].action = halved(&fault.action));
    }
    for (place, client) in lab.clients.iter().enumerate() {
        offer(format!("{}: does not come back", client.id), &|lab| lab.clients[place].restart = None);
    }
    offer("without baseline".to_owned(), &|lab| lab.phases.baseline = Span::default());
    offer("without control".to_owned(), &|lab| lab.phases.control = Span::default());
    for place in 0..lab.workload.len() {
        offer(format!("load {}: one worker", place + 1), &|lab| lab.workload[place].workers = 1);
        offer(format!("load {}: half the workers", place + 1), &|lab| {
            let workers = &mut lab.workload[place].workers;
            *workers = workers.div_ceil(2);
        });
        offer(format!("load {}: one operation", place + 1), &|lab| {
            lab.workload[place].operations_max = Some(1);
        });
        offer(format!("load {}: half the operations", place + 1), &|lab| {
            let operations = &mut lab.workload[place].operations_max;
            *operations = Some(operations.map_or(OPERATIONS_FIRST, |most| most.div_ceil(2)));
        });
        offer(format!("load {}: one small file", place + 1), &|lab| {
            if let LoadKind::OpenStorm(storm) = &mut lab.workload[place].kind {
                (storm.files, storm.file_bytes) = (1, storm.file_bytes.min(1));
            }
        });
    }
    for (place, client) in lab.clients.iter().enumerate() {
        for (step, behavior) in smaller_behaviors(&client.behavior) {
            let changed = |lab: &mut Lab| lab.clients[place].behavior = behavior.clone();
            offer(format!("{}: {step}", client.id), &changed);
        }
    }
    offer("half the storm".to_owned(), &|lab| {
        halve(&mut lab.phases.storm);
        // A fault beyond the storm would be a mistake in a lab file.
        let storm = lab.phases.storm;
        lab.faults.retain(|fault| fault.at < storm);
    });
    offer("half the drain".to_owned(), &|lab| halve(&mut lab.phases.drain));
    found
}

fn smaller_behaviors(behavior: &Behavior) -> Vec<(&'static str, Behavior)> {
    let with = |change: &dyn Fn(&mut Behavior)| {
        let mut smaller = behavior.clone();
        change(&mut smaller);
        smaller
    };
    let half = |count: u16| Concurrency::new(count.div_ceil(2));
    vec![
        ("does nothing", Behavior { concurrency: behavior.concurrency, ..Behavior::noop() }),
        ("one at a time", with(&|smaller| smaller.concurrency = Concurrency::new(1))),
        ("half as many at a time", with(&|smaller| smaller.concurrency = half(smaller.concurrency.get()))),
        ("no reaction to execs", with(&|smaller| smaller.reactions[AuthEvent::Exec] = Reaction::none())),
        ("no reaction to notices", with(&|smaller| smaller.on_notify = Reaction::none())),
        (
            "no NOTIFY events",
            Behavior { notify: NotifyEvents::NONE, on_notify: Reaction::none(), ..behavior.clone() },
        ),
        ("no extra opens", with(&|smaller| smaller.reactions[AuthEvent::Open].extra_opens = 0)),
        ("half the extra opens", with(&|smaller| smaller.reactions[AuthEvent::Open].extra_opens /= 2)),
        ("no reopening", with(&|smaller| smaller.reactions[AuthEvent::Open].reopen = false)),
        (
            "no reading",
            with(&|smaller| {
                (smaller.reactions[AuthEvent::Open].read, smaller.reactions[AuthEvent::Open].hash) =
                    (false, false)
            }),
        ),
        ("no delay", with(&|smaller| smaller.delay = Span::default().into())),
        ("no mute", with(&|smaller| smaller.mute = lab_model::Mute::default())),
        ("no helpers", with(&|smaller| smaller.helpers = None)),
        ("one helper", with(&|smaller| smaller.helpers.iter_mut().for_each(|helpers| helpers.count = 1))),
        ("no daemons", with(&|smaller| smaller.daemons.clear())),
        ("no cache", with(&|smaller| smaller.cache = lab_model::Cache::Off)),
        ("no denial", with(&|smaller| smaller.deny.clear())),
        ("no peer check", with(&|smaller| smaller.ignore_es_clients = false)),
        ("all events", with(&|smaller| smaller.subscribe = lab_model::AuthEvents::ALL)),
        ("no burning", with(&|smaller| smaller.cpu = Span::default().into())),
        ("no budget", with(&|smaller| smaller.answer_by_percent = None)),
    ]
}

/// Takes out daemons that nobody asks any more and names of processes that are not there: a lab file may have
/// neither.
fn forget_the_absent(lab: &mut Lab) {
    let asked = |daemon: &lab_model::Daemon| {
        lab.clients.iter().flat_map(|client| &client.behavior.daemons).any(|asked| asked.daemon == daemon.id)
    };
    let daemons: Vec<_> = lab.daemons.iter().filter(|daemon| asked(daemon)).cloned().collect();
    lab.daemons = daemons;
    let mut names: Vec<String> = vec![lab_model::Mute::WORKLOAD.to_owned()];
    names.extend(lab.daemons.iter().map(|daemon| daemon.id.to_string()));
    for client in &lab.clients {
        names.push(client.id.to_string());
        if client.behavior.helpers.is_some() {
            names.push(format!("{}{}", client.id, lab_model::Helpers::SUFFIX));
        }
    }
    names.extend(lab.external.iter().map(|product| product.id.to_string()));
    for client in &mut lab.clients {
        let behavior = &mut client.behavior;
        behavior.mute.processes.retain(|name| names.contains(name));
        behavior.mute.helpers &= behavior.helpers.is_some();
        behavior.deny.retain(|rule| rule.process.as_ref().is_none_or(|name| names.contains(name)));
    }
}

/// The same for half as long, but no shorter than the shortest storm.
fn halved(action: &FaultAction) -> FaultAction {
    let mut action = action.clone();
    if let Some(span) = action.span_mut() {
        halve(span);
    }
    action
}

fn halve(span: &mut Span) {
    *span = Span::from_nanos(span.nanos() / 2).max(SPAN_MIN.min(*span));
}
