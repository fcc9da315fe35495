//! From the counts of the pass to the findings.

use std::cmp::Reverse;

use lab_model::{Bounded, Lab, PhaseKind, Role, Total};
use lab_trace::{FaultKind, Trace};

use crate::{
    findings::{Approvals, Cascades, Causes, Cost, Findings, Machine, Prediction, SCHEMA, WaitCycle},
    measures::{
        latency::{Times, Used},
        series::Buckets,
        trees::TreesTally,
    },
    participants::{
        admission::{Admitted, admit},
        processes::Processes,
        roster::Roster,
        timeline::Timeline,
    },
    pass::{
        cascade::Kept,
        join::Engine,
        merge::{Merge, NotBegun},
        slots::NEVER,
    },
    show::Show,
    verdict::{expect, outcome, waiting::Cycle},
};

mod client;
mod faults;
mod narrate;
mod observed;

/// How long after the fact the orchestrator may write it down, in nanoseconds.
const MARK_SLACK_NS: u64 = 100_000_000;

/// What the analysis has to know beside the traces.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The lab as it ran, with every default filled in.
    pub lab: &'a Lab,
    /// The run's folder name.
    pub run: &'a str,
    /// The kernel it ran on: `fanotify`, `endpoint-security` or `sim`.
    pub backend: &'a str,
    /// The line that runs the same lab again.
    pub replay: &'a str,
    /// Traces that could not be read at all: name and reason.
    pub unreadable: &'a [(String, String)],
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
    // The simulator says in the traces whose rules it followed.
    let on_a_mac = context.backend == "endpoint-security"
        || traces.iter().any(|trace| trace.header.identity.host.kernel == "simulated endpoint-security");
    let mut engine = Engine::new(context.lab, &roster, &timeline, traces, !on_a_mac);
    if on_a_mac {
        engine.processes = Processes::new(traces, &context.lab.external);
    }
    engine.run(&mut merge);
    let show = Show {
        traces,
        roster: &roster,
        merge: &merge,
        known_paths: &engine.known_paths,
        origin: timeline.origin,
    };
    Assembly { context, engine: &engine, show: &show, timeline: &timeline, roster: &roster }.findings()
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
    fn findings(&self) -> Findings {
        let (lab, engine) = (self.context.lab, self.engine);
        let losses = self.losses();
        let (totals, storm) = engine.counts.finish(losses.lost, losses.damaged);
        let loop_gain = engine.gain.loop_gain();
        let mut buckets = engine.buckets.clone();
        let (causes, keep) = self.causes(losses.lost > 0, &mut buckets);
        let wait_cycles: Vec<WaitCycle> =
            engine.waiting.cycles.iter().map(|cycle| self.cycle(cycle)).collect();
        let drain = engine.drain.finish(self.timeline);
        let mut backlog = engine.backlog.clone();
        let completed = engine.tally.size.mean().map_or(0, |_| engine.tally.duration.count());
        let (outcome, outcome_rule) = outcome::decide(&outcome::Evidence {
            cycles: &wait_cycles,
            loop_gain,
            drain: drain.as_ref(),
            cascades: completed,
            unfinished: engine.tally.unfinished,
            decisions: storm.decisions,
            lost: losses.lost,
            levels: backlog.levels(),
            lateness: backlog.lateness(),
        });
        let unwatched = self.unwatched();
        let (outcome, outcome_rule) =
            outcome::as_watched(outcome, outcome_rule, unwatched.as_ref(), lab.deadline.nanos());
        let name = |client: u16| self.roster.clients[usize::from(client)].id.clone();
        let path = |trace: u16, record: u64| self.show.operation_path(trace, record);
        let (mut latency, mut used) = (Times::default(), Used::default());
        for account in &engine.accounts {
            latency.add(&account.latency);
            used.add(&account.used);
        }
        let clients = self.clients(&losses);
        let mut approvals = Approvals::default();
        for client in &clients {
            approvals.add(&client.approvals);
        }
        let of_each: Vec<Approvals> = clients.iter().map(|client| client.approvals.clone()).collect();
        let lossy = losses.by_client.iter().any(|&lost| lost > 0);
        let rules = engine.rules.finish(lab, &of_each, lossy);
        let mut findings = Findings {
            schema: SCHEMA,
            lab: lab.name.clone(),
            about: lab.about.clone(),
            run: self.context.run.into(),
            still_running: false,
            replay: self.context.replay.into(),
            backend: self.context.backend.into(),
            seed: lab.seed,
            deadline_ns: lab.deadline.nanos(),
            machine: self.machine(),
            outcome,
            outcome_rule,
            findings: Vec::new(),
            expectations: Vec::new(),
            phases: engine.phases.finish(self.timeline, &self.not_begun()),
            totals,
            storm,
            amplification: self.amplification(),
            loop_gain,
            gain: engine.gain.gain(),
            drive: engine.gain.drive(),
            prediction: self.prediction(loop_gain.map_or(0.0, |gain| gain.high)),
            causes,
            cascades: self.cascades(),
            pipeline: engine.stages.finish(self.timeline.origin, &name, &path),
            rules,
            wait_cycles,
            drain,
            latency_ns: latency.summary(),
            headroom: used.headroom(),
            clients,
            approvals,
            series: buckets.finish(self.timeline.last, &keep),
            faults: self.faults(),
            outside: self.outside(),
            programs: engine.processes.finish(self.roster, losses.lost > 0),
            knee: engine.knee.as_ref().map(|knee| knee.finish(self.timeline)),
            trees: engine.trees.as_ref().map(TreesTally::finish),
            unwatched,
            cost: Cost {
                baseline_ns: engine.phases.median(PhaseKind::Baseline),
                control_ns: engine.phases.median(PhaseKind::Control),
                external_ns: engine.phases.median(PhaseKind::External),
                storm_ns: engine.phases.median(PhaseKind::Storm),
            },
            not_observed: Vec::new(),
        };
        findings.expectations = expect::check(&lab.expect, &findings);
        findings.expectations.extend(self.implicit_expectations());
        findings.findings = narrate::narrate(&findings, &self.unread());
        findings.not_observed = self.not_observed(&findings, &losses);
        findings
    }

    /// Planned operations that drivers said will never begin, with when they said so.
    fn not_begun(&self) -> Vec<NotBegun> {
        self.show.merge.sides().iter().flat_map(|side| side.not_begun.iter().copied()).collect()
    }

    /// Operations that hung at the end without a pending decision: which clients had not read their event.
    fn unread(&self) -> Vec<(Vec<String>, u64)> {
        let clients = |bits: u128| {
            let members = (0_u32..128).zip(&self.roster.clients);
            members.filter(move |(bit, _)| bits >> bit & 1 == 1).map(|(_, member)| member.id.clone())
        };
        self.engine.unread.iter().map(|(&bits, &count)| (clients(bits).collect(), count)).collect()
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

    fn amplification(&self) -> Option<f64> {
        let tally = &self.engine.tally;
        let roots = tally.completed_roots;
        (roots > 0).then(|| tally.decisions_of_completed as f64 / roots as f64)
    }

    fn prediction(&self, loop_gain: f64) -> Option<Prediction> {
        let observed_size = self.engine.tally.size.mean()?;
        Some(Prediction { predicted_size: self.engine.gain.predicted_size(loop_gain), observed_size })
    }

    /// The cause matrix, and which columns it keeps: workload and clients always, others when they are not empty.
    fn causes(&self, lossy: bool, buckets: &mut Buckets) -> (Causes, Vec<bool>) {
        let (external, unexplained) = (self.roster.external(), self.roster.unexplained());
        let mut rows: Vec<Vec<u64>> = self
            .engine
            .accounts
            .iter()
            .map(|account| account.causes.iter().map(|&(decisions, _)| decisions).collect())
            .collect();
        if lossy {
            // With records missing, an unknown thread may well be one of the lab's.
            for row in &mut rows {
                let unknown = std::mem::take(&mut row[external]);
                row[unexplained].raise(unknown);
            }
            buckets.fold(external, unexplained);
        }
        let clients = self.roster.clients.len();
        let keep: Vec<bool> = (0..self.roster.columns.len())
            .map(|column| column <= clients || buckets.has(column) || rows.iter().any(|row| row[column] > 0))
            .collect();
        let kept = |row: Vec<u64>| row.into_iter().zip(&keep).filter(|&(_, &keep)| keep);
        let decisions: Vec<Vec<u64>> =
            rows.into_iter().map(|row| kept(row).map(|(count, _)| count).collect()).collect();
        let columns = self.roster.columns.iter().zip(&keep).filter(|&(_, &keep)| keep);
        let mut brought_about = vec![[0_u64; 4]; clients];
        for account in &self.engine.accounts {
            for (sums, looks) in brought_about.iter_mut().zip(&account.brought_about) {
                sums.iter_mut().zip(looks).for_each(|(sum, decisions)| sum.raise(*decisions));
            }
        }
        let causes = Causes {
            rows: self.roster.clients.iter().map(|member| member.id.clone()).collect(),
            columns: columns.map(|(column, _)| column.clone()).collect(),
            total: decisions.iter().flatten().total(),
            decisions,
            observed: self.engine.accounts.iter().map(|account| account.observed).collect(),
            misattributed: brought_about.iter().map(|looks| looks[3]).total(),
            brought_about,
        };
        (causes, keep)
    }

    fn cascades(&self) -> Cascades {
        let tally = &self.engine.tally;
        let candidates =
            [("largest", &tally.largest), ("deepest", &tally.deepest), ("longest", &tally.longest)];
        // One cascade is often several of these; it is shown once.
        let mut kept: Vec<(String, &Kept)> = Vec::new();
        for (why, candidate) in candidates {
            let Some(candidate) = candidate else { continue };
            match kept.iter_mut().find(|(_, other)| other.serial == candidate.serial) {
                Some((reasons, _)) => reasons.push_str(&format!(", {why}")),
                None => kept.push((why.to_owned(), candidate)),
            }
        }
        let worst = kept.iter().map(|(why, kept)| self.show.tree(why, kept)).collect();
        Cascades {
            count: tally.duration.count(),
            unfinished: tally.unfinished,
            depth: tally.depth.summary(),
            size: tally.size.summary(),
            duration_ns: tally.duration.summary(),
            worst,
            flame: self.engine.flame.frames(|client| self.roster.clients[usize::from(client)].id.clone()),
        }
    }

    /// What was seen of products beside the clients; `None` in a lab without any.
    fn outside(&self) -> Option<crate::findings::Outside> {
        let lab = self.context.lab;
        let generated = |place: usize| {
            let column = self.roster.product_column(place);
            self.engine.accounts.iter().map(|account| account.causes[column].0).total()
        };
        let seen = &self.timeline.products;
        let products = lab.external.iter().enumerate();
        let products =
            products.map(|(place, product)| seen.finish(place, product, generated(place), self.timeline));
        let name = |client: usize| self.roster.clients[client].id.clone();
        Some(self.engine.outside.as_ref()?.finish(products.collect(), lab.seed, &name))
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
            ("deadline kill", Some(kill.at.min(cycle.resolved)))
        } else if let Some(death) = death.filter(|death| death.at < closing) {
            ("process end", Some(death.at.min(cycle.resolved)))
        } else if cycle.resolved != NEVER && cycle.resolved <= closing {
            ("answer", Some(cycle.resolved))
        } else {
            ("end of run", None)
        };
        WaitCycle {
            members: self.members(cycle),
            through: self.through(cycle),
            began_ns: cycle.began.saturating_sub(self.timeline.origin),
            lasted_ns: at.map(|at| at.saturating_sub(cycle.began)),
            ended_by: ended_by.into(),
            evidence: self.show.evidence(cycle),
        }
    }
}

/// The `most` largest by decisions, then time, then name.
fn ranked(mut lines: Vec<crate::findings::Blame>, most: usize) -> Vec<crate::findings::Blame> {
    lines.sort_by(|a, b| {
        (Reverse(a.decisions), Reverse(a.total_ns), &a.name).cmp(&(
            Reverse(b.decisions),
            Reverse(b.total_ns),
            &b.name,
        ))
    });
    lines.truncate(most);
    lines
}
