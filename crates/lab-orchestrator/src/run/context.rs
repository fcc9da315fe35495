//! What a run is from its beginning to its end: its plan, its folder, its trace. Nothing here changes while it runs.

use lab_model::{Actor, Lab, PhaseKind, Role, Ticks};
use lab_process::{clock, host_facts, process_id};
use lab_protocol::{Assignment, PROTOCOL, TraceAssignment, Welcome};
use lab_trace::{
    Fault, FaultKind, Header, Identity, PhaseMark, ProcessMark, ProcessMarkKind, TraceWriter, WriterOptions,
};
use tokio::sync::mpsc;

use super::{event::Event, process::ProcessSpec};
use crate::{Failure, Plan, RunFolder};

/// What everything in a run may read, and where it records and reports what it sees.
pub(super) struct Context {
    plan: Plan,
    folder: RunFolder,
    trace: TraceWriter,
    events: mpsc::Sender<Event>,
    salt: u32,
    began: Ticks,
}

impl Context {
    /// Sets the trace up. What happens is to be sent to `events`.
    pub(super) fn begin(
        plan: Plan,
        folder: RunFolder,
        events: mpsc::Sender<Event>,
    ) -> Result<Context, Failure> {
        let began = clock::now();
        let salt = u32::try_from(began.0 & 0xffff_ffff).unwrap_or(1) | 1;
        let trace = orchestrator_trace(&plan, &folder, salt, began)?;
        Ok(Context { plan, folder, trace, events, salt, began })
    }

    pub(super) const fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) const fn lab(&self) -> &Lab {
        &self.plan.lab
    }

    pub(super) const fn folder(&self) -> &RunFolder {
        &self.folder
    }

    pub(super) const fn trace(&self) -> &TraceWriter {
        &self.trace
    }

    /// Where what happens is reported.
    pub(super) const fn events(&self) -> &mpsc::Sender<Event> {
        &self.events
    }

    /// When the run began.
    pub(super) const fn began(&self) -> Ticks {
        self.began
    }

    /// The deadline in ticks.
    pub(super) fn deadline_ticks(&self) -> u64 {
        clock::timebase().ticks(self.plan.lab.deadline.nanos())
    }

    /// Records that something has become of a process.
    pub(super) fn mark(&self, actor: Actor, kind: ProcessMarkKind, pid: u32, status: i32) {
        self.trace.process(&ProcessMark { at: clock::now(), actor, kind, pid, status });
    }

    /// Records that a phase begins, or else ends.
    pub(super) fn mark_phase(&self, phase: PhaseKind, begins: bool, at: Ticks) {
        self.trace.phase(&PhaseMark { at, phase, begins });
    }

    /// Records that something was done to an actor now, or went wrong with it.
    pub(super) fn fault(&self, kind: FaultKind, actor: Actor, detail: u64) {
        self.fault_at(clock::now(), kind, actor, detail);
    }

    /// Records that something was done to an actor then.
    pub(super) fn fault_at(&self, at: Ticks, kind: FaultKind, actor: Actor, detail: u64) {
        self.trace.fault(&Fault { at, kind, actor, detail });
    }

    /// What a process is told first.
    pub(super) fn welcome(&self, spec: ProcessSpec<'_>, assignment: Assignment) -> Welcome {
        let ProcessSpec { actor, name, file, .. } = spec;
        Welcome {
            protocol: PROTOCOL,
            actor,
            name: name.to_owned(),
            seed: self.plan.lab.seed,
            arena: self.folder.arena().display().to_string(),
            trace: TraceAssignment {
                path: self.folder.trace(file).display().to_string(),
                salt: self.salt.wrapping_add(u32::from(actor.0)),
                bytes_max: self.plan.lab.safety.trace_bytes_max,
            },
            assignment,
        }
    }
}

fn orchestrator_trace(
    plan: &Plan,
    folder: &RunFolder,
    salt: u32,
    created: Ticks,
) -> Result<TraceWriter, Failure> {
    let header = Header {
        created,
        created_unix_ns: clock::unix_nanoseconds(),
        timebase: clock::timebase(),
        actor: Actor::ORCHESTRATOR,
        role: Role::Orchestrator,
        pid: process_id(),
        salt,
        identity: Identity {
            name: "orchestrator".to_owned(),
            bundle_id: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            arena: folder.arena().display().to_string(),
            settings: serde_json::to_value(&plan.lab).unwrap_or_default(),
            host: host_facts(),
        },
    };
    let path = folder.trace("orchestrator");
    TraceWriter::create(&path, &header, WriterOptions { bytes_max: plan.lab.safety.trace_bytes_max })
        .map_err(|error| Failure::output(&format!("cannot create {}", path.display()), &error))
}
