//! From the counts of the pass to the findings.

use lab_model::{BackendChoice, Kernel, Lab, PhaseKind, Role};
use lab_trace::{FaultKind, Trace};
use lab_waits::WaitRecord;

use crate::{
    findings::{CycleEnd, Findings, Machine, Outcome, SCHEMA, WaitCycle},
    measure::Closing,
    participants::{
        admission::{Admitted, admit},
        marks::MARK_SLACK_NS,
        processes::Processes,
        roster::Roster,
        timeline::Timeline,
    },
    pass::{facts::Scope, join::Engine, merge::Merge, slots::NEVER},
    show::Show,
    verdict::{ends, expect, outcome, seen_waits::SeenWaits, state::Recorded, waiting::Cycle},
};

mod faults;
mod narrate;
mod observed;
mod unsaid;

/// What the analysis has to know beside the traces.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The lab as it ran, with every default filled in.
    pub lab: &'a Lab,
    /// The run's folder name.
    pub run: &'a str,
    /// The kernel that the lab says it ran on. Whose rules a simulated run followed is in its traces.
    pub backend: BackendChoice,
    /// The line that runs the same lab again.
    pub replay: &'a str,
    /// Traces that could not be read at all: name and reason.
    pub unreadable: &'a [(String, String)],
    /// What was seen of who waits for whom; `None` where nobody looked, as in a simulated run.
    pub waits: Option<&'a WaitRecord>,
}

/// Says what the traces of one run show. The same traces give the same findings.
#[must_use]
pub fn analyse(traces: &[Trace<'_>], context: &Context<'_>) -> Findings {
    let Admitted { traces, remarks } = admit(traces);
    let traces = traces.as_slice();
    let mut roster = Roster::new(context.lab, traces);
    roster.remarks.extend(remarks);
    let timeline = Timeline::new(&roster, traces);
    let mut merge = Merge::new(traces);
    let kernel =
        context.backend.rules_of_run(traces.iter().map(|trace| trace.header.identity.host.kernel.as_str()));
    // Endpoint Security says with each event which process acts; fanotify names no process of a thread.
    let processes = if kernel.is_some_and(Kernel::names_programs) {
        Processes::new(traces, &context.lab.external)
    } else {
        Processes::default()
    };
    let scope = Scope {
        lab: context.lab,
        roster: &roster,
        timeline: &timeline,
        traces,
        processes: &processes,
        own_events: kernel.is_none_or(Kernel::asks_about_own_events),
    };
    let mut engine = Engine::new(scope);
    engine.run(&mut merge);
    let show = Show {
        traces,
        roster: &roster,
        merge: &merge,
        known_paths: &engine.paths.known,
        flame: &engine.flame,
        timeline: &timeline,
        origin: timeline.origin,
    };
    Assembly { context, engine: &engine, show: &show, timeline: &timeline, roster: &roster }.findings(scope)
}

/// All that the findings are put together from.
struct Assembly<'a> {
    context: &'a Context<'a>,
    engine: &'a Engine<'a>,
    show: &'a Show<'a>,
    timeline: &'a Timeline,
    roster: &'a Roster,
}

