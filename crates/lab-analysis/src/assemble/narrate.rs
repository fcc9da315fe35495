//! At most three findings in plain words. What settings would mend is not said here: [`Advice`](crate::findings::Advice)
//! is of what was tried.

mod failed;

use failed::{About, failed};
use lab_model::{
    Approval, PhaseKind, PlannedKind, Total,
    units::{
        agreeing, at_least, count, count_of, counted, is_whole, number, ratio, share, share_at_most,
        signed_time, tenths, time,
    },
};

use crate::{
    findings::{
        Client, ColumnKind, CycleEnd, FaultMarkKind, Finding, Findings, HeadroomFigure, Outcome, ProcessEnd,
        ProductEnd, ReportSection, Requests, Stage, Weight,
    },
    measures::unwatched::sentence,
    verdict::outcome::list,
};

mod knee;

/// The findings in a report.
const FINDINGS_MAX: usize = 3;

/// Headroom below this is worth a warning.
const HEADROOM_LOW: f64 = 0.5;

/// A storm is worth a word when its operations take this many times as long as before.
const COST_FACTOR: f64 = 1.5;

/// A client stands out when it holds operations this many times as long as any other.
const HELD_FACTOR: u64 = 2;

/// Says what matters most: what is bad, then what comes close, then what is remarkable.
pub(super) fn narrate(findings: &Findings, unread: &[(Vec<String>, u64)]) -> Vec<Finding> {
    let (failed, about) = failed(findings).unzip();
    let candidates = [
        unwatched(findings, true),
        failed,
        deadlock(findings),
        stuck_in_hand_over(findings),
        divergence(findings),
        hung(unread),
        waits_outside(findings),
        misses(findings).filter(|_| !matches!(about, Some(About::Misses))),
        unguarded(findings),
        lost(findings).filter(|_| !matches!(about, Some(About::Lost))),
        unwatched(findings, false),
        unserved(findings),
        denied_outside(findings),
        knee::knee(findings),
        saturation(findings).filter(|_| !matches!(about, Some(About::Outcome))),
        near_miss(findings),
        own_making(findings),
        added_outside(findings),
        waited_for(findings),
        cost(findings),
        nothing(findings),
    ];
    candidates.into_iter().flatten().take(FINDINGS_MAX).collect()
}

fn finding(weight: Weight, section: ReportSection, text: String, advice: Option<&str>) -> Finding {
    Finding { text, advice: advice.map(str::to_owned), section, weight }
}

/// Nobody watched: for so long that a deadline may have passed, or for less.
fn unwatched(findings: &Findings, past_a_deadline: bool) -> Option<Finding> {
    let unwatched = findings.unwatched.as_ref()?;
    let bad = !unwatched.kept_by_kernel && unwatched.longest_ns >= findings.deadline_ns;
    if bad != past_a_deadline {
        return None;
    }
    let text = sentence(unwatched, findings.deadline_ns);
    let advice = "Find out what stopped the lab's controller, or the machine, and run the lab again.";
    Some(finding(if bad { Weight::Bad } else { Weight::Warn }, ReportSection::Clients, text, Some(advice)))
}

fn deadlock(findings: &Findings) -> Option<Finding> {
    let cycle = findings.wait_cycles.first()?;
    let lasted = match cycle.lasted() {
        Some(lasted) => format!("for {lasted}, until {} ended it", article(cycle.ended_by)),
        None => "until the end of the run".into(),
    };
    let who = if cycle.members.len() == 1 {
        format!("{} waited for itself", cycle.members[0])
    } else {
        format!("{} waited for each other", list(&cycle.members))
    };
    let more = match findings.wait_cycles.len() {
        1 => String::new(),
        all => format!(" It was the first of {} such circles.", count(count_of(all))),
    };
    let through =
        if cycle.through.is_empty() { String::new() } else { format!(", through {},", list(&cycle.through)) };
    let text = format!("{who}{through} from {} on, {lasted}.{more}", time(cycle.began_ns));
    // Of what its members can set themselves is said only what was tried.
    let own_helpers =
        |name: &String| cycle.members.iter().any(|member| name.starts_with(&format!("{member}.helper-")));
    let advice = if cycle.seen {
        Some(
            "Leave one of them out of what the other is asked about, or let it answer before it waits."
                .to_owned(),
        )
    } else {
        None
    };
    let through_others = || {
        (!cycle.through.iter().all(own_helpers)).then(|| {
        format!(
            "Do not wait for {} before you answer, or mute what it opens by name: no number of workers removes the cycle.",
            list(&cycle.through)
        )
    })
    };
    let advice = advice.or_else(through_others);
    Some(finding(Weight::Bad, ReportSection::Waiting, text, advice.as_deref()))
}

