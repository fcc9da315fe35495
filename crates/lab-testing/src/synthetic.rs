//! Builds the traces of runs that never took place, record by record, through the real writer.

#![allow(clippy::disallowed_methods, reason = "traces are written to files, and read again")]

use std::path::{Path, PathBuf};

use lab_analysis::{Context, findings::Findings};
use lab_model::{
    Actor, Approval, AuthEvent, BackendChoice, Behavior, Cause, Concurrency, EventKind, Kernel, Lab,
    LoadKind, NotifyEvent, OpenStorm, OperationKind, PhaseKind, Rate, ReactTo, Reaction, Role, Span,
    SubjectClass, ThreadId, Ticks, Verdict, Workload,
};
use lab_trace::{
    DecisionBegin, DecisionEnd, Fault, FaultKind, Notice, OperationBegin, OperationEnd, PhaseMark,
    ProcessMark, ProcessMarkKind, RecordId, StoredTrace, Target, ThreadMark, ThreadPurpose, Trace,
    TraceWriter, Unwatched, WriterOptions,
};

use crate::{labs, traces};

/// A millisecond, in nanoseconds.
pub const MS: u64 = 1_000_000;
/// The clients' deadline, in nanoseconds.
pub const DEADLINE: u64 = 1000 * MS;
/// The device that every file lies on.
pub const DEVICE: u32 = 9;

/// A lab of scanners `client-1` to `client-N` that react to the workload: one worker that opens ten files.
pub fn lab(clients: usize) -> Lab {
    let mut lab = labs::lab(0, &Behavior::noop(), 0);
    lab.name = "synthetic".into();
    lab.about = "A run that never took place.".into();
    lab.deadline = Span::from_nanos(DEADLINE);
    lab.clients =
        (1..=clients).map(|place| labs::client(&format!("client-{place}"), &labs::scanner())).collect();
    lab.phases.storm = Span::from_secs(1);
    lab.phases.drain = Span::from_secs(1);
    let files = OpenStorm { files: 10, directory: "files".into(), file_bytes: 0 };
    lab.workload = vec![Workload {
        workers: 1,
        rate: Rate::Max,
        operations_max: None,
        ..Workload::of(LoadKind::OpenStorm(files))
    }];
    lab
}

/// Opens one event at a time and reacts to the workload and to peers.
pub fn one_at_a_time(workers: u16) -> Behavior {
    let reaction = Reaction { reopen: true, ..Reaction::none() };
    Behavior {
        concurrency: Concurrency::new(workers),
        react_to: ReactTo::Peers,
        ..Behavior::noop().reacting(AuthEvent::Open, reaction)
    }
}

/// An operation to record.
#[derive(Clone, Copy)]
pub struct Op {
    /// When it began, in ticks of a nanosecond like all times here.
    pub at: u64,
    /// When it ended; `None` for never.
    pub end: Option<u64>,
    /// The thread that made it.
    pub tid: u64,
    /// Its process; 0 where the kernel names none.
    pub pid: u32,
    /// What it was made for.
    pub cause: Cause,
    /// Open or exec.
    pub kind: OperationKind,
    /// The phase in which it began.
    pub phase: Option<PhaseKind>,
    /// Its file; 0 leaves the target out.
    pub inode: u64,
    /// Its `errno`, or 0.
    pub error: u32,
    /// The number of its path in its trace, or 0.
    pub path: u32,
    /// When it should have begun.
    pub planned: Option<u64>,
    /// The exec whose process made this one.
    pub parent: Option<RecordId>,
}

impl Op {
    /// An open by the driver in the storm.
    pub fn root(at: u64, end: u64, tid: u64) -> Op {
        let (cause, kind) = (Cause::Workload, OperationKind::Open);
        Op {
            at,
            end: Some(end),
            tid,
            pid: 0,
            cause,
            kind,
            phase: Some(PhaseKind::Storm),
            inode: 100,
            error: 0,
            path: 0,
            planned: None,
            parent: None,
        }
    }

