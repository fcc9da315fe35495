//! Operations that a client was not asked about, and why.
//!
//! A client's trace has nothing about what a mute, a kept answer or its own death hid from it; the traces of
//! those who opened have. So every operation is looked at from each client's side when it ends. What by itself
//! keeps an event away (a dead client, a mute, no subscription) is certain. All else is told by elimination: one
//! possible explanation is the answer, two or none are unknown.

use std::collections::BTreeMap;

use lab_model::{Approval, AuthEvent, Behavior, Bounded, Cache, Lab, OperationKind};

use crate::{
    findings::{ApprovalWay, Approvals, Findings, Word},
    measure::{Closing, Measure, Measured},
    participants::{
        behavior_periods::{BehaviorPeriod, limited, regimes},
        lives::{Lives, Presence},
        timeline::Timeline,
    },
    pass::{
        facts::{Answered, AskedAs, EndedOperation, Ending, ReadDecision, Scope},
        slots::Table,
    },
};

/// The kept answers that are remembered for each client.
const KEPT_MAX: usize = 65_536;

/// The error of an open that was denied (`EPERM`).
const DENIED: u32 = 1;

/// Why a client was not asked about an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// It had no process that reads events, or died with the event pending: the kernel allowed it.
    DeadClient,
    /// It does not subscribe to such events.
    NotSubscribed,
    /// It mutes the path.
    Mute,
    /// The kernel kept its answer about this file.
    CacheHit,
    /// Another's denial came first.
    Deny,
    /// Its own process acted, about which Endpoint Security does not ask it.
    OwnProcess,
    /// The file lies outside the arena.
    OutOfScope,
    /// The operation failed before anybody could be asked.
    Failed,
    /// It had no descriptor left for the event, so the kernel denied.
    Exhausted,
    /// The operation had not ended when its process or the run did.
    Unfinished,
}

impl Reason {
    pub(crate) const ALL: [Reason; 10] = [
        Reason::DeadClient,
        Reason::Mute,
        Reason::CacheHit,
        Reason::OwnProcess,
        Reason::NotSubscribed,
        Reason::Deny,
        Reason::OutOfScope,
        Reason::Failed,
        Reason::Exhausted,
        Reason::Unfinished,
    ];

    /// What reports call it.
    pub(crate) const fn way(self) -> ApprovalWay {
        match self {
            Reason::DeadClient => ApprovalWay::By(Approval::DeadClient),
            Reason::Mute => ApprovalWay::By(Approval::Mute),
            Reason::CacheHit => ApprovalWay::By(Approval::CacheHit),
            Reason::OwnProcess => ApprovalWay::By(Approval::OwnProcess),
            Reason::NotSubscribed => ApprovalWay::NotSubscribed,
            Reason::Deny => ApprovalWay::DeniedBefore,
            Reason::OutOfScope => ApprovalWay::OutOfScope,
            Reason::Failed => ApprovalWay::FailedBefore,
            Reason::Exhausted => ApprovalWay::Exhausted,
            Reason::Unfinished => ApprovalWay::Unfinished,
        }
    }
}

/// An operation as this search sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OperationFacts<'a> {
    pub(crate) kind: OperationKind,
    pub(crate) owner: u16,
    pub(crate) began: u64,
    pub(crate) ended: u64,
    /// It ended by itself.
    pub(crate) finished: bool,
    pub(crate) error: u32,
    /// Somebody was asked about it.
    pub(crate) asked: bool,
    /// Somebody denied it.
    pub(crate) denied: bool,
    pub(crate) file: Option<(u64, u32)>,
    /// Relative to the arena; a path outside begins with `/`.
    pub(crate) path: Option<&'a str>,
}

/// What one client's side of the operations comes to.
#[derive(Clone, Debug, Default)]
struct ClientApprovals {
    regimes: Vec<BehaviorPeriod>,
    /// When its descriptors were limited.
    limited: Vec<(u64, u64)>,
    /// The files about which an answer was kept, by the trace of the process that gave it.
    kept: Table<(u64, u32), u16>,
    /// Answers were kept beyond those remembered.
    kept_more: bool,
    operations: u64,
    /// Decided ones by how; the last place counts those never answered.
    asked: [u64; Approval::ALL.len() + 1],
    further: u64,
    elsewhere: u64,
    certain: BTreeMap<Reason, u64>,
    eliminated: BTreeMap<Reason, u64>,
    unknown: u64,
}