impl Assembly<'_> {
    fn findings(&self, scope: Scope<'_>) -> Findings {
        let (lab, engine) = (self.context.lab, self.engine);
        let losses = self.losses();
        let mut findings = Findings {
            schema: SCHEMA,
            lab: lab.name.clone(),
            about: lab.about.clone(),
            run: self.context.run.into(),
            replay: self.context.replay.into(),
            backend: match self.context.backend {
                BackendChoice::Auto => "unknown",
                decided => decided.name(),
            }
            .into(),
            seed: lab.seed,
            deadline_ns: lab.deadline.nanos(),
            machine: self.machine(),
            wait_cycles: engine.waiting.cycles.iter().map(|cycle| self.cycle(cycle)).collect(),
            faults: self.faults(),
            unplanned_ends: ends::unplanned(lab, self.roster, self.timeline),
            ..Findings::default()
        };
        self.add_seen_waits(&mut findings);
        engine.measures.finish(&Closing { scope, show: self.show, losses: &losses }, &mut findings);
        (findings.outcome, findings.outcome_rule) = self.outcome(&findings);
        findings.state = Recorded {
            lab,
            roster: self.roster,
            timeline: self.timeline,
            traces: self.show.traces,
            unreadable: self.context.unreadable,
            lost: losses.lost,
            parts_damaged: losses.parts_damaged,
            stood_still: findings.stood_still.as_ref(),
        }
        .state();
        findings.expectations = expect::check(&lab.expect, &findings);
        findings.expectations.extend(self.implicit_expectations());
        findings.expectations.extend(unsaid::unsaid(&lab.expect, &findings));
        findings.findings = narrate::narrate(&findings, &self.unread());
        findings.not_observed = self.not_observed(&findings, &losses);
        findings
    }

    /// Adds what was seen of who waits for whom, beyond what the clients' records show.
    fn add_seen_waits(&self, findings: &mut Findings) {
        let Some(record) = self.context.waits else { return };
        let mut headers = self.show.traces.iter().map(|trace| &trace.header);
        let Some(header) = headers.find(|header| header.role == Role::Orchestrator) else { return };
        let seen = SeenWaits { record, timebase: header.timebase, timeline: self.timeline };
        findings.wait_cycles.extend(seen.cycles(&findings.wait_cycles));
        findings.wait_cycles.sort_by_key(|cycle| cycle.began_ns);
        findings.long_waits = seen.long_waits();
    }

    /// How the storm ended up, and by which rule.
    fn outcome(&self, findings: &Findings) -> (Outcome, String) {
        let series = &self.engine.measures.series;
        let storm = findings.phases.iter().find(|phase| phase.kind == PhaseKind::Storm);
        let storm_marked = self.timeline.marked(PhaseKind::Storm);
        let (outcome, rule) = outcome::decide(&outcome::Evidence {
            cycles: &findings.wait_cycles,
            loop_gain: findings.loop_gain,
            loop_gain_unknown: findings.loop_gain_unknown.as_ref().and_then(|word| word.known().copied()),
            drain: findings.drain.as_ref(),
            cascades: findings.cascades.count.saturating_add(findings.cascades.after_death),
            unfinished: findings.cascades.unfinished,
            decisions: findings.storm.decisions,
            lost: findings.totals.lost,
            levels: series.levels(),
            lateness: series.lateness(),
            storm_ns: storm_marked
                .map_or(0, |storm| storm.ended.unwrap_or(self.timeline.last).saturating_sub(storm.began)),
            planned: storm.and_then(|storm| storm.planned),
            knee: findings.knee.as_ref(),
            stood_still: findings.stood_still.is_some(),
        });
        let (outcome, rule) =
            outcome::as_watched(outcome, rule, findings.unwatched.as_ref(), findings.deadline_ns);
        let (outcome, rule) = outcome::as_moved(outcome, rule, findings.stood_still.as_ref());
        outcome::beside_products(outcome, rule, findings.outside.as_ref(), &self.context.lab.expect)
    }

    /// Operations that hung at the end without a pending decision: which clients had not read their event.
    fn unread(&self) -> Vec<(Vec<String>, u64)> {
        let clients = |bits: u128| {
            let members = (0_u32..128).zip(&self.roster.clients);
            members.filter(move |(bit, _)| bits >> bit & 1 == 1).map(|(_, member)| member.id.clone())
        };
        self.engine.waiting.unread.iter().map(|(&bits, &count)| (clients(bits).collect(), count)).collect()
    }

    fn machine(&self) -> Machine {
        let headers = || self.show.traces.iter().map(|trace| &trace.header);
        let orchestrator = headers().find(|header| header.role == Role::Orchestrator);
        let Some(header) = orchestrator.or_else(|| headers().next()) else { return Machine::default() };
        let host = &header.identity.host;
        Machine {
            kernel: host.kernel.clone(),
            machine: host.machine.clone(),
            cpus: u32::try_from(host.cpus.len()).unwrap_or(u32::MAX),
            version: header.identity.version.clone(),
        }
    }

    /// The clients of a cycle, each once: who waits, and who should answer.
    fn members(&self, cycle: &Cycle) -> Vec<String> {
        let mut members: Vec<u16> = Vec::new();
        for client in cycle.links.iter().flat_map(|link| [link.waiter, link.decider]) {
            if !members.contains(&client) {
                members.push(client);
            }
        }
        members.into_iter().map(|client| self.roster.clients[usize::from(client)].id.clone()).collect()
    }

    /// The workers outside the clients in whose operations one waits.
    fn through(&self, cycle: &Cycle) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for link in cycle.links.iter().filter(|link| link.through) {
            let name = &self.roster.participants[usize::from(link.op_trace)].name;
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    fn cycle(&self, cycle: &Cycle) -> WaitCycle {
        let client = |actor: u16| {
            let trace = self.roster.trace_of(actor)?;
            self.roster.participants[usize::from(trace)].client
        };
        let member = |actor: u16| {
            cycle.links.iter().any(|link| [link.waiter, link.decider].map(Some).contains(&client(actor)))
        };
        let until = cycle.resolved.saturating_add(MARK_SLACK_NS);
        let within = |at: u64| at >= cycle.began && at <= until;
        let kill =
            self.timeline.faults.iter().find(|fault| {
                fault.kind == FaultKind::DeadlineKill && member(fault.actor) && within(fault.at)
            });
        let closing = self.timeline.closing;
        let death = self.timeline.ends.iter().find(|end| member(end.actor) && within(end.at));
        let (ended_by, at) = if let Some(kill) = kill {
            (CycleEnd::DeadlineKill, Some(kill.at.min(cycle.resolved)))
        } else if let Some(death) = death.filter(|death| death.at < closing) {
            (CycleEnd::ProcessEnd, Some(death.at.min(cycle.resolved)))
        } else if cycle.resolved != NEVER && cycle.resolved <= closing {
            (CycleEnd::Answer, Some(cycle.resolved))
        } else {
            (CycleEnd::EndOfRun, None)
        };
        WaitCycle {
            members: self.members(cycle),
            through: self.through(cycle),
            began_ns: cycle.began.saturating_sub(self.timeline.origin),
            lasted_ns: at.map(|at| at.saturating_sub(cycle.began)),
            ended_by,
            evidence: self.show.evidence(cycle),
            seen: false,
        }
    }
}
