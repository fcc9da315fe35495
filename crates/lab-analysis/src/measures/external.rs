//! What the clients do not account for: the time of an operation in which no client of the lab had its question,
//! and denials that no client gave.
//!
//! A product beside the clients leaves no trace. On a kernel that asks one after another its time is in the gaps:
//! from the operation's start to the first client's read, from an answer to the next client's read, from the last
//! answer to the end. The kernel's own way is in them too, so they are compared with the same gaps without it.
//!
//! How long the kernel's way takes depends on which processors the processes happen to run on, and may change by a
//! factor of five from one phase to the next. It does so for all gaps of an operation alike. So the product's gap is
//! compared with how the *other* gaps changed: it should have changed like them, and what it is above that is the
//! product.

use std::collections::BTreeMap;

use lab_model::{Bounded, OperationKind, PhaseKind, Total};

use crate::{
    draw::Draw,
    findings::{
        Denials, DeniedCrowd, Findings, Gap, Outside as Found, Product, ProductEnd, TimeInterval, Unaccounted,
    },
    measure::{Closing, Measure, Measured},
    measures::{
        denials::{Refusals, by_kernel},
        latency::Times,
    },
    participants::{products::Beside, timeline::Timeline},
    pass::{
        facts::{BegunOperation, EndedOperation, Ending, ReadDecision, Scope, bit},
        slots::{NEVER, Op},
    },
};

/// The equal parts of a phase whose medians are resampled.
const PARTS: usize = 16;
/// The resamples of the interval.
const RESAMPLES: usize = 500;
/// The distributions that one phase keeps for its parts: many clients mean fewer parts.
const DISTRIBUTIONS_MAX: usize = 512;
/// The distinct orders that are told apart in a phase.
const ORDERS_MAX: usize = 8;
/// The gap that grew most shows the place when its growth is this many times that of any other.
const CLEAR: f64 = 2.0;
/// `EPERM`: what a denied operation fails with.
pub(super) const DENIED: u32 = 1;

/// The phases that are compared.
const PHASES: [PhaseKind; 3] = [PhaseKind::Control, PhaseKind::External, PhaseKind::Storm];

/// One phase's root operations.
#[derive(Clone, Debug, Default)]
struct Side {
    whole: Times,
    gaps_ns: u128,
    operations_ns: u128,
    /// By the order in which the clients were asked: for each gap, one distribution a part of the phase.
    orders: BTreeMap<Vec<u16>, Vec<Vec<Times>>>,
}

/// Counts over the root operations of a lab with products beside its clients.
#[derive(Clone, Debug)]
pub(crate) struct Outside {
    clients: usize,
    sides: Vec<Side>,
    denied: u64,
    denied_roots: u64,
    /// By client: denied operations that it was asked about, and that it was not.
    asked: Vec<u64>,
    not_asked: Vec<u64>,
    refusals: Refusals,
    /// By product: decisions of storm and drain about what its threads did.
    generated: Vec<u64>,
}

impl Outside {
    fn new(clients: usize, products: usize) -> Outside {
        Outside {
            clients,
            sides: vec![Side::default(); PHASES.len()],
            denied: 0,
            denied_roots: 0,
            asked: vec![0; clients],
            not_asked: vec![0; clients],
            refusals: Refusals::default(),
            generated: vec![0; products],
        }
    }

    /// Counts an operation that has ended.
    fn add(&mut self, op: &Op, phase: Option<PhaseKind>, timeline: &Timeline) {
        if op.counted && is_denied(op) {
            self.denied.raise(1);
            self.denied_roots.raise(u64::from(op.root));
            for client in 0..self.clients {
                let bit = bit(u16::try_from(client).unwrap_or(u16::MAX));
                let tally = if op.asked_by & bit == 0 { &mut self.not_asked } else { &mut self.asked };
                tally[client].raise(1);
            }
        }
        let side = phase.and_then(|phase| PHASES.iter().position(|one| *one == phase));
        let complete = op.root && op.kind == OperationKind::Open && op.error == 0;
        if let (Some(side), true) = (side, complete) {
            let part = timeline.marked(PHASES[side]).and_then(|marked| {
                let length = marked.ended?.checked_sub(marked.began)?.max(1);
                let at = u128::from(op.started.saturating_sub(marked.began)).saturating_mul(PARTS as u128);
                usize::try_from(at.checked_div(u128::from(length)).unwrap_or(0)).ok()
            });
            self.sides[side].add(op, part.unwrap_or(0).min(PARTS - 1));
        }
    }

