//! How a storm ended up, and by which rule.

use crate::{
    findings::{
        Drain, GainUnknown, Interval, Knee, Outcome, Outside, PlannedOps, StoodStill, Unwatched, WaitCycle,
    },
    measures::{
        series::{STORM_PARTS, grows},
        unwatched::sentence,
    },
};
use lab_model::Expectation;
use lab_model::units::{agreeing, count, count_of, counted, number, ratio, share, tenths, time};

/// The completed cascades without which nothing is said about stability.
pub(crate) const CASCADES_MIN: u64 = 20;

/// How close to 1 the loop gain must come for cascades that go on to be called divergent.
const GAIN_NEAR_ONE: f64 = 0.95;

/// The share of records that may be lost before nothing is said any more.
const LOST_SHARE_MAX: f64 = 0.1;

/// The backlog in the storm's last part above which growth matters.
const BACKLOG_MIN: f64 = 8.0;

/// The lateness in the storm's last part above which growth matters, in nanoseconds.
const LATENESS_MIN_NS: f64 = 10_000_000.0;

/// The share of a schedule that may be left over at the storm's end because the load came late.
const LEFT_OVER_MAX: f64 = 0.01;

/// The shortest storm in which a growing backlog is more than its beginning, in nanoseconds.
const GROWTH_STORM_MIN_NS: u64 = 100_000_000;

/// What the rules look at.
#[derive(Clone, Debug)]
pub(crate) struct Evidence<'a> {
    pub(crate) cycles: &'a [WaitCycle],
    pub(crate) loop_gain: Option<Interval>,
    /// Why there is no loop gain, where events had been decided on.
    pub(crate) loop_gain_unknown: Option<GainUnknown>,
    pub(crate) drain: Option<&'a Drain>,
    pub(crate) cascades: u64,
    pub(crate) unfinished: u64,
    pub(crate) decisions: u64,
    pub(crate) lost: u64,
    pub(crate) levels: [f64; STORM_PARTS],
    pub(crate) lateness: Option<[f64; STORM_PARTS]>,
    /// How long the storm lasted.
    pub(crate) storm_ns: u64,
    /// What an open loop had planned for the storm.
    pub(crate) planned: Option<PlannedOps>,
    /// The steps of a load whose rate was raised.
    pub(crate) knee: Option<&'a Knee>,
    /// The whole lab stood still for a while.
    pub(crate) stood_still: bool,
}

/// The outcome, and the rule that decided it in one sentence.
pub(crate) fn decide(evidence: &Evidence<'_>) -> (Outcome, String) {
    if let Some(cycle) = evidence.cycles.first() {
        return (Outcome::Deadlocked, deadlock_rule(cycle, evidence.cycles.len()));
    }
    if evidence.decisions == 0 {
        return (Outcome::Unknown, "No client decided anything in the storm.".into());
    }
    // The count of what was lost stands in a part of the header that no check covers: it may be any number.
    let recorded = evidence.decisions.saturating_add(evidence.lost);
    if evidence.lost as f64 > recorded as f64 * LOST_SHARE_MAX {
        let rule =
            format!("{} of {recorded} records were lost or damaged, more than one in ten.", evidence.lost);
        return (Outcome::Unknown, rule);
    }
    if let Some(rule) = divergence(evidence) {
        return (Outcome::Divergent, rule);
    }
    if evidence.cascades < CASCADES_MIN {
        let rule = format!(
            "Only {} of the storm completed; below {CASCADES_MIN} nothing is said.",
            counted(evidence.cascades, "cascade")
        );
        return (Outcome::Unknown, rule);
    }
    if evidence.stood_still {
        // What came late or never began tells of no load.
        return bounded(evidence);
    }
    if let Some(rule) = left_over(evidence) {
        return (Outcome::Saturated, rule);
    }
    if let Some(rule) = growth(evidence) {
        if evidence.storm_ns >= GROWTH_STORM_MIN_NS {
            return (Outcome::Saturated, rule);
        }
        let length = time(evidence.storm_ns);
        return (
            Outcome::Unknown,
            format!("{rule} It lasted {length}: too short to tell that from a beginning."),
        );
    }
    bounded(evidence)
}

