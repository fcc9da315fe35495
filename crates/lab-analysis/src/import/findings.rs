//! From the summary of an import to findings that the reports can show.
//!
//! In these findings a *decision* stands for one event that `eslogger` was told about; `by_approval` has them all
//! under `notify`. What only somebody who is asked can know stays empty, and `not_observed` says what that is.

use std::collections::BTreeMap;

use lab_model::{
    Total,
    units::{agreeing, count, counted, number, ratio, share, time},
};

use super::{
    read::BACKEND,
    summary::{Import, Program},
};
use crate::findings::{
    ApprovalWay, Blame, BlameKind, CauseColumn, Causes, Client, ColumnKind, Finding, Findings, Machine,
    Outcome, ReportBackend, ReportSection, SCHEMA, Series, Totals, Weight, Word,
};

/// The programs in the ranking of who made the events.
const BLAME_MAX: usize = 20;
/// With fewer events in it, the busiest stretch says nothing.
const BUSIEST_MIN: u64 = 10;
/// The damaged lines that are named in a sentence.
const DAMAGED_SHOWN_MAX: usize = 5;

/// Says what an imported file shows, for the same reports as those of a run.
///
/// `run` names it (a folder, a file) and `replay` is the line that imports it again.
#[must_use]
pub fn findings(import: &Import, run: &str, replay: &str) -> Findings {
    let totals = totals(import);
    Findings {
        schema: SCHEMA,
        lab: import.source.name.clone(),
        about: "Events that eslogger was told about, imported.".into(),
        run: run.into(),
        replay: replay.into(),
        backend: ReportBackend::Eslogger.into(),
        machine: Machine { version: import.source.version.clone(), ..Machine::default() },
        outcome: Outcome::Unknown,
        outcome_rule:
            "eslogger is told what happened and never asked: without decisions and answers nothing can be \
                       said about stability."
                .into(),
        findings: sentences(import),
        storm: totals.clone(),
        totals,
        causes: causes(import),
        clients: vec![client(import)],
        series: series(import),
        not_observed: not_observed(import),
        // All else only somebody can know who is asked.
        ..Findings::default()
    }
}

/// True for findings that [`findings`] has made: of somebody who is told and never asked.
#[must_use]
pub fn is_import(findings: &Findings) -> bool {
    findings.backend == ReportBackend::Eslogger
}

