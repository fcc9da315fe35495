//! What is measured on the way: each measure listens to the facts of the pass and fills its own part of the findings.
//!
//! A new measure is a file here that implements [`Measure`], a line in the list below, and its field in [`Findings`].
//! No measure imports this list.

pub(crate) mod cascades;
pub(crate) mod denials;
pub(crate) mod drain;
pub(crate) mod external;
pub(crate) mod gain;
pub(crate) mod hidden;
pub(crate) mod knee;
pub(crate) mod latency;
pub(crate) mod ledger;
pub(crate) mod notify;
pub(crate) mod phases;
pub(crate) mod pipeline;
pub(crate) mod programs;
pub(crate) mod requests;
pub(crate) mod rules;
pub(crate) mod series;
pub(crate) mod survival;
pub(crate) mod totals;
pub(crate) mod trees;
pub(crate) mod unwatched;

use crate::{
    findings::Findings,
    measure::{Closing, Measure, Measured},
    pass::facts::{
        Answered, BegunOperation, ClosedCascade, EndedOperation, Noticeable, Noticed, OrphanedOperation,
        ReadDecision, Scope,
    },
};

/// Where a measure is shown on the pages of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The part of the page that has the measure's name.
    Own,
    /// It has no part of its own, for this reason.
    None(&'static str),
}

/// One measure, as the list has it.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// Its name: that of its part of the page, and of its metrics' owner in `lab_model::METRICS`.
    pub name: &'static str,
    /// The fields of `report.json` that are its own, with a dot before a client's: `clients.told`.
    pub sections: &'static [&'static str],
    /// Where it is shown.
    pub page: Page,
}

/// Makes the list of measures and says each fact to all of them. All is known when it is compiled: what a measure does
/// not listen to costs nothing.
macro_rules! measures {
    ($($(#[$about:meta])* $name:ident: $measure:ty, $sections:expr, $page:expr;)+) => {
        /// All measures of a run.
        #[derive(Debug)]
        pub(crate) struct Measures {
            $($(#[$about])* pub(crate) $name: $measure,)+
        }

        /// The measures, in the order in which they fill the findings.
        pub const MEASURES: &[Listed] =
            &[$(Listed { name: stringify!($name), sections: &$sections, page: $page }),+];

        impl Measures {
            pub(crate) fn of(scope: &Scope<'_>) -> Measures {
                Measures { $($name: Measure::of(scope)),+ }
            }

            pub(crate) fn finish(&self, closing: &Closing<'_>, findings: &mut Findings) {
                $(self.$name.finish(closing, findings);)+
            }

            /// Looks a metric up in one measure.
            pub(crate) fn metric_of(name: &str, findings: &Findings, parts: &[&str]) -> Option<Measured> {
                $(if name == stringify!($name) {
                    return <$measure as Measure>::metric(findings, parts);
                })+
                None
            }

            measures!(@say [$($name)+] operation_begun: BegunOperation<'_>);
            measures!(@say [$($name)+] operation_orphaned: OrphanedOperation);
            measures!(@say [$($name)+] operation_ended: EndedOperation<'_>);
            measures!(@say [$($name)+] decision_read: ReadDecision<'_>);
            measures!(@say [$($name)+] decision_answered: Answered<'_>);
            measures!(@say [$($name)+] noticed: Noticed<'_>);
            measures!(@say [$($name)+] notices_over: Noticeable);
            measures!(@say [$($name)+] cascade_closed: ClosedCascade<'_>);

            pub(crate) fn drain_over(&mut self, scope: &Scope<'_>) {
                $(Measure::drain_over(&mut self.$name, scope);)+
            }
        }
    };
    (@say [$($name:ident)+] $method:ident: $fact:ty) => {
        pub(crate) fn $method(&mut self, fact: &$fact, scope: &Scope<'_>) {
            $(Measure::$method(&mut self.$name, fact, scope);)+
        }
    };
}

measures! {
    /// Counts that add up, over the run and over the storm.
    totals: totals::Counts, ["totals", "storm"], Page::Own;
    /// Root operations by phase, and what they cost.
    phases: phases::PhaseTally, ["phases", "cost"], Page::Own;
    /// The trees below root operations.
    cascades: cascades::Tally, ["cascades", "amplification"], Page::Own;
    /// How many events one event brings. Compares its prediction with `cascades`.
    gain: gain::Gain, ["loop_gain", "loop_gain_unknown", "gain", "drive", "prediction"], Page::Own;
    /// What each client did and had done to it. The measures of a client's part come after it.
    clients: ledger::Ledger, ["clients", "causes", "latency_ns", "populations", "headroom"], Page::Own;
    /// Operations from every client's side.
    approvals: hidden::ApprovalsByClient, ["approvals", "clients.approvals"], Page::Own;
    /// The kernel's own rules. Whom a kept answer serves is read from `approvals`.
    rules: rules::RulesTally, ["rules"], Page::Own;
    /// What each client was told after the fact.
    notify: notify::NotifyTallies, ["clients.told"], Page::Own;
    /// What each client asked of helpers and daemons.
    requests: requests::Asked, ["clients.requests"], Page::Own;
    /// In which order clients were asked.
    pipeline: pipeline::Stages, ["pipeline"], Page::Own;
    /// The run over time.
    series: series::OverTime, ["series"], Page::Own;
    /// Calm after the storm.
    drain: drain::DrainTally, ["drain"], Page::Own;
    /// What products beside the clients did to operations.
    outside: Option<external::Outside>, ["outside"], Page::Own;
    /// The programs that were asked about.
    programs: programs::ProgramsTally, ["programs"], Page::Own;
    /// The steps of a load whose rate was raised.
    knee: Option<knee::KneeTally>, ["knee"], Page::Own;
    /// Trees of programs.
    trees: Option<trees::TreesTally>, ["trees"], Page::Own;
    /// What may have passed while nobody watched.
    unwatched: unwatched::Unseen, ["unwatched", "stood_still", "clients.deadline_misses_possible"],
        Page::None("it is a sentence among the findings, the outcome and what was not observed");
}