/// Every operation from every client's side.
#[derive(Clone, Debug)]
pub(crate) struct ApprovalsByClient {
    lives: Lives,
    sides: Vec<ClientApprovals>,
    /// A denial ends the pass, and a client is asked about its own process.
    serial: bool,
    /// Products take part that may deny, and of whose answers there is no trace.
    products: bool,
}

/// The explanations that are possible, and whether the only one is certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Explained {
    Certainly(Reason),
    Only(Reason),
    Not,
}

impl ApprovalsByClient {
    fn new(lab: &Lab, timeline: &Timeline, clients: usize, lives: Lives, serial: bool) -> ApprovalsByClient {
        let mut sides = vec![ClientApprovals::default(); clients];
        for (client, side) in sides.iter_mut().enumerate().take(lab.clients.len()) {
            side.regimes = regimes(lab, client, timeline);
            side.limited = limited(lab, client, timeline);
        }
        ApprovalsByClient { lives, sides, serial, products: !lab.external.is_empty() }
    }

    /// Counts a decision: the first of a client about an operation, a further one, or one about no operation.
    fn decided(&mut self, client: u16, place: AskedAs, approval: Option<Approval>) {
        let side = &mut self.sides[usize::from(client)];
        match place {
            AskedAs::First => side.asked[slot(approval)].raise(1),
            AskedAs::Further => side.further.raise(1),
            AskedAs::Elsewhere => side.elsewhere.raise(1),
        }
    }

    /// A first decision that was never answered: the client died, and the kernel allowed it.
    fn died(&mut self, client: u16) {
        let side = &mut self.sides[usize::from(client)];
        side.asked[slot(None)].lower(1);
        side.asked[slot(Some(Approval::DeadClient))].raise(1);
    }

    /// Remembers an answer that the kernel may have kept.
    fn keep(&mut self, client: u16, trace: u16, file: (u64, u32), at: u64) {
        let side = &mut self.sides[usize::from(client)];
        let caches = |regime: &BehaviorPeriod| regime.behavior.cache == Cache::On;
        if !side.regimes.iter().any(|regime| regime.from <= at && at <= regime.to && caches(regime)) {
            return;
        }
        if side.kept.len() >= KEPT_MAX && !side.kept.contains_key(&file) {
            side.kept_more = true;
            return;
        }
        side.kept.insert(file, trace);
    }

    /// Counts an operation that is over, from every client's side. `asked_by` has a bit for each that decided.
    fn ended(&mut self, operation: &OperationFacts<'_>, asked_by: u128) {
        for client in 0..self.sides.len() {
            self.sides[client].operations.raise(1);
            let asked = u32::try_from(client).ok().and_then(|bit| asked_by.checked_shr(bit)).unwrap_or(0);
            if asked & 1 == 1 {
                continue;
            }
            let explained = self.explain(client, operation);
            let side = &mut self.sides[client];
            match explained {
                Explained::Certainly(reason) => side.certain.entry(reason).or_default().raise(1),
                Explained::Only(reason) => side.eliminated.entry(reason).or_default().raise(1),
                Explained::Not => side.unknown.raise(1),
            }
        }
    }

