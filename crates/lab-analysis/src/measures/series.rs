//! Rates, queues and headroom over time, and whether the queues grew.

use lab_model::{Bounded, PhaseKind};

use crate::{
    findings::{Findings, Series},
    measure::{Closing, Measure},
    participants::timeline::Timeline,
    pass::facts::{Answered, BegunOperation, EndedOperation, Ending, Noticed, ReadDecision, Scope},
};

/// The most buckets of a series.
const BUCKETS_MAX: usize = 240;

/// The parts into which the storm is cut to see whether the queues grew.
pub(crate) const STORM_PARTS: usize = 4;

/// Counts in equal stretches of the run.
#[derive(Clone, Debug)]
struct Buckets {
    origin: u64,
    width: u64,
    current: usize,
    decisions: Vec<Vec<u64>>,
    pending: Vec<u64>,
    pending_max: Vec<Vec<u64>>,
    headroom_min: Vec<Vec<Option<f64>>>,
    root_ops: Vec<u64>,
}

impl Buckets {
    fn new(timeline: &Timeline, columns: usize, clients: usize) -> Buckets {
        let length = timeline.last.saturating_sub(timeline.origin).max(1);
        let width = length.div_ceil(BUCKETS_MAX as u64).max(1);
        let count = usize::try_from(length.checked_div(width).unwrap_or(0).saturating_add(1))
            .unwrap_or(1)
            .min(BUCKETS_MAX);
        Buckets {
            origin: timeline.origin,
            width,
            current: 0,
            decisions: vec![vec![0; count]; columns],
            pending: vec![0; clients],
            pending_max: vec![vec![0; count]; clients],
            headroom_min: vec![vec![None; count]; clients],
            root_ops: vec![0; count],
        }
    }

    fn bucket(&self, at: u64) -> usize {
        let place = at.saturating_sub(self.origin).checked_div(self.width).unwrap_or(0);
        usize::try_from(place).unwrap_or(usize::MAX).min(self.root_ops.len().saturating_sub(1))
    }

    /// Moves on: what is pending now was pending in every bucket passed.
    fn advance(&mut self, at: u64) {
        let bucket = self.bucket(at);
        while self.current < bucket {
            self.current.raise(1);
            for (most, &pending) in self.pending_max.iter_mut().zip(&self.pending) {
                most[self.current] = most[self.current].max(pending);
            }
        }
    }

    fn read(&mut self, at: u64, client: u16, column: usize) {
        self.advance(at);
        let bucket = self.bucket(at);
        self.decisions[column][bucket].raise(1);
        let client = usize::from(client);
        self.pending[client].raise(1);
        let most = &mut self.pending_max[client][self.current];
        *most = (*most).max(self.pending[client]);
    }

    fn answered(&mut self, at: u64, client: u16) {
        self.advance(at);
        let pending = &mut self.pending[usize::from(client)];
        *pending = pending.saturating_sub(1);
    }

    fn headroom(&mut self, at: u64, client: u16, headroom: f64) {
        let bucket = self.bucket(at);
        let lowest = &mut self.headroom_min[usize::from(client)][bucket];
        *lowest = Some(lowest.map_or(headroom, |lowest| lowest.min(headroom)));
    }

    fn root_completed(&mut self, at: u64) {
        let bucket = self.bucket(at);
        self.root_ops[bucket].raise(1);
    }

    /// Counts one column's decisions as another's.
    fn fold(&mut self, from: usize, into: usize) {
        let counts = std::mem::take(&mut self.decisions[from]);
        self.decisions[from] = vec![0; counts.len()];
        self.decisions[into].iter_mut().zip(counts).for_each(|(sum, count)| sum.raise(count));
    }

    /// True when anything falls into a column.
    fn has(&self, column: usize) -> bool {
        self.decisions[column].iter().any(|&count| count > 0)
    }

