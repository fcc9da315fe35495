//! Reads from the traces of a live run what they say of its machine.

use std::collections::BTreeMap;

use lab_model::{ExecProgram, OperationKind, PhaseKind, Role, SubjectClass};
use lab_trace::{Entry, Operation, Record, Trace};
use lab_workload::program_path;

use crate::{Histogram, Measured, Spread};

/// Everything that is gathered on the way, before quantiles are taken.
#[derive(Default)]
struct Gathered {
    cores: Option<u16>,
    /// Root operations by phase and kind.
    roots: [[Histogram; 2]; 3],
    /// How late planned opens of the baseline began.
    late: Histogram,
    /// Execs of the baseline, by the number of their program's path.
    baseline_execs: BTreeMap<u32, Histogram>,
    /// The driver's paths, as far as one piece of them goes.
    paths: BTreeMap<u32, Vec<u8>>,
    content: Histogram,
    bytes: Histogram,
    handed: Histogram,
    client_open: Histogram,
    work: Histogram,
    /// Root opens with clients: thread, begin, end, and whether in the storm.
    opens: Vec<(u64, u64, u64, bool)>,
    /// Questions about the workload: thread, reading and answer.
    questions: Vec<(u64, u64, u64)>,
}

/// Reads from the traces of one run, in any order, what they say of its machine.
/// Damage within one is passed over.
#[must_use]
pub fn measure(traces: &[Trace<'_>]) -> Measured {
    let mut gathered = Gathered::default();
    for trace in traces {
        let role = trace.header.role;
        if role == Role::Driver {
            let cpus = u16::try_from(trace.header.identity.host.cpus.len()).ok();
            gathered.cores = cpus.filter(|&cpus| cpus > 0);
        }
        for entry in trace.entries() {
            let Entry::Record { record, .. } = entry else { continue };
            match record {
                Record::Operation(operation) => gathered.operation(trace, &operation),
                Record::Decision(decision) => gathered.decision(trace, &decision),
                Record::Path(piece) if role == Role::Driver && piece.fragment == 0 => {
                    gathered.paths.insert(piece.path, piece.bytes);
                }
                _ => {}
            }
        }
    }
    gathered.measured()
}

impl Gathered {
    fn decision(&mut self, trace: &Trace<'_>, decision: &lab_trace::Decision) {
        let timebase = trace.header.timebase;
        let Some(end) = decision.end.present() else { return };
        if let Some(started) = end.started {
            self.handed.record(timebase.nanoseconds(started.since(decision.begin.read)));
            self.work.record(timebase.nanoseconds(end.answered.since(started)));
        }
        if decision.begin.class == SubjectClass::Workload {
            let at = |ticks: lab_model::Ticks| timebase.nanoseconds(ticks.0);
            self.questions.push((decision.begin.subject.tid, at(decision.begin.read), at(end.answered)));
        }
    }

    fn operation(&mut self, trace: &Trace<'_>, operation: &Operation) {
        let (timebase, role) = (trace.header.timebase, trace.header.role);
        let Some(end) = operation.end.present().filter(|end| end.error == 0) else { return };
        let took = timebase.nanoseconds(end.ended.since(operation.begin.started));
        if role == Role::Client && operation.begin.kind == OperationKind::Open {
            self.client_open.record(took);
        }
        if role != Role::Driver {
            if let Some(finished) = end.finished {
                self.content.record(timebase.nanoseconds(finished.since(end.ended)));
                self.bytes.record(end.bytes);
            }
            return;
        }
        let Some((phase, kind)) = place(operation) else { return };
        self.roots[phase][kind].record(took);
        if let (0, 0, Some(planned)) = (phase, kind, operation.begin.planned) {
            self.late.record(timebase.nanoseconds(operation.begin.started.since(planned)));
        }
        if kind == 0 && phase > 0 {
            let at = |ticks: lab_model::Ticks| timebase.nanoseconds(ticks.0);
            let thread = operation.begin.subject.tid;
            self.opens.push((thread, at(operation.begin.started), at(end.ended), phase == 2));
        }
        if kind == 1
            && phase == 0
            && let Some(path) = operation.target.present().map(|target| target.path)
        {
            self.baseline_execs.entry(path).or_default().record(took);
        }
    }

    /// How long opens took to their first reading and after their last answer, and clients from each reading to its
    /// answer: in the control phase and the storm.
    fn gaps(&mut self) -> [[Histogram; 3]; 2] {
        let mut gaps: [[Histogram; 3]; 2] = std::array::from_fn(|_| Default::default());
        self.opens.sort_unstable();
        self.questions.sort_unstable();
        let mut questions = self.questions.iter().peekable();
        for &(thread, began, ended, storm) in &self.opens {
            while questions.next_if(|question| (question.0, question.1) < (thread, began)).is_some() {}
            let (mut first, mut last) = (None, None);
            let place = usize::from(storm);
            while let Some(&(_, read, answered)) =
                questions.next_if(|question| (question.0, question.1) <= (thread, ended))
            {
                first = first.or(Some(read));
                last = last.max(Some(answered));
                gaps[place][2].record(answered.saturating_sub(read));
            }
            first.into_iter().for_each(|read| gaps[place][0].record(read.saturating_sub(began)));
            last.into_iter().for_each(|answered| gaps[place][1].record(ended.saturating_sub(answered)));
        }
        gaps
    }

    /// The median exec of this program without clients.
    fn baseline_exec(&self, program: ExecProgram) -> Option<u64> {
        let name = program_path(program);
        let is_it = |path: &[u8]| path.ends_with(name.as_bytes());
        let number = self.paths.iter().find(|(_, path)| is_it(path))?.0;
        self.baseline_execs.get(number)?.at(500)
    }

    fn measured(mut self) -> Measured {
        let [[nearby, _, control_answer], [asked, resumed, _]] = self.gaps();
        let median = |phase: usize, kind: usize| self.roots[phase][kind].at(500);
        let spread = |kind: usize| {
            let (p50, p99) = (self.roots[2][kind].at(500)?, self.roots[2][kind].at(990)?);
            Some(Spread { p50, p99 })
        };
        Measured {
            cores: self.cores,
            baseline_open: median(0, 0),
            baseline_late: self.late.at(500),
            baseline_exec: median(0, 1),
            baseline_static: self.baseline_exec(ExecProgram::Static),
            baseline_dynamic: self.baseline_exec(ExecProgram::Dynamic),
            control_open: median(1, 0),
            control_exec: median(1, 1),
            control_open_p90: self.roots[1][0].at(900),
            control_nearby: nearby.at(50),
            control_answer: control_answer.at(500),
            control_asked: nearby.at(500),
            control_asked_p90: nearby.at(900),
            asked: asked.at(500),
            resumed: resumed.at(500),
            hand_over: self.handed.at(500),
            client_open: self.client_open.at(500),
            work: self.work.at(500),
            content: self.content.at(500),
            content_bytes: self.bytes.mean(),
            storm_open: spread(0),
            storm_exec: spread(1),
        }
    }
}

/// The phase and the kind of a root operation, as places in a table.
fn place(operation: &Operation) -> Option<(usize, usize)> {
    let phase = match operation.begin.phase? {
        PhaseKind::Baseline => 0,
        PhaseKind::Control => 1,
        PhaseKind::Storm => 2,
        PhaseKind::External | PhaseKind::Drain => return None,
    };
    Some((phase, usize::from(operation.begin.kind == OperationKind::Exec)))
}