    /// An open by a client for one of its decisions.
    pub fn child(at: u64, end: u64, tid: u64, client: usize, decision: RecordId) -> Op {
        let cause = Cause::Decision { client: actor(client), record: decision.0 };
        Op { cause, ..Op::root(at, end, tid) }
    }
}

/// A decision to record.
#[derive(Clone, Copy)]
pub struct Dec {
    /// When the client read the event.
    pub read: u64,
    /// The thread it is about.
    pub tid: u64,
    /// Its process; 0 where the kernel names none.
    pub pid: u32,
    /// Which program of that process.
    pub generation: u32,
    /// When a worker began with it; `None` for the reader's own answers.
    pub started: Option<u64>,
    /// When it was answered; `None` for never.
    pub answered: Option<u64>,
    /// Who the subject looked like.
    pub class: SubjectClass,
    /// How it was answered.
    pub approval: Approval,
    /// AUTH open or exec.
    pub event: EventKind,
    /// Its file; 0 leaves the target out.
    pub inode: u64,
    /// The answer.
    pub verdict: Verdict,
}

impl Dec {
    /// Answered by the reader at once.
    pub fn at_once(read: u64, tid: u64, class: SubjectClass) -> Dec {
        let own = class == SubjectClass::Own;
        Dec {
            read,
            tid,
            pid: 0,
            generation: 0,
            started: None,
            answered: Some(read.saturating_add(10)),
            class,
            approval: if own { Approval::OwnProcess } else { Approval::Rule },
            event: EventKind::AUTH_OPEN,
            inode: 100,
            verdict: Verdict::Allow,
        }
    }

    /// Worked on by a worker.
    pub fn worked(read: u64, tid: u64, answered: u64) -> Dec {
        Dec {
            started: Some(read.saturating_add(5)),
            answered: Some(answered),
            ..Dec::at_once(read, tid, SubjectClass::Workload)
        }
    }

    /// Never answered.
    pub fn never(read: u64, tid: u64, class: SubjectClass) -> Dec {
        Dec { answered: None, ..Dec::at_once(read, tid, class) }
    }
}

/// The number of the process at this place: 0 is the orchestrator, then the clients, then the driver.
pub fn actor(client: usize) -> Actor {
    Actor(u16::try_from(client).unwrap())
}

/// A run in the making: process 0 is the orchestrator, 1 to N the clients, N+1 the driver.
pub struct Builder {
    /// What runs.
    pub lab: Lab,
    /// The writer of each process.
    pub writers: Vec<TraceWriter>,
    /// The trace of each process.
    pub files: Vec<PathBuf>,
    written: u64,
    /// The latest time of any record.
    pub latest: u64,
}

impl Builder {
    /// Begins a run whose traces lie in this folder, by this name.
    pub fn new(folder: &Path, name: &str, lab: Lab) -> Builder {
        let clients = lab.clients.len();
        let (mut writers, mut files) = (Vec::new(), Vec::new());
        for place in 0..clients + 2 {
            let (role, text) = match place {
                0 => (Role::Orchestrator, "orchestrator".to_owned()),
                place if place <= clients => (Role::Client, lab.clients[place - 1].id.to_string()),
                _ => (Role::Driver, "driver".to_owned()),
            };
            let header = traces::header(actor(place).0, role, &text);
            let path = folder.join(format!("{name}-{text}.trace"));
            drop(std::fs::remove_file(&path));
            writers.push(TraceWriter::create(&path, &header, WriterOptions { bytes_max: 8 << 30 }).unwrap());
            files.push(path);
        }
        Builder { lab, writers, files, written: 0, latest: 0 }
    }

    /// The driver's place.
    pub fn driver(&self) -> usize {
        self.lab.clients.len() + 1
    }

    fn grow(&mut self, at: u64) {
        self.latest = self.latest.max(at);
        self.written += 1;
        if self.written.is_multiple_of(1024) {
            for writer in &self.writers {
                writer.grow().unwrap();
            }
        }
    }