/// A client had taken an event whose file the kernel could not hand over.
fn stuck_in_hand_over(findings: &Findings) -> Option<Finding> {
    let wait = findings.long_waits.iter().find(|wait| wait.hand_over)?;
    let text = format!(
        "{} was stuck in hand-over for at least {}: it {}. Its decision had not begun, and whoever it was asked about waited.",
        wait.who,
        time(wait.lasted_ns),
        wait.words
    );
    let advice =
        "Look who holds the lease or serves the file system: it holds the client up before it can decide.";
    Some(finding(Weight::Bad, ReportSection::Waiting, text, Some(advice)))
}

fn article(ended_by: CycleEnd) -> String {
    match ended_by {
        CycleEnd::Answer => "an answer".into(),
        other => format!("a {other}"),
    }
}

fn divergence(findings: &Findings) -> Option<Finding> {
    if findings.outcome != Outcome::Divergent {
        return None;
    }
    let gain = findings.loop_gain?;
    let in_flight = findings.drain.as_ref().map_or(0, |drain| drain.in_flight);
    let text = format!(
        "Each event of a client brings {:.2} more on average, so the cascades feed themselves: {} still in flight at the \
         end.",
        gain.value,
        agreeing(in_flight, "event was", "events were")
    );
    Some(finding(Weight::Bad, ReportSection::Drain, text, None))
}

fn hung(unread: &[(Vec<String>, u64)]) -> Option<Finding> {
    let (clients, hung) = unread.iter().max_by_key(|(_, hung)| *hung)?;
    let who = match &clients[..] {
        [one] => format!("{one} had not read its event"),
        several => format!("the next of {} had not read its event", list(several)),
    };
    let text = format!("{} hung when the run ended: {who}.", counted(*hung, "operation"));
    Some(finding(
        Weight::Bad,
        ReportSection::Waiting,
        text,
        Some("Look whether that client was stopped, or its reading thread busy."),
    ))
}

fn misses(findings: &Findings) -> Option<Finding> {
    let total: u64 = findings.clients.iter().map(|client| client.deadline_misses).total();
    if total == 0 {
        return None;
    }
    let who: Vec<String> = findings
        .clients
        .iter()
        .filter(|client| client.deadline_misses > 0)
        .map(|client| format!("{} {}", client.id, count(client.deadline_misses)))
        .collect();
    let text = format!("{} missed ({}).", agreeing(total, "deadline was", "deadlines were"), list(&who));
    Some(finding(Weight::Bad, ReportSection::Clients, text, None))
}

