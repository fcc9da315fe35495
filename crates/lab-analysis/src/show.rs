//! Turns places in traces back into what a person reads: paths, chains, trees, evidence.

use lab_model::{NotifyEvent, OperationKind, units::count};
use lab_trace::{Decision, Entry, Operation, Record, RecordPart, Target, Trace};

use crate::{
    findings::{ApprovalWay, Call, CascadeNode, CascadeNodeKind, CascadeTree, WhyShown, Word},
    measures::latency::headroom,
    participants::{roster::Roster, timeline::Timeline},
    pass::{
        cascade::{Kept, Node},
        flame::Flame,
        merge::{Merge, Side},
        slots::Table,
    },
    verdict::waiting::{Cycle, Hold, Link},
};

/// The nodes of a tree in a report.
const TREE_NODES_MAX: usize = 200;

/// The pieces of one path that are put together.
const PIECES_MAX: u64 = 64;

/// A record that is shown: its trace, its place there, and whether it is a decision.
pub(crate) type Step = (u16, u64, bool);

/// A decision in a ranking; all else about it is read from its record.
#[derive(Clone, Debug)]
pub(crate) struct Ranked {
    pub(crate) score: f64,
    pub(crate) trace: u16,
    pub(crate) record: u64,
    /// From the root operation to the decision; the middle of a long one is left out.
    pub(crate) chain: Vec<Step>,
    pub(crate) chain_cut: bool,
    pub(crate) inflicted: u64,
    /// Its cascade's serial number and its node there.
    pub(crate) node: Option<(u64, u32)>,
}

/// All that is needed to show a record.
pub(crate) struct Show<'a> {
    pub(crate) traces: &'a [Trace<'a>],
    pub(crate) roster: &'a Roster,
    pub(crate) merge: &'a Merge<'a>,
    pub(crate) known_paths: &'a Table<(u64, u32), (u16, u32)>,
    /// Cause chains over all cascades.
    pub(crate) flame: &'a Flame,
    pub(crate) timeline: &'a Timeline,
    pub(crate) origin: u64,
}

/// Bytes as text: what is not UTF-8 shows as `\xNN`.
pub(crate) fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// A path by its number in a trace, relative to the arena; one outside keeps its first `/`.
pub(crate) fn path(trace: &Trace<'_>, side: &Side, number: u32) -> Option<String> {
    let first = side.path(number)?;
    let mut bytes = Vec::new();
    let mut length = usize::MAX;
    for place in first..first.saturating_add(PIECES_MAX) {
        if bytes.len() >= length {
            break;
        }
        match trace.entry(place)? {
            Entry::Record { record: Record::Path(piece), .. }
                if piece.path == number && u64::from(piece.fragment) == place.saturating_sub(first) =>
            {
                length = usize::from(piece.length);
                bytes.extend_from_slice(&piece.bytes);
            }
            _ => return None,
        }
    }
    let arena = trace.header.identity.arena.as_bytes();
    let inside = bytes.strip_prefix(arena).filter(|_| !arena.is_empty());
    let inside = inside.map(|rest| rest.strip_prefix(b"/").unwrap_or(rest));
    Some(text(inside.filter(|rest| !rest.is_empty()).unwrap_or(&bytes)))
}