    /// Records an operation of the process at this place.
    pub fn operation(&mut self, process: usize, op: Op) -> RecordId {
        self.grow(op.end.unwrap_or(op.at));
        let writer = &self.writers[process];
        let id = writer.begin_operation(&OperationBegin {
            started: Ticks(op.at),
            subject: ThreadId { pid: op.pid, tid: op.tid, generation: 0 },
            cause: op.cause,
            planned: op.planned.map(Ticks),
            kind: op.kind,
            worker: 0,
            phase: op.phase,
            parent: op.parent.map(|parent| parent.0),
        });
        if let Some(end) = op.end {
            writer.end_operation(
                id,
                &OperationEnd { ended: Ticks(end), error: op.error, status: 0, finished: None, bytes: 0 },
            );
        }
        if op.inode != 0 {
            writer.operation_target(id, &Target { inode: op.inode, device: DEVICE, path: op.path });
        }
        id
    }

    /// Tells a client of what a thread has done; its reaction is set off.
    pub fn notice(
        &mut self,
        client: usize,
        read: u64,
        (tid, inode): (u64, u64),
        events: &[NotifyEvent],
    ) -> RecordId {
        self.grow(read);
        self.writers[client].notice(&Notice {
            read: Ticks(read),
            subject: ThreadId { pid: 0, tid, generation: 0 },
            kernel: None,
            sequence: 0,
            events: events.iter().copied().collect(),
            class: SubjectClass::Workload,
            actor: Actor::UNKNOWN,
            reacts: true,
            modified: None,
            target: Some(Target { inode, device: DEVICE, path: 0 }),
        })
    }

    /// Records a decision of a client.
    pub fn decision(&mut self, client: usize, dec: Dec) -> RecordId {
        self.grow(dec.answered.unwrap_or(dec.read));
        let writer = &self.writers[client];
        let id = writer.begin_decision(&DecisionBegin {
            read: Ticks(dec.read),
            subject: ThreadId { pid: dec.pid, tid: dec.tid, generation: dec.generation },
            kernel: None,
            deadline: Some(Ticks(dec.read.saturating_add(DEADLINE))),
            sequence: 0,
            event: dec.event,
            class: dec.class,
            actor: Actor::UNKNOWN,
        });
        if let Some(answered) = dec.answered {
            writer.end_decision(
                id,
                &DecisionEnd {
                    started: dec.started.map(Ticks),
                    answered: Ticks(answered),
                    verdict: dec.verdict,
                    approval: dec.approval,
                    error: 0,
                },
            );
        }
        if dec.inode != 0 {
            writer.decision_target(id, &Target { inode: dec.inode, device: DEVICE, path: 0 });
        }
        id
    }

    /// Records a phase.
    pub fn phase(&mut self, phase: PhaseKind, began: u64, ended: u64) {
        self.grow(ended);
        for (at, begins) in [(began, true), (ended, false)] {
            self.writers[0].phase(&PhaseMark { at: Ticks(at), phase, begins });
        }
    }

    /// Records that nobody watched the lab for so long.
    pub fn unwatched(&mut self, from: u64, until: u64) {
        self.writers[0].unwatched(&Unwatched { from: Ticks(from), until: Ticks(until) });
    }

    /// Records that a client was killed for an event past its deadline.
    pub fn kill(&mut self, client: usize, at: u64, overdue: RecordId) {
        self.grow(at);
        let kind = FaultKind::DeadlineKill;
        self.writers[0].fault(&Fault { at: Ticks(at), kind, actor: actor(client), detail: overdue.0 });
        self.ended(client, at + MS / 10, 9);
    }

    /// Records the end of a process, by its wait status.
    pub fn ended(&mut self, process: usize, at: u64, status: i32) {
        self.grow(at);
        self.writers[0].process(&ProcessMark {
            at: Ticks(at),
            actor: actor(process),
            kind: ProcessMarkKind::Ended,
            pid: 0,
            status,
        });
    }

