//! What was lost, and what the traces cannot show.

use lab_model::{
    BackendChoice, Bounded, Kernel, Role,
    units::{agreeing, count_of, counted},
};

use super::Assembly;
use crate::{
    findings::{ColumnKind, Findings},
    measure::Losses,
    measures::{denials::error_name, unwatched::sentence},
    pass::merge::WINDOW,
};

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
            losses.parts_damaged.raise(side.parts_damaged);
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
            self.denial_notes(trace, &mut notes);
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
        let live = match self.context.backend {
            BackendChoice::Live(kernel) => Some(kernel),
            BackendChoice::Auto | BackendChoice::Simulated => None,
        };
        if live.is_some() {
            self.wait_notes(&mut notes);
        }
        let merges = live.is_some_and(Kernel::merges_notices);
        if merges && told().next().is_some() {
            notes.push(
                "fanotify merges the NOTIFY events of one thread on one file while they lie unread, and does not say how \
                 many: a client's notices are a lower bound of what happened."
                    .into(),
            );
        }
        let unsigned = self.engine.measures.programs.unsigned;
        if unsigned > 0 {
            notes.push(format!(
                "{}; no program counts it among its decisions.",
                agreeing(
                    unsigned,
                    "decision was about a process whose program no client was told of",
                    "decisions were about processes whose program no client was told of"
                )
            ));
        }
        if live.is_some_and(|kernel| !kernel.names_programs()) {
            notes.push(
                "fanotify gives no kernel time: how long an event lay in the kernel's queue before it was read is not \
                 known by itself; it is part of the operation's time."
                    .into(),
            );
        }
        notes
    }

    /// What is not known of who waited for whom beyond the clients.
    fn wait_notes(&self, notes: &mut Vec<String>) {
        let Some(record) = self.context.waits else {
            notes.push(
                "Nobody looked who waits for whom: circles through products, pipes, sockets, FUSE daemons, leases or locks \
                 are not known."
                    .into(),
            );
            return;
        };
        if record.ended.is_none() {
            notes.push(
                "The record of who waits for whom is cut short: what came after it is not known.".into(),
            );
        }
        let missing = record.damaged.saturating_add(record.left_out);
        if missing > 0 {
            let lines = agreeing(missing, "change is", "changes are");
            notes.push(format!("{lines} missing from the record of who waits for whom."));
        }
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

    /// What the kernel denied because it could not hand it over.
    fn denial_notes(&self, place: usize, notes: &mut Vec<String>) {
        let name = &self.roster.participants[place].label;
        for (&error, &count) in &self.show.merge.sides()[place].not_handed_over {
            let error = error_name(error.into());
            let denied = agreeing(
                count,
                &format!("event could not be handed over ({error}), and the kernel denied its operation"),
                &format!("events could not be handed over ({error}), and the kernel denied their operations"),
            );
            notes.push(format!("{name}'s trace: {denied}."));
        }
    }

    fn trace_notes(&self, place: usize, notes: &mut Vec<String>) {
        let trace = &self.show.traces[place];
        let name = &self.roster.participants[place].label;
        let sides = self.show.merge.sides();
        let side = sides[place];
        let mut note = |count: u64, one: &str, more: &str| {
            if count > 0 {
                notes.push(format!("{name}'s trace: {}.", agreeing(count, one, more)));
            }
        };
        note(trace.lost, "record did not fit and was lost", "records did not fit and were lost");
        note(side.events_lost, "event was dropped by the kernel", "events were dropped by the kernel");
        note(
            side.notices_lost,
            "NOTIFY event could not be handed over by the kernel",
            "NOTIFY events could not be handed over by the kernel",
        );
        note(
            side.notices_overflowed,
            "time the kernel's queue of NOTIFY events overflowed: how many it dropped is unknown",
            "times the kernel's queue of NOTIFY events overflowed: how many it dropped is unknown",
        );
        note(
            side.notices_unread,
            "NOTIFY event lay unread at the end",
            "NOTIFY events lay unread at the end",
        );
        note(
            side.reactions_dropped,
            "reaction to a NOTIFY event was not begun, because the queue of work was full",
            "reactions to NOTIFY events were not begun, because the queue of work was full",
        );
        note(side.damaged, "record is damaged and was left out", "records are damaged and were left out");
        note(
            side.parts_damaged,
            "end or target of a record is damaged and counts as absent",
            "ends or targets of records are damaged and count as absent",
        );
        note(
            side.uncommitted,
            "place was claimed and never committed (the process was cut off there, or gave the claim up)",
            "places were claimed and never committed (the process was cut off there, or gave the claim up)",
        );
        note(
            side.unknown,
            "record is of a kind this version does not know",
            "records are of a kind this version does not know",
        );
        note(side.unresolved, "path or target was not resolved", "paths or targets were not resolved");
        let places = counted(count_of(WINDOW), "place");
        note(
            side.late,
            &format!("record was more than {places} out of order and may be joined wrongly"),
            &format!("records were more than {places} out of order and may be joined wrongly"),
        );
        let tail = trace.tail();
        if tail.is_cut() {
            let missing = tail.missing_places.max(1);
            let missing = agreeing(missing, "record is", "records are");
            notes.push(format!("{name}'s trace is cut: at least {missing} missing at its end."));
        }
        if trace.closed.is_none() {
            notes.push(format!(
                "{name}'s trace was not closed: its process was cut off, and what it had not committed is missing."
            ));
        }
    }

    fn join_notes(&self, findings: &Findings, notes: &mut Vec<String>) {
        let counts = &self.engine.unjoined;
        let mut note = |count: u64, one: &str, more: &str| {
            if count > 0 {
                notes.push(format!("{}.", agreeing(count, one, more)));
            }
        };
        note(
            counts.mismatched,
            "decision was about another file than the operation its thread was in; it counts as unexplained",
            "decisions were about another file than the operation their thread was in; they count as unexplained",
        );
        note(
            counts.orphans,
            "operation names a cause that is not in the traces; what followed from it belongs to no cascade",
            "operations name a cause that is not in the traces; what followed from them belongs to no cascade",
        );
        note(
            counts.misplaced,
            "decision lies in the trace of a process that is no client; it is left out of all counts",
            "decisions lie in the trace of a process that is no client; they are left out of all counts",
        );
        note(
            counts.unseen,
            "decision was about a thread that is no lab process's and was never seen as a product's: it lived too short, and \
             counts as unexplained",
            "decisions were about threads that are no lab process's and were never seen as a product's: they lived too \
             short, and count as unexplained",
        );
        note(
            findings.approvals.unknown,
            "time a client was not asked about an operation of storm or drain and the traces cannot tell why",
            "times a client was not asked about an operation of storm or drain and the traces cannot tell why",
        );
        note(
            findings.totals.targets_unknown,
            "decision has no resolved file",
            "decisions have no resolved file",
        );
        note(
            findings.totals.unanswered,
            "decision was never answered; how long it would have taken is not known, only that it was not over when its client \
             ended",
            "decisions were never answered; how long they would have taken is not known, only that they were not over when \
             their client ended",
        );
        note(
            findings.totals.operations_unfinished,
            "operation has no recorded end",
            "operations have no recorded end",
        );
    }

    fn cap_notes(&self, notes: &mut Vec<String>) {
        let engine = self.engine;
        let mut note = |count: u64, one: &str, more: &str| {
            if count > 0 {
                notes.push(format!("{}.", agreeing(count, one, more)));
            }
        };
        note(
            engine.flame.folded,
            "cause chain was too long or one too many for the flame graph and counts at an ancestor",
            "cause chains were too long or too many for the flame graph and count at an ancestor",
        );
        note(
            engine.waiting.more_cycles,
            "further wait cycle is not listed",
            "further wait cycles are not listed",
        );
        note(
            engine.waiting.looks_left_out,
            "moment at which clients might have waited in a circle was not looked at",
            "moments at which clients might have waited in a circle were not looked at",
        );
        note(
            engine.measures.clients.files_left_out(),
            "decision was about a file beyond the 65,536 that are counted for each client",
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
