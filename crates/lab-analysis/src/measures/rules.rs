//! The kernel's own rules, as far as a run shows them: what no document promises is measured here.
//!
//! Only what leaves no other explanation counts. An operation that two clients held for a moment only says nothing
//! about whether they were asked at once, and a denial that came last nothing about what it would have spared.

use std::collections::BTreeMap;

use lab_model::{Approval, AuthEvent, Bounded, Cache, EventKind, Lab};
use lab_trace::DecisionBegin;

use crate::{
    findings::{AfterDeny, Approvals, DeadlineLength, DeliveryOrder, Findings, KeptAnswers, KernelRules},
    measure::{Closing, Measure, Measured, headroom},
    measures::latency::{Used, UsedUp},
    pass::{
        facts::{EndedOperation, Ending, ReadDecision, Scope},
        slots::{NEVER, Op},
    },
};

/// Two clients tell how they were asked when the shorter of their holds is at least this part of the operation.
const TELLING_PART: u64 = 10;

/// How long the kernel waits for an answer about one kind of event.
#[derive(Clone, Debug)]
struct Length {
    decisions: u64,
    min: u64,
    max: u64,
    /// Of deadlines whose event has a time: what was used up before the client read it.
    used: Used,
}

/// What the operations and decisions have shown so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct RulesTally {
    serial: u64,
    parallel: u64,
    spared: u64,
    not_waited: u64,
    waited: u64,
    lengths: Vec<(EventKind, Length)>,
}

impl RulesTally {
    /// Looks at a root operation that has ended by itself. `alive` are the clients that could be asked, as bits.
    fn operation(&mut self, op: &Op, ended: u64, alive: u128) {
        self.delivery(op, ended);
        if op.denied {
            self.denial(op, ended, alive);
        }
    }

    /// One after the other, the clients' holds fit into the operation; at once, they do not.
    fn delivery(&mut self, op: &Op, ended: u64) {
        let took = ended.saturating_sub(op.started);
        let mut holds: BTreeMap<u16, u64> = BTreeMap::new();
        for asked in op.asked.iter().filter(|asked| asked.answered != NEVER) {
            let hold = holds.entry(asked.client).or_default();
            *hold = hold.saturating_add(asked.answered.saturating_sub(asked.read));
        }
        let mut holds: Vec<u64> = holds.into_values().collect();
        holds.sort_unstable();
        let [.., second, _] = holds[..] else { return };
        if took == 0 || second < took / TELLING_PART {
            return;
        }
        let sum = holds.iter().fold(0_u64, |sum, hold| sum.saturating_add(*hold));
        if sum > took {
            self.parallel.raise(1);
        } else {
            self.serial.raise(1);
        }
    }

    /// What a denial meant for the others: those that had not answered yet when it was given.
    fn denial(&mut self, op: &Op, ended: u64, alive: u128) {
        let denials = op.asked.iter().filter(|asked| asked.denied && asked.answered != NEVER);
        let Some(first) = denials.min_by_key(|asked| asked.answered) else { return };
        let others = (0..u16::try_from(u128::BITS).unwrap_or(0))
            .filter(|client| *client != first.client && alive & (1 << client) != 0);
        for client in others {
            let mut own = op.asked.iter().filter(|asked| asked.client == client).peekable();
            if own.peek().is_none() {
                self.spared.raise(1);
                continue;
            }
            let answered = own.map(|asked| asked.answered).max().unwrap_or(NEVER);
            if answered <= first.answered {
                // It was through before: nothing is said about it.
            } else if answered == NEVER || answered > ended {
                self.not_waited.raise(1);
            } else {
                self.waited.raise(1);
            }
        }
    }

    /// Looks at the deadline of a decision that was read at `read`.
    fn deadline(&mut self, begin: &DecisionBegin, read: u64) {
        let Some(deadline) = begin.deadline.map(|deadline| deadline.0) else { return };
        let made = begin.kernel.map(|kernel| kernel.0);
        let length = deadline.saturating_sub(made.unwrap_or(read));
        let fresh = || Length { decisions: 0, min: u64::MAX, max: 0, used: Used::default() };
        let place = self.lengths.iter().position(|(event, _)| *event == begin.event).unwrap_or_else(|| {
            self.lengths.push((begin.event, fresh()));
            self.lengths.len().saturating_sub(1)
        });
        let found = &mut self.lengths[place].1;
        found.decisions.raise(1);
        found.min = found.min.min(length);
        found.max = found.max.max(length);
        if let Some(made) = made.filter(|_| length > 0) {
            let took = read.saturating_sub(made);
            found.used.record(UsedUp { took, budget: length, open: false });
        }
    }