    /// Records a thread of a process.
    pub fn thread(&mut self, process: usize, tid: u64, purpose: ThreadPurpose) {
        self.grow(1);
        self.writers[process].thread(&ThreadMark { at: Ticks(1), tid, purpose, number: 0 });
    }

    /// Records a path, and returns its number in that trace.
    pub fn path(&mut self, process: usize, path: &[u8]) -> u32 {
        self.writers[process].path(path)
    }

    /// One root open that every client scans by opening the file again, as fanotify delivers it: one client
    /// after another. Returns when the root operation ended. Makes N(N+1) decisions and N+1 operations.
    pub fn scanned_open(&mut self, at: u64, tid: u64, inode: u64) -> u64 {
        let clients = self.lab.clients.len();
        let mut now = at + 100;
        let each = 200 + clients as u64 * 100;
        let end = now + clients as u64 * (each + 50);
        let driver = self.driver();
        self.operation(driver, Op { inode, ..Op::root(at, end, tid) });
        for client in 1..=clients {
            let answered = now + each;
            let worker = client as u64 * 1000 + tid;
            let decision = self.decision(client, Dec { inode, ..Dec::worked(now, tid, answered) });
            let child = Op { inode, ..Op::child(now + 20, answered - 10, worker, client, decision) };
            self.operation(client, child);
            let mut read = now + 40;
            for other in 1..=clients {
                let class = if other == client { SubjectClass::Own } else { SubjectClass::Peer };
                self.decision(other, Dec { inode, ..Dec::at_once(read, worker, class) });
                read += 90;
            }
            now = answered + 50;
        }
        end
    }

    /// Closes the traces and opens them for reading.
    pub fn finish(self) -> Run {
        for writer in &self.writers {
            writer.close(Ticks(self.latest + 1)).unwrap();
        }
        let stored = self.files.iter().map(|path| StoredTrace::open(path).unwrap()).collect();
        Run { lab: self.lab, stored, files: self.files }
    }
}

/// A run whose traces are there to be analysed.
pub struct Run {
    /// What ran.
    pub lab: Lab,
    /// The traces, open for reading.
    pub stored: Vec<StoredTrace>,
    /// Where they lie; removed when the run is dropped.
    pub files: Vec<PathBuf>,
}

impl Run {
    /// Analyses it as a run on fanotify.
    pub fn analyse(&self) -> Findings {
        analyse_on(self, Kernel::Fanotify)
    }

    /// The bytes of each trace.
    pub fn copies(&self) -> Vec<Vec<u8>> {
        self.files.iter().map(|path| std::fs::read(path).unwrap()).collect()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        for path in &self.files {
            drop(std::fs::remove_file(path));
        }
    }
}

/// Analyses traces given as bytes; those that are none are passed as unreadable.
pub fn analyse_bytes(lab: &Lab, bytes: &[&[u8]]) -> Findings {
    analyse_bytes_on(lab, bytes, Kernel::Fanotify)
}

/// Analyses a run as one of another kernel.
pub fn analyse_on(run: &Run, kernel: Kernel) -> Findings {
    let backend = BackendChoice::Live(kernel);
    let traces: Vec<Trace<'_>> = run.stored.iter().map(|stored| Trace::of(stored).unwrap()).collect();
    let context =
        Context { lab: &run.lab, run: "run", backend, replay: "replay", unreadable: &[], waits: None };
    lab_analysis::analyse(&traces, &context)
}

fn analyse_bytes_on(lab: &Lab, bytes: &[&[u8]], kernel: Kernel) -> Findings {
    let backend = BackendChoice::Live(kernel);
    let (mut traces, mut unreadable) = (Vec::new(), Vec::new());
    for (place, bytes) in bytes.iter().enumerate() {
        match Trace::parse(bytes) {
            Ok(trace) => traces.push(trace),
            Err(error) => unreadable.push((format!("trace {place}"), error.to_string())),
        }
    }
    let context =
        Context { lab, run: "run", backend, replay: "replay", unreadable: &unreadable, waits: None };
    lab_analysis::analyse(&traces, &context)
}