    /// The findings, with the products' own part of them.
    fn section(&self, products: Vec<Product>, seed: u64, name: &impl Fn(usize) -> String) -> Found {
        let unaccounted = PHASES.iter().zip(&self.sides).filter(|(_, side)| side.whole.count() > 0);
        let unaccounted = unaccounted.map(|(phase, side)| Unaccounted {
            phase: *phase,
            time_ns: side.whole.summary(),
            share: (side.operations_ns > 0).then(|| side.gaps_ns as f64 / side.operations_ns as f64),
        });
        let order = self.usual_order();
        let gaps = order.as_ref().map(|order| self.gaps(order, name)).unwrap_or_default();
        let grown = grown(&gaps);
        let added = order.as_ref().zip(grown).and_then(|(order, gap)| self.added(order, gap, seed));
        let counts = |counts: &[u64]| counts.iter().enumerate().map(|(c, &n)| (name(c), n)).collect();
        Found {
            products,
            unaccounted: unaccounted.collect(),
            added_ns: added,
            place: grown.and_then(|gap| place(&gaps[gap])),
            gaps,
            denials: Denials {
                operations: self.denied,
                root_ops: self.denied_roots,
                asked: counts(&self.asked),
                not_asked: counts(&self.not_asked),
                kinds: self.refusals.kinds(),
                waiting: self.refusals.crowd().map(|(least, most)| DeniedCrowd { least, most }),
                queue_was_full: self.refusals.queue_was_full(),
                ..Denials::default()
            },
            ..Found::default()
        }
    }

    /// The order in which the clients were asked most often beside the products, or, without that phase, in the
    /// storm.
    fn usual_order(&self) -> Option<Vec<u16>> {
        let usual = |side: &Side| {
            let asked =
                |gaps: &Vec<Vec<Times>>| gaps.first().map_or(0, |gap| gap.iter().map(Times::count).total());
            let order = side.orders.iter().max_by_key(|(_, gaps)| asked(gaps));
            order.map(|(order, _)| order.clone())
        };
        usual(&self.sides[1]).or_else(|| usual(&self.sides[2]))
    }

    fn gaps(&self, order: &[u16], name: &impl Fn(usize) -> String) -> Vec<Gap> {
        let median = |side: &Side, gap: usize| {
            let mut whole = Times::default();
            side.orders.get(order)?.get(gap)?.iter().for_each(|part| whole.add(part));
            whole.median()
        };
        let client = |at: Option<usize>| Some(name(usize::from(*order.get(at?)?)));
        (0..=order.len())
            .map(|gap| Gap {
                after: client(gap.checked_sub(1)),
                before: client(Some(gap)),
                control_ns: median(&self.sides[0], gap),
                external_ns: median(&self.sides[1], gap),
                storm_ns: median(&self.sides[2], gap),
            })
            .collect()
    }

    /// What the products add at a gap, with the interval that holds 95 % of what resampled parts of the two phases
    /// give.
    fn added(&self, order: &[u16], gap: usize, seed: u64) -> Option<TimeInterval> {
        let [without, beside] = [&self.sides[0], &self.sides[1]].map(|side| side.medians(order));
        let (without, beside) = (without?, beside?);
        let value = excess(&middle(&without), &middle(&beside), gap)?;
        let mut draw = Draw::new(seed ^ 0x6f75_7473);
        let mut resample = |parts: &[Vec<u64>]| {
            let drawn: Vec<Vec<u64>> = parts.iter().map(|_| parts[draw.place(parts.len())].clone()).collect();
            middle(&drawn)
        };
        let mut values: Vec<i64> =
            (0..RESAMPLES).filter_map(|_| excess(&resample(&without), &resample(&beside), gap)).collect();
        values.sort_unstable();
        let at = |permille: usize| {
            values.get((values.len().saturating_mul(permille) / 1000).min(values.len().saturating_sub(1)))
        };
        let (low, high) = (at(25).copied().unwrap_or(value), at(975).copied().unwrap_or(value));
        Some(TimeInterval { value, low: low.min(value), high: high.max(value) })
    }
}