/// A client that was dead for a part of the storm: what it would have looked at was allowed.
fn unguarded(findings: &Findings) -> Option<Finding> {
    let unchecked = |client: &Client| client.approvals.by(Approval::DeadClient);
    // What was in flight when the lab ended its clients passed nobody that had died.
    let died = |client: &&Client| {
        client.lives.len() > 1 || client.lives.iter().any(|life| life.end != ProcessEnd::Clean)
    };
    let dead: Vec<&Client> =
        findings.clients.iter().filter(|client| unchecked(client) > 0).filter(died).collect();
    // Others may have looked at them.
    let text = match &dead[..] {
        [] => return None,
        [one] => {
            format!("{} went past {} unchecked: it had died.", counted(unchecked(one), "operation"), one.id)
        }
        several => {
            let past = several.iter().map(|client| format!("{} {}", client.id, count(unchecked(client))));
            let past: Vec<String> = past.collect();
            format!("Operations went unchecked past clients that had died ({}).", list(&past))
        }
    };
    let planned = [PlannedKind::Kill, PlannedKind::Restart].map(FaultMarkKind::Planned);
    let as_planned = |client: &&Client| {
        let mut faults = findings.faults.iter().filter(|fault| fault.actor == client.id && fault.planned);
        faults.any(|fault| planned.iter().any(|kind| fault.kind == *kind))
    };
    let at_deadline = |client: &&Client| client.lives.iter().any(|life| life.end == ProcessEnd::DeadlineKill);
    let of_itself = |client: &&Client| findings.unplanned_ends.iter().any(|end| end.name == client.id);
    let is_known = |client: &&Client| !of_itself(client) && (as_planned(client) || at_deadline(client));
    // What the lab did itself is no riddle.
    let advice = if !dead.iter().all(is_known) {
        "Find out what ended it, and what may pass while it is away."
    } else if dead.iter().any(at_deadline) {
        "Mend what made it miss its deadline, and see what may pass while it is away."
    } else {
        "The lab ended it as planned: see what may pass while it is away."
    };
    Some(finding(Weight::Bad, ReportSection::Clients, text, Some(advice)))
}

/// A product that everything waits for.
fn waits_outside(findings: &Findings) -> Option<Finding> {
    let outside = findings.outside.as_ref()?;
    let longest = outside.waited_longest_ns?;
    let product = outside.products.iter().find(|product| product.waited_longest_ns == Some(longest));
    let killed = product.is_some_and(|product| product.end == ProductEnd::DeadlineKill);
    if !killed && longest < findings.deadline_ns / 10 {
        return None;
    }
    let end = if killed { ", until it was killed at the deadline" } else { "" };
    let (waiting, whom) = match product {
        Some(product) => (product.waiting_max, product.id.clone()),
        None => {
            (outside.waiting_for_one_of_them, format!("{}, which cannot be told,", outside.one_of_them()))
        }
    };
    let seen = findings.wait_cycles.iter().any(|cycle| cycle.seen);
    let text = format!(
        "{} waited for {whom} for up to {}{end}: no client of the lab had their questions then.",
        counted(waiting, "operation"),
        time(longest)
    );
    Some(finding(
        Weight::Bad,
        ReportSection::Outside,
        text,
        // What it waits for is said with the circle that it was seen in.
        (!seen).then_some("Look what that product waits for; all it marks waits with it."),
    ))
}

fn denied_outside(findings: &Findings) -> Option<Finding> {
    let denials = &findings.outside.as_ref()?.denials;
    if denials.operations == 0 {
        return None;
    }
    let never = |(client, times): &(String, u64)| (*times > 0).then(|| format!("{client} {}", count(*times)));
    let blind: Vec<String> = denials.not_asked.iter().filter_map(never).collect();
    let who = if blind.is_empty() {
        "every client had seen them before".to_owned()
    } else {
        format!("clients that come after never saw them ({})", list(&blind))
    };
    let denied = agreeing(denials.operations, "operation was", "operations were");
    let reasons = denials.reasons(&findings.outside.as_ref()?.whoever());
    let text = format!("{denied} denied, and by no client of the lab; {who}. {}", reasons.join(" "));
    Some(finding(Weight::Warn, ReportSection::Outside, text, None))
}

/// What the products cost an open.
fn added_outside(findings: &Findings) -> Option<Finding> {
    let outside = findings.outside.as_ref()?;
    let added = outside.added_ns.filter(|added| added.low > 0)?;
    let names: Vec<String> = outside.products.iter().map(|product| product.id.clone()).collect();
    let place = outside.place.as_ref().map(|place| format!(", asked {place}")).unwrap_or_default();
    let text = format!(
        "An open takes about {} longer beside {}{place} ({} to {}).",
        signed_time(added.value),
        list(&names),
        signed_time(added.low),
        signed_time(added.high)
    );
    Some(finding(Weight::Info, ReportSection::Outside, text, None))
}

