//! Where the records of a simulated run go.

use std::collections::BTreeMap;

use lab_model::{Actor, Ticks};
use lab_trace::{
    DecisionBegin, DecisionEnd, Fault, Header, Loss, MemoryTrace, Notice, OperationBegin, OperationEnd,
    PhaseMark, ProcessMark, RecordId, RequestBegin, RequestEnd, Target, ThreadMark, WriterOptions,
};

use crate::kernel::files::Files;

/// Takes the records of a run, process by process, in the order of virtual time.
///
/// A record belongs to the process `actor`; its place in that process's trace is what comes back.
pub trait Sink {
    /// The run begins: these are its processes, in the order of their numbers, and the arena's files.
    fn open(&mut self, headers: &[Header], files: &Files);
    /// An event was read.
    fn begin_decision(&mut self, actor: Actor, begin: &DecisionBegin) -> RecordId;
    /// It was answered.
    fn end_decision(&mut self, actor: Actor, id: RecordId, end: &DecisionEnd);
    /// What file it was about, by number.
    fn decision_target(&mut self, actor: Actor, id: RecordId, file: u32);
    /// An operation began.
    fn begin_operation(&mut self, actor: Actor, begin: &OperationBegin) -> RecordId;
    /// It ended.
    fn end_operation(&mut self, actor: Actor, id: RecordId, end: &OperationEnd);
    /// What file it was about, by number.
    fn operation_target(&mut self, actor: Actor, id: RecordId, file: u32);
    /// A client has asked a worker outside its process.
    fn begin_request(&mut self, actor: Actor, begin: &RequestBegin) -> RecordId;
    /// The reply is there, or none will come.
    fn end_request(&mut self, actor: Actor, id: RecordId, end: &RequestEnd);
    /// A client was told of what has happened to this file, if to any. The notice's own target is not looked at.
    fn notice(&mut self, actor: Actor, notice: &Notice, file: Option<u32>) -> RecordId;
    /// A phase begins or ends.
    fn phase(&mut self, actor: Actor, mark: &PhaseMark);
    /// A fault.
    fn fault(&mut self, actor: Actor, fault: &Fault);
    /// Something was lost.
    fn loss(&mut self, actor: Actor, loss: &Loss);
    /// Something happened to a process.
    fn process(&mut self, actor: Actor, mark: &ProcessMark);
    /// A thread began.
    fn thread(&mut self, actor: Actor, mark: &ThreadMark);
    /// A process joins the run: its number is the next one.
    fn join(&mut self, header: &Header);
    /// A process closed its trace. One that was killed never does.
    fn close(&mut self, actor: Actor, at: Ticks);
}

/// Counts records and keeps none: for searches, sweeps and the measurement of the simulator itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counting {
    next: Vec<u64>,
    /// Decisions begun.
    pub decisions: u64,
    /// Decisions ended.
    pub decisions_ended: u64,
    /// Operations begun.
    pub operations: u64,
    /// Operations ended.
    pub operations_ended: u64,
    /// Requests to workers outside the clients.
    pub requests: u64,
    /// Of those, over: carried out or failed.
    pub requests_ended: u64,
    /// Notices.
    pub notices: u64,
    /// Faults.
    pub faults: u64,
    /// Lost things, as counted by the loss records.
    pub lost: u64,
}

impl Counting {
    fn claim(&mut self, Actor(actor): Actor) -> RecordId {
        let next = &mut self.next[usize::from(actor)];
        *next += 1;
        RecordId(*next - 1)
    }

    /// Records of one process.
    #[must_use]
    pub fn records(&self, Actor(actor): Actor) -> u64 {
        self.next.get(usize::from(actor)).copied().unwrap_or(0)
    }
}

impl Sink for Counting {
    fn open(&mut self, headers: &[Header], _files: &Files) {
        self.next = vec![0; headers.len()];
    }

    fn begin_decision(&mut self, actor: Actor, _begin: &DecisionBegin) -> RecordId {
        self.decisions += 1;
        self.claim(actor)
    }

    fn end_decision(&mut self, _actor: Actor, _id: RecordId, _end: &DecisionEnd) {
        self.decisions_ended += 1;
    }

    fn decision_target(&mut self, _actor: Actor, _id: RecordId, _file: u32) {}

    fn begin_operation(&mut self, actor: Actor, _begin: &OperationBegin) -> RecordId {
        self.operations += 1;
        self.claim(actor)
    }

    fn end_operation(&mut self, _actor: Actor, _id: RecordId, _end: &OperationEnd) {
        self.operations_ended += 1;
    }

    fn operation_target(&mut self, _actor: Actor, _id: RecordId, _file: u32) {}

    fn begin_request(&mut self, actor: Actor, _begin: &RequestBegin) -> RecordId {
        self.requests += 1;
        self.claim(actor)
    }

    fn end_request(&mut self, _actor: Actor, _id: RecordId, _end: &RequestEnd) {
        self.requests_ended += 1;
    }

    fn notice(&mut self, actor: Actor, _notice: &Notice, _file: Option<u32>) -> RecordId {
        self.notices += 1;
        self.claim(actor)
    }

    fn phase(&mut self, actor: Actor, _mark: &PhaseMark) {
        self.claim(actor);
    }

    fn fault(&mut self, actor: Actor, _fault: &Fault) {
        self.faults += 1;
        self.claim(actor);
    }

    fn loss(&mut self, actor: Actor, loss: &Loss) {
        self.lost += loss.count;
        self.claim(actor);
    }

    fn process(&mut self, actor: Actor, _mark: &ProcessMark) {
        self.claim(actor);
    }

    fn thread(&mut self, actor: Actor, _mark: &ThreadMark) {
        self.claim(actor);
    }

