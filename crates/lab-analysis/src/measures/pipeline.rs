//! In which order root operations asked the clients, and where the slowest ones spent their time.

use std::collections::BTreeMap;

use lab_model::{Bounded, OperationKind};

use crate::{
    findings::{Findings, Pipeline, SlowOperation, Stage},
    measure::{Closing, Measure},
    measures::latency::Times,
    participants::timeline::Timeline,
    pass::{
        facts::{EndedOperation, Ending, Scope},
        slots::{Asked, NEVER, Op},
    },
};

/// The distinct orders that are counted.
const ORDERS_MAX: usize = 4096;

/// The orders in a report.
const ORDERS_SHOWN: usize = 8;

/// The slowest operations in a report.
const SLOWEST_MAX: usize = 10;

#[derive(Clone, Debug)]
struct Slow {
    took: u64,
    started: u64,
    trace: u16,
    record: u64,
    kind: OperationKind,
    asked: Vec<Asked>,
}

/// Counts over the storm's completed root operations.
#[derive(Clone, Debug)]
pub(crate) struct Stages {
    read: Vec<Times>,
    answered: Vec<Times>,
    last: Vec<u64>,
    place_sums: Vec<(u64, u64)>,
    orders: BTreeMap<Vec<u16>, u64>,
    orders_left_out: u64,
    several: u64,
    serial: u64,
    sum: Times,
    max: Times,
    op: Times,
    slowest: Vec<Slow>,
}

impl Stages {
    fn new(clients: usize) -> Stages {
        Stages {
            read: vec![Times::default(); clients],
            answered: vec![Times::default(); clients],
            last: vec![0; clients],
            place_sums: vec![(0, 0); clients],
            orders: BTreeMap::new(),
            orders_left_out: 0,
            several: 0,
            serial: 0,
            sum: Times::default(),
            max: Times::default(),
            op: Times::default(),
            slowest: Vec::new(),
        }
    }

    /// Counts a completed root operation.
    fn add(&mut self, op: &Op, timeline: &Timeline) {
        if op.asked.is_empty() || op.asked.iter().any(|asked| asked.answered == NEVER) {
            return;
        }
        let took = timeline.took(op.started, op.ended);
        // Without what the whole lab stood still for, as all that is measured here.
        let since_began = |at: u64| op.started.saturating_add(timeline.took(op.started, at));
        let moved = |asked: &Asked| Asked {
            read: since_began(asked.read),
            answered: since_began(asked.answered),
            ..*asked
        };
        let asked: Vec<Asked> = op.asked.iter().map(moved).collect();
        self.op.record(took);
        let mut order: Vec<u16> = Vec::with_capacity(asked.len());
        let (mut sum, mut longest, mut reached, mut overlap) = (0_u64, 0, 0, false);
        for asked in &asked {
            if !order.contains(&asked.client) {
                order.push(asked.client);
                self.read[usize::from(asked.client)].record(asked.read.saturating_sub(op.started));
            }
            let time = asked.answered.saturating_sub(asked.read);
            sum = sum.saturating_add(time);
            longest = longest.max(time);
            overlap |= asked.read < reached;
            reached = reached.max(asked.answered);
        }
        self.sum.record(sum);
        self.max.record(longest);
        if asked.len() > 1 {
            self.several.raise(1);
            self.serial.raise(u64::from(!overlap));
        }
        for (place, &client) in (0_u64..).zip(&order) {
            let client = usize::from(client);
            let answers = asked.iter().filter(|asked| usize::from(asked.client) == client);
            let answered = answers.map(|asked| asked.answered).max().unwrap_or(0);
            self.answered[client].record(answered.saturating_sub(op.started));
            self.place_sums[client].0.raise(place);
            self.place_sums[client].1.raise(1);
        }
        if let Some(last) = asked.iter().max_by_key(|asked| asked.answered) {
            self.last[usize::from(last.client)].raise(1);
        }
        if self.orders.len() < ORDERS_MAX || self.orders.contains_key(&order) {
            self.orders.entry(order).or_default().raise(1);
        } else {
            self.orders_left_out.raise(1);
        }
        self.rank(op, took, asked);
    }

    fn rank(&mut self, op: &Op, took: u64, asked: Vec<Asked>) {
        let full = self.slowest.len() >= SLOWEST_MAX;
        if full && self.slowest.last().is_some_and(|slow| slow.took >= took) {
            return;
        }
        let slow =
            Slow { took, started: op.started, trace: op.trace, record: op.record, kind: op.kind, asked };
        let place = self.slowest.partition_point(|other| other.took >= took);
        self.slowest.insert(place, slow);
        self.slowest.truncate(SLOWEST_MAX);
    }

