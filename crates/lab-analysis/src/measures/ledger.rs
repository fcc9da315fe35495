//! What each client did and had done to it: counts, times, blame both ways.

mod account;
mod own_operations;
mod section;

use std::collections::BTreeSet;

use lab_model::{Bounded, PhaseKind, Total};
use lab_trace::FaultKind;

use account::{Account, populations};

use crate::{
    findings::{Client, Findings, Population, PopulationOf},
    measure::{Closing, Measure, Measured, headroom, latency},
    measures::latency::{Times, Used},
    pass::{
        cascade::{Cascade, Node},
        facts::{
            Answered, BegunOperation, ClosedCascade, EndedOperation, Ending, Entry, ReadDecision, Scope,
            counts,
        },
        slots::NOBODY,
    },
    show::{Ranked, Step},
};

/// The steps of a chain that are kept.
const CHAIN_MAX: usize = 12;

/// What all clients did and had done to them.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    accounts: Vec<Account>,
    /// The columns of the cause matrix in which any decision was read, control included.
    seen: Vec<bool>,
    /// The open cascades for whose counts a ranking waits, by serial number.
    watched: BTreeSet<u64>,
    /// Memory that is used again: decisions at or below each node of a cascade.
    inclusive: Vec<u64>,
}

impl Ledger {
    /// Decisions about files beyond those that are counted for each client.
    pub(crate) fn files_left_out(&self) -> u64 {
        self.accounts.iter().map(|account| account.files_left_out).total()
    }

    /// Counts for those who brought a decision upon `on`: the operation's author, and every client above it.
    fn inflict(&mut self, on: u16, entry: &Entry) {
        let on = usize::from(on);
        if let Some(author) = self.accounts.get_mut(usize::from(entry.author)) {
            author.exclusive[on].raise(1);
        }
        let mut above = entry.above;
        while above != 0 {
            let client = above.trailing_zeros() as usize;
            above &= above.saturating_sub(1);
            if let Some(account) = self.accounts.get_mut(client) {
                account.inclusive[on].raise(1);
            }
        }
    }

    /// Counts a decision against its deadline, and ranks it by how close it came.
    fn judge(&mut self, read: &ReadDecision<'_>) {
        let Some(judged) = read.judged else { return };
        let account = &mut self.accounts[usize::from(read.client)];
        account.misses.raise(u64::from(judged.late || judged.killed));
        let score = match judged.used {
            // Who was killed for one comes first, whatever else had outlived its deadline by then.
            Some(used) if judged.killed => {
                account.used.record(used);
                f64::INFINITY
            }
            Some(used) => 1.0 - account.used.record(used),
            None if judged.killed => f64::INFINITY,
            None => return,
        };
        if !account.closest.wants(score) {
            return;
        }
        let hung = read.hung.as_ref();
        let (mut chain, chain_cut) =
            hung.map_or_else(Default::default, |hung| chain(&hung.cascade.nodes, hung.above));
        chain.push((read.trace, read.record, true));
        let node = hung.and_then(|hung| Some((hung.cascade.serial, hung.node?)));
        if let Some((serial, _)) = node {
            self.watched.insert(serial);
        }
        account.closest.insert(Ranked {
            score,
            trace: read.trace,
            record: read.record,
            chain,
            chain_cut,
            inflicted: 0,
            node,
        });
    }

    /// Counts that a client waited in an operation of its own for another's answer.
    fn wait(&mut self, read: &ReadDecision<'_>, scope: &Scope<'_>) {
        let (Some(op), Some(lasted)) = (read.op, read.entry.lasted()) else { return };
        // For an answer that never came, or came too late, it waited until it or its operation ended.
        let end = op.ended.min(scope.timeline.until(op.trace));
        let took = lasted.min(scope.timeline.took(read.at, end));
        if op.owner != NOBODY && op.owner != read.client {
            let waited = &mut self.accounts[usize::from(op.owner)].waited_ns[usize::from(read.client)];
            *waited = waited.saturating_add(took);
        }
    }

    /// Ranks a closed cascade's decisions by what followed from them.
    fn rank(&mut self, cascade: &Cascade, watched: bool, scope: &Scope<'_>) {
        let mut inclusive = std::mem::take(&mut self.inclusive);
        cascade.inclusive(&mut inclusive);
        for (place, node) in (0_u32..).zip(&cascade.nodes) {
            let followed = inclusive[place as usize].saturating_sub(1);
            if !node.decision || followed == 0 {
                continue;
            }
            let client = scope.roster.participants[usize::from(node.trace)].client.unwrap_or(NOBODY);
            let Some(account) = self.accounts.get_mut(usize::from(client)) else { continue };
            if account.costliest.wants(followed as f64) {
                let (chain, chain_cut) = chain(&cascade.nodes, place);
                account.costliest.insert(Ranked {
                    score: followed as f64,
                    trace: node.trace,
                    record: node.record,
                    chain,
                    chain_cut,
                    inflicted: followed,
                    node: None,
                });
            }
        }
        if watched {
            for ranked in self.accounts.iter_mut().flat_map(|account| &mut account.closest.entries) {
                if let Some((_, node)) = ranked.node.filter(|(serial, _)| *serial == cascade.serial) {
                    ranked.inflicted = inclusive[node as usize].saturating_sub(1);
                }
            }
        }
        self.inclusive = inclusive;
    }
}

