//! Operations under way, and the passes of questions that each has to get through.

use lab_model::{EventKind, ExecProgram, NotifyEvent, NotifyEvents, OperationKind};
use lab_trace::{OperationBegin, RecordId};

use crate::{
    Kernel,
    calibration::costs::Costs,
    kernel::{
        files::{Files, Program},
        subject::Subject,
    },
};

/// An open or exec under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    /// The thread that waits for it.
    pub(crate) thread: u32,
    pub(crate) subject: Subject,
    pub(crate) record: RecordId,
    pub(crate) kind: OperationKind,
    pub(crate) file: u32,
    pub(crate) passes: &'static [Pass],
    /// The pass it is in.
    pub(crate) pass: u8,
    /// The next in the order of clients to be asked in this pass.
    pub(crate) place: u16,
    /// Answers it waits for.
    pub(crate) waiting: u16,
    pub(crate) denied: bool,
    /// Its content is read once it is open, and hashed.
    pub(crate) read: bool,
    pub(crate) hash: bool,
    pub(crate) started: u64,
    pub(crate) ended: u64,
    pub(crate) planned: Option<u64>,
    pub(crate) lineage: Lineage,
}

/// A question as the kernel puts it to each client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) file: u32,
    pub(crate) event: EventKind,
    pub(crate) subject: Subject,
    pub(crate) lineage: Lineage,
}

impl Operation {
    /// An operation of this thread that begins as its record says. Nobody has been asked about it yet.
    pub(crate) const fn begun(
        thread: u32,
        record: RecordId,
        begin: &OperationBegin,
        subject: Subject,
        file: u32,
        passes: &'static [Pass],
        lineage: Lineage,
    ) -> Operation {
        Operation {
            thread,
            subject,
            record,
            kind: begin.kind,
            file,
            passes,
            pass: 0,
            place: 0,
            waiting: 0,
            denied: false,
            read: false,
            hash: false,
            started: begin.started.0,
            ended: 0,
            planned: match begin.planned {
                Some(at) => Some(at.0),
                None => None,
            },
            lineage,
        }
    }

    /// The question of one of its passes.
    #[inline]
    pub(crate) fn question_of(&self, pass: u8, files: &Files) -> Asked {
        let pass = self.passes[usize::from(pass)];
        let file = pass.program.map_or(self.file, |program| files.program(program));
        Asked { file, event: pass.event, subject: self.subject, lineage: self.lineage }
    }
}

/// Where an operation stands in its cascade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lineage {
    /// The workload made it.
    Root,
    /// The client made it while it decided on the workload's own event.
    Drive(u16),
    /// The client made it while it decided on an event that a client had caused.
    Feedback(u16),
}

/// One round of questions about one file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    pub(crate) event: EventKind,
    /// The file, if it is not the operation's own.
    pub(crate) program: Option<Program>,
}

const fn pass(event: EventKind, program: Option<Program>) -> Pass {
    Pass { event, program }
}

/// One question about the opening.
pub(crate) const OPEN: &[Pass] = &[pass(EventKind::AUTH_OPEN, None)];

/// fanotify: every group is asked about the execution, then every group about the opening.
const STATIC: &[Pass] = &[pass(EventKind::AUTH_EXEC, None), pass(EventKind::AUTH_OPEN, None)];

/// fanotify: program twice, loader twice, library once.
const DYNAMIC: &[Pass] = &[
    pass(EventKind::AUTH_EXEC, None),
    pass(EventKind::AUTH_OPEN, None),
    pass(EventKind::AUTH_EXEC, Some(Program::Loader)),
    pass(EventKind::AUTH_OPEN, Some(Program::Loader)),
    pass(EventKind::AUTH_OPEN, Some(Program::LibC)),
];

/// fanotify: script twice, then as a dynamic program the interpreter, which opens the script.
const SCRIPT: &[Pass] = &[
    pass(EventKind::AUTH_EXEC, None),
    pass(EventKind::AUTH_OPEN, None),
    pass(EventKind::AUTH_EXEC, Some(Program::Interpreter)),
    pass(EventKind::AUTH_OPEN, Some(Program::Interpreter)),
    pass(EventKind::AUTH_EXEC, Some(Program::Loader)),
    pass(EventKind::AUTH_OPEN, Some(Program::Loader)),
    pass(EventKind::AUTH_OPEN, Some(Program::LibC)),
    pass(EventKind::AUTH_OPEN, None),
];

/// Endpoint Security: one question for the execution. Assumed: no open is asked about, because the kernel
/// opens the program itself and the loader finds the system's libraries in its shared cache.
const ES_EXEC: &[Pass] = &[pass(EventKind::AUTH_EXEC, None)];

/// The rounds of questions that an operation raises.
pub(crate) fn passes(kernel: Kernel, kind: OperationKind, dynamic: Linkage) -> &'static [Pass] {
    match (kernel, kind, dynamic) {
        (_, OperationKind::Open, _) => OPEN,
        (Kernel::Fanotify, OperationKind::Exec | OperationKind::Process, Linkage::Static) => STATIC,
        (Kernel::Fanotify, OperationKind::Exec | OperationKind::Process, Linkage::Dynamic) => DYNAMIC,
        (Kernel::Fanotify, OperationKind::Exec | OperationKind::Process, Linkage::Script) => SCRIPT,
        (Kernel::EndpointSecurity, OperationKind::Exec | OperationKind::Process, _) => ES_EXEC,
    }
}

/// How a program was linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Linkage {
    Static,
    Dynamic,
    /// Not at all: its interpreter is, dynamically.
    Script,
}

impl Linkage {
    pub(crate) const fn of(program: ExecProgram) -> Linkage {
        match program {
            ExecProgram::Static => Linkage::Static,
            ExecProgram::Dynamic => Linkage::Dynamic,
            ExecProgram::Script => Linkage::Script,
        }
    }

    /// From the call of an operation to its first question.
    pub(crate) const fn entry_cost(self, kind: OperationKind, costs: &Costs) -> u64 {
        match (kind, self) {
            (OperationKind::Open, _) => costs.open_entry,
            (OperationKind::Exec | OperationKind::Process, Linkage::Static) => costs.exec_entry,
            (OperationKind::Exec | OperationKind::Process, Linkage::Dynamic | Linkage::Script) => {
                costs.exec_entry + costs.exec_dynamic
            }
        }
    }
}

/// What is told of one pass of an operation that got through; nothing of a pass that opens or runs nothing by itself.
pub(crate) fn notified_of(kernel: Kernel, passes: &[Pass], place: usize) -> NotifyEvents {
    let none = NotifyEvents::NONE;
    match (kernel, passes[place].event) {
        (Kernel::Fanotify, EventKind::AUTH_OPEN) => {
            let before = place.checked_sub(1).map(|before| passes[before].event);
            // An exec is one event that says both.
            let run = before == Some(EventKind::AUTH_EXEC);
            let open = none.with(NotifyEvent::Open);
            if run { open.with(NotifyEvent::Exec) } else { open }
        }
        (Kernel::EndpointSecurity, EventKind::AUTH_OPEN) => none.with(NotifyEvent::Open),
        (Kernel::EndpointSecurity, EventKind::AUTH_EXEC) => none.with(NotifyEvent::Exec),
        _ => none,
    }
}
