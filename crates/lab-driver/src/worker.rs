//! One worker: makes the operations of its schedule, one at a time, and records each.

use std::sync::{Arc, mpsc::Receiver};

use lab_model::{Cause, ExecTree, OperationKind, Run, ThreadId, Ticks};
use lab_process::{
    clock,
    program::{Birth, Launch, Launcher},
};
use lab_trace::{
    Board, Counter, Loss, LossKind, OperationBegin, OperationEnd, RecordId, Target, TraceWriter,
};
use lab_workload::{Action, Planned};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    sys::{stat::Mode, uio::pwrite},
    unistd::unlink,
};

use crate::{
    phase::{Job, Round},
    sites::{Site, Sites},
    tree::{Message, Shape, TreeMessages},
};

/// A worker's own things; it shares none of them but the trace and the board, which take no lock.
pub(crate) struct Worker {
    number: u16,
    thread: ThreadId,
    writer: TraceWriter,
    board: Board,
    sites: Arc<Sites>,
    tools: Tools,
    birth: Birth,
}

/// What a worker needs for the operations of its load.
pub(crate) struct Tools {
    /// Its place among the workers of its load.
    pub(crate) place: u16,
    /// What starts programs, for a load that does.
    pub(crate) launcher: Option<Launcher>,
    /// The shape of its trees, for a load that has some.
    pub(crate) trees: Option<ProcessTrees>,
    /// The command, for a load that runs one, and the arena.
    pub(crate) command: Option<(Run, String)>,
}

/// A process of a tree that runs, with its place in the trace.
type Member = (u32, RecordId);

/// What growing one tree after the other needs, made beforehand.
pub(crate) struct ProcessTrees {
    shape: Shape,
    /// The processes of the tree that run. Never more than the tree has.
    running: Vec<Member>,
}

impl ProcessTrees {
    pub(crate) fn new(tree: &ExecTree) -> ProcessTrees {
        let most = usize::try_from(tree.execs().min(ExecTree::EXECS_MAX)).unwrap_or(0);
        ProcessTrees { shape: Shape::new(tree.depth, tree.fanout), running: Vec::with_capacity(most) }
    }
}

impl Worker {
    /// Makes the worker with this number, on the calling thread.
    pub(crate) fn new(
        number: u16,
        thread: ThreadId,
        writer: TraceWriter,
        sites: Arc<Sites>,
        tools: Tools,
    ) -> Worker {
        let board = writer.board().clone();
        let begin = OperationBegin {
            started: Ticks(0),
            subject: thread,
            cause: Cause::Workload,
            planned: None,
            kind: OperationKind::Exec,
            worker: number,
            phase: None,
            parent: None,
        };
        let birth = Birth {
            writer: writer.clone(),
            board: board.clone(),
            slot: usize::from(number),
            record: lab_trace::RecordId::LOST,
            begin,
        };
        Worker { number, thread, writer, board, sites, tools, birth }
    }