impl Measure for Ledger {
    fn of(scope: &Scope<'_>) -> Self {
        let Scope { roster, timeline, .. } = *scope;
        let (clients, columns) = (roster.clients.len(), roster.columns.len());
        let mut accounts = vec![Account::new(clients, columns); clients];
        // Who is killed for an event that it has not even read has missed a deadline without a decision to show for it.
        for kill in timeline.faults.iter().filter(|fault| fault.kind == FaultKind::DeadlineKill) {
            let client =
                roster.trace_of(kill.actor).and_then(|trace| roster.participants[usize::from(trace)].client);
            let account = client.and_then(|client| accounts.get_mut(usize::from(client)));
            if let Some(account) = account.filter(|_| kill.detail == u64::MAX) {
                account.misses.raise(1);
                account.used.missed_unread();
            }
        }
        Ledger { accounts, seen: vec![false; columns], watched: BTreeSet::new(), inclusive: Vec::new() }
    }

    fn operation_begun(&mut self, begun: &BegunOperation<'_>, _: &Scope<'_>) {
        let account = self.accounts.get_mut(usize::from(begun.owner()));
        if let Some(account) = account.filter(|_| begun.counted()) {
            account.operations.raise(1);
        }
    }

    fn operation_ended(&mut self, ended: &EndedOperation<'_>, scope: &Scope<'_>) {
        let account = self.accounts.get_mut(usize::from(ended.op.owner));
        if let Some(account) = account.filter(|_| ended.op.counted) {
            account.own_operations.take(ended.op, ended.at, scope.timeline);
        }
    }

    fn decision_read(&mut self, read: &ReadDecision<'_>, scope: &Scope<'_>) {
        let entry = read.entry;
        self.seen[entry.column] = true;
        if read.counted {
            self.accounts[usize::from(read.client)].decide(read.client, entry);
            self.inflict(read.client, entry);
            self.judge(read);
            self.wait(read, scope);
        } else if read.phase == Some(PhaseKind::Control) && !entry.own {
            self.accounts[usize::from(read.client)].control.observe(entry);
        }
    }

    fn decision_answered(&mut self, answered: &Answered<'_>, scope: &Scope<'_>) {
        let dec = answered.dec;
        let account = &mut self.accounts[usize::from(dec.client)];
        if dec.counted && dec.open {
            account.never_answered(dec, scope.timeline);
        }
        if !dec.counted || dec.at_once || answered.ending != Ending::Itself {
            return;
        }
        account.queue.record(answered.queued);
        if dec.started.is_some() {
            let held = scope.timeline.took(dec.read, dec.answered).saturating_sub(answered.queued);
            account.work.record(held.saturating_sub(dec.blocked));
            account.blocked.record(dec.blocked.min(held));
        }
    }

    fn cascade_closed(&mut self, closed: &ClosedCascade<'_>, scope: &Scope<'_>) {
        let cascade = closed.cascade;
        let watched = self.watched.remove(&cascade.serial);
        if counts(cascade.phase) && cascade.operations > 1 {
            self.rank(cascade, watched, scope);
        }
    }

    fn finish(&self, closing: &Closing<'_>, findings: &mut Findings) {
        let (mut latency, mut used) = (Times::default(), Used::default());
        let mut by_maker: [Times; PopulationOf::ALL.len()] = std::array::from_fn(|_| Times::default());
        for account in &self.accounts {
            latency.add(&account.latency);
            used.add(&account.used);
            by_maker.iter_mut().zip(&account.populations).for_each(|(sum, times)| sum.add(times));
        }
        findings.populations = populations(&by_maker);
        findings.latency_ns = latency.summary();
        findings.headroom = used.headroom();
        findings.causes = self.causes(closing);
        findings.clients = self.clients(closing);
    }

    fn metric(findings: &Findings, parts: &[&str]) -> Option<Measured> {
        Some(match parts {
            ["deadline", "misses"] => {
                Measured::Count(findings.clients.iter().map(|client| client.deadline_misses).total())
            }
            ["headroom", which] => headroom(&findings.headroom, which)?,
            ["latency", which] => latency(&findings.latency_ns, which)?,
            ["latency", of, which] => latency_of(&findings.populations, of, which)?,
            ["clients", id, rest @ ..] => {
                of_client(findings.clients.iter().find(|client| client.id == *id)?, rest)?
            }
            _ => return None,
        })
    }
}

fn latency_of(populations: &[Population], of: &str, which: &str) -> Option<Measured> {
    latency(&populations.iter().find(|population| population.of.name() == of)?.latency_ns, which)
}

fn of_client(client: &Client, rest: &[&str]) -> Option<Measured> {
    Some(match rest {
        ["decisions"] => Measured::Count(client.decisions),
        ["own_process"] => Measured::Count(client.own_process),
        ["operations"] => Measured::Count(client.operations),
        ["restarts"] => Measured::Count(client.lives.len().saturating_sub(1) as u64),
        ["deadline", "misses"] => Measured::Count(client.deadline_misses),
        ["latency", which] => latency(&client.latency_ns, which)?,
        ["latency", of, which] => latency_of(&client.populations, of, which)?,
        ["headroom", which] => headroom(&client.headroom, which)?,
        _ => return None,
    })
}

/// The way from the root to a node, at most [`CHAIN_MAX`] steps: the root and the last ones.
fn chain(nodes: &[Node], place: u32) -> (Vec<Step>, bool) {
    let mut steps = Vec::new();
    let mut at = place;
    while let Some(node) = nodes.get(at as usize) {
        if steps.len() == CHAIN_MAX {
            if let (Some(last), Some(root)) = (steps.last_mut(), nodes.first()) {
                *last = (root.trace, root.record, root.decision);
            }
            steps.reverse();
            return (steps, true);
        }
        steps.push((node.trace, node.record, node.decision));
        at = node.parent;
    }
    steps.reverse();
    (steps, false)
}
