//! Products that the lab did not build, as the orchestrator saw them from outside.

use std::collections::{BTreeMap, BTreeSet};

use lab_model::FIRST_EXTERNAL;
use lab_trace::{
    FaultKind, GroupMark, MarkOn, ProcessMark, ProcessMarkKind, QueueSample, Record, ThreadSeen,
};

use crate::{
    findings::{GroupClass, Product, ProductEnd, ProductGroup},
    participants::{marks::FaultAt, roster::Roster},
};

/// The events of a fanotify mask by name (include/uapi/linux/fanotify.h).
const EVENTS: [(u64, &str); 10] = [
    (0x0001_0000, "ask: open"),
    (0x0004_0000, "ask: exec"),
    (0x0002_0000, "ask: access"),
    (0x0010_0000, "ask: before access"),
    (0x0000_0020, "tell: open"),
    (0x0000_1000, "tell: exec"),
    (0x0000_0001, "tell: access"),
    (0x0000_0002, "tell: modify"),
    (0x0000_0008, "tell: close after writing"),
    (0x0000_0010, "tell: close"),
];

/// The events of a mask that wait for an answer.
const ASKS: u64 = 0x0017_0000;

/// A thread while it was in sight.
#[derive(Clone, Copy, Debug)]
struct InSight {
    product: usize,
    /// The end of being in sight; `None` for a thread that was there to the end.
    until: Option<u64>,
}

/// What was seen of one product.
#[derive(Clone, Debug, Default)]
struct Seen {
    started: Option<u64>,
    ready: Option<u64>,
    /// When its first process ended, and with which status.
    ended: Option<(u64, i32)>,
    processes: BTreeSet<u32>,
    threads: BTreeSet<u64>,
    /// By process and descriptor: the flags and the marks.
    groups: BTreeMap<(u32, u32), (u32, Vec<GroupMark>)>,
    unread_max: Option<u64>,
    waiting_max: u32,
    waited_longest: Option<u64>,
}

/// What was seen of all products.
#[derive(Clone, Debug, Default)]
pub(crate) struct Products {
    seen: BTreeMap<usize, Seen>,
    threads: BTreeMap<u64, Vec<InSight>>,
    /// The process of each thread that the kernel has made in it.
    kernel_threads: BTreeMap<u64, u32>,
    /// The most that waited at one look for one of several, and the longest.
    one_of_several: (u32, Option<u64>),
}

/// What is known of a product beside its own records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beside<'a> {
    /// Its place in the lab's list.
    pub(crate) place: usize,
    pub(crate) wanted: &'a lab_model::External,
    /// Decisions of storm and drain about what its threads did.
    pub(crate) generated: u64,
    pub(crate) faults: &'a [FaultAt],
    /// The run's first moment, and from when on the lab ends its processes itself.
    pub(crate) origin: u64,
    pub(crate) teardown: u64,
}

fn place(actor: u16) -> Option<usize> {
    // The highest number stands for nobody.
    (actor != u16::MAX).then(|| actor.checked_sub(FIRST_EXTERNAL).map(usize::from)).flatten()
}

impl Products {
    /// Takes in a record of the orchestrator's; `at` is its time in nanoseconds, and so is what `time` makes.
    pub(crate) fn read(&mut self, record: &Record, at: u64, time: impl Fn(u64) -> u64) {
        match record {
            Record::ThreadSeen(thread_seen) => self.thread_seen(thread_seen, at),
            Record::GroupMark(mark) => {
                let Some(place) = place(mark.actor.0) else { return };
                let groups = &mut self.seen.entry(place).or_default().groups;
                let group = groups.entry((mark.pid, mark.descriptor)).or_insert((mark.flags, Vec::new()));
                group.1.push(*mark);
            }
            Record::QueueSample(QueueSample { actor, unread, waiting, since, .. }) => {
                let waited = since.map(|since| at.saturating_sub(time(since.0)));
                let Some(place) = place(actor.0) else {
                    let (most, longest) = self.one_of_several;
                    self.one_of_several = (most.max(*waiting), longest.max(waited));
                    return;
                };
                let seen = self.seen.entry(place).or_default();
                seen.unread_max = seen.unread_max.max(*unread);
                seen.waiting_max = seen.waiting_max.max(*waiting);
                seen.waited_longest = seen.waited_longest.max(waited);
            }
            Record::Process(ProcessMark { actor, kind, status, .. }) => {
                let Some(place) = place(actor.0) else { return };
                let seen = self.seen.entry(place).or_default();
                match kind {
                    ProcessMarkKind::Started => seen.started = Some(at),
                    ProcessMarkKind::Ready => seen.ready = Some(at),
                    ProcessMarkKind::Ended => seen.ended = Some((at, *status)),
                    ProcessMarkKind::Other(_) => {}
                }
            }
            _ => {}
        }
    }

