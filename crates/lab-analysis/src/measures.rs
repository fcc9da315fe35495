//! What is measured on the way: each measure listens to the facts of the pass and fills its own part of the findings.
//!
//! A new measure is a file here, a line in the list below, and its field in [`Findings`].

pub(crate) mod cascades;
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
    assemble::Losses,
    findings::Findings,
    pass::facts::{
        Answered, BegunOperation, ClosedCascade, EndedOperation, Noticeable, Noticed, OrphanedOperation,
        ReadDecision, Scope,
    },
    show::Show,
    verdict::expect::Measured,
};

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
    gain: gain::Gain, ["loop_gain", "gain", "drive", "prediction"], Page::Own;
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
    unwatched: unwatched::Unseen, ["unwatched", "clients.deadline_misses_possible"],
        Page::None("it is a sentence among the findings, the outcome and what was not observed");
}