impl Measure for Option<Outside> {
    /// Only in a lab with products beside its clients.
    fn of(scope: &Scope<'_>) -> Self {
        let products = scope.lab.external.len();
        (products > 0).then(|| Outside::new(scope.roster.clients.len(), products))
    }

    fn operation_begun(&mut self, begun: &BegunOperation<'_>, _: &Scope<'_>) {
        if let Some(outside) = self {
            outside.refusals.begun(begun);
        }
    }

    fn operation_ended(&mut self, ended: &EndedOperation<'_>, scope: &Scope<'_>) {
        let Some(outside) = self else { return };
        outside.refusals.ended(ended, is_denied(ended.op));
        if ended.ending == Ending::Itself {
            outside.add(ended.op, ended.phase, scope.timeline);
        }
    }

    fn decision_read(&mut self, read: &ReadDecision<'_>, scope: &Scope<'_>) {
        let Some(outside) = self.as_mut().filter(|_| read.counted) else { return };
        let product = read.entry.column.checked_sub(scope.roster.product_column(0));
        if let Some(generated) = product.and_then(|product| outside.generated.get_mut(product)) {
            generated.raise(1);
        }
    }

    fn finish(&self, closing: &Closing<'_>, findings: &mut Findings) {
        let Scope { lab, roster, timeline, .. } = closing.scope;
        findings.outside = self.as_ref().map(|outside| {
            let products = lab.external.iter().enumerate().zip(&outside.generated);
            let (faults, origin, teardown) = (&timeline.faults, timeline.origin, timeline.teardown());
            let products = products.map(|((place, wanted), &generated)| {
                timeline.products.finish(&Beside { place, wanted, generated, faults, origin, teardown })
            });
            let name = |client: usize| roster.clients[client].id.clone();
            let mut found = outside.section(products.collect(), lab.seed, &name);
            found.denials.files = outside.refusals.files(closing.show);
            found.denials.by_kernel = by_kernel(closing.show);
            missed(found, timeline.products.waited_for_one_of_several(), findings.deadline_ns)
        });
    }

    fn metric(findings: &Findings, parts: &[&str]) -> Option<Measured> {
        let [of @ ("outside" | "external"), which] = parts else { return None };
        let outside = findings.outside.as_ref()?;
        Some(match (*of, *which) {
            ("external", "misses") => Measured::Count(outside.misses),
            ("external", "ended") => Measured::Count(outside.ended().count() as u64),
            ("external", "waited") => Measured::Time(outside.waited_longest_ns.unwrap_or(0)),
            ("outside", "denied") => Measured::Count(outside.denials.operations),
            ("outside", "generated") => {
                Measured::Count(outside.products.iter().map(|product| product.generated).total())
            }
            ("outside", "added") => Measured::Time(outside.added_ns?.value.max(0).unsigned_abs()),
            _ => return None,
        })
    }
}

/// The same, with what the products missed.
fn missed(found: Found, one_of_several: (u64, Option<u64>), deadline_ns: u64) -> Found {
    let (waiting, longest) = one_of_several;
    let longest = found.products.iter().map(|product| product.waited_longest_ns).fold(longest, Ord::max);
    let killed = found.products.iter().filter(|product| product.end == ProductEnd::DeadlineKill).count();
    let unpunished = killed == 0 && longest.is_some_and(|longest| longest >= deadline_ns);
    Found {
        misses: (killed as u64).max(u64::from(unpunished)),
        waiting_for_one_of_them: waiting,
        waited_longest_ns: longest,
        ..found
    }
}

/// Somebody denied it, and no client of the lab did.
const fn is_denied(op: &Op) -> bool {
    op.error == DENIED && !op.denied
}