    fn thread_seen(&mut self, thread_seen: &ThreadSeen, at: u64) {
        let Some(product) = place(thread_seen.actor.0) else {
            self.kernel_threads.insert(thread_seen.tid, thread_seen.pid);
            return;
        };
        let seen = self.seen.entry(product).or_default();
        let times = self.threads.entry(thread_seen.tid).or_default();
        if thread_seen.there {
            seen.processes.insert(thread_seen.pid);
            seen.threads.insert(thread_seen.tid);
            times.push(InSight { product, until: None });
        } else if let Some(last) = times.last_mut() {
            last.until = Some(at);
        }
    }

    /// The product whose thread this was at a time. A thread acts before it is first seen, so only the end of its
    /// being there bounds it; thread IDs are given out in order and not again within a run.
    pub(crate) fn of_thread(&self, tid: u64, at: u64) -> Option<usize> {
        let times = self.threads.get(&tid)?;
        let there = times.iter().find(|time| time.until.is_none_or(|until| at <= until))?;
        Some(there.product)
    }

    /// The most operations that waited at one look for one of several products, and the longest that any had; it could
    /// not be told for which.
    pub(crate) fn waited_for_one_of_several(&self) -> (u64, Option<u64>) {
        let (most, longest) = self.one_of_several;
        (most.into(), longest)
    }

    /// When a product ended of which nothing is left before the lab ends its processes itself. What starts a product may
    /// leave it to other processes and end well.
    pub(crate) fn left_nobody(&self, actor: u16, teardown: u64) -> bool {
        let Some(product) = place(actor) else { return false };
        let mut times = self.threads.values().flatten().filter(|time| time.product == product);
        let ended = self.seen.get(&product).and_then(|seen| seen.ended);
        ended.is_some_and(|(at, _)| at < teardown)
            && times.all(|time| time.until.is_some_and(|until| until < teardown))
    }

    /// The process in whose name a thread acts that the kernel has made.
    pub(crate) fn process_of_kernel_thread(&self, tid: u64) -> Option<u32> {
        self.kernel_threads.get(&tid).copied()
    }

    /// What was seen of the product at a place of the lab's list, for the report.
    pub(crate) fn finish(&self, beside: &Beside<'_>) -> Product {
        let Beside { place, wanted, generated, faults, origin, teardown } = *beside;
        let unseen = Seen::default();
        let seen = self.seen.get(&place).unwrap_or(&unseen);
        let actor = lab_model::External::actor(place).0;
        let kill = |fault: &&FaultAt| fault.actor == actor && fault.kind == FaultKind::DeadlineKill;
        let killed = faults.iter().find(kill);
        let ended_well = seen.ended.is_some_and(|(_, status)| status == 0);
        let early = seen.ended.filter(|&(at, _)| at < teardown);
        let early = early.filter(|_| !ended_well || self.left_nobody(actor, teardown)).map(|(at, _)| at);
        let ended_early = killed.map(|fault| fault.at).or(early);
        let end = match (killed, seen.ended, seen.started) {
            (Some(_), ..) => ProductEnd::DeadlineKill,
            (None, Some((_, status)), _) => ProductEnd::of_status(status),
            (None, None, Some(_)) => ProductEnd::NotKnown,
            (None, None, None) => ProductEnd::NeverStarted,
        };
        Product {
            id: wanted.id.to_string(),
            command: wanted.start.join(" "),
            ready_ns: seen.started.zip(seen.ready).map(|(started, ready)| ready.saturating_sub(started)),
            processes: seen.processes.len() as u64,
            threads: seen.threads.len() as u64,
            asked: seen
                .groups
                .values()
                .flat_map(|(_, marks)| marks)
                .any(|mark| mark.arena && mark.mask & ASKS != 0),
            groups: seen.groups.values().map(|(flags, marks)| group(*flags, marks)).collect(),
            generated,
            unread_max: seen.unread_max,
            waiting_max: u64::from(seen.waiting_max),
            waited_longest_ns: seen.waited_longest,
            ended_early_ns: ended_early.map(|at| at.saturating_sub(origin)),
            end: end.into(),
        }
    }
}