    fn explain(&self, client: usize, operation: &OperationFacts<'_>) -> Explained {
        use Explained::{Certainly, Not, Only};
        let presence = self.lives.presence(client, operation.began, operation.ended);
        if presence == Presence::Absent {
            return Certainly(Reason::DeadClient);
        }
        if operation.path.is_some_and(|path| path.starts_with('/')) {
            return Certainly(Reason::OutOfScope);
        }
        if !operation.asked && !matches!(operation.error, 0 | DENIED) {
            return Certainly(Reason::Failed);
        }
        let own = usize::from(operation.owner) == client && operation.kind == OperationKind::Open;
        if !self.serial && own {
            return Certainly(Reason::OwnProcess);
        }
        if presence == Presence::Unknown {
            return Not;
        }
        // The kernel denies what a client cannot read, and nobody's trace has that answer.
        let by_kernel = operation.error == DENIED && !operation.denied;
        if by_kernel && presence == Presence::Whole && self.is_limited(client, operation) {
            return Certainly(Reason::Exhausted);
        }
        let hidden = self.hidden(client, operation);
        if operation.kind == OperationKind::Process && operation.finished && !operation.asked {
            // It opened nothing in the arena, unless what it opened was hidden from everybody.
            let caches = self.sides[client].regimes.iter().any(|regime| regime.behavior.cache == Cache::On);
            return if hidden.is_some() || caches { Not } else { Only(Reason::OutOfScope) };
        }
        if presence == Presence::Whole {
            if let Some((reason, true)) = hidden {
                return Certainly(reason);
            }
            if !operation.finished {
                return Certainly(Reason::Unfinished);
            }
        }
        let possible = [
            (presence == Presence::Partly).then_some(Reason::DeadClient),
            hidden.map(|(reason, _)| reason),
            self.kept(client, operation).then_some(Reason::CacheHit),
            (self.serial && (operation.denied || by_kernel && self.others_deny(operation)))
                .then_some(Reason::Deny),
            (!operation.finished).then_some(Reason::Unfinished),
        ];
        let mut possible = possible.into_iter().flatten();
        match (possible.next(), possible.next()) {
            (Some(only), None) => Only(only),
            _ => Not,
        }
    }

    fn is_limited(&self, client: usize, operation: &OperationFacts<'_>) -> bool {
        let limited = &self.sides[client].limited;
        limited.iter().any(|&(from, to)| from <= operation.ended && operation.began <= to)
    }

    /// True when somebody may have denied whose answer is in no trace.
    fn others_deny(&self, operation: &OperationFacts<'_>) -> bool {
        self.products || (0..self.sides.len()).any(|client| self.is_limited(client, operation))
    }

    /// What its behaviours keep from a client, and whether all that were in effect do.
    fn hidden(&self, client: usize, operation: &OperationFacts<'_>) -> Option<(Reason, bool)> {
        let regimes = self.sides[client].regimes.iter();
        let regimes = regimes.filter(|regime| regime.from <= operation.ended && operation.began <= regime.to);
        let mut found = None;
        let mut all = true;
        for regime in regimes {
            let behavior = &regime.behavior;
            if !self.subscribes(behavior, operation.kind) {
                found = Some(Reason::NotSubscribed);
            } else if behavior.mute.paths.is_empty() {
                all = false;
            } else {
                // Without its path a file may lie in a muted folder or not.
                let muted =
                    operation.path.map(|path| behavior.mute.paths.iter().any(|mute| covers(mute, path)));
                all &= muted == Some(true);
                found = if muted == Some(false) { found } else { found.or(Some(Reason::Mute)) };
            }
        }
        found.map(|reason| (reason, all))
    }

    fn subscribes(&self, behavior: &Behavior, kind: OperationKind) -> bool {
        // A command runs programs, and on fanotify an exec opens the program, too.
        let is_of = |event: AuthEvent| match (event.operation(), kind) {
            (OperationKind::Exec, OperationKind::Exec | OperationKind::Process) => true,
            (OperationKind::Open, OperationKind::Exec | OperationKind::Process) => self.serial,
            (of, kind) => of == kind,
        };
        behavior.subscribe.iter().any(is_of)
    }

    fn kept(&self, client: usize, operation: &OperationFacts<'_>) -> bool {
        let side = &self.sides[client];
        let caches = |regime: &&BehaviorPeriod| {
            regime.behavior.cache == Cache::On
                && regime.from <= operation.ended
                && operation.began <= regime.to
        };
        if !side.regimes.iter().any(|regime| caches(&regime)) {
            return false;
        }
        let Some(file) = operation.file else { return false };
        let by = side.kept.get(&file);
        side.kept_more
            || by.is_some_and(|&trace| self.lives.overlaps(client, trace, operation.began, operation.ended))
    }