    /// The series, with the columns that are kept in a report.
    fn finish(mut self, end: u64, keep: &[bool]) -> Series {
        self.advance(end);
        let kept = self.decisions.into_iter().zip(keep).filter(|&(_, &keep)| keep);
        Series {
            bucket_ns: self.width,
            decisions_by_cause: kept.map(|(counts, _)| counts).collect(),
            pending_max: self.pending_max,
            headroom_min: self.headroom_min,
            root_ops: self.root_ops,
        }
    }
}

/// The backlog over the storm: what was pending, and reactions still to come, in four parts of equal length.
#[derive(Clone, Debug, Default)]
struct Backlog {
    began: u64,
    ended: u64,
    now: u64,
    level: u64,
    /// Level times nanoseconds.
    sums: [u128; STORM_PARTS],
    /// Lateness of open-loop starts, and how many.
    lateness: [(u128, u64); STORM_PARTS],
}

impl Backlog {
    fn new(began: u64, ended: u64) -> Backlog {
        Backlog { began, ended, now: began, ..Backlog::default() }
    }

    fn length(&self) -> u64 {
        self.ended.saturating_sub(self.began).checked_div(STORM_PARTS as u64).unwrap_or(0)
    }

    fn part(&self, at: u64) -> usize {
        let part = at.saturating_sub(self.began).checked_div(self.length().max(1)).unwrap_or(0);
        usize::try_from(part).unwrap_or(STORM_PARTS).min(STORM_PARTS - 1)
    }

    fn advance(&mut self, at: u64) {
        let at = at.clamp(self.began, self.ended.max(self.began));
        while self.now < at {
            let part = self.part(self.now);
            let boundary =
                self.began.saturating_add(self.length().saturating_mul((part as u64).saturating_add(1)));
            let until =
                if part == STORM_PARTS - 1 { at } else { at.min(boundary.max(self.now.saturating_add(1))) };
            self.sums[part]
                .raise(u128::from(self.level).saturating_mul(u128::from(until.saturating_sub(self.now))));
            self.now = until;
        }
    }

    fn more(&mut self, at: u64, count: u64) {
        self.advance(at);
        self.level.raise(count);
    }

    fn less(&mut self, at: u64, count: u64) {
        self.advance(at);
        self.level = self.level.saturating_sub(count);
    }

    fn started(&mut self, at: u64, planned: u64) {
        if (self.began..self.ended).contains(&at) {
            let lateness = &mut self.lateness[self.part(at)];
            lateness.0.raise(u128::from(at.saturating_sub(planned)));
            lateness.1.raise(1);
        }
    }

    /// The mean level in each part of the storm.
    fn levels(&mut self) -> [f64; STORM_PARTS] {
        self.advance(self.ended);
        let length = self.length().max(1);
        self.sums.map(|sum| sum as f64 / length as f64)
    }

    /// The mean lateness of planned starts in each part, in nanoseconds; `None` in a closed loop.
    fn lateness(&self) -> Option<[f64; STORM_PARTS]> {
        let all = self.lateness.iter().all(|&(_, count)| count > 0);
        all.then(|| self.lateness.map(|(sum, count)| sum as f64 / count.max(1) as f64))
    }
}

/// The run in equal stretches, and the backlog of the storm.
#[derive(Clone, Debug)]
pub(crate) struct OverTime {
    buckets: Buckets,
    backlog: Backlog,
}

impl OverTime {
    /// The mean backlog in each part of the storm.
    pub(crate) fn levels(&self) -> [f64; STORM_PARTS] {
        self.backlog.clone().levels()
    }

    /// The mean lateness of planned starts in each part, in nanoseconds; `None` in a closed loop.
    pub(crate) fn lateness(&self) -> Option<[f64; STORM_PARTS]> {
        self.backlog.lateness()
    }
}

