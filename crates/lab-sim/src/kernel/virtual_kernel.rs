//! The simulated kernel's own state: operations under way, files, deadlines and limits, and whose rules it follows.

use std::collections::BTreeMap;

use lab_client_core::PlannedTarget;
use lab_model::{Actor, EventKind, Lab, OperationKind, ThreadId};
use lab_workload::Action;

use crate::{
    Kernel,
    hardware::{
        NONE,
        agenda::SimEvent,
        clock::Clock,
        random::Random,
        slab::{Key, Slab},
    },
    kernel::{
        files::{Files, Program},
        hiding::EsCache,
        operation::{Asked, Operation},
        subject::Subject,
    },
    options::Options,
    participants::client::Client,
};

/// What a process has open beside its events and files: standard streams, the control connection, its trace, the
/// kernel's queue. Assumed.
const DESCRIPTORS_OPEN: usize = 12;

/// The simulated kernel.
#[derive(Debug)]
pub(crate) struct VirtualKernel {
    rules: Kernel,
    es_cache: EsCache,
    /// The order in which fanotify asks.
    order: Vec<u16>,
    files: Files,
    /// Opens and execs under way.
    operations: Slab<Operation>,
    /// Files that are open for writing.
    writing: Vec<u32>,
    /// How many files a process may have open, while that is limited.
    descriptors_max: BTreeMap<Actor, u32>,
    /// By when a question must be answered, in nanoseconds.
    deadline: u64,
    /// Some client may be told of something.
    tells: bool,
    /// True while a deadline check is on the agenda.
    watching: bool,
}

impl VirtualKernel {
    pub(crate) fn new(lab: &Lab, options: &Options) -> VirtualKernel {
        let count = u16::try_from(lab.clients.len()).unwrap_or(u16::MAX);
        VirtualKernel {
            rules: options.kernel,
            es_cache: options.es_cache,
            order: Random::new(options.seed, 1).permutation(count),
            files: Files::new(&lab.workload),
            operations: Slab::default(),
            writing: Vec::new(),
            descriptors_max: BTreeMap::new(),
            deadline: lab.deadline.nanos(),
            tells: lab.clients.iter().any(|client| lab.notifies(client)),
            watching: false,
        }
    }

    /// Whose rules it follows.
    #[inline]
    pub(crate) const fn rules(&self) -> Kernel {
        self.rules
    }

    /// By when a question must be answered, in nanoseconds.
    #[inline]
    pub(crate) const fn deadline(&self) -> u64 {
        self.deadline
    }

    /// Some client may be told of something.
    #[inline]
    pub(crate) const fn tells(&self) -> bool {
        self.tells
    }

    #[inline]
    pub(crate) const fn files(&self) -> &Files {
        &self.files
    }

    /// The operation of this name, if it is still under way.
    #[inline]
    pub(crate) fn operation(&self, key: Key) -> Option<&Operation> {
        self.operations.get(key)
    }

    /// An operation is under way from now on.
    #[inline]
    pub(crate) fn begin(&mut self, operation: Operation) -> Key {
        self.operations.insert(operation)
    }

    /// The call has returned, or the process has ended: the operation as it is then.
    #[inline]
    pub(crate) fn returned(&mut self, key: Key, now: u64) -> Option<Operation> {
        let operation = self.operations.get_mut(key)?;
        operation.ended = now;
        Some(*operation)
    }

    /// An operation is under way no more.
    #[inline]
    pub(crate) fn end(&mut self, key: Key) -> Option<Operation> {
        self.operations.remove(key)
    }

    /// An operation waits for the answers to so many questions of this pass, put up to this place of the order.
    #[inline]
    pub(crate) fn waits(&mut self, key: Key, pass: u8, place: u16, waiting: u16) {
        if let Some(operation) = self.operations.get_mut(key) {
            (operation.pass, operation.place, operation.waiting) = (pass, place, waiting);
        }
    }

    /// An answer to an operation's question. Returns the thread that goes on, if it was the last one.
    #[inline]
    pub(crate) fn answered(&mut self, key: Key, denied: bool) -> Option<u32> {
        let operation = self.operations.get_mut(key)?;
        operation.denied |= denied;
        operation.waiting = operation.waiting.saturating_sub(1);
        (operation.waiting == 0).then_some(operation.thread)
    }

    /// How many operations are under way.
    pub(crate) fn under_way(&self) -> usize {
        self.operations.len()
    }

    /// The file that a plan is about; `None` when there is none of its kind.
    #[inline]
    pub(crate) fn planned_file(&self, same: u32, target: PlannedTarget) -> Option<u32> {
        match target {
            // What has happened to no file offers none to open.
            PlannedTarget::Same => (same != NONE).then_some(same),
            PlannedTarget::Other(number) => self.files.other(number),
            PlannedTarget::Program(program) => Some(self.files.program(Program::of(program))),
        }
    }

    /// The full name of a thread: in an operation's own record.
    #[inline]
    pub(crate) fn named(&self, subject: Subject) -> ThreadId {
        let generation = u32::from(self.rules.names_programs());
        ThreadId { pid: subject.pid, tid: subject.tid, generation }
    }

    /// True when the kernel asks a client this question.
    #[inline]
    pub(crate) fn asks(&self, clients: &[Client], client: u16, question: &Asked) -> bool {
        let own = !self.rules.asks_about_own_events() && question.subject.client == u32::from(client);
        !own && clients[usize::from(client)].is_asked(question.file, question.event)
    }

