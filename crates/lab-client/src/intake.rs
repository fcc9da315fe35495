//! The reader: takes events in and answers. Nothing here allocates, locks what a worker can hold, or calls the
//! kernel, except to wake a worker that gets something to do and, when the behaviour has `cache: on`, to have an
//! answer kept that the reader gives itself: one call for a file that is then not asked about again.

use std::sync::Arc;

use lab_client_core::{Admission, Backend, Disposition, Event, Intake, Judge, Question, Task};
use lab_model::{Approval, EventKind, Ticks, Verdict};
use lab_process::clock;
use lab_trace::{Counter, DecisionBegin, DecisionEnd, RecordId};

use crate::{
    job::{Job, PendingAnswer},
    settings::Followed,
    shared::{AdmissionRules, Client, Decisions, Events, READER_PLACE, Watch},
};

/// The most events of one batch, as the backends read them.
const BATCH_MAX: usize = 1024;

/// The reader's own state.
pub(crate) struct Reader<B: Backend> {
    events: Arc<Events<B>>,
    decisions: Arc<Decisions<B::Token>>,
    admission: Arc<AdmissionRules>,
    watch: Arc<Watch>,
    followed: Followed,
    read: Ticks,
    answered: Ticks,
    reads: u64,
    count: u64,
    lost: u64,
    inside: bool,
    batch: Vec<Answered<B::Token>>,
}

/// An event that is answered together with its batch.
struct Answered<T> {
    token: T,
    record: RecordId,
    event: EventKind,
    verdict: Verdict,
    approval: Approval,
    then: Option<Task>,
}

impl<B: Backend> Reader<B> {
    pub(crate) fn new(client: &Client<B>) -> Reader<B> {
        let followed = Followed::new(&client.admission.settings);
        let batch = Vec::with_capacity(BATCH_MAX);
        Reader {
            events: Arc::clone(&client.events),
            decisions: Arc::clone(&client.decisions),
            admission: Arc::clone(&client.admission),
            watch: Arc::clone(&client.watch),
            followed,
            read: Ticks(0),
            answered: Ticks(0),
            reads: 0,
            count: 0,
            lost: 0,
            inside: false,
            batch,
        }
    }

    /// Events that the kernel dropped or could not hand over.
    pub(crate) fn lost_events(&self) -> u64 {
        self.lost
    }

    /// Passes the gate, once for all events that are answered together.
    fn enter(&mut self) {
        if !self.inside {
            self.events.gate.enter(READER_PLACE);
            self.inside = true;
        }
    }

    fn leave(&mut self) {
        self.events.gate.leave(READER_PLACE);
        self.inside = false;
    }

    fn hand_over(
        &mut self,
        event: &Event<B::Token>,
        record: RecordId,
        task: Task,
        keep: bool,
        judge: Option<Judge>,
        answer_by: Option<Ticks>,
    ) -> bool {
        let (events, decisions) = (&self.events, &self.decisions);
        let Some(slot) = decisions.pending.take() else { return false };
        // On the board before the race opens: whoever wins the race takes it off again.
        events.trace.board().pend(usize::from(slot), self.read, record.0, event.subject.tid);
        let ticket = decisions.pending.open(slot, record, event.token, answer_by);
        let owed = Some(PendingAnswer { ticket });
        let job =
            Job { token: event.token, record, task, event: event.event, judge, keep, resolved: false, owed };
        if decisions.queue.push(job).is_ok() {
            return true;
        }
        // Cannot happen while there are at least as many places in the queue as slots, but if it does the
        // event is answered like one that finds no slot.
        let won = decisions.pending.win(ticket);
        if won {
            events.trace.board().settle(usize::from(slot));
        }
        decisions.pending.give_back(slot);
        !won
    }
}

fn task_judges(admission: &Admission) -> bool {
    matches!(admission, Admission::Work { task, .. } if task.judges())
}

impl<B: Backend> Intake<B::Token> for Reader<B> {
    fn batch(&mut self) {
        self.read = clock::now();
        self.reads += 1;
        self.batch.clear();
        self.events.trace.board().set(Counter::Reads, self.reads);
    }

    fn event(&mut self, event: &Event<B::Token>) -> Disposition {
        self.count += 1;
        self.enter();
        let settings = self.followed.settings(&self.admission.settings);
        let (class, actor) = settings.classify(event.subject, &self.events.trace, self.admission.workers);
        let question =
            Question { read: self.read, event: event.event, class, actor, deadline: event.deadline };
        let begin = DecisionBegin {
            read: self.read,
            subject: event.subject,
            kernel: event.kernel,
            deadline: Some(settings.policy.deadline(&question)),
            sequence: event.sequence,
            event: event.event,
            class,
            actor,
        };
        let admission = settings.policy.admit(&question, self.admission.seed.wrapping_add(self.count));
        let judge = task_judges(&admission).then(|| settings.policy.judge(&question));
        let rules_keep = settings.policy.keeps(class, Verdict::Allow, Approval::Rule);
        let record = self.events.trace.begin_decision(&begin);
        let (verdict, approval, then) = match admission {
            Admission::Answer { verdict, approval } => (verdict, approval, None),
            Admission::AnswerThenWork { verdict, approval, task } => (verdict, approval, Some(task)),
            Admission::Work { task, answer_by } => {
                if self.hand_over(event, record, task, rules_keep, judge, answer_by) {
                    self.events.trace.board().set(Counter::Events, self.count);
                    if self.batch.is_empty() {
                        self.leave();
                    }
                    return Disposition::Keep;
                }
                (Verdict::Allow, Approval::QueueFull, None)
            }
        };
        if self.batch.is_empty() {
            self.events.trace.board().set(Counter::Answering, self.read.0);
        }
        if rules_keep && verdict == Verdict::Allow && approval == Approval::Rule {
            self.events.cache_answer(event.token, event.event);
        }
        let (token, event) = (event.token, event.event);
        self.batch.push(Answered { token, record, event, verdict, approval, then });
        Disposition::Answer(verdict)
    }

    fn answering(&mut self) {
        self.answered = clock::now();
    }

    fn answered(&mut self, nth: usize, error: u32) {
        let Answered { token, record, event, verdict, approval, ref mut then } = self.batch[nth];
        let end = DecisionEnd { started: None, answered: self.answered, verdict, approval, error };
        let (events, decisions) = (&self.events, &self.decisions);
        events.trace.end_decision(record, &end);
        let unwanted = match then.take() {
            Some(task) => decisions
                .queue
                .push(Job {
                    token,
                    record,
                    task,
                    event,
                    judge: None,
                    keep: false,
                    resolved: false,
                    owed: None,
                })
                .is_err(),
            None => true,
        };
        if unwanted {
            events.resolve(token, record);
        }
        if nth + 1 == self.batch.len() {
            let board = events.trace.board();
            board.set(Counter::Answering, 0);
            board.set(Counter::Events, self.count);
            self.leave();
        }
    }

    fn lost(&mut self, events: u64, error: u32) {
        self.lost += events;
        *self.watch.lost_events.lock().entry(error).or_insert(0) += events;
    }
}