/// The outcome of a storm in which no queue grew and nothing is known to feed itself.
fn bounded(evidence: &Evidence<'_>) -> (Outcome, String) {
    let in_flight = evidence.drain.map_or(evidence.unfinished, |drain| drain.in_flight);
    if in_flight > 0 {
        let flying = agreeing(in_flight, "event was", "events were");
        let rule = match evidence.drain {
            Some(_) if evidence.loop_gain.is_none() => format!(
                "{flying} still in flight at the end, and how many more events one of a client brings is not known; a longer \
                 drain may tell."
            ),
            Some(_) => format!(
                "{flying} still in flight at the end, without a wait cycle, a gain near 1 or a growing queue that would \
                 explain it; a longer drain may tell."
            ),
            None => {
                format!("{flying} in flight when the record ends, and no drain shows what became of that.")
            }
        };
        return (Outcome::Unknown, rule);
    }
    if let Some(unknown) = evidence.loop_gain_unknown {
        let rule = format!(
            "All {} that were seen through ended, and how many more events one of a client brings is not known: {}.",
            counted(evidence.cascades, "cascade"),
            unknown.reason()
        );
        return (Outcome::Unknown, rule);
    }
    if let Some(gain) = evidence.loop_gain.filter(|gain| gain.value >= 1.0) {
        let rule = format!(
            "All {} ended, although an event of a client brought {:.2} more on average (between {:.2} and {:.2} with \
             99% certainty): something else than the clients' reactions ended them, as the death of a client does.",
            counted(evidence.cascades, "cascade"),
            gain.value,
            gain.low,
            gain.high
        );
        return (Outcome::Unknown, rule);
    }
    let gain = match evidence.loop_gain {
        Some(gain) if gain.high >= 1.0 => {
            format!("{:.2} (between {:.2} and {:.2} with 99% certainty)", gain.value, gain.low, gain.high)
        }
        gain => format!("{:.2} (below 1)", gain.map_or(0.0, |gain| gain.value)),
    };
    let cascades = counted(evidence.cascades, "cascade");
    if evidence.stood_still {
        let not_begun = evidence.planned.map_or(0, |planned| planned.not_begun_late);
        let left = match not_begun {
            0 => String::new(),
            more => {
                format!(" ({} had not begun when the storm was over)", counted(more, "planned operation"))
            }
        };
        let rule = format!(
            "All {cascades} ended, and the loop gain is {gain}. Whether the load was too much is not judged{left}."
        );
        return (Outcome::Stable, rule);
    }
    let rule = format!(
        "All {cascades} ended, the loop gain is {gain}, and the backlog did not grow through the storm (mean {} in its \
         first quarter, {} in its last).",
        tenths(evidence.levels[0]),
        tenths(evidence.levels[STORM_PARTS - 1])
    );
    (Outcome::Stable, rule)
}

/// The same outcome, as far as it can be held up when nobody watched for a deadline or longer: who would have been
/// killed under watch went on, so a run that ended well need not have.
pub(crate) fn as_watched(
    outcome: Outcome,
    rule: String,
    unwatched: Option<&Unwatched>,
    deadline_ns: u64,
) -> (Outcome, String) {
    let Some(unwatched) = unwatched.filter(|unwatched| unwatched.longest_ns >= deadline_ns) else {
        return (outcome, rule);
    };
    let said = sentence(unwatched, deadline_ns);
    if outcome == Outcome::Stable && unwatched.let_pass() && !unwatched.kept_by_kernel {
        return (Outcome::Unknown, format!("{said} Under watch the run might have gone another way."));
    }
    (outcome, format!("{rule} {said}"))
}

/// The same outcome, and whether the whole lab stood still.
pub(crate) fn as_moved(
    outcome: Outcome,
    rule: String,
    stood_still: Option<&StoodStill>,
) -> (Outcome, String) {
    let said = stood_still.map_or_else(String::new, |still| format!(" {}", still.sentence()));
    (outcome, format!("{rule}{said}"))
}

