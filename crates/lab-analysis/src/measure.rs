//! What a measure is: what it hears, what it fills, and how its metrics are looked up.

use std::cmp::Ordering;

use lab_model::{Expectation, Expected};

use crate::{
    findings::{Figure, Findings, Headroom, HeadroomFigure, Latency},
    pass::facts::{
        Answered, BegunOperation, ClosedCascade, EndedOperation, Noticeable, Noticed, OrphanedOperation,
        ReadDecision, Scope,
    },
    show::Show,
};

/// A number or word of the report.
#[derive(Clone, Debug, PartialEq)]
pub enum Measured {
    /// Whole things.
    Count(u64),
    /// A ratio, or a share from 0 to 1.
    Number(f64),
    /// Nanoseconds.
    Time(u64),
    /// This many nanoseconds or more: something of it was not over when it was last seen.
    TimeAtLeast(u64),
    /// This share or less, for the same reason.
    NumberAtMost(f64),
    /// A word.
    Word(String),
}

/// What is missing from the traces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Losses {
    /// Records that did not fit, events that the kernel dropped, damaged places.
    pub(crate) lost: u64,
    /// Places with damage, damaged parts of records and cut tails included.
    pub(crate) damaged: u64,
    /// Damaged parts of records that are there.
    pub(crate) parts_damaged: u64,
    /// By client.
    pub(crate) by_client: Vec<u64>,
}

/// What a measure may know when the pass is over.
#[derive(Clone, Copy)]
pub(crate) struct Closing<'a> {
    pub(crate) scope: Scope<'a>,
    pub(crate) show: &'a Show<'a>,
    pub(crate) losses: &'a Losses,
}

impl Closing<'_> {
    /// A client's ID.
    pub(crate) fn client(&self, client: u16) -> String {
        self.scope.roster.clients[usize::from(client)].id.clone()
    }

    /// Nanoseconds from the run's origin.
    pub(crate) fn since(&self, at: u64) -> u64 {
        at.saturating_sub(self.scope.timeline.origin)
    }
}

/// Something that is counted or measured while the pass goes over a run.
///
/// The pass says each fact once, in the order of time, to all measures; none of them sees another.
pub(crate) trait Measure: Sized {
    /// Begins, before the first record.
    fn of(scope: &Scope<'_>) -> Self;

    /// An operation has begun.
    fn operation_begun(&mut self, _: &BegunOperation<'_>, _: &Scope<'_>) {}

    /// An exec goes on without the process that made it.
    fn operation_orphaned(&mut self, _: &OrphanedOperation, _: &Scope<'_>) {}

    /// An operation is over.
    fn operation_ended(&mut self, _: &EndedOperation<'_>, _: &Scope<'_>) {}

    /// A decision was read.
    fn decision_read(&mut self, _: &ReadDecision<'_>, _: &Scope<'_>) {}

    /// A decision was answered, or will not be any more.
    fn decision_answered(&mut self, _: &Answered<'_>, _: &Scope<'_>) {}

    /// A notice was read.
    fn noticed(&mut self, _: &Noticed<'_>, _: &Scope<'_>) {}

    /// Nobody will be told of an operation any more.
    fn notices_over(&mut self, _: &Noticeable, _: &Scope<'_>) {}

    /// Nothing in a cascade is open any more.
    fn cascade_closed(&mut self, _: &ClosedCascade<'_>, _: &Scope<'_>) {}

    /// The drain is over: what is open now is in flight.
    fn drain_over(&mut self, _: &Scope<'_>) {}

    /// Fills its own fields of the findings, and no others. It may read those of the measures above it in the list.
    fn finish(&self, closing: &Closing<'_>, findings: &mut Findings);

    /// Looks up a metric of its own by the parts of its dotted path.
    fn metric(_: &Findings, _: &[&str]) -> Option<Measured> {
        None
    }
}

/// One of the times of a distribution, by its word in metrics; `None` without any value.
pub(crate) fn latency(latency: &Latency, which: &str) -> Option<Measured> {
    let figure = match which {
        _ if latency.is_empty() => return None,
        "p50" => Figure::P50,
        "p90" => Figure::P90,
        "p99" => Figure::P99,
        "p999" => Figure::P999,
        "max" => Figure::Max,
        _ => return None,
    };
    let value = latency.value(figure);
    Some(if latency.is_at_least(figure) { Measured::TimeAtLeast(value) } else { Measured::Time(value) })
}

/// One of the shares of a headroom, by its word in metrics.
pub(crate) fn headroom(headroom: &Headroom, which: &str) -> Option<Measured> {
    let (figure, value) = match which {
        "min" => (HeadroomFigure::Min, headroom.min?),
        "p01" => (HeadroomFigure::P01, headroom.p01?),
        "p50" => (HeadroomFigure::P50, headroom.p50?),
        _ => return None,
    };
    let bound = headroom.is_at_most(figure);
    Some(if bound { Measured::NumberAtMost(value) } else { Measured::Number(value) })
}

/// Whether a condition holds for what was measured; `None` where the two cannot be compared.
pub(crate) fn holds(expectation: &Expectation, measured: &Measured) -> Option<bool> {
    match measured {
        Measured::Count(count) | Measured::Time(count) => expectation.holds_for_count(*count),
        Measured::Number(number) => expectation.holds_for_number(*number),
        Measured::TimeAtLeast(_) | Measured::NumberAtMost(_) => holds_beyond(expectation, measured),
        Measured::Word(word) => expectation.holds_for_word(word),
    }
}

/// Whether a condition holds for a bound and everything beyond it: known only where it is the same for all of that.
fn holds_beyond(expectation: &Expectation, measured: &Measured) -> Option<bool> {
    let Expected::Number(number) = expectation.value else { return None };
    let (bound, beyond) = match measured {
        Measured::TimeAtLeast(time) => (number.order_of_count(*time), Ordering::Greater),
        Measured::NumberAtMost(share) => (number.order_of(*share)?, Ordering::Less),
        _ => return None,
    };
    // From a bound on this side of the number every order may come to be, from one beyond it only that one.
    let orders: &[Ordering] = match bound {
        bound if bound == beyond => &[beyond],
        Ordering::Equal => &[Ordering::Equal, beyond],
        _ => &[bound, Ordering::Equal, beyond],
    };
    let held = expectation.comparison.holds(beyond);
    orders.iter().all(|&order| expectation.comparison.holds(order) == held).then_some(held)
}