    /// fanotify: whom the kernel asks next about an operation, in which pass and at which place of the order.
    #[inline]
    pub(crate) fn next_asked(&self, clients: &[Client], operation: &Operation) -> Option<(u8, u16, u16)> {
        let (mut pass, mut place) = (operation.pass, operation.place);
        while !operation.denied && usize::from(pass) < operation.passes.len() {
            let question = operation.question_of(pass, &self.files);
            while let Some(&client) = self.order.get(usize::from(place)) {
                if self.asks(clients, client, &question) {
                    return Some((pass, place, client));
                }
                place += 1;
            }
            (pass, place) = (pass + 1, 0);
        }
        None
    }

    /// Endpoint Security: the next pass in which anybody is asked about an operation.
    #[inline]
    pub(crate) fn next_pass(&self, clients: &[Client], operation: &Operation) -> Option<u8> {
        // `place` tells whether its pass was asked already.
        let first = operation.pass + u8::from(operation.place > 0);
        let last = u8::try_from(operation.passes.len()).unwrap_or(u8::MAX);
        let anybody = |pass: &u8| {
            let question = operation.question_of(*pass, &self.files);
            (0_u16..).zip(clients).any(|(client, _)| self.asks(clients, client, &question))
        };
        if operation.denied { None } else { (first..last).find(anybody) }
    }

    /// A file is about to be opened for this. Returns true when nothing that was kept about it is true any more.
    #[inline]
    pub(crate) fn opens_for(&mut self, action: Action, file: u32) -> bool {
        if matches!(action, Action::Write { .. } | Action::Create) {
            self.writing.push(file);
        }
        action == Action::Create
    }

    /// A file that was open for writing is closed.
    pub(crate) fn written(&mut self, file: u32) {
        if let Some(place) = self.writing.iter().position(|&other| other == file) {
            self.writing.swap_remove(place);
        }
    }

    /// The kernel keeps an answer for the client that gave it, or for all.
    #[inline]
    pub(crate) fn keep(&self, clients: &mut [Client], client: usize, file: u32, event: EventKind) {
        // fanotify keeps nothing about a file that somebody has open for writing.
        if !self.rules.keeps_answers_about_files_in_writing() && self.writing.contains(&file) {
            return;
        }
        match (self.rules, self.es_cache) {
            (Kernel::EndpointSecurity, EsCache::Shared) => {
                clients.iter_mut().for_each(|client| client.keep(file, event, &self.files));
            }
            _ => clients[client].keep(file, event, &self.files),
        }
    }

    /// A process may have only so many files open from now on.
    pub(crate) fn limit_descriptors(&mut self, actor: Actor, limit: u32) {
        self.descriptors_max.insert(actor, limit);
    }

    /// It may have as many open as ever.
    pub(crate) fn unlimit_descriptors(&mut self, actor: Actor) {
        self.descriptors_max.remove(&actor);
    }

    /// True when a process has no descriptor left for a file that it opens now.
    #[inline]
    pub(crate) fn cannot_open(&self, clients: &[Client], actor: Actor) -> bool {
        let Some(&most) = self.descriptors_max.get(&actor) else { return false };
        let open = self.operations.iter().filter(|(_, operation)| operation.subject.actor == actor).count();
        let client = clients.iter().find(|client| client.actor() == actor);
        let client = client.filter(|_| self.rules.hands_descriptors_over());
        let events = client.map_or(0, Client::events_open);
        DESCRIPTORS_OPEN + open + events >= most as usize
    }

    /// True when a client has no descriptor left for one more event. Endpoint Security hands none over.
    #[inline]
    pub(crate) fn cannot_read(&self, clients: &[Client], client: usize) -> bool {
        self.rules.hands_descriptors_over() && self.cannot_open(clients, clients[client].actor())
    }

    /// Makes sure that somebody looks when this deadline has come.
    #[inline]
    pub(crate) fn watch_deadline(&mut self, due: u64, clock: &mut Clock) {
        if !self.watching {
            self.watching = true;
            clock.enter(due, SimEvent::DeadlineCheck);
        }
    }

    /// The deadlines have been looked at; the next one is due then.
    pub(crate) fn watched(&mut self, next: Option<u64>, clock: &mut Clock) {
        self.watching = next.is_some();
        if let Some(next) = next {
            clock.enter(next, SimEvent::DeadlineCheck);
        }
    }

    /// What is told of the files of an operation, and which files those are.
    pub(crate) fn files_of(&self, operation: &Operation) -> Vec<(lab_model::NotifyEvents, u32)> {
        let through = if operation.denied { usize::from(operation.pass) } else { operation.passes.len() };
        let passes = &operation.passes[..through.min(operation.passes.len())];
        let of = |place: usize| {
            let file = passes[place].program.map_or(operation.file, |program| self.files.program(program));
            (crate::kernel::operation::notified_of(self.rules, passes, place), file)
        };
        (0..passes.len()).map(of).filter(|(events, _)| !events.is_empty()).collect()
    }

    /// From the call to the first question, and the rounds of questions.
    #[inline]
    pub(crate) fn passes(
        &self,
        kind: OperationKind,
        linkage: crate::kernel::operation::Linkage,
    ) -> &'static [crate::kernel::operation::Pass] {
        crate::kernel::operation::passes(self.rules, kind, linkage)
    }
}