/// The same outcome, as far as it can be held up beside products that missed their deadline: a lab that goes on because one
/// was killed is not stable. Where the lab file speaks of it, it is part of the experiment, and the outcome is that of the
/// load.
pub(crate) fn beside_products(
    outcome: Outcome,
    rule: String,
    outside: Option<&Outside>,
    expect: &[Expectation],
) -> (Outcome, String) {
    let said = outside.map(Outside::failings).unwrap_or_default();
    if said.is_empty() {
        return (outcome, rule);
    }
    let is_said = expect.iter().any(|expectation| expectation.metric == "external.misses");
    let missed = outside.is_some_and(|outside| outside.misses > 0) && !is_said;
    let outcome = if outcome == Outcome::Stable && missed { Outcome::Unknown } else { outcome };
    (outcome, format!("{} {rule}", said.join(" ")))
}

fn deadlock_rule(cycle: &WaitCycle, cycles: usize) -> String {
    let others = match cycles {
        1 => String::new(),
        2 => " (and one more cycle)".into(),
        more => format!(" (and {} more cycles)", count(count_of(more.saturating_sub(1)))),
    };
    if cycle.seen {
        return format!("A circle that nobody in it can leave{others}: {}.", cycle.evidence.join("; "));
    }
    if let [alone] = &cycle.members[..] {
        return format!(
            "{alone} waited for itself: what it waited for was in an open that needed its own answer{others}."
        );
    }
    format!(
        "{} waited for each other in a circle that could not resolve itself: every worker of each was in an open that \
         needed another's answer{others}.",
        list(&cycle.members)
    )
}

/// Names joined as in a sentence.
pub(crate) fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn divergence(evidence: &Evidence<'_>) -> Option<String> {
    let gain = evidence.loop_gain?;
    if gain.low >= 1.0 {
        return Some(format!(
            "The loop gain is {:.2} (between {:.2} and {:.2} with 99% certainty): an event of a client brings at least \
             one more.",
            gain.value, gain.low, gain.high
        ));
    }
    let drain = evidence.drain?;
    if !drain.quiet && drain.in_flight > 0 && gain.high >= GAIN_NEAR_ONE {
        return Some(format!(
            "The cascades fed themselves to the drain's end: {} read after the load had stopped, {} still in flight, and \
             the loop gain is {:.2} (up to {:.2}).",
            agreeing(drain.decisions, "decision was", "decisions were"),
            agreeing(drain.in_flight, "event was", "events were"),
            gain.value,
            gain.high
        ));
    }
    None
}

/// An open loop keeps its backlog in the driver: what was planned and never begun, because what came before took too long.
fn left_over(evidence: &Evidence<'_>) -> Option<String> {
    let PlannedOps { planned, not_begun_late, .. } = evidence.planned?;
    let part = ratio(not_begun_late, planned);
    (part > LEFT_OVER_MAX).then(|| {
        format!(
            "The load could not keep its schedule: of {} planned for the storm {} ({}) had not begun when it was over.{}",
            counted(planned, "operation"),
            count(not_begun_late),
            share(part),
            raised(evidence)
        )
    })
}

/// A load whose rate was raised until it did not keep up was asked to: from which step on it did not.
fn raised(evidence: &Evidence<'_>) -> String {
    let step = evidence.knee.and_then(Knee::fell_behind);
    step.map_or_else(String::new, |step| {
        format!(
            " Its rate was raised step by step, and from {} operations a second on it did not keep up ({} a second).",
            count(step.rate.into()),
            number(step.ops_per_second.round())
        )
    })
}

