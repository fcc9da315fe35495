//! What else the machine does while the workload runs: sampled when a phase begins and ends, outside of all that is
//! measured. Where there is no `/proc`, nothing is found.

use std::collections::BTreeMap;

use lab_analysis::findings::{MachineLoad, PhaseLoad, Stalled};
use lab_model::PhaseKind;
use lab_process::{
    clock,
    proc::{self, ProcessorTimes, Schedule, TICK_NS},
    process_id,
};

use super::context::Context;
use crate::RunFolder;

/// The machine at one moment.
#[derive(Clone, Debug)]
pub(super) struct MachineSample {
    at_ns: u64,
    times: ProcessorTimes,
    /// The ticks of all processes of the lab, and of those that they have waited for.
    lab_ticks: u64,
    /// Every thread of the lab but the controller's own: the controller keeps deadlines with precedence.
    threads: BTreeMap<u32, Schedule>,
    stalled: Option<Stalled>,
}

impl MachineSample {
    /// Samples the machine; `None` where it does not show itself. In the lab's own PID namespace every process is the lab's.
    pub(super) fn take() -> Option<MachineSample> {
        let pids = proc::processes().ok()?;
        let ticks = pids.iter().filter_map(|pid| proc::stat(*pid)).map(|stat| stat.busy_ticks);
        let others = pids.iter().filter(|pid| **pid != process_id());
        let threads = others.flat_map(|pid| proc::threads(*pid).into_iter().map(|tid| (*pid, tid)));
        let stalled = |resource, of| proc::pressure(resource, of);
        Some(MachineSample {
            at_ns: clock::timebase().nanoseconds(clock::now().0),
            lab_ticks: ticks.fold(0, u64::saturating_add),
            threads: threads.filter_map(|(pid, tid)| Some((tid, proc::schedule(pid, tid)?))).collect(),
            stalled: stalled("cpu", "some").zip(stalled("io", "full")).zip(stalled("memory", "full")).map(
                |((cpu_some_ns, io_full_ns), memory_full_ns)| Stalled {
                    cpu_some_ns,
                    io_full_ns,
                    memory_full_ns,
                },
            ),
            times: proc::processor_times()?,
        })
    }

    /// What the machine has done between this sample and a later one.
    fn until(&self, later: &MachineSample, phase: PhaseKind) -> PhaseLoad {
        let ticks = |from: u64, to: u64| to.saturating_sub(from).saturating_mul(TICK_NS);
        let (mut ran_ns, mut waited_ns) = (0_u64, 0_u64);
        for (thread, now) in &later.threads {
            let then = self.threads.get(thread).copied().unwrap_or_default();
            ran_ns = ran_ns.saturating_add(now.ran_ns.saturating_sub(then.ran_ns));
            waited_ns = waited_ns.saturating_add(now.waited_ns.saturating_sub(then.waited_ns));
        }
        let known = !later.threads.is_empty();
        PhaseLoad {
            phase,
            lasted_ns: later.at_ns.saturating_sub(self.at_ns),
            processors: later.times.processors,
            busy_ns: ticks(self.times.busy_ticks, later.times.busy_ticks),
            lab_ns: ticks(self.lab_ticks, later.lab_ticks),
            stolen_ns: ticks(self.times.stolen_ticks, later.times.stolen_ticks),
            ran_ns: known.then_some(ran_ns),
            waited_ns: known.then_some(waited_ns),
            stalled: self.stalled.zip(later.stalled).map(|(then, now)| Stalled {
                cpu_some_ns: now.cpu_some_ns.saturating_sub(then.cpu_some_ns),
                io_full_ns: now.io_full_ns.saturating_sub(then.io_full_ns),
                memory_full_ns: now.memory_full_ns.saturating_sub(then.memory_full_ns),
            }),
        }
    }
}

/// What was measured in the phases so far.
#[derive(Clone, Debug, Default)]
pub(super) struct LoadRecorder(MachineLoad);

impl LoadRecorder {
    /// A phase is over that began with this sample.
    pub(super) fn phase(&mut self, phase: PhaseKind, began: Option<&MachineSample>) {
        if let (Some(began), Some(now)) = (began, MachineSample::take()) {
            self.0.phases.push(began.until(&now, phase));
        }
    }

    /// Keeps it beside the run, if there is anything.
    pub(super) fn keep(&self, context: &Context) {
        if self.0.phases.is_empty() {
            return;
        }
        let written = serde_json::to_vec(&self.0).map_err(std::io::Error::other);
        if let Err(error) = written.and_then(|text| context.folder().write(RunFolder::LOAD, &text)) {
            tracing::warn!("what else the machine did is not kept: {error}");
        }
    }
}