    /// Works on one phase after the other until nobody gives it any more.
    pub(crate) fn serve(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            let begun = self.run(job.schedule, &job.round);
            job.round.leave(begun);
        }
    }

    /// Makes the operations of a schedule and returns how many it began.
    fn run(&mut self, mut schedule: lab_workload::Schedule, round: &Round) -> u64 {
        if !round.wait_for_start() {
            self.not_begun(LossKind::NotBegunHalted, schedule.unplayed());
            return 0;
        }
        let mut now = clock::now();
        let mut begun = 0;
        loop {
            let left = schedule.unplayed();
            if round.is_halted() {
                self.not_begun(LossKind::NotBegunHalted, left);
                break;
            }
            let Some(planned) = schedule.next() else { break };
            let at = planned.offset.map(|offset| round.at(offset));
            if let Some(at) = at {
                // A planned operation is never left out for being late: it starts at once, and its delay
                // counts as latency.
                if now < at && !round.wait_until(at) {
                    self.not_begun(LossKind::NotBegunHalted, left);
                    break;
                }
                if round.is_given_up(now) {
                    self.not_begun(LossKind::NotBegunLate, left);
                    break;
                }
            } else if round.is_over(now) {
                break;
            }
            let more;
            (now, more) = self.make(&planned, at, round);
            begun += more;
        }
        begun
    }

    /// Takes note of planned operations that will never begin; of a closed loop nothing is planned.
    fn not_begun(&self, kind: LossKind, left: Option<u64>) {
        if let Some(count) = left.filter(|left| *left > 0) {
            self.writer.loss(&Loss { at: clock::now(), kind, count });
        }
    }

    /// Makes what is planned, and returns when it had ended and how many operations it was.
    fn make(&mut self, planned: &Planned, at: Option<Ticks>, round: &Round) -> (Ticks, u64) {
        let begin = OperationBegin {
            started: Ticks(0),
            subject: self.thread,
            cause: Cause::Workload,
            planned: at,
            kind: OperationKind::Open,
            worker: self.number,
            phase: Some(round.phase),
            parent: None,
        };
        self.board.add(Counter::OperationsBegun, 1);
        let exec = OperationBegin { kind: OperationKind::Exec, ..begin };
        let (ended, more) = match planned.action {
            Action::Open { file } => (self.open(self.sites.site(planned.load, file), Access::Read, begin), 0),
            Action::Write { file } => {
                (self.open(self.sites.site(planned.load, file), Access::Write, begin), 0)
            }
            Action::Create => {
                let site = self.sites.created(planned.load, self.tools.place);
                (self.open(site, Access::Create, begin), 0)
            }
            Action::Exec(_) => (self.execute(planned.load, exec), 0),
            Action::Tree => self.grow(planned.load, exec),
            Action::Run => self.command(begin, round),
        };
        self.board.add(Counter::OperationsEnded, 1);
        (ended, 1 + more)
    }

    /// Runs the load's command until it and all that has come of it has ended, or the phase is over.
    fn command(&mut self, begin: OperationBegin, round: &Round) -> (Ticks, u64) {
        let Some((load, arena)) = &self.tools.command else {
            unreachable!("a worker whose schedule holds a command was given it")
        };
        let id = self.writer.claim_operation();
        self.birth.record = id;
        self.birth.begin = OperationBegin { kind: OperationKind::Process, ..begin };
        let is_over = || round.is_halted() || round.is_over(clock::now());
        let done = crate::command::run(load, std::path::Path::new(arena), &self.birth, &is_over);
        let ended = clock::now();
        let (error, status) = (done.error, done.status);
        if error != 0 {
            // Nobody became the command: the failure is this thread's own.
            self.writer.begin_claimed(id, &OperationBegin { started: ended, ..self.birth.begin });
        }
        self.writer.end_operation(id, &OperationEnd { ended, error, status, finished: None, bytes: 0 });
        self.board.rest(usize::from(self.number));
        (ended, done.more)
    }

    fn open(&self, site: &Site, access: Access, begin: OperationBegin) -> Ticks {
        let slot = usize::from(self.number);
        let id = self.writer.claim_operation();
        let started = clock::now();
        self.writer.begin_claimed(id, &OperationBegin { started, ..begin });
        self.board.operate(slot, started, id.0, self.thread.tid);
        let opened = open(site.path(), access.flags() | OFlag::O_CLOEXEC, MODE);
        let ended = clock::now();
        let error = opened.as_ref().err().map_or(0, |&error| number(error));
        let end = OperationEnd { ended, error, status: 0, finished: None, bytes: 0 };
        self.writer.end_operation(id, &end);
        self.board.rest(slot);
        let opened = opened.ok();
        let target = match (access, &opened) {
            (Access::Create, Some(opened)) => site.new_target(opened, &self.writer),
            (Access::Create, None) => None,
            (Access::Read | Access::Write, opened) => site.target(opened.as_ref(), &self.writer),
        };
        if let Some(target) = target {
            self.writer.operation_target(id, &target);
        }
        // Behind the operation: what is written and removed is asked about by nobody.
        match (access, opened) {
            (Access::Write, Some(opened)) => {
                let _full = pwrite(&opened, &[0], 0);
            }
            (Access::Create, Some(_)) => {
                let _gone = unlink(site.path());
            }
            _ => {}
        }
        ended
    }

    fn execute(&mut self, load: usize, begin: OperationBegin) -> Ticks {
        let site = self.sites.site(load, 0);
        let id = self.writer.claim_operation();
        self.birth.record = id;
        self.birth.begin = begin;
        let launcher = self.tools.launcher.as_mut();
        let outcome = launcher.map(|launcher| launcher.run(&Launch::of(site.path()), &self.birth));
        let Some(outcome) = outcome else {
            unreachable!("a worker whose schedule holds programs was given a launcher")
        };
        let ended = clock::now();
        if !outcome.announced {
            // There never was a process: the failure is this thread's own.
            self.writer.begin_claimed(id, &OperationBegin { started: ended, ..begin });
        }
        let end =
            OperationEnd { ended, error: outcome.error, status: outcome.status, finished: None, bytes: 0 };
        self.writer.end_operation(id, &end);
        self.board.rest(usize::from(self.number));
        if let Some(target) = site.target(None::<&std::fs::File>, &self.writer) {
            self.writer.operation_target(id, &target);
        }
        ended
    }

    /// Runs a tree of programs and records every one of them; returns when its root had ended and how many there
    /// were beside it.
    fn grow(&mut self, load: usize, begin: OperationBegin) -> (Ticks, u64) {
        let site = self.sites.site(load, 0);
        let id = self.writer.claim_operation();
        self.birth.record = id;
        self.birth.begin = begin;
        let (Some(launcher), Some(trees)) = (&mut self.tools.launcher, &mut self.tools.trees) else {
            unreachable!("a worker whose schedule holds trees was given what they need")
        };
        let (mut error, mut announced, mut root) = (0, false, None);
        let told = TreeMessages::new().map(|(told, output)| {
            let started = launcher.start(&trees.shape.launch(site.path(), &output), &self.birth);
            (root, announced, error) = (started.pid, started.announced, started.error);
            told
        });
        let target = site.target(None::<&std::fs::File>, &self.writer);
        let mut more = 0;
        match told {
            Err(failure) => error = failure.raw_os_error().unwrap_or(0).cast_unsigned(),
            Ok(mut told) => {
                let root = root.map(|pid| (pid, id));
                let grown = Grown { begin: OperationBegin { planned: None, ..begin }, root, target };
                while let Some(message) = told.next() {
                    more += record(message, &grown, &mut trees.running, &self.writer, &self.board);
                }
            }
        }
        let (status, waited) = root.map_or((0, 0), |pid| launcher.wait(pid));
        let ended = clock::now();
        if !announced {
            self.writer.begin_claimed(id, &OperationBegin { started: ended, ..begin });
        }
        let error = if error == 0 { waited } else { error };
        self.writer.end_operation(id, &OperationEnd { ended, error, status, finished: None, bytes: 0 });
        self.board.rest(usize::from(self.number));
        if let Some(target) = target {
            self.writer.operation_target(id, &target);
        }
        // Who was killed told nobody of its children: they have ended, nobody knows when.
        trees.running.clear();
        (ended, more)
    }
}

