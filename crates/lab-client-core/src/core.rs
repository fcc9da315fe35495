//! A client as one state machine without threads: what the simulator runs, and tests.

use std::collections::{BTreeMap, VecDeque};

use lab_model::{Approval, Span, SubjectClass, Ticks, Verdict};

use crate::{Admission, Ask, OperationPlan, Outcome, Policy, Question, Step, Task};

/// What happens to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// An event was read. `id` is new and names it from now on; `draw` seeds what is drawn for it.
    Event {
        /// Its name.
        id: u64,
        /// What is known of it.
        question: Question,
        /// Seeds what the task draws.
        draw: u64,
    },
    /// The client was told of an event, and its policy wants this done ([`Policy::on_notify`]). Nobody waits, so there is
    /// nothing to answer.
    Notify {
        /// Its name.
        id: u64,
        /// Whose process has acted.
        class: SubjectClass,
        /// The work.
        task: Task,
    },
    /// The wait, reading, operation or request of this event is over.
    Finished {
        /// The event.
        id: u64,
    },
    /// The path of this event's file was found out, and the verdict of [`Policy::judge`] on it.
    Judged {
        /// The event.
        id: u64,
        /// The verdict.
        verdict: Verdict,
    },
    /// A time that [`Action::Arm`] asked for has come.
    Timer {
        /// The event.
        id: u64,
    },
    /// Behave like this from now on. Work that has begun goes on as planned.
    Behave(Box<Policy>),
}

/// What a client wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Answer this event; happens exactly once for each.
    Answer {
        /// The event.
        id: u64,
        /// The answer.
        verdict: Verdict,
        /// How it came about.
        approval: Approval,
        /// True when a worker answers; false for the reader and the timer.
        worker: bool,
        /// The kernel is to keep it.
        keep: bool,
    },
    /// A worker takes this event up.
    Start {
        /// The event.
        id: u64,
    },
    /// Let time pass for it, then say [`Input::Finished`].
    Wait {
        /// The event.
        id: u64,
        /// How long.
        span: Span,
    },
    /// Keep a processor busy for it, then say [`Input::Finished`].
    Burn {
        /// The event.
        id: u64,
        /// How long.
        span: Span,
    },
    /// Find out its file's path and what [`Policy::judge`] makes of it, then say [`Input::Judged`]; or
    /// [`Input::Finished`] when the path cannot be told.
    Judge {
        /// The event.
        id: u64,
    },
    /// Read its file through what came with it, then say [`Input::Finished`].
    Inspect {
        /// The event.
        id: u64,
        /// Hash what is read.
        hash: bool,
    },
    /// Make an operation for it, then say [`Input::Finished`].
    Operate {
        /// The event.
        id: u64,
        /// The operation.
        plan: OperationPlan,
    },
    /// Hand its file on to a worker outside the process. Say [`Input::Finished`] at the reply, or at once when
    /// nobody waits for it.
    Ask {
        /// The event.
        id: u64,
        /// The request.
        ask: Ask,
    },
    /// Say [`Input::Timer`] at that time, unless the event has settled.
    Arm {
        /// The event.
        id: u64,
        /// When.
        at: Ticks,
    },
    /// Nothing more will be asked for this event.
    Settled {
        /// The event.
        id: u64,
    },
}

/// One client as a state machine: a queue, as many tasks under way as its concurrency allows, and one
/// answer for every event.
#[derive(Clone, Debug)]
pub struct ClientCore {
    policy: Policy,
    queue: VecDeque<u64>,
    pending: BTreeMap<u64, Pending>,
    busy: u16,
    queue_max: usize,
}

#[derive(Clone, Debug)]
struct Pending {
    task: Task,
    class: SubjectClass,
    answered: bool,
    under_way: bool,
}

impl ClientCore {
    /// A client with this policy; it keeps at most `queue_max` events that are not settled, and answers
    /// what comes beyond at once.
    #[must_use]
    pub fn new(policy: Policy, queue_max: usize) -> ClientCore {
        ClientCore { policy, queue: VecDeque::new(), pending: BTreeMap::new(), busy: 0, queue_max }
    }

    /// The policy it follows.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Events that are not settled.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Tasks under way.
    #[must_use]
    pub fn busy(&self) -> u16 {
        self.busy
    }