impl Side {
    fn add(&mut self, op: &Op, part: usize) {
        let Some(gaps) = gaps(op) else { return };
        let order: Vec<u16> = op.asked.iter().map(|asked| asked.client).collect();
        let whole: u64 = gaps.iter().total();
        self.whole.record(whole);
        self.gaps_ns.raise(u128::from(whole));
        self.operations_ns.raise(u128::from(op.ended.saturating_sub(op.started)));
        if self.orders.len() < ORDERS_MAX || self.orders.contains_key(&order) {
            let parts = PARTS.min(DISTRIBUTIONS_MAX.checked_div(gaps.len()).unwrap_or(0)).max(2);
            let new = || vec![vec![Times::default(); parts]; gaps.len()];
            let times = self.orders.entry(order).or_insert_with(new);
            times
                .iter_mut()
                .zip(&gaps)
                .for_each(|(times, &gap)| times[part.saturating_mul(parts) / PARTS].record(gap));
        }
    }

    /// By part of the phase in which anything was measured, the median of each gap.
    fn medians(&self, order: &[u16]) -> Option<Vec<Vec<u64>>> {
        let gaps = self.orders.get(order)?;
        let part = |part: usize| gaps.iter().map(|gap| gap[part].median()).collect::<Option<Vec<u64>>>();
        let parts: Vec<Vec<u64>> = (0..gaps.first()?.len()).filter_map(part).collect();
        (!parts.is_empty()).then_some(parts)
    }
}

/// The times in an operation in which no client had its question; `None` where clients were asked at the same time,
/// more than once or not to the end.
fn gaps(op: &Op) -> Option<Vec<u64>> {
    let mut reached = op.started;
    let mut gaps = Vec::with_capacity(op.asked.len().saturating_add(1));
    for (place, asked) in op.asked.iter().enumerate() {
        let again = op.asked[..place].iter().any(|other| other.client == asked.client);
        if asked.answered == NEVER || again {
            return None;
        }
        gaps.push(asked.read.checked_sub(reached)?);
        reached = asked.answered;
    }
    gaps.push(op.ended.checked_sub(reached)?);
    (!op.asked.is_empty()).then_some(gaps)
}

/// For each gap, the median over parts.
fn middle(parts: &[Vec<u64>]) -> Vec<u64> {
    let gaps = parts.first().map_or(0, Vec::len);
    let of = |gap: usize| {
        let mut times: Vec<u64> = parts.iter().map(|part| part[gap]).collect();
        times.sort_unstable();
        u64::midpoint(times[times.len().saturating_sub(1) / 2], times[times.len() / 2])
    };
    (0..gaps).map(of).collect()
}

/// By how much a gap is larger than it would be had it changed like the others; `None` when nothing is known of the
/// others.
fn excess(without: &[u64], beside: &[u64], gap: usize) -> Option<i64> {
    let others = |gaps: &[u64]| {
        gaps.iter().map(|&time| i128::from(time)).total().saturating_sub(i128::from(gaps[gap]))
    };
    let expected = i128::from(without[gap]).saturating_mul(others(beside)).checked_div(others(without))?;
    i64::try_from(i128::from(beside[gap]).saturating_sub(expected)).ok()
}

/// The gap that grew by a larger factor than all others, when one stands out.
fn grown(gaps: &[Gap]) -> Option<usize> {
    let factor = |gap: &Gap| Some(gap.external_ns? as f64 / gap.control_ns?.max(1) as f64);
    let factors: Vec<f64> = gaps.iter().map(factor).collect::<Option<_>>()?;
    let most = (0..factors.len()).max_by(|&a, &b| factors[a].total_cmp(&factors[b]))?;
    let others = factors.iter().enumerate().filter(|&(gap, _)| gap != most).map(|(_, &factor)| factor);
    (factors[most] >= CLEAR * others.fold(0.0, f64::max)).then_some(most)
}