fn group(flags: u32, marks: &[GroupMark]) -> ProductGroup {
    let class = match flags & 0xc {
        0 => GroupClass::Notify,
        4 => GroupClass::Content,
        8 => GroupClass::PreContent,
        _ => GroupClass::Unknown,
    };
    ProductGroup { class: class.into(), marks: marks.iter().map(mark).collect() }
}

fn mark(mark: &GroupMark) -> String {
    let named = EVENTS.iter().filter(|(bit, _)| mark.mask & bit != 0).map(|(_, name)| *name);
    let mut names: Vec<String> = named.map(str::to_owned).collect();
    let rest = EVENTS.iter().fold(mark.mask, |mask, (bit, _)| mask & !bit);
    if rest != 0 {
        names.push(format!("others {rest:#x}"));
    }
    let on = match (mark.on, mark.arena) {
        (MarkOn::Inode, true) => "a file of the arena".to_owned(),
        (MarkOn::Inode, false) => "a file outside the arena".to_owned(),
        (MarkOn::Mount, true) => "the arena's mount".to_owned(),
        (MarkOn::Mount, false) => "another mount of the lab".to_owned(),
        (MarkOn::FileSystem, true) => "the arena's file system".to_owned(),
        (MarkOn::FileSystem, false) => "another file system".to_owned(),
        (MarkOn::Other(kind), _) => format!("something of kind {kind}"),
    };
    format!("{on}: {}", names.join(", "))
}

impl Roster {
    /// The column of a product's operations.
    pub(crate) fn product_column(&self, place: usize) -> usize {
        self.external().saturating_sub(self.products).saturating_add(place)
    }

    /// True for a column of a product.
    pub(crate) fn is_product(&self, column: usize) -> bool {
        (self.product_column(0)..self.external()).contains(&column)
    }
}

#[cfg(test)]
mod tests {
    use lab_model::{External, Ticks};

    use super::*;

    fn thread_seen(tid: u64, there: bool) -> Record {
        Record::ThreadSeen(ThreadSeen { at: Ticks(0), actor: External::actor(1), pid: 7, tid, there })
    }

    #[test]
    fn a_thread_is_a_products_until_it_has_gone() {
        let mut products = Products::default();
        products.read(&thread_seen(7, true), 100, |ticks| ticks);
        products.read(&thread_seen(8, true), 100, |ticks| ticks);
        products.read(&thread_seen(8, false), 200, |ticks| ticks);
        let check = |tid, at, product| assert_eq!(products.of_thread(tid, at), product, "{tid} at {at}");
        check(7, 50, Some(1));
        check(7, 900, Some(1));
        check(8, 200, Some(1));
        check(8, 201, None);
        check(9, 150, None);
    }

    #[test]
    fn a_group_is_named_as_the_kernel_showed_it() {
        let seen = GroupMark {
            at: Ticks(0),
            actor: External::actor(0),
            pid: 5,
            descriptor: 7,
            flags: 7,
            on: MarkOn::Mount,
            arena: true,
            mask: 0x50000,
        };
        let group = group(seen.flags, &[seen, GroupMark { mask: 0x8000_0020, arena: false, ..seen }]);
        assert_eq!(group.class, GroupClass::Content);
        assert_eq!(
            group.marks,
            [
                "the arena's mount: ask: open, ask: exec",
                "another mount of the lab: tell: open, others 0x80000000"
            ]
        );
    }
}