    /// Takes note of what happened and says what to do, in order, by appending to `actions`.
    pub fn step(&mut self, _now: Ticks, input: Input, actions: &mut Vec<Action>) {
        match input {
            Input::Event { id, question, draw } => self.event(id, &question, draw, actions),
            Input::Notify { id, class, task } => self.on_notify(id, class, task, actions),
            Input::Finished { id } => self.advance(id, Outcome::Finished, actions),
            Input::Judged { id, verdict } => self.advance(id, Outcome::Judged(verdict), actions),
            Input::Timer { id } => self.fall_back(id, actions),
            Input::Behave(policy) => self.policy = *policy,
        }
        self.take_up(actions);
    }

    fn event(&mut self, id: u64, question: &Question, draw: u64, actions: &mut Vec<Action>) {
        let class = question.class;
        let keep = |verdict, approval| self.policy.keeps(class, verdict, approval);
        let answer = |verdict, approval| {
            let keep = keep(verdict, approval);
            Action::Answer { id, verdict, approval, worker: false, keep }
        };
        let (task, answered) = match self.policy.admit(question, draw) {
            Admission::Answer { verdict, approval } => {
                actions.extend([answer(verdict, approval), Action::Settled { id }]);
                return;
            }
            Admission::AnswerThenWork { verdict, approval, task } => {
                actions.push(answer(verdict, approval));
                if self.pending.len() >= self.queue_max {
                    actions.push(Action::Settled { id });
                    return;
                }
                (task, true)
            }
            Admission::Work { .. } if self.pending.len() >= self.queue_max => {
                actions.extend([answer(Verdict::Allow, Approval::QueueFull), Action::Settled { id }]);
                return;
            }
            Admission::Work { task, answer_by } => {
                actions.extend(answer_by.map(|at| Action::Arm { id, at }));
                (task, false)
            }
        };
        self.enqueue(id, Pending { task, class, answered, under_way: false });
    }

    /// What is not asked waits for a worker like all else, in a queue of its own length: beyond that it is not begun,
    /// and settled at once.
    fn on_notify(&mut self, id: u64, class: SubjectClass, task: Task, actions: &mut Vec<Action>) {
        if self.queue.len() >= 2 * self.queue_max {
            return actions.push(Action::Settled { id });
        }
        self.enqueue(id, Pending { task, class, answered: true, under_way: false });
    }

    fn enqueue(&mut self, id: u64, pending: Pending) {
        let fresh = self.pending.insert(id, pending).is_none();
        assert!(fresh, "an event has a name of its own");
        self.queue.push_back(id);
    }

    fn take_up(&mut self, actions: &mut Vec<Action>) {
        while self.busy < self.policy.behavior().concurrency.get() {
            let Some(id) = self.queue.pop_front() else { return };
            if let Some(pending) = self.pending.get_mut(&id) {
                pending.under_way = true;
            }
            self.busy += 1;
            actions.push(Action::Start { id });
            self.advance(id, Outcome::Begin, actions);
        }
    }

    fn advance(&mut self, id: u64, mut last: Outcome, actions: &mut Vec<Action>) {
        let Some(pending) = self.pending.get_mut(&id).filter(|pending| pending.under_way) else { return };
        loop {
            match pending.task.step(last) {
                Step::Wait(span) => return actions.push(Action::Wait { id, span }),
                Step::Burn(span) => return actions.push(Action::Burn { id, span }),
                Step::Judge => return actions.push(Action::Judge { id }),
                Step::Inspect { hash } => return actions.push(Action::Inspect { id, hash }),
                Step::Operate(plan) => return actions.push(Action::Operate { id, plan }),
                Step::Ask(ask) => return actions.push(Action::Ask { id, ask }),
                Step::Answer { verdict, approval } => {
                    if !pending.answered {
                        pending.answered = true;
                        let keep = self.policy.keeps(pending.class, verdict, approval);
                        actions.push(Action::Answer { id, verdict, approval, worker: true, keep });
                    }
                    last = Outcome::Finished;
                }
                Step::Done => break,
            }
        }
        assert!(pending.answered, "a task that is done has been answered");
        self.pending.remove(&id);
        self.busy -= 1;
        actions.push(Action::Settled { id });
    }

    /// The budget has run out: answers what nobody has answered. Its task goes on.
    fn fall_back(&mut self, id: u64, actions: &mut Vec<Action>) {
        if let Some(pending) = self.pending.get_mut(&id).filter(|pending| !pending.answered) {
            pending.answered = true;
            let (verdict, approval) = (Verdict::Allow, Approval::DeadlineFallback);
            actions.push(Action::Answer { id, verdict, approval, worker: false, keep: false });
        }
    }
}