fn notify(import: &Import) -> BTreeMap<Word<ApprovalWay>, u64> {
    BTreeMap::from([(ApprovalWay::Told.into(), import.events)])
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// All records that are known to be missing: events in gaps, damaged lines, records that did not fit.
fn lost(import: &Import) -> u64 {
    // What a damaged line said may be what is missing in the numbers, and counts once.
    import.missing().max(import.damaged).saturating_add(import.records_lost)
}

fn totals(import: &Import) -> Totals {
    Totals {
        decisions: import.events,
        unexplained: import.events,
        denied: import.denied,
        by_approval: notify(import),
        lost: lost(import),
        damaged: import.damaged,
        targets_unknown: import.missing_fields.file,
        ..Totals::default()
    }
}

fn causes(import: &Import) -> Causes {
    let column = |name: &str| CauseColumn::new(name, ColumnKind::External);
    Causes {
        rows: vec![BACKEND.into()],
        columns: ["ES clients", "platform binaries", "other programs"].map(column).into(),
        decisions: vec![vec![import.by_es_clients, import.by_platform_binaries, import.by_others]],
        total: import.events,
        observed: vec![[
            0,
            0,
            import.by_es_clients,
            import.by_platform_binaries.saturating_add(import.by_others),
        ]],
        brought_about: Vec::new(),
        misattributed: 0,
    }
}

/// A program as reports name it: its path, with its signing ID where that says more.
fn name(program: &Program) -> String {
    match (&program.path, &program.signing_id) {
        (Some(path), Some(signing_id)) => format!("{path} ({signing_id})"),
        (Some(path), None) => path.clone(),
        (None, Some(signing_id)) => signing_id.clone(),
        (None, None) => format!("process {}", program.pid),
    }
}

const fn kind(program: &Program) -> BlameKind {
    match (program.is_es_client, program.is_platform_binary) {
        (Some(true), _) => BlameKind::EsClient,
        (_, Some(true)) => BlameKind::PlatformBinary,
        _ => BlameKind::Program,
    }
}

fn client(import: &Import) -> Client {
    let blame = |(name, decisions): &(String, u64), kind: BlameKind| Blame {
        name: name.clone(),
        kind: kind.into(),
        decisions: *decisions,
        total_ns: 0,
        at_least: false,
    };
    let programs = import.programs.iter().take(BLAME_MAX);
    Client {
        id: BACKEND.into(),
        bundle_id: "com.apple.eslogger".into(),
        decisions: import.events,
        by_approval: notify(import),
        blame_in: programs.map(|program| blame(&(name(program), program.events), kind(program))).collect(),
        top_paths: import.files.iter().map(|file| blame(file, BlameKind::File)).collect(),
        top_extensions: import
            .extensions
            .iter()
            .map(|extension| blame(extension, BlameKind::Extension))
            .collect(),
        lost: lost(import),
        ..Client::default()
    }
}

fn series(import: &Import) -> Series {
    let course = &import.course;
    if course.bucket_ticks == 0 {
        return Series::default();
    }
    let column = |class: usize| course.events.iter().map(|counts| counts[class]).collect();
    Series {
        bucket_ns: import.source.timebase.nanoseconds(course.bucket_ticks).max(1),
        decisions_by_cause: (0..3).map(column).collect(),
        pending_max: Vec::new(),
        headroom_min: Vec::new(),
        root_ops: Vec::new(),
    }
}

fn finding(weight: Weight, section: ReportSection, text: String, advice: Option<&str>) -> Finding {
    Finding { text, advice: advice.map(str::to_owned), section, weight }
}

fn sentences(import: &Import) -> Vec<Finding> {
    let (missing, damaged) = (import.missing(), import.damaged);
    let mut list = Vec::new();
    if import.events == 0 {
        let text = format!("No line of {} is an event of eslogger.", count(import.lines));
        list.push(finding(
            Weight::Bad,
            ReportSection::Record,
            text,
            Some("Record with `eslogger open exec`; one JSON object a line."),
        ));
        return list;
    }
    if missing > 0 || damaged > 0 {
        let text = format!(
            "{} missing by sequence numbers and {} of {} damaged; the counts are too low by as much.",
            agreeing(missing, "event is", "events are"),
            count(damaged),
            agreeing(import.lines, "line is", "lines are")
        );
        let advice = "Subscribe to fewer events, and write to a file on another volume than the one watched.";
        list.push(finding(Weight::Warn, ReportSection::Record, text, (missing > 0).then_some(advice)));
    }
    if let Some(first) = import.programs.first() {
        let text = format!(
            "{} made most: {} of {} ({}). Processes with the entitlement of an ES client made {} ({}).",
            name(first),
            count(first.events),
            counted(import.events, "event"),
            share(ratio(first.events, import.events)),
            count(import.by_es_clients),
            share(ratio(import.by_es_clients, import.events))
        );
        let advice =
            "A check of is_es_client would skip them, and whatever their helpers do would not be among them.";
        let advice = (import.by_es_clients > 0).then_some(advice);
        list.push(finding(Weight::Info, ReportSection::Causes, text, advice));
    }
    if let Some(text) = rates(import) {
        list.push(finding(Weight::Info, ReportSection::Time, text, None));
    }
    list
}

fn rates(import: &Import) -> Option<String> {
    let span = import.span_ns();
    let bucket = import.source.timebase.nanoseconds(import.course.bucket_ticks);
    let most = import.course.events.iter().map(|counts| counts.iter().total()).max()?;
    if span == 0 || bucket == 0 {
        return None;
    }
    let second = |events: u64, ns: u64| number((events as f64 * 1e9 / ns as f64).round());
    let stretch = bucket.min(span);
    let busiest = if most < BUSIEST_MIN {
        String::new()
    } else {
        format!(", and {} a second in the busiest {}", second(most, stretch), time(stretch))
    };
    Some(format!(
        "{} in {}: {} a second{busiest}.",
        counted(import.events, "event"),
        time(span),
        second(import.events, span)
    ))
}

/// What no NOTIFY client can know, whatever the file holds.
const NEVER_TOLD: [&str; 7] = [
    "In this report a decision stands for one event that eslogger was told about (NOTIFY). Nobody was asked, so there \
     is no decision, no answer, no deadline, no headroom and no latency in it.",
    "Which ES client denied what, or held it up, is not in the lines: they carry the combined verdict only.",
    "How long an event waited for its clients, or in their queues, is not in the lines: they have one time each.",
    "AUTH events that a client answered from its cache, muted or never got do not differ here from those it decided.",
    "Only the event types that eslogger was told to log are in the file, and none of the processes in its own process \
     group: what its own output pipeline did is missing.",
    "Cause and effect are not told: that a client opened a file because it was asked about another is not in the lines.",
    "eslogger is an ES client itself: it took a slot, and its start emptied the other clients' caches.",
];

fn not_observed(import: &Import) -> Vec<String> {
    let mut notes: Vec<String> = NEVER_TOLD.map(str::to_owned).into();
    clock_notes(import, &mut notes);
    let mut note = |count: u64, one: &str, more: &str| {
        if count > 0 {
            notes.push(format!("{}.", agreeing(count, one, more)));
        }
    };
    note(
        import.missing(),
        "event is missing by its sequence number: dropped by the kernel, filtered out of the file, or on a damaged line",
        "events are missing by their sequence numbers: dropped by the kernel, filtered out of the file, or on damaged \
         lines",
    );
    let back = import
        .types
        .iter()
        .map(|kind| kind.sequence.went_back)
        .max()
        .unwrap_or(0)
        .max(import.of_all.went_back);
    note(
        back,
        "time the sequence numbers went back: several recordings in one file, or lines out of order",
        "times the sequence numbers went back: several recordings in one file, or lines out of order",
    );
    note(
        import.of_all.first.unwrap_or(0),
        "event came before the first in the file, by its global sequence number",
        "events came before the first in the file, by its global sequence number",
    );
    for (reason, count) in &import.damaged_by_reason {
        note(*count, &format!("line was left out: {reason}"), &format!("lines were left out: {reason}"));
    }
    note(import.records_lost, "record did not fit the trace", "records did not fit the trace");
    note(
        import.schema_unknown,
        "event has another schema_version than 1 and may have been misread",
        "events have another schema_version than 1 and may have been misread",
    );
    field_notes(import, &mut notes);
    if import.missing() == 0 && import.events > 0 {
        notes.push("Events dropped after the last one in the file leave no gap and cannot be seen.".into());
    }
    let named = import.damaged_first.iter().take(DAMAGED_SHOWN_MAX).map(|damaged| {
        let detail = if damaged.detail.is_empty() { String::new() } else { format!(" ({})", damaged.detail) };
        format!("Line {}: {}{detail}.", count(damaged.line), damaged.reason)
    });
    notes.extend(named);
    notes
}

/// What events did not say of themselves, or too many said.
fn field_notes(import: &Import, notes: &mut Vec<String>) {
    let mut note = |count: u64, one: &str, more: &str| {
        if count > 0 {
            notes.push(format!("{}.", agreeing(count, one, more)));
        }
    };
    note(
        import.missing_fields.thread,
        "event names no thread and cannot be joined with a client's trace",
        "events name no thread and cannot be joined with a client's trace",
    );
    note(
        import.missing_fields.file,
        "event names no file that this version finds",
        "events name no file that this version finds",
    );
    note(
        import.missing_fields.path_truncated,
        "event has a path that the kernel cut",
        "events have a path that the kernel cut",
    );
    note(
        import.missing_fields.is_es_client,
        "event does not say whether its process is an ES client; it counts as another's",
        "events do not say whether their process is an ES client; they count as others",
    );
    note(
        import.missing_fields.own_lines,
        "line is of the lab's own export; its sequence number was not checked",
        "lines are of the lab's own export; their sequence numbers were not checked",
    );
    note(
        import.programs_left_out,
        "event is of a program beyond the 16,384 that are told apart",
        "events are of programs beyond the 16,384 that are told apart",
    );
    note(
        import.files_left_out,
        "event is about a file beyond the 16,384 that are counted",
        "events are about files beyond the 16,384 that are counted",
    );
}

fn clock_notes(import: &Import, notes: &mut Vec<String>) {
    let used = import.source.timebase;
    if import.source.timebase_assumed {
        notes.push(format!(
            "The lines do not say how long a tick of mach_time is; {}/{} ns (Apple silicon) is assumed.",
            used.numer, used.denom
        ));
    }
    let tick = f64::from(used.numer) / f64::from(used.denom.max(1));
    match (import.measured_tick_ns(), import.measured_timebase()) {
        (_, Some(measured)) if measured == used => {}
        (Some(ns), Some(measured)) => notes.push(format!(
            "By the lines' own wall clock a tick is {ns:.3} ns and not {tick:.3}: import again with the timebase {}/{}, \
             or all times are wrong.",
            measured.numer, measured.denom
        )),
        (Some(ns), None) => notes.push(format!(
            "By the lines' own wall clock a tick is {ns:.3} ns and not {tick:.3}: the machine slept, its clock was set, \
             or the timebase is another."
        )),
        (None, _) => notes.push("The lines span too little time to check the timebase by their wall clock.".into()),
    }
}