impl Measure for OverTime {
    fn of(scope: &Scope<'_>) -> Self {
        let timeline = scope.timeline;
        let began = timeline.marked(PhaseKind::Storm).map_or(timeline.origin, |storm| storm.began);
        let ended = timeline.storm_end().unwrap_or(timeline.last);
        let (columns, clients) = (scope.roster.columns.len(), scope.roster.clients.len());
        OverTime { buckets: Buckets::new(timeline, columns, clients), backlog: Backlog::new(began, ended) }
    }

    fn operation_begun(&mut self, begun: &BegunOperation<'_>, _: &Scope<'_>) {
        if begun.awaited {
            self.backlog.less(begun.at, 1);
        }
        if let (Some(planned), true, Some(PhaseKind::Storm)) =
            (begun.operation.begin.planned, begun.root, begun.phase)
        {
            self.backlog.started(begun.at, planned.0);
        }
    }

    fn operation_ended(&mut self, ended: &EndedOperation<'_>, _: &Scope<'_>) {
        if ended.op.root && ended.ending == Ending::Itself {
            self.buckets.root_completed(ended.at);
        }
    }

    fn decision_read(&mut self, read: &ReadDecision<'_>, _: &Scope<'_>) {
        if let Some(used) = read.judged.and_then(|judged| judged.used) {
            let until = read.at.saturating_add(used.took);
            self.buckets.headroom(until, read.client, used.headroom());
        }
        self.buckets.read(read.at, read.client, read.entry.column);
        self.backlog.more(read.at, 1);
    }

    fn decision_answered(&mut self, answered: &Answered<'_>, _: &Scope<'_>) {
        self.buckets.answered(answered.at, answered.dec.client);
        self.backlog.less(answered.at, 1);
        if answered.reactions > 0 {
            self.backlog.more(answered.at, answered.reactions);
        }
    }

    fn noticed(&mut self, noticed: &Noticed<'_>, _: &Scope<'_>) {
        if noticed.reactions > 0 {
            self.backlog.more(noticed.at, noticed.reactions);
        }
    }

    /// The series, with the columns of the cause matrix that a report keeps.
    fn finish(&self, closing: &Closing<'_>, findings: &mut Findings) {
        let roster = closing.scope.roster;
        let mut buckets = self.buckets.clone();
        if closing.losses.lost > 0 {
            // With records missing, an unknown thread may well be one of the lab's.
            buckets.fold(roster.external(), roster.unexplained());
        }
        let keep: Vec<bool> = (0..roster.columns.len())
            .map(|column| column <= roster.clients.len() || buckets.has(column))
            .collect();
        findings.series = buckets.finish(closing.scope.timeline.last, &keep);
    }
}

/// True when each part lies above the one before and the last at least twice above the first.
pub(crate) fn grows(parts: &[f64; STORM_PARTS]) -> bool {
    parts.windows(2).all(|pair| pair[1] > pair[0]) && parts[STORM_PARTS - 1] >= 2.0 * parts[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backlog_is_a_mean_over_time() {
        let mut backlog = Backlog::new(100, 500);
        backlog.more(0, 1);
        backlog.more(250, 3);
        backlog.less(350, 4);
        assert_eq!(backlog.levels(), [1.0, 2.5, 2.0, 0.0]);
        assert!(!grows(&backlog.levels()));
        assert!(grows(&[1.0, 2.0, 3.0, 4.0]));
        assert!(!grows(&[1.0, 1.1, 1.2, 1.3]), "less than double");
    }

    #[test]
    fn pending_carries_into_the_buckets_that_pass() {
        let timeline = Timeline { origin: 0, last: 2400, ..Timeline::default() };
        let mut buckets = Buckets::new(&timeline, 1, 1);
        buckets.read(5, 0, 0);
        buckets.read(6, 0, 0);
        buckets.answered(25, 0);
        let series = buckets.finish(2400, &[true]);
        assert_eq!(series.bucket_ns, 10);
        assert_eq!(series.decisions_by_cause[0][0], 2);
        assert_eq!(&series.pending_max[0][..4], &[2, 2, 2, 1]);
        assert_eq!(series.root_ops.len(), 240);
    }
}