fn growth(evidence: &Evidence<'_>) -> Option<String> {
    let last = evidence.levels[STORM_PARTS - 1];
    if grows(&evidence.levels) && last >= BACKLOG_MIN {
        return Some(format!(
            "The backlog grew through the whole storm: on average {} events waited in its four quarters.{}",
            quarters(&evidence.levels, 1.0),
            raised(evidence)
        ));
    }
    let lateness = evidence
        .lateness
        .filter(|lateness| grows(lateness) && lateness[STORM_PARTS - 1] >= LATENESS_MIN_NS)?;
    Some(format!(
        "The load fell behind its schedule through the whole storm: operations began {} ms late in its four quarters.{}",
        quarters(&lateness, 1e6),
        raised(evidence)
    ))
}

fn quarters(values: &[f64; STORM_PARTS], unit: f64) -> String {
    let texts: Vec<String> = values.iter().map(|value| tenths(value / unit)).collect();
    list(&texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calm() -> Evidence<'static> {
        Evidence {
            cycles: &[],
            loop_gain: Some(Interval { value: 0.0, low: 0.0, high: 0.0 }),
            loop_gain_unknown: None,
            drain: None,
            cascades: 100,
            unfinished: 0,
            decisions: 1000,
            lost: 0,
            levels: [1.0; STORM_PARTS],
            lateness: None,
            storm_ns: 2_000_000_000,
            planned: None,
            knee: None,
            stood_still: false,
        }
    }

    fn outcome(value: f64, low: f64, high: f64) -> (Outcome, String) {
        decide(&Evidence { loop_gain: Some(Interval { value, low, high }), ..calm() })
    }

    #[test]
    fn what_an_open_loop_never_began_is_a_backlog() {
        let planned = |planned, not_begun_late| {
            let planned =
                PlannedOps { planned, begun: planned - not_begun_late, not_begun_late, not_begun_halted: 0 };
            decide(&Evidence { planned: Some(planned), ..calm() })
        };
        assert_eq!(planned(169_112, 1_000).0, Outcome::Stable);
        let (outcome, rule) = planned(169_112, 108_917);
        assert_eq!(outcome, Outcome::Saturated);
        assert!(rule.contains("of 169,112 operations planned for the storm 108,917 (64.4%)"), "{rule}");
    }

    #[test]
    fn what_came_late_because_the_lab_stood_still_is_no_saturation() {
        let planned = PlannedOps { planned: 1_000, begun: 202, not_begun_late: 798, not_begun_halted: 0 };
        let (outcome, rule) = decide(&Evidence {
            planned: Some(planned),
            levels: [1.0, 10.0, 20.0, 40.0],
            stood_still: true,
            ..calm()
        });
        assert_eq!(outcome, Outcome::Stable);
        assert!(rule.contains("not judged (798 planned operations had not begun"), "{rule}");
        assert!(!rule.contains("backlog"), "{rule}");
    }

    #[test]
    fn without_a_drain_no_longer_one_is_advised() {
        let (outcome, rule) = decide(&Evidence { unfinished: 2, ..calm() });
        assert_eq!(outcome, Outcome::Unknown);
        assert_eq!(
            rule,
            "2 events were in flight when the record ends, and no drain shows what became of that."
        );
    }

    #[test]
    fn a_storm_of_some_milliseconds_is_not_called_saturated() {
        let growing = |storm_ns| decide(&Evidence { levels: [1.0, 10.0, 20.0, 40.0], storm_ns, ..calm() });
        assert_eq!(growing(2_000_000_000).0, Outcome::Saturated);
        let (outcome, rule) = growing(3_000_000);
        assert_eq!(outcome, Outcome::Unknown);
        assert!(rule.contains("3.00 ms"), "{rule}");
    }

    #[test]
    fn what_ended_without_its_reactions_ending_is_not_called_stable() {
        assert_eq!(outcome(0.4, 0.3, 0.5).0, Outcome::Stable);
        assert_eq!(outcome(0.9, 0.0, 1.2).0, Outcome::Stable);
        assert_eq!(outcome(1.2, 1.1, 1.3).0, Outcome::Divergent);
        let (outcome, rule) = outcome(1.9, 0.0, 1.9);
        assert_eq!(outcome, Outcome::Unknown);
        assert!(rule.contains("1.90") && !rule.contains("below 1"), "{rule}");
    }
}