    fn join(&mut self, _header: &Header) {
        self.next.push(0);
    }

    fn close(&mut self, _actor: Actor, _at: Ticks) {}
}

/// The device number of the simulated arena, in the kernel's 32-bit encoding (an unnamed device, as a tmpfs has).
pub const DEVICE: u32 = 0x0010_0000;

/// Keeps every process's trace in memory: 128 bytes a decision or operation. For more than a few million, an
/// edge crate gives its own [`Sink`] that writes files.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    bytes_max: Option<u64>,
    processes: Vec<Process>,
    files: Option<Files>,
    arena: String,
}

#[derive(Clone, Debug)]
struct Process {
    /// What its trace is called: its name in the lab, numbered from the second process of that name on.
    name: String,
    /// Its name in the lab.
    of: String,
    trace: MemoryTrace,
    closed: Option<Ticks>,
    /// The number of each file's path in this trace.
    paths: BTreeMap<u32, u32>,
}

impl Process {
    fn new(header: &Header, bytes_max: Option<u64>) -> Process {
        let options = bytes_max.map_or_else(WriterOptions::default, |bytes_max| WriterOptions { bytes_max });
        Process {
            name: header.identity.name.clone(),
            of: header.identity.name.clone(),
            trace: MemoryTrace::new(header, options).expect("the simulator's metadata is short"),
            closed: None,
            paths: BTreeMap::new(),
        }
    }
}

/// A trace as the file that a live process would have left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceFile {
    /// The process's name in the lab.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Traces {
    /// Traces of at most this many bytes each; what comes after is counted as lost.
    #[must_use]
    pub fn new(bytes_max: u64) -> Traces {
        Traces { bytes_max: Some(bytes_max), ..Traces::default() }
    }

    /// The traces, in the order of their processes' numbers.
    #[must_use]
    pub fn into_files(self) -> Vec<TraceFile> {
        let file = |process: Process| TraceFile {
            name: process.name,
            bytes: match process.closed {
                Some(at) => process.trace.close(at),
                None => process.trace.cut_off(),
            },
        };
        self.processes.into_iter().map(file).collect()
    }

    fn of(&mut self, Actor(actor): Actor) -> &mut MemoryTrace {
        &mut self.processes[usize::from(actor)].trace
    }

    fn target(&mut self, Actor(actor): Actor, file: u32) -> Option<Target> {
        let files = self.files.as_ref()?;
        let process = &mut self.processes[usize::from(actor)];
        let path = match process.paths.get(&file) {
            Some(path) => *path,
            None => {
                let text = format!("{}/{}", self.arena, files.path(file));
                let path = process.trace.path(text.as_bytes());
                process.paths.insert(file, path);
                path
            }
        };
        Some(Target { inode: files.inode(file), device: DEVICE, path })
    }
}

impl Sink for Traces {
    fn open(&mut self, headers: &[Header], files: &Files) {
        self.processes = headers.iter().map(|header| Process::new(header, self.bytes_max)).collect();
        self.arena = headers.first().map_or_else(String::new, |header| header.identity.arena.clone());
        self.files = Some(files.clone());
    }

    fn begin_decision(&mut self, actor: Actor, begin: &DecisionBegin) -> RecordId {
        self.of(actor).begin_decision(begin)
    }

    fn end_decision(&mut self, actor: Actor, id: RecordId, end: &DecisionEnd) {
        self.of(actor).end_decision(id, end);
    }

    fn decision_target(&mut self, actor: Actor, id: RecordId, file: u32) {
        if let Some(target) = self.target(actor, file) {
            self.of(actor).decision_target(id, &target);
        }
    }

    fn begin_operation(&mut self, actor: Actor, begin: &OperationBegin) -> RecordId {
        self.of(actor).begin_operation(begin)
    }

    fn end_operation(&mut self, actor: Actor, id: RecordId, end: &OperationEnd) {
        self.of(actor).end_operation(id, end);
    }

    fn operation_target(&mut self, actor: Actor, id: RecordId, file: u32) {
        if let Some(target) = self.target(actor, file) {
            self.of(actor).operation_target(id, &target);
        }
    }

    fn begin_request(&mut self, actor: Actor, begin: &RequestBegin) -> RecordId {
        self.of(actor).begin_request(begin)
    }

    fn end_request(&mut self, actor: Actor, id: RecordId, end: &RequestEnd) {
        self.of(actor).end_request(id, end);
    }

    fn notice(&mut self, actor: Actor, notice: &Notice, file: Option<u32>) -> RecordId {
        let target = file.and_then(|file| self.target(actor, file));
        self.of(actor).notice(&Notice { target, ..*notice })
    }

    fn phase(&mut self, actor: Actor, mark: &PhaseMark) {
        self.of(actor).phase(mark);
    }

    fn fault(&mut self, actor: Actor, fault: &Fault) {
        self.of(actor).fault(fault);
    }

    fn loss(&mut self, actor: Actor, loss: &Loss) {
        self.of(actor).loss(loss);
    }

    fn process(&mut self, actor: Actor, mark: &ProcessMark) {
        self.of(actor).process(mark);
    }

    fn thread(&mut self, actor: Actor, mark: &ThreadMark) {
        self.of(actor).thread(mark);
    }

    fn join(&mut self, header: &Header) {
        let name = &header.identity.name;
        let others = self.processes.iter().filter(|other| other.of == *name).count();
        let process = Process::new(header, self.bytes_max);
        self.processes.push(Process { name: format!("{name}.{}", others + 1), ..process });
    }

    fn close(&mut self, Actor(actor): Actor, at: Ticks) {
        self.processes[usize::from(actor)].closed = Some(at);
    }
}