fn place(gap: &Gap) -> Option<String> {
    Some(match (&gap.after, &gap.before) {
        (Some(after), Some(before)) => format!("between {after} and {before}"),
        (Some(after), None) => format!("after {after}, the last"),
        (None, Some(before)) => format!("before {before}, the first"),
        (None, None) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::slots::Asked;

    fn asked(client: u16, read: u64, answered: u64) -> Asked {
        Asked { client, read, answered, queued: 0, blocked: 0, denied: false }
    }

    fn op(started: u64, ended: u64, asked: Vec<Asked>) -> Op {
        let asked_by = asked.iter().fold(0, |bits, one| bits | 1 << one.client);
        Op { started, ended, asked, asked_by, ..Op::root_open() }
    }

    #[test]
    fn gaps_and_held_times_are_the_whole_operation() {
        let check = |op: &Op, expected: Option<&[u64]>| {
            assert_eq!(gaps(op).as_deref(), expected);
            if let Some(gaps) = expected {
                let held: u64 = op.asked.iter().map(|one| one.answered - one.read).sum();
                assert_eq!(gaps.iter().sum::<u64>() + held, op.ended - op.started);
            }
        };
        check(&op(0, 100, vec![asked(0, 10, 20), asked(1, 70, 75)]), Some(&[10, 50, 25]));
        check(&op(5, 9, vec![asked(1, 5, 9)]), Some(&[0, 0]));
        check(&op(0, 100, vec![]), None);
        check(&op(0, 100, vec![asked(0, 10, 40), asked(1, 30, 50)]), None);
        check(&op(0, 100, vec![asked(0, 10, NEVER)]), None);
        check(&op(0, 100, vec![asked(0, 10, 20), asked(0, 30, 40)]), None);
    }

    /// Without the product every gap is about 10; beside it the whole machine is `slower` times as slow, and the
    /// product takes `more` between bravo and alpha.
    fn tallied(slower: u64, more: u64) -> Outside {
        let mut outside = Outside::new(2, 0);
        for (side, times, product) in [(0, 1, 0), (1, slower, more)] {
            for nth in 0..160_u64 {
                let gap = (100 + nth % 3) * times;
                let between = gap + product;
                let (bravo, alpha) = (asked(1, gap, gap + 5), asked(0, gap + 5 + between, gap + 9 + between));
                let one = op(0, 2 * gap + 9 + between, vec![bravo, alpha]);
                outside.sides[side].add(&one, usize::try_from(nth).unwrap() % PARTS);
            }
        }
        outside
    }

    #[test]
    fn the_gap_that_grows_beyond_the_others_is_the_products() {
        let name = |client: usize| ["alpha", "bravo"][client].to_owned();
        for slower in [1, 5] {
            let found = tallied(slower, 1200).section(Vec::new(), 1, &name);
            assert_eq!(found.place.as_deref(), Some("between bravo and alpha"));
            let added = found.added_ns.unwrap();
            assert!(added.low <= 1200 && 1200 <= added.high, "{added:?}");
            assert!(added.high - added.low < 60, "{added:?}");
        }
        // A machine that is slower for everybody is no product.
        let found = tallied(5, 0).section(Vec::new(), 1, &name);
        assert_eq!((found.place, found.added_ns), (None, None));
        let share = found.unaccounted[1].share.unwrap();
        assert!(share > 0.98, "{share}");
    }

    #[test]
    fn a_denial_that_no_client_gave_is_counted_by_who_was_asked() {
        let mut outside = Outside::new(2, 0);
        let failed = |denied| Op { error: DENIED, denied, ..op(0, 9, vec![asked(1, 2, 3)]) };
        outside.add(&failed(false), Some(PhaseKind::Storm), &Timeline::default());
        outside.add(&failed(true), Some(PhaseKind::Storm), &Timeline::default());
        outside.add(&Op { error: 2, ..failed(false) }, Some(PhaseKind::Storm), &Timeline::default());
        outside.add(&Op { root: false, ..failed(false) }, Some(PhaseKind::Storm), &Timeline::default());
        let name = |client: usize| format!("c{client}");
        let denials = outside.section(Vec::new(), 1, &name).denials;
        assert_eq!((denials.operations, denials.root_ops), (2, 1));
        assert_eq!(denials.asked, [("c0".to_owned(), 0), ("c1".to_owned(), 2)]);
        assert_eq!(denials.not_asked, [("c0".to_owned(), 2), ("c1".to_owned(), 0)]);
    }
}
