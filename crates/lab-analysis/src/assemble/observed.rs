//! What was lost, and what the traces cannot show.

use lab_model::{Bounded, Role};

use super::Assembly;
use crate::{
    findings::{ColumnKind, Findings},
    measures::unwatched::sentence,
    pass::merge::WINDOW,
};

/// What is missing from the traces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Losses {
    /// Records that did not fit, events that the kernel dropped, damaged places.
    pub(crate) lost: u64,
    /// Places with damage, damaged parts of records and cut tails included.
    pub(crate) damaged: u64,
    /// By client.
    pub(crate) by_client: Vec<u64>,
}

impl Assembly<'_> {
    pub(super) fn losses(&self) -> Losses {
        let mut losses = Losses { by_client: vec![0; self.roster.clients.len()], ..Losses::default() };
        let sides = self.show.merge.sides();
        for ((trace, participant), side) in self.show.traces.iter().zip(&self.roster.participants).zip(sides)
        {
            let tail = trace.tail();
            let cut = tail.missing_places.max(u64::from(tail.is_cut()));
            let damaged =
                side.damaged.saturating_add(side.parts_damaged).saturating_add(u64::from(tail.is_cut()));
            let lost =
                trace.lost.saturating_add(side.events_lost).saturating_add(side.damaged).saturating_add(cut);
            losses.lost = losses.lost.saturating_add(lost);
            losses.damaged.raise(damaged);
            if let Some(client) = participant.client {
                let sum = &mut losses.by_client[usize::from(client)];
                *sum = sum.saturating_add(lost).saturating_add(side.parts_damaged);
            }
        }
        losses
    }

    /// Everything that a reader of the report has to know is missing from it.
    pub(super) fn not_observed(&self, findings: &Findings, losses: &Losses) -> Vec<String> {
        let mut notes = Vec::new();
        for (name, why) in self.context.unreadable {
            notes.push(format!("The trace {name} could not be read: {why}."));
        }
        notes.extend(self.roster.remarks.iter().cloned());
        if let Some(unwatched) = &findings.unwatched {
            notes.push(sentence(unwatched, findings.deadline_ns));
        }
        self.missing_traces(&mut notes);
        for trace in 0..self.show.traces.len() {
            self.trace_notes(trace, &mut notes);
        }
        self.join_notes(findings, &mut notes);
        self.cap_notes(&mut notes);
        if losses.lost > 0 {
            notes.push(
                "Records are missing, so a decision about an unknown thread counts as unexplained, not as external."
                    .into(),
            );
        }
        let told = || findings.clients.iter().filter_map(|client| client.told.as_ref());
        if self.context.backend == "fanotify" && told().next().is_some() {
            notes.push(
                "fanotify merges the NOTIFY events of one thread on one file while they lie unread, and does not say how \
                 many: a client's notices are a lower bound of what happened."
                    .into(),
            );
        }
        let unsigned = self.engine.measures.programs.unsigned;
        if unsigned > 0 {
            notes.push(format!(
                "{unsigned} decisions were about processes whose program no client was told of; no program counts them."
            ));
        }
        if self.context.backend == "fanotify" {
            notes.push(
                "fanotify gives no kernel time: how long an event lay in the kernel's queue before it was read is not \
                 known by itself; it is part of the operation's time."
                    .into(),
            );
        }
        notes
    }

    fn missing_traces(&self, notes: &mut Vec<String>) {
        let has = |role: Role| self.roster.participants.iter().any(|participant| participant.role == role);
        if !has(Role::Orchestrator) {
            notes.push(
                "There is no trace of the orchestrator: phases are taken from the operations, faults and ends of \
                 processes are unknown."
                    .into(),
            );
        } else if self.timeline.phases.is_empty() {
            notes.push("No phase was marked.".into());
        }
        if !has(Role::Driver) {
            notes.push("There is no trace of the driver: what the workload did is unknown.".into());
        }
        for (place, member) in (0_u16..).zip(&self.roster.clients) {
            if !self.roster.participants.iter().any(|participant| participant.client == Some(place)) {
                notes.push(format!("There is no trace of {}.", member.id));
            }
        }
        for column in self.roster.columns.iter().filter(|column| column.kind == ColumnKind::External) {
            if column.name != "external" && column.name != "orchestrator" {
                notes.push(format!(
                    "{} takes part, but the lab did not build it and it leaves no trace: what it was asked, and how \
                     long it took to answer, is only known from outside.",
                    column.name
                ));
            }
        }
    }

    fn trace_notes(&self, place: usize, notes: &mut Vec<String>) {
        let trace = &self.show.traces[place];
        let name = &self.roster.participants[place].label;
        let sides = self.show.merge.sides();
        let side = sides[place];
        let mut note = |count: u64, text: &str| {
            if count > 0 {
                notes.push(format!("{name}'s trace: {count} {text}."));
            }
        };
        note(trace.lost, "records did not fit and were lost");
        note(side.events_lost, "events were dropped by the kernel");
        note(side.notices_lost, "NOTIFY events could not be handed over by the kernel");
        note(
            side.notices_overflowed,
            "times the kernel's queue of NOTIFY events overflowed: how many it dropped is unknown",
        );
        note(side.notices_unread, "NOTIFY events lay unread at the end");
        note(
            side.reactions_dropped,
            "reactions to NOTIFY events were not begun, because the queue of work was full",
        );
        note(side.damaged, "records are damaged and were left out");
        note(side.parts_damaged, "ends or targets of records are damaged and count as absent");
        note(
            side.uncommitted,
            "places were claimed and never committed (the process was cut off there, or gave the claim up)",
        );
        note(side.unknown, "records are of a kind this version does not know");
        note(side.unresolved, "paths or targets were not resolved");
        note(
            side.late,
            &format!("records were more than {WINDOW} places out of order and may be joined wrongly"),
        );
        let tail = trace.tail();
        if tail.is_cut() {
            let missing = tail.missing_places.max(1);
            notes.push(format!("{name}'s trace is cut: at least {missing} records are missing at its end."));
        }
        if trace.closed.is_none() {
            notes.push(format!(
                "{name}'s trace was not closed: its process was cut off, and what it had not committed is missing."
            ));
        }
    }

    fn join_notes(&self, findings: &Findings, notes: &mut Vec<String>) {
        let counts = &self.engine.unjoined;
        let mut note = |count: u64, text: &str| {
            if count > 0 {
                notes.push(format!("{count} {text}."));
            }
        };
        note(
            counts.mismatched,
            "decisions were about another file than the operation their thread was in; they count as unexplained",
        );
        note(
            counts.orphans,
            "operations name a cause that is not in the traces; what followed from them belongs to no cascade",
        );
        note(
            counts.misplaced,
            "decisions lie in the trace of a process that is no client; they are left out of all counts",
        );
        note(
            counts.unseen,
            "decisions were about threads that are no lab process's and were never seen as a product's: they lived too \
             short, and count as unexplained",
        );
        note(
            findings.approvals.unknown,
            "times a client was not asked about an operation of storm or drain and the traces cannot tell why",
        );
        note(findings.totals.targets_unknown, "decisions have no resolved file");
        note(findings.totals.unanswered, "decisions were never answered; they have no latency");
        note(findings.totals.operations_unfinished, "operations have no recorded end");
    }

    fn cap_notes(&self, notes: &mut Vec<String>) {
        let engine = self.engine;
        let mut note = |count: u64, text: &str| {
            if count > 0 {
                notes.push(format!("{count} {text}."));
            }
        };
        note(
            engine.flame.folded,
            "cause chains were too long or too many for the flame graph and count at an ancestor",
        );
        note(engine.waiting.more_cycles, "further wait cycles are not listed");
        note(
            engine.waiting.looks_left_out,
            "moments at which clients might have waited in a circle were not looked at",
        );
        note(
            engine.measures.clients.files_left_out(),
            "decisions were about files beyond the 65,536 that are counted for each client",
        );
        if self.roster.clients.len() > 128 {
            notes.push(
                "What followed from the decisions of clients beyond the 128th is not counted inclusively."
                    .into(),
            );
        }
    }
}