fn lost(findings: &Findings) -> Option<Finding> {
    let lost = findings.totals.lost;
    (lost > 0).then(|| {
        let records = agreeing(lost, "record was", "records were");
        let text = format!("{records} lost or damaged; the counts are too low by at least as much.");
        finding(Weight::Bad, ReportSection::Clients, text, None)
    })
}

fn saturation(findings: &Findings) -> Option<Finding> {
    (findings.outcome == Outcome::Saturated)
        .then(|| finding(Weight::Warn, ReportSection::Drain, findings.outcome_rule.clone(), None))
}

/// The client whose helpers or daemons left most requests undone.
fn unserved(findings: &Findings) -> Option<Finding> {
    let undone = |requests: &Requests| requests.failed.saturating_add(requests.refused);
    let rows =
        findings.clients.iter().flat_map(|client| client.requests.iter().map(move |row| (client, row)));
    let (client, row) = rows.max_by_key(|(_, row)| undone(row)).filter(|(_, row)| undone(row) > 0)?;
    let whom = row.daemon.as_deref().unwrap_or("its helpers");
    let verb = if undone(row) == 1 { "was" } else { "were" };
    let text = format!(
        "{} of {}'s {} to {whom} {verb} never carried out, and it answered all the same.",
        count(undone(row)),
        client.id,
        counted(row.made, "request")
    );
    let advice = "Decide what a client does when nobody looks for it: allow, deny, or look itself.";
    Some(finding(Weight::Warn, ReportSection::Clients, text, Some(advice)))
}

fn near_miss(findings: &Findings) -> Option<Finding> {
    let lowest = |client: &&crate::findings::Client| client.headroom.min.unwrap_or(f64::INFINITY);
    let client = findings.clients.iter().min_by(|a, b| lowest(a).total_cmp(&lowest(b)))?;
    let headroom = client.headroom.min.filter(|&headroom| (0.0..HEADROOM_LOW).contains(&headroom))?;
    let text = if client.headroom.is_at_most(HeadroomFigure::Min) {
        let left = share_at_most(headroom);
        format!(
            "{} came closest to its deadline: {left} of it was left when it ended without an answer.",
            client.id
        )
    } else {
        format!("{} came closest to its deadline: {} of it was left.", client.id, share(headroom))
    };
    Some(finding(Weight::Warn, ReportSection::Clients, text, None))
}

fn own_making(findings: &Findings) -> Option<Finding> {
    let causes = &findings.causes;
    let by_clients: u64 = causes
        .columns
        .iter()
        .enumerate()
        .filter(|(_, column)| {
            matches!(column.kind, ColumnKind::Client | ColumnKind::Helper | ColumnKind::Daemon)
        })
        .map(|(place, _)| causes.decisions.iter().map(|row| row[place]).total())
        .total();
    if causes.total == 0 || by_clients == 0 {
        return None;
    }
    let part = share(ratio(by_clients, causes.total));
    let about = whose_making(findings);
    let amplification = findings.amplification.unwrap_or(0.0);
    let lab = amplification * by_clients as f64 / causes.total as f64;
    let text = if is_whole(amplification) && is_whole(lab) {
        format!(
            "{} of {} decisions for each operation of the workload ({part}) were about {about}.",
            number(lab),
            number(amplification)
        )
    } else {
        // Below one decision an operation, most were made when no client was there to be asked.
        let each = if amplification < 1.0 {
            String::new()
        } else {
            format!("; each operation of the workload cost {} decisions", tenths(amplification))
        };
        let (of_clients, all) = (count(by_clients), counted(causes.total, "decision"));
        format!("{of_clients} of {all} ({part}) were about {about}{each}.")
    };
    // No setting that is tried mutes a daemon, and no look at the subject tells for whom it opens.
    let daemons = causes.columns.iter().enumerate().filter(|(place, column)| {
        column.kind == ColumnKind::Daemon && causes.decisions.iter().any(|row| row[*place] > 0)
    });
    let daemons: Vec<String> = daemons.map(|(_, column)| column.name.clone()).collect();
    let advice = (!daemons.is_empty()).then(|| {
        format!(
            "Mute {} by name, as far as the blind spots allow: no check of the subject tells for whom a daemon opens.",
            list(&daemons)
        )
    });
    Some(finding(Weight::Warn, ReportSection::Causes, text, advice.as_deref()))
}