    fn section(
        &self,
        origin: u64,
        name: &impl Fn(u16) -> String,
        path: &impl Fn(u16, u64) -> Option<String>,
    ) -> Pipeline {
        let mut asked: Vec<u16> = (0_u16..)
            .zip(&self.place_sums)
            .filter(|(_, (_, count))| *count > 0)
            .map(|(client, _)| client)
            .collect();
        asked.sort_by(|&a, &b| {
            let mean = |client: u16| {
                let (sum, count) = self.place_sums[usize::from(client)];
                sum as f64 / count as f64
            };
            mean(a).total_cmp(&mean(b)).then(a.cmp(&b))
        });
        let stage = |&client: &u16| Stage {
            client: name(client),
            read_ns: self.read[usize::from(client)].quantile(0.5),
            answered_ns: self.answered[usize::from(client)].quantile(0.5),
            last: self.last[usize::from(client)],
        };
        let mut orders: Vec<(&Vec<u16>, u64)> = self.orders.iter().map(|(order, &n)| (order, n)).collect();
        orders.sort_by_key(|&(order, count)| (std::cmp::Reverse(count), order));
        orders.truncate(ORDERS_SHOWN);
        let named = |(order, count): (&Vec<u16>, u64)| (order.iter().map(|&c| name(c)).collect(), count);
        Pipeline {
            stages: asked.iter().map(stage).collect(),
            serial_percent: (self.several > 0).then(|| self.serial as f64 * 100.0 / self.several as f64),
            orders: orders.into_iter().map(named).collect(),
            sum_ns: self.sum.quantile(0.5),
            max_ns: self.max.quantile(0.5),
            op_ns: self.op.quantile(0.5),
            slowest: self.slowest.iter().map(|slow| slow.show(origin, name, path)).collect(),
        }
    }
}

impl Measure for Stages {
    fn of(scope: &Scope<'_>) -> Self {
        Stages::new(scope.roster.clients.len())
    }

    fn operation_ended(&mut self, ended: &EndedOperation<'_>, scope: &Scope<'_>) {
        let op = ended.op;
        if op.root && ended.ending == Ending::Itself && ended.in_storm && op.kind != OperationKind::Process {
            self.add(op, scope.timeline);
        }
    }

    fn finish(&self, closing: &Closing<'_>, findings: &mut Findings) {
        let name = |client: u16| closing.client(client);
        let path = |trace: u16, record: u64| closing.show.operation_path(trace, record);
        findings.pipeline = self.section(closing.scope.timeline.origin, &name, &path);
    }
}

impl Slow {
    fn show(
        &self,
        origin: u64,
        name: &impl Fn(u16) -> String,
        path: &impl Fn(u16, u64) -> Option<String>,
    ) -> SlowOperation {
        SlowOperation {
            kind: self.kind.into(),
            path: path(self.trace, self.record),
            began_ns: self.started.saturating_sub(origin),
            took_ns: self.took,
            steps: steps(self.started, self.started.saturating_add(self.took), &self.asked, name),
        }
    }
}

/// Cuts an operation's time into steps that sum up to it: who held it, one after the other.
fn steps(began: u64, ended: u64, asked: &[Asked], name: &impl Fn(u16) -> String) -> Vec<(String, u64)> {
    let mut steps: Vec<(String, u64)> = Vec::new();
    let mut reached = began;
    let mut step = |text: String, nanoseconds: u64| {
        if nanoseconds > 0 {
            steps.push((text, nanoseconds));
        }
    };
    for asked in asked {
        let (read, answered) = (asked.read.clamp(reached, ended), asked.answered.clamp(reached, ended));
        let who = name(asked.client);
        step(format!("kernel, until {who} reads"), read.saturating_sub(reached));
        let held = answered.saturating_sub(read);
        let queued = asked.queued.min(held);
        let blocked = asked.blocked.min(held.saturating_sub(queued));
        step(format!("{who}: queued"), queued);
        step(format!("{who}: waits in its own operations"), blocked);
        step(format!("{who}: works"), held.saturating_sub(queued).saturating_sub(blocked));
        reached = answered.max(read);
    }
    step("kernel, until the call returns".into(), ended.saturating_sub(reached));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_sum_up_to_the_operation() {
        let asked = |client, read, answered, queued, blocked| Asked {
            client,
            read,
            answered,
            queued,
            blocked,
            denied: false,
        };
        let cases = [
            vec![asked(0, 10, 30, 5, 5), asked(1, 40, 60, 0, 0)],
            vec![asked(0, 10, 50, 0, 90), asked(1, 12, 40, 0, 0)],
            vec![asked(0, 0, 500, 1, 1)],
            vec![],
        ];
        for case in cases {
            let steps = steps(0, 100, &case, &|client| format!("c{client}"));
            assert_eq!(steps.iter().map(|(_, time)| time).sum::<u64>(), 100, "{steps:?}");
        }
    }
}
