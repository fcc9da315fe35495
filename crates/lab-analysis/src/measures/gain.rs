//! How many events one event brings: gain, drive, loop gain with its interval, predicted size.
//!
//! **What the loop gain is.** Take one operation of a client (or of its helper, or of a daemon). It lands on some clients;
//! each that takes its event up makes, or has others make, so many operations because of it. The matrix of these means,
//! from the type of the one operation (who makes it, and whether it is an open) to the types of those that it sets off,
//! follows from the lab's settings alone; the loop gain is its spectral radius. It is about clients that live and take
//! up what they are asked: an event that was answered because a queue was full or a budget was over, and one whose
//! reaction had not begun when the record ends, say nothing of it and are left out, not counted as events that brought
//! nothing. Where settings make an operation's way depend on more than its type (a muted folder, an answer that is
//! kept), the means are those over the run.
//!
//! What was observed gives it with an interval: from the spread of what single operations set off, and from all that
//! might still have landed or been made.

use crate::{
    findings::{Findings, Prediction, Word},
    measure::{Closing, Measure, Measured},
    pass::{
        facts::{BegunOperation, EndedOperation, Ending, Noticed, ReadDecision, Scope},
        slots::{Branch, By},
    },
};
use branching::Branching;
use lab_model::{Cache, OperationKind};

mod branching;
mod radius;

/// Counts over the storm's cascades.
#[derive(Clone, Debug)]
pub(crate) struct Gain {
    counts: Branching,
    /// The workload has made operations while all clients lived.
    began_whole: bool,
    a_client_died: bool,
}

impl Gain {
    /// The listener and the type of what set an operation off, if that had its chance.
    fn made_by(&self, by: By) -> Option<(u16, Branch)> {
        let listener = if by.is_notice() { self.counts.told(by.client) } else { by.client };
        by.reacted.then_some((listener, by.about))
    }
}

impl Measure for Gain {
    fn of(scope: &Scope<'_>) -> Self {
        let (lab, roster) = (scope.lab, scope.roster);
        let told = lab.clients.iter().take(roster.clients.len()).any(|client| lab.notifies(client));
        let behaviors = || lab.clients.iter().flat_map(|client| lab.behaviors_of(client));
        let denies = behaviors().any(|behavior| !behavior.deny.is_empty());
        let varies: Vec<bool> = (0..roster.clients.len())
            .map(|client| {
                let mut own = lab.clients.get(client).into_iter().flat_map(|client| lab.behaviors_of(client));
                denies || own.any(|own| own.cache == Cache::On || !own.mute.paths.is_empty())
            })
            .collect();
        let workers: Vec<u64> = roster.clients.iter().map(|member| member.workers as u64).collect();
        Gain {
            counts: Branching::new(roster.columns.len(), told, &varies, &workers),
            began_whole: false,
            a_client_died: false,
        }
    }

    fn operation_begun(&mut self, begun: &BegunOperation<'_>, scope: &Scope<'_>) {
        if !begun.in_storm {
            return;
        }
        let lived = scope.timeline.deaths().all_lived(begun.at);
        self.began_whole |= lived;
        self.a_client_died |= !lived;
        let made_by = begun.by.and_then(|by| self.made_by(by));
        let open = begun.operation.begin.kind == OperationKind::Open;
        let branch = Branch::of(begun.participant.column, open, begun.root);
        self.counts.begun((begun.trace, begun.record), branch, made_by, lived);
    }

    fn decision_read(&mut self, read: &ReadDecision<'_>, scope: &Scope<'_>) {
        let (Some(hung), Some(op)) = (read.hung.filter(|hung| hung.cascade.in_storm()), read.op) else {
            return;
        };
        if scope.timeline.deaths().all_lived(op.started) {
            let reactions = hung.reacted.then_some(hung.reactions);
            self.counts.landed((op.trace, op.record), op.branch(), read.client, reactions);
        }
    }

    fn operation_ended(&mut self, ended: &EndedOperation<'_>, scope: &Scope<'_>) {
        let (op, deaths) = (ended.op, scope.timeline.deaths());
        if !ended.in_storm || !deaths.all_lived(op.started) {
            return;
        }
        if ended.ending == Ending::Itself && deaths.all_lived(ended.at) {
            self.counts.ended((op.trace, op.record), op.branch());
        } else {
            self.counts.cut_off((op.trace, op.record), op.branch(), op.asked_by);
        }
    }

    fn noticed(&mut self, noticed: &Noticed<'_>, scope: &Scope<'_>) {
        let lived = scope.timeline.deaths().all_lived(noticed.at);
        if let Some(op) = noticed.hung().filter(|op| op.in_storm && lived) {
            self.counts.heard(op.branch(), self.counts.told(noticed.client), noticed.reacted);
        }
    }

    fn finish(&self, _: &Closing<'_>, findings: &mut Findings) {
        let died = self.a_client_died && !self.began_whole;
        let loop_gain = self.counts.loop_gain(died);
        let size = &findings.cascades.size;
        findings.prediction = (findings.cascades.count > 0).then(|| Prediction {
            predicted_size: self.counts.predicted_size(loop_gain.ok()),
            observed_size: size.mean,
        });
        findings.loop_gain = loop_gain.ok();
        findings.loop_gain_unknown = loop_gain.err().map(Word::from);
        findings.gain = self.counts.gain();
        findings.drive = self.counts.drive();
    }

    fn metric(findings: &Findings, parts: &[&str]) -> Option<Measured> {
        Some(Measured::Number(match parts {
            ["loop_gain"] => findings.loop_gain?.value,
            ["loop_gain", "low"] => findings.loop_gain?.low,
            ["loop_gain", "high"] => findings.loop_gain?.high,
            ["gain", on, by] => {
                let place = |id: &str| findings.clients.iter().position(|client| client.id == id);
                *findings.gain.get(place(on)?)?.get(place(by)?)?
            }
            _ => return None,
        }))
    }
}