impl Show<'_> {
    pub(crate) fn name(&self, trace: u16) -> &str {
        &self.roster.participants[usize::from(trace)].name
    }

    fn record(&self, trace: u16, record: u64) -> Option<Record> {
        match self.traces.get(usize::from(trace))?.entry(record)? {
            Entry::Record { record, .. } => Some(record),
            Entry::Damaged { .. } => None,
        }
    }

    fn nanoseconds(&self, trace: u16, ticks: u64) -> u64 {
        self.traces[usize::from(trace)].header.timebase.nanoseconds(ticks)
    }

    /// A path by its number in a trace, relative to the arena.
    pub(crate) fn path(&self, trace: u16, number: u32) -> Option<String> {
        path(self.traces.get(usize::from(trace))?, self.merge.side(trace), number)
    }

    /// A file's path by the number its trace gives, or as another trace named the file.
    pub(crate) fn file(&self, trace: u16, number: u32, file: (u64, u32)) -> Option<String> {
        self.path(trace, number).or_else(|| {
            let &(trace, number) = self.known_paths.get(&file)?;
            self.path(trace, number)
        })
    }

    fn target(&self, trace: u16, target: &RecordPart<lab_trace::Target>) -> Option<String> {
        let target = target.present()?;
        self.file(trace, target.path, (target.inode, target.device))
    }

    /// The path of the file that an operation was about.
    pub(crate) fn operation_path(&self, trace: u16, record: u64) -> Option<String> {
        match self.record(trace, record)? {
            Record::Operation(operation) => self.target(trace, &operation.target),
            _ => None,
        }
    }

    fn step(&self, &(trace, record, decision): &Step) -> String {
        let name = self.name(trace);
        if decision {
            return format!("{name} decides");
        }
        let operation = match self.record(trace, record) {
            Some(Record::Operation(operation)) => operation,
            Some(Record::Notice(_)) => return format!("{name} is told"),
            _ => return format!("{name} operation"),
        };
        let kind = operation.begin.kind.name();
        match self.target(trace, &operation.target) {
            Some(path) => format!("{name} {kind} {path}"),
            None => format!("{name} {kind}"),
        }
    }

    /// A ranked decision in full; `None` when its record cannot be read again.
    pub(crate) fn call(&self, ranked: &Ranked) -> Option<Call> {
        let Record::Decision(decision) = self.record(ranked.trace, ranked.record)? else { return None };
        let nanoseconds = |ticks: u64| self.nanoseconds(ranked.trace, ticks);
        let read = nanoseconds(decision.begin.read.0);
        let end = decision.end.present();
        let took = end.map(|end| nanoseconds(end.answered.0).saturating_sub(read));
        let open = matches!(decision.end, RecordPart::Absent);
        let open = open.then(|| self.timeline.until(ranked.trace).saturating_sub(read));
        let killed = self.timeline.killed_at_deadline(self.traces[usize::from(ranked.trace)].header.actor.0);
        let budget = decision.begin.deadline.map(|deadline| nanoseconds(deadline.0).saturating_sub(read));
        let mut chain: Vec<String> = ranked.chain.iter().map(|step| self.step(step)).collect();
        if ranked.chain_cut && !chain.is_empty() {
            chain.insert(1, "…".into());
        }
        Some(Call {
            record: ranked.record,
            read_ns: read.saturating_sub(self.origin),
            took_ns: took,
            open_ns: open,
            headroom: took.or(open).zip(budget).map(|(lasted, budget)| match took {
                // How late the warden was is not the client's.
                None if killed => headroom(lasted, budget).max(0.0),
                _ => headroom(lasted, budget),
            }),
            path: self.target(ranked.trace, &decision.target),
            approval: approval(&decision),
            chain,
            inflicted: ranked.inflicted,
        })
    }

    /// A kept cascade as a tree, depth first.
    pub(crate) fn tree(&self, why: WhyShown, kept: &Kept) -> CascadeTree {
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); kept.nodes.len()];
        for (place, node) in kept.nodes.iter().enumerate().skip(1) {
            if let Some(siblings) = children.get_mut(node.parent as usize) {
                siblings.push(place);
            }
        }
        let mut nodes = Vec::new();
        let mut stack = vec![(0_usize, 0_u32)];
        while let Some((place, level)) = stack.pop() {
            let Some(node) = kept.nodes.get(place).filter(|_| nodes.len() < TREE_NODES_MAX) else { break };
            nodes.push(self.node(node, level, kept.began));
            stack.extend(children[place].iter().rev().map(|&child| (child, level.saturating_add(1))));
        }
        CascadeTree {
            why: why.into(),
            size: kept.size,
            depth: kept.depth,
            duration_ns: kept.duration,
            omitted: kept.total_nodes.saturating_sub(nodes.len() as u64),
            nodes,
        }
    }

    fn node(&self, node: &Node, level: u32, origin: u64) -> CascadeNode {
        let mut shown = CascadeNode {
            level,
            kind: if node.decision { CascadeNodeKind::Decision } else { CascadeNodeKind::Operation }.into(),
            actor: self.name(node.trace).to_owned(),
            path: None,
            began_ns: 0,
            took_ns: None,
            note: String::new(),
        };
        let nanoseconds = |ticks: u64| self.nanoseconds(node.trace, ticks);
        match self.record(node.trace, node.record) {
            Some(Record::Decision(decision)) => {
                let read = nanoseconds(decision.begin.read.0);
                shown.began_ns = read.saturating_sub(origin);
                let end = decision.end.present();
                shown.took_ns = end.map(|end| nanoseconds(end.answered.0).saturating_sub(read));
                shown.path = self.target(node.trace, &decision.target);
                shown.note = approval(&decision).into();
            }
            Some(Record::Operation(operation)) => {
                let started = nanoseconds(operation.begin.started.0);
                shown.kind = CascadeNodeKind::from(operation.begin.kind).into();
                shown.began_ns = started.saturating_sub(origin);
                let end = operation.end.present();
                shown.took_ns = end.map(|end| nanoseconds(end.ended.0).saturating_sub(started));
                shown.path = self.target(node.trace, &operation.target);
                shown.note = operation_note(&operation);
            }
            Some(Record::Notice(notice)) => {
                shown.kind = CascadeNodeKind::Notice.into();
                shown.began_ns = nanoseconds(notice.read.0).saturating_sub(origin);
                let file = |target: Target| self.file(node.trace, target.path, (target.inode, target.device));
                shown.path = notice.target.and_then(file);
                let events: Vec<&str> = notice.events.iter().map(NotifyEvent::word).collect();
                shown.note = format!("told of {}", events.join(", "));
            }
            _ => {}
        }
        shown
    }

    /// The sentences that prove a cycle, one an edge.
    pub(crate) fn evidence(&self, cycle: &Cycle) -> Vec<String> {
        cycle.links.iter().map(|link| self.edge(link)).collect()
    }

    fn edge(&self, link: &Link) -> String {
        let client = |client: u16| self.roster.clients[usize::from(client)].id.as_str();
        let (waiter, decider) = (client(link.waiter), client(link.decider));
        let label = |trace: u16| self.roster.participants[usize::from(trace)].label.as_str();
        let of_decider = link.decider_trace.map_or(decider, label);
        let path = self.operation_path(link.op_trace, link.op_record);
        let file = path.map_or_else(|| "a file".to_owned(), |path| format!("\"{path}\""));
        let kind = match self.record(link.op_trace, link.op_record) {
            Some(Record::Operation(operation)) => operation.begin.kind.name(),
            _ => "operation",
        };
        let worker = self.name(link.op_trace);
        let holder =
            if link.through { format!("{worker}, which works for {waiter},") } else { waiter.to_owned() };
        let during = link.cause.map_or_else(String::new, |(_, record)| format!(" for its decision {record}"));
        let state = match (link.hold, link.workers) {
            (Hold::Unread, _) => {
                "has not read the event, because the thread that reads is in an open of its own".to_owned()
            }
            (Hold::Decision { record, read, queued, asks }, workers) => {
                let why = match (queued, workers) {
                    _ if asks => "needs a helper or a daemon that is in an open itself".to_owned(),
                    (false, _) => "is working on it in an operation of its own".to_owned(),
                    (true, 1) => {
                        "has not begun with it, because its only worker is in an operation of its own"
                            .to_owned()
                    }
                    (true, workers) => format!(
                        "has not begun with it, because all its {workers} workers are in operations of their own"
                    ),
                };
                let read = milliseconds(read.saturating_sub(self.origin));
                format!("read the event (trace {of_decider}, record {record}) at {read} ms and {why}")
            }
        };
        format!(
            "{holder} has been in its {kind} of {file} (trace {}, record {}){during} since {} ms; it waits \
             for {decider}, which {state}.",
            label(link.op_trace),
            link.op_record,
            milliseconds(link.op_started.saturating_sub(self.origin)),
        )
    }
}

/// Nanoseconds as milliseconds with three decimals, by which two instants of one wait can be told apart.
pub(crate) fn milliseconds(nanoseconds: u64) -> String {
    let microseconds = nanoseconds / 1000;
    format!("{}.{:03}", count(microseconds / 1000), microseconds % 1000)
}

fn approval(decision: &Decision) -> Word<ApprovalWay> {
    let way = match &decision.end {
        RecordPart::Present(end) => ApprovalWay::By(end.approval),
        RecordPart::Absent => ApprovalWay::Unanswered,
        RecordPart::Damaged => ApprovalWay::Damaged,
    };
    way.into()
}

fn operation_note(operation: &Operation) -> String {
    match &operation.end {
        RecordPart::Present(end) if end.error != 0 => format!("error {}", end.error),
        RecordPart::Present(end) if operation.begin.kind != OperationKind::Open && end.status != 0 => {
            format!("status {}", end.status)
        }
        RecordPart::Present(_) => String::new(),
        RecordPart::Absent => "never ended".into(),
        RecordPart::Damaged => "damaged".into(),
    }
}