/// Decisions about what clients, their helpers and daemons made, by who made it.
fn made_by(findings: &Findings, kind: ColumnKind) -> u64 {
    let causes = &findings.causes;
    let columns = causes.columns.iter().enumerate().filter(|(_, column)| column.kind == kind);
    columns.map(|(place, _)| causes.decisions.iter().map(|row| row[place]).total()).total()
}

fn whose_making(findings: &Findings) -> &'static str {
    let made = |kind| made_by(findings, kind) > 0;
    match (made(ColumnKind::Client), made(ColumnKind::Helper), made(ColumnKind::Daemon)) {
        (_, false, false) => "the clients' own operations",
        (true, true, false) => "the operations of clients and their helpers",
        (false, true, false) => "what helpers did for clients",
        (true, false, true) => "the operations of clients and what daemons did for them",
        (false, false, true) => "what daemons did for clients",
        (_, true, true) => "the operations of clients, their helpers and daemons",
    }
}

/// The client that held the workload's operations longest, if one stands out. Who merely comes last in a serial
/// pipeline has not for that reason held anything up.
fn waited_for(findings: &Findings) -> Option<Finding> {
    let held = |stage: &Stage| stage.answered_ns.saturating_sub(stage.read_ns);
    let stages = &findings.pipeline.stages;
    let longest = stages.iter().max_by_key(|stage| held(stage)).filter(|_| stages.len() > 1)?;
    let others = stages.iter().filter(|stage| stage.client != longest.client).map(held).max().unwrap_or(0);
    // Who is asked about few operations only, as one that caches, may hold those for longer than the median of all takes.
    let of_few = held(longest) > findings.pipeline.op_ns;
    if of_few || held(longest) < HELD_FACTOR.saturating_mul(others) {
        return None;
    }
    let text = format!(
        "The workload waited longest for {}: {} of the {} of a median operation that was asked about, the next client held \
         it for {}.",
        longest.client,
        time(held(longest)),
        time(findings.pipeline.op_ns),
        time(others)
    );
    Some(finding(Weight::Info, ReportSection::Pipeline, text, None))
}

fn cost(findings: &Findings) -> Option<Finding> {
    let cost = &findings.cost;
    let (name, before) = match (cost.control_ns, cost.baseline_ns) {
        (Some(control), _) if control > 0 => ("clients that answer at once", control),
        (_, Some(baseline)) if baseline > 0 => ("no clients", baseline),
        _ => return None,
    };
    let storm = cost.storm_ns.filter(|&storm| storm as f64 >= COST_FACTOR * before as f64)?;
    let took = time(storm);
    let text = format!(
        "A median operation of the workload took {}{}, {} times as long as with {name}.",
        if cost.at_least.contains(&PhaseKind::Storm) { at_least(&took) } else { took },
        if a_client_died(findings) { " while all clients lived" } else { "" },
        tenths(ratio(storm, before))
    );
    Some(finding(Weight::Info, ReportSection::Cost, text, None))
}

/// True when one was dead for a part of the storm, so that its figures are of the rest.
fn a_client_died(findings: &Findings) -> bool {
    findings.phases.iter().any(|phase| phase.kind == PhaseKind::Storm && phase.after_death.is_some())
}

fn nothing(findings: &Findings) -> Option<Finding> {
    (findings.totals.decisions == 0).then(|| {
        finding(Weight::Bad, ReportSection::Clients, "No client was asked about anything.".into(), None)
    })
}