    /// The rules as the report tells them. `approvals` has each client's in the lab's order; `lossy` says that
    /// records of decisions are missing, and then nothing is said about who was not asked.
    fn section(&self, lab: &Lab, approvals: &[Approvals], lossy: bool) -> KernelRules {
        let deadlines = self.lengths.iter().map(|(event, length)| {
            let shown = DeadlineLength {
                decisions: length.decisions,
                min_ns: length.min,
                max_ns: length.max,
                left_at_read: length.used.headroom(),
            };
            (event.name().into(), shown)
        });
        KernelRules {
            delivery: word(
                &[(DeliveryOrder::Serial, self.serial), (DeliveryOrder::Parallel, self.parallel)],
                DeliveryOrder::Mixed,
            ),
            serial: self.serial,
            parallel: self.parallel,
            after_deny: if lossy {
                None
            } else {
                let counts = [
                    (AfterDeny::Spared, self.spared),
                    (AfterDeny::NotWaited, self.not_waited),
                    (AfterDeny::Waited, self.waited),
                ];
                word(&counts, AfterDeny::Mixed)
            },
            spared: self.spared,
            not_waited: self.not_waited,
            waited: self.waited,
            kept_answers: if lossy { None } else { kept_answers(lab, approvals) },
            deadlines: deadlines.collect(),
        }
    }
}

impl Measure for RulesTally {
    fn of(_: &Scope<'_>) -> Self {
        RulesTally::default()
    }

    fn operation_ended(&mut self, ended: &EndedOperation<'_>, _: &Scope<'_>) {
        if ended.op.root && ended.ending == Ending::Itself && ended.in_storm {
            self.operation(ended.op, ended.at, ended.alive);
        }
    }

    fn decision_read(&mut self, read: &ReadDecision<'_>, _: &Scope<'_>) {
        if read.counted {
            self.deadline(&read.decision.begin, read.at);
        }
    }

    fn finish(&self, closing: &Closing<'_>, findings: &mut Findings) {
        let approvals: Vec<Approvals> =
            findings.clients.iter().map(|client| client.approvals.clone()).collect();
        let lossy = closing.losses.by_client.iter().any(|&lost| lost > 0);
        findings.rules = self.section(closing.scope.lab, &approvals, lossy);
    }

    fn metric(findings: &Findings, parts: &[&str]) -> Option<Measured> {
        let rules = &findings.rules;
        Some(match parts {
            ["delivery", "order"] => Measured::Word(rules.delivery?.name().into()),
            ["delivery", "after_deny"] => Measured::Word(rules.after_deny?.name().into()),
            ["delivery", "kept_answers"] => Measured::Word(rules.kept_answers?.name().into()),
            ["delivery", "left", which] => Measured::Number(left_at_read(rules, which)?),
            ["deadline", event, which] => {
                Measured::Time(deadline_length(rules, AuthEvent::of_word(event)?, which)?)
            }
            _ => return None,
        })
    }
}

/// The length of the deadlines of one kind of event.
fn deadline_length(rules: &KernelRules, event: AuthEvent, which: &str) -> Option<u64> {
    let length = rules.deadlines.get(&EventKind::Auth(event).into())?;
    Some(if which == "min" { length.min_ns } else { length.max_ns })
}

/// What was left of the deadline at delivery, for the kind of event for which least was.
fn left_at_read(rules: &KernelRules, which: &str) -> Option<f64> {
    let shares = rules.deadlines.values().filter_map(|length| match headroom(&length.left_at_read, which)? {
        Measured::Number(share) => Some(share),
        _ => None,
    });
    shares.min_by(f64::total_cmp)
}

/// The only one that occurred; `mixed` for several, nothing for none.
fn word<W: Copy>(counts: &[(W, u64)], mixed: W) -> Option<W> {
    let mut occurred = counts.iter().filter(|(_, count)| *count > 0).map(|&(word, _)| word);
    let first = occurred.next()?;
    Some(if occurred.next().is_some() { mixed } else { first })
}

/// Whether an answer that a client has kept also serves those that keep none. It takes clients of both kinds.
fn kept_answers(lab: &Lab, approvals: &[Approvals]) -> Option<KeptAnswers> {
    let (mut hits, mut asked_again, mut bystanders, mut missed) = (0, 0, 0, 0);
    for (client, approvals) in lab.clients.iter().zip(approvals) {
        if client.behavior.cache == Cache::On {
            hits.raise(approvals.hidden.get(&Approval::CacheHit.into()).copied().unwrap_or(0));
            asked_again.raise(approvals.asked.get(&Approval::Rule.into()).copied().unwrap_or(0));
        } else {
            bystanders.raise(1);
            missed.raise(approvals.unknown);
        }
    }
    let keepers = lab.clients.len().saturating_sub(bystanders);
    if keepers == 0 || bystanders == 0 || hits.saturating_add(asked_again) == 0 {
        return None;
    }
    Some(match (hits, missed) {
        // As many questions as operations: no answer was kept at all.
        (0, 0) if asked_again > 1 => KeptAnswers::NotKept,
        (0, _) => return None,
        (_, 0) => KeptAnswers::Own,
        // As often for each bystander as for each keeper.
        (hits, missed)
            if missed.saturating_mul(keepers as u64).saturating_mul(2)
                >= hits.saturating_mul(bystanders as u64) =>
        {
            KeptAnswers::Shared
        }
        _ => KeptAnswers::Mixed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_only_said_when_all_agree() {
        use DeliveryOrder::{Mixed, Parallel, Serial};
        assert_eq!(word(&[(Serial, 0), (Parallel, 0)], Mixed), None);
        assert_eq!(word(&[(Serial, 3), (Parallel, 0)], Mixed), Some(Serial));
        assert_eq!(word(&[(Serial, 3), (Parallel, 1)], Mixed), Some(Mixed));
    }
}