    /// One client's counts. Where records of it are missing, one of them may be the decision that seems not to
    /// have been: then only what is certain stands.
    fn approvals(&self, client: usize, lossy: bool) -> Approvals {
        let side = &self.sides[client];
        let mut hidden: BTreeMap<Word<ApprovalWay>, u64> = BTreeMap::new();
        let mut unknown = side.unknown;
        for reason in Reason::ALL {
            let certain = side.certain.get(&reason).copied().unwrap_or(0);
            let eliminated = side.eliminated.get(&reason).copied().unwrap_or(0);
            let count = if lossy { certain } else { certain.saturating_add(eliminated) };
            unknown.raise(if lossy { eliminated } else { 0 });
            if count > 0 {
                hidden.insert(reason.way().into(), count);
            }
        }
        let ways = Approval::ALL.into_iter().map(ApprovalWay::By).chain([ApprovalWay::Unanswered]);
        let asked = ways.zip(side.asked).filter(|&(_, count)| count > 0);
        Approvals {
            operations: side.operations,
            asked: asked.map(|(way, count)| (way.into(), count)).collect(),
            hidden,
            unknown,
            further: side.further,
            elsewhere: side.elsewhere,
        }
    }
}

impl Measure for ApprovalsByClient {
    fn of(scope: &Scope<'_>) -> Self {
        let Scope { lab, roster, timeline, traces, .. } = *scope;
        let lives = Lives::new(roster, timeline, traces);
        ApprovalsByClient::new(lab, timeline, roster.clients.len(), lives, scope.own_events)
    }

    /// Counts an operation that is over for every client: those that decided on it, and those that did not.
    fn operation_ended(&mut self, ended: &EndedOperation<'_>, _: &Scope<'_>) {
        let op = ended.op;
        if !op.counted {
            return;
        }
        let operation = OperationFacts {
            kind: op.kind,
            owner: op.owner,
            began: op.started,
            ended: ended.at,
            finished: ended.ending == Ending::Itself,
            error: op.error,
            asked: op.asked_by != 0,
            // Beside a product, what fails like this and was denied by no client was denied by the product.
            denied: op.denied || (self.products && op.error == DENIED),
            file: op.target,
            path: op.path.as_deref(),
        };
        self.ended(&operation, op.asked_by);
    }

    fn decision_read(&mut self, read: &ReadDecision<'_>, _: &Scope<'_>) {
        let entry = read.entry;
        if read.counted {
            self.decided(read.client, read.asked, entry.approval);
        }
        let file = entry.file.or_else(|| read.op?.target);
        if let Some(file) = file.filter(|_| entry.allowed && entry.approval == Some(Approval::Rule)) {
            self.keep(read.client, read.trace, file, read.at);
        }
    }

    fn decision_answered(&mut self, answered: &Answered<'_>, _: &Scope<'_>) {
        let dec = answered.dec;
        if dec.counted && dec.first_open && answered.ending == Ending::Process {
            self.died(dec.client);
        }
    }

    fn finish(&self, closing: &Closing<'_>, findings: &mut Findings) {
        for (place, client) in findings.clients.iter_mut().enumerate() {
            client.approvals = self.approvals(place, closing.losses.by_client[place] > 0);
            findings.approvals.add(&client.approvals);
        }
    }

    fn metric(findings: &Findings, parts: &[&str]) -> Option<Measured> {
        let (approvals, way) = match parts {
            ["approvals", way] => (&findings.approvals, way),
            ["clients", id, "approvals", way] => {
                (&findings.clients.iter().find(|client| client.id == *id)?.approvals, way)
            }
            _ => return None,
        };
        Some(Measured::Count(if *way == "unknown" { approvals.unknown } else { approvals.by(*way) }))
    }
}

fn slot(approval: Option<Approval>) -> usize {
    approval.map_or(Approval::ALL.len(), |approval| usize::from(approval.code()).saturating_sub(1))
}

/// True when a mute of a file or folder covers a path.
fn covers(mute: &str, path: &str) -> bool {
    let mute = mute.trim_end_matches('/');
    path.strip_prefix(mute).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_covers_what_lies_below_it() {
        assert!(
            covers("files", "files/f1") && covers("files/f1", "files/f1") && covers("files/", "files/f1")
        );
        assert!(!covers("files/f1", "files/f10") && !covers("files/f1", "files"));
    }
}