/// What the records of one tree's processes have in common.
struct Grown {
    begin: OperationBegin,
    /// The tree's root, which the driver has started itself.
    root: Option<Member>,
    target: Option<Target>,
}

/// Records what a process of a tree told; returns 1 for one that began.
fn record(
    message: Message,
    &Grown { ref begin, root, target }: &Grown,
    running: &mut Vec<Member>,
    writer: &TraceWriter,
    board: &Board,
) -> u64 {
    match message {
        Message::Begins { pid, parent, at } => {
            // Who starts a process waits for its end, so that its own place is still among those that run.
            let parent = root.iter().chain(&*running).find(|(other, _)| *other == parent).map(|(_, id)| id.0);
            let id = writer.claim_operation();
            let subject = ThreadId { pid, tid: pid.into(), generation: 0 };
            writer.begin_claimed(id, &OperationBegin { started: at, subject, parent, ..*begin });
            board.add(Counter::OperationsBegun, 1);
            if running.len() < running.capacity() {
                running.push((pid, id));
            }
            1
        }
        Message::Ended { pid, at, status, error } => {
            if let Some(place) = running.iter().position(|(other, _)| *other == pid) {
                let (_, id) = running.swap_remove(place);
                let end = OperationEnd { ended: at, error, status, finished: None, bytes: 0 };
                writer.end_operation(id, &end);
                if let Some(target) = target {
                    writer.operation_target(id, &target);
                }
            }
            board.add(Counter::OperationsEnded, 1);
            0
        }
    }
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    Write,
    Create,
}

/// The mode of a file that is created.
const MODE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

impl Access {
    const fn flags(self) -> OFlag {
        match self {
            Access::Read => OFlag::O_RDONLY,
            Access::Write => OFlag::O_WRONLY,
            Access::Create => OFlag::O_WRONLY.union(OFlag::O_CREAT).union(OFlag::O_EXCL),
        }
    }
}

const fn number(error: Errno) -> u32 {
    (error as i32).cast_unsigned()
}
