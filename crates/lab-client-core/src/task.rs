//! The work on one decision, step by step and without I/O.

use lab_model::{
    Approval, Behavior, Distribution, Errand, EventKind, ExecProgram, Reaction, Span, Verdict, When, mix,
};

/// The work on one decision, step by step.
///
/// Whoever runs it calls [`Task::step`] with how the last step went and does what comes back, until
/// [`Step::Done`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    reaction: Reaction,
    delay: Distribution<Span>,
    cpu: Distribution<Span>,
    asks: Asks,
    draw: u64,
    stage: Stage,
    answers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Judge,
    Judging,
    AnswerFirst,
    Delay,
    Burn,
    Inspect,
    Reopen,
    Extra(u32),
    Spawn,
    AskHelper,
    AskDaemon(u8),
    Answer,
    Done,
}

/// How the last step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was none: the task begins.
    Begin,
    /// The wait is over, the answer has been handed over, or the content has been read, the operation has
    /// ended or the worker that was asked has replied (well or not).
    Finished,
    /// The path was found out, and the rules' verdict on it.
    Judged(Verdict),
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Let this much time pass.
    Wait(Span),
    /// Find out the path of the event's file, and let the rules judge it: [`Outcome::Judged`].
    Judge,
    /// Keep a processor busy for this much of its time.
    Burn(Span),
    /// Read the content of the event's file through what the kernel handed over with the event, and hash it
    /// if that is wanted. No operation: nobody is asked about it.
    Inspect {
        /// Hash what is read.
        hash: bool,
    },
    /// Make an operation and wait for its end.
    Operate(OperationPlan),
    /// Hand the event's file on to a worker outside the process.
    Ask(Ask),
    /// Answer, unless somebody already has.
    Answer {
        /// The answer.
        verdict: Verdict,
        /// How it came about.
        approval: Approval,
    },
    /// Nothing more.
    Done,
}

/// A request to a worker outside the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Who is asked.
    pub whom: Whom,
    /// The step is finished when the reply is there; otherwise as soon as the request is on its way.
    pub wait: bool,
    /// Seeds what the worker draws.
    pub draw: u64,
}

/// Requests of one client that may wait for its helpers, or for one daemon; what comes beyond is not made.
pub const REQUESTS_MAX: usize = 4096;

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// One of the client's own helpers, whichever is free.
    Helper,
    /// The daemon at this place of [`Behavior::daemons`].
    Daemon(u8),
}

/// Whom a task asks before it is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asks {
    /// A helper, and whether to wait for it.
    helper: Option<bool>,
    /// The daemons, by place, as bits.
    daemons: u16,
    /// Those that are waited for, as bits.
    waits: u16,
}

impl Asks {
    /// Whom a behaviour asks about an event.
    #[must_use]
    pub fn about(behavior: &Behavior, event: EventKind) -> Asks {
        let helpers = behavior.helpers.as_ref().filter(|helpers| helpers.on.contains(event));
        let mut asks = Asks { helper: helpers.map(|helpers| helpers.wait), ..Asks::default() };
        for (place, asked) in (0..u16::BITS).zip(&behavior.daemons) {
            if asked.on.contains(event) {
                asks.daemons |= 1 << place;
                asks.waits |= u16::from(asked.wait) << place;
            }
        }
        asks
    }

    /// True when nobody is asked.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.helper.is_none() && self.daemons == 0
    }
}

/// An operation of the client's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationPlan {
    /// The file to open, or the program to run.
    pub target: PlannedTarget,
    /// Read it from start to end once it is open.
    pub read: bool,
    /// Hash what is read.
    pub hash: bool,
}

/// A file to open, or a program to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlannedTarget {
    /// The one that the decision is about.
    Same,
    /// Another of the arena: this number, modulo how many there are.
    Other(u64),
    /// A program of the arena, which is run and not opened.
    Program(ExecProgram),
}

impl Task {
    /// A task that ends with the answer.
    #[must_use]
    pub fn before_answer(reaction: Reaction, delay: Distribution<Span>, draw: u64) -> Task {
        Task::new(reaction, delay, draw, Stage::Delay, true)
    }

    /// A task that first has the rules judge the event's path. A denial is answered at once and ends it.
    #[must_use]
    pub fn judged(reaction: Reaction, delay: Distribution<Span>, draw: u64) -> Task {
        Task::new(reaction, delay, draw, Stage::Judge, true)
    }

    /// A task for a decision that has been answered.
    #[must_use]
    pub fn after_answer(reaction: Reaction, delay: Distribution<Span>, draw: u64) -> Task {
        Task::new(reaction, delay, draw, Stage::Delay, false)
    }

    fn new(reaction: Reaction, delay: Distribution<Span>, draw: u64, stage: Stage, answers: bool) -> Task {
        Task { reaction, delay, draw, cpu: NO_TIME, asks: Asks::default(), stage, answers }
    }

    /// What a worker outside the client does for a request: the errand, and no answer to the kernel.
    #[must_use]
    pub fn errand(errand: &Errand, draw: u64) -> Task {
        Task::after_answer(errand.reaction(), errand.delay, draw).burning(errand.cpu)
    }

    /// The task, asking these workers after its own operations.
    #[must_use]
    pub fn asking(self, asks: Asks) -> Task {
        Task { asks, ..self }
    }

    /// The task, keeping a processor busy this long after its delay.
    #[must_use]
    pub fn burning(self, cpu: Distribution<Span>) -> Task {
        Task { cpu, ..self }
    }

    /// True for a task that begins with [`Step::Judge`].
    #[must_use]
    pub const fn judges(&self) -> bool {
        matches!(self.stage, Stage::Judge)
    }

    /// True when this task is the one to answer.
    #[must_use]
    pub const fn answers(&self) -> bool {
        self.answers
    }

    /// Takes note of how the last step went and says what to do next.
    ///
    /// An operation that failed does not change what follows: a client must answer all the same.
    #[expect(clippy::too_many_lines, reason = "one state machine, an arm a stage")]
    pub fn step(&mut self, last: Outcome) -> Step {
        loop {
            match self.stage {
                Stage::Judge => {
                    self.stage = Stage::Judging;
                    return Step::Judge;
                }
                Stage::Judging if last == Outcome::Judged(Verdict::Deny) => {
                    self.stage = Stage::Done;
                    return Step::Answer { verdict: Verdict::Deny, approval: Approval::Rule };
                }
                // A path that cannot be told is allowed, as is one that the rules allow.
                Stage::Judging => self.stage = Stage::AnswerFirst,
                Stage::AnswerFirst => {
                    self.stage = Stage::Delay;
                    if self.reaction.when == When::After {
                        self.answers = false;
                        return Step::Answer { verdict: Verdict::Allow, approval: Approval::Rule };
                    }
                }
                Stage::Delay => {
                    self.stage = Stage::Burn;
                    let delay = self.delay.draw(drawn(self.draw, DELAY_PLACE));
                    if !delay.is_zero() {
                        return Step::Wait(delay);
                    }
                }
                Stage::Burn => {
                    self.stage = Stage::Inspect;
                    let cpu = self.cpu.draw(drawn(self.draw, CPU_PLACE));
                    if !cpu.is_zero() {
                        return Step::Burn(cpu);
                    }
                }
                Stage::Inspect => {
                    self.stage = Stage::Reopen;
                    if self.reaction.inspects() {
                        return Step::Inspect { hash: self.reaction.hash };
                    }
                }
                Stage::Reopen => {
                    self.stage = Stage::Extra(0);
                    if self.reaction.reopen {
                        return self.operate(PlannedTarget::Same);
                    }
                }
                Stage::Extra(done) if done < self.reaction.extra_opens => {
                    self.stage = Stage::Extra(done + 1);
                    return self.operate(PlannedTarget::Other(drawn(self.draw, done)));
                }
                Stage::Extra(_) => self.stage = Stage::Spawn,
                Stage::Spawn => {
                    self.stage = Stage::AskHelper;
                    if let Some(program) = self.reaction.spawn {
                        let target = PlannedTarget::Program(program);
                        return Step::Operate(OperationPlan { target, read: false, hash: false });
                    }
                }
                Stage::AskHelper => {
                    self.stage = Stage::AskDaemon(0);
                    if let Some(wait) = self.asks.helper {
                        return self.ask(Whom::Helper, wait);
                    }
                }
                Stage::AskDaemon(place) => {
                    let left = self.asks.daemons.checked_shr(u32::from(place)).unwrap_or(0);
                    if left == 0 {
                        self.stage = Stage::Answer;
                        continue;
                    }
                    self.stage = Stage::AskDaemon(place + 1);
                    if left & 1 == 1 {
                        return self.ask(Whom::Daemon(place), self.asks.waits >> place & 1 == 1);
                    }
                }
                Stage::Answer => {
                    self.stage = Stage::Done;
                    if self.answers {
                        return Step::Answer { verdict: Verdict::Allow, approval: Approval::Rule };
                    }
                }
                Stage::Done => return Step::Done,
            }
        }
    }

    fn ask(&self, whom: Whom, wait: bool) -> Step {
        let place = match whom {
            Whom::Helper => 0,
            Whom::Daemon(place) => 1 + u32::from(place),
        };
        Step::Ask(Ask { whom, wait, draw: drawn(!self.draw, place) })
    }

    fn operate(&self, target: PlannedTarget) -> Step {
        Step::Operate(OperationPlan { target, read: self.reaction.read, hash: self.reaction.hash })
    }
}

const NO_TIME: Distribution<Span> = Distribution::Fixed(Span::from_nanos(0));

/// Where the time of a task is drawn: behind all extra files.
const DELAY_PLACE: u32 = u32::MAX;
const CPU_PLACE: u32 = u32::MAX - 1;

/// A number drawn from a seed and a place.
fn drawn(seed: u64, place: u32) -> u64 {
    mix(seed.wrapping_add(u64::from(place).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15)))
}

#[cfg(test)]
mod tests {
    use lab_model::{AuthEvent, Preset, Via};

    use super::*;

    fn steps(task: Task) -> Vec<String> {
        steps_judged(task, Verdict::Allow)
    }

    fn steps_judged(mut task: Task, verdict: Verdict) -> Vec<String> {
        let mut found = Vec::new();
        let mut last = Outcome::Begin;
        loop {
            let step = task.step(last);
            last = if step == Step::Judge { Outcome::Judged(verdict) } else { Outcome::Finished };
            found.push(match step {
                Step::Wait(span) => format!("wait {span}"),
                Step::Judge => "judge".to_owned(),
                Step::Burn(span) => format!("burn {span}"),
                Step::Inspect { hash: false } => "inspect".to_owned(),
                Step::Inspect { hash: true } => "inspect and hash".to_owned(),
                Step::Operate(OperationPlan { target: PlannedTarget::Same, .. }) => "reopen".to_owned(),
                Step::Operate(OperationPlan { target: PlannedTarget::Program(_), .. }) => "spawn".to_owned(),
                Step::Operate(_) => "extra".to_owned(),
                Step::Ask(Ask { whom, wait, .. }) => {
                    let whom = match whom {
                        Whom::Helper => "helper".to_owned(),
                        Whom::Daemon(place) => format!("daemon {place}"),
                    };
                    format!("{} {whom}", if wait { "await" } else { "tell" })
                }
                Step::Answer { verdict: Verdict::Deny, .. } => "deny".to_owned(),
                Step::Answer { .. } => "answer".to_owned(),
                Step::Done => return found,
            });
        }
    }

    #[test]
    fn presets_step_by_step() {
        let of = |preset: Preset| {
            steps(Task::before_answer(preset.behavior().reactions[AuthEvent::Open], NO_TIME, 1))
        };
        assert_eq!(of(Preset::Noop), ["answer"]);
        assert_eq!(of(Preset::Scanner), ["reopen", "answer"]);
        assert_eq!(of(Preset::Pathological), ["reopen", "extra", "extra", "extra", "extra", "answer"]);
    }

    #[test]
    fn the_rules_come_first_and_a_denial_ends_the_task() {
        let before = Preset::Scanner.behavior().reactions[AuthEvent::Open];
        let judged = |reaction| Task::judged(reaction, NO_TIME, 1);
        assert_eq!(steps(judged(before)), ["judge", "reopen", "answer"]);
        assert_eq!(steps_judged(judged(before), Verdict::Deny), ["judge", "deny"]);
        let after = Reaction { when: When::After, ..before };
        assert_eq!(steps(judged(after)), ["judge", "answer", "reopen"]);
        assert_eq!(steps_judged(judged(after), Verdict::Deny), ["judge", "deny"]);
        let untold = [Outcome::Begin, Outcome::Finished].map(|last| judged(before).step(last));
        assert_eq!(untold[0], Step::Judge);
    }

    #[test]
    fn content_behind_the_descriptor_is_read_without_an_operation() {
        let reaction = Reaction { read: true, via: Via::Descriptor, extra_opens: 1, ..Reaction::none() };
        let task = Task::before_answer(reaction, Span::from_millis(3).into(), 1);
        assert_eq!(steps(task), ["wait 3ms", "inspect", "extra", "answer"]);
        let busy = task.burning(Span::from_millis(2).into());
        assert_eq!(steps(busy), ["wait 3ms", "burn 2ms", "inspect", "extra", "answer"]);
    }

    #[test]
    fn workers_are_asked_after_the_own_operations_in_the_files_order() {
        use lab_model::{AskedDaemon, AuthEvents, Helpers, Preset};
        let errand = Errand { open: true, ..Errand::none() };
        let asked = |on, wait| AskedDaemon { daemon: "indexer".parse().unwrap(), on, wait };
        let behavior = Behavior {
            helpers: Some(Helpers { count: 2, errand, on: AuthEvents::of(AuthEvent::Open), wait: true }),
            daemons: vec![asked(AuthEvents::of(AuthEvent::Exec), true), asked(AuthEvents::ALL, false)],
            ..Preset::Scanner.behavior()
        };
        let of = |event| {
            let asks = Asks::about(&behavior, event);
            assert!(!asks.is_none());
            steps(Task::before_answer(behavior.reactions[AuthEvent::Open], NO_TIME, 1).asking(asks))
        };
        assert_eq!(of(EventKind::AUTH_OPEN), ["reopen", "await helper", "tell daemon 1", "answer"]);
        assert_eq!(of(EventKind::AUTH_EXEC), ["reopen", "await daemon 0", "tell daemon 1", "answer"]);
        let last = vec![asked(AuthEvents::ALL, true); AskedDaemon::COUNT_MAX];
        let asks = Asks::about(&Behavior { daemons: last, ..Behavior::noop() }, EventKind::AUTH_OPEN);
        let found = steps(Task::after_answer(Reaction::none(), NO_TIME, 1).asking(asks));
        assert_eq!(found.len(), AskedDaemon::COUNT_MAX, "all sixteen, and no answer: {found:?}");
    }

    #[test]
    fn an_errand_is_a_task_without_an_answer() {
        let errand = Errand {
            open: true,
            read: true,
            extra_opens: 1,
            delay: Span::from_millis(3).into(),
            ..Errand::none()
        };
        assert_eq!(steps(Task::errand(&errand, 1)), ["wait 3ms", "reopen", "extra"]);
    }

    #[test]
    fn a_program_is_run_after_the_opens_and_what_is_read_can_be_hashed() {
        let spawn = Some(ExecProgram::Static);
        let reaction =
            Reaction { extra_opens: 1, spawn, ..Preset::Scanner.behavior().reactions[AuthEvent::Open] };
        assert_eq!(steps(Task::before_answer(reaction, NO_TIME, 1)), ["reopen", "extra", "spawn", "answer"]);
        assert_eq!((reaction.opens(), reaction.operations()), (2, 3));
        let reaction = Reaction { read: true, hash: true, via: Via::Descriptor, ..Reaction::none() };
        assert_eq!(steps(Task::before_answer(reaction, NO_TIME, 1)), ["inspect and hash", "answer"]);
        let alone = Reaction { spawn, when: When::After, ..Reaction::none() };
        assert_eq!(steps(Task::after_answer(alone, NO_TIME, 1)), ["spawn"]);
    }

    #[test]
    fn time_is_drawn_once_for_each_task_and_follows_from_its_seed() {
        let drawn = Distribution::Uniform(Span::from_millis(1), Span::from_millis(5));
        let times = |seed| {
            let task = Task::before_answer(Reaction::none(), drawn, seed).burning(drawn);
            steps(task)
        };
        assert_eq!(times(7), times(7));
        assert_ne!(times(7), times(8));
        assert_eq!(times(7).len(), 3);
        assert_ne!(times(7)[0].strip_prefix("wait"), times(7)[1].strip_prefix("burn"), "each draws its own");
    }

    #[test]
    fn after_the_answer_there_is_no_second_one() {
        let task = Task::after_answer(
            Preset::Scanner.behavior().reactions[AuthEvent::Open],
            Span::from_millis(3).into(),
            1,
        );
        assert_eq!(steps(task), ["wait 3ms", "reopen"]);
    }

    #[test]
    fn extra_files_follow_from_the_seed() {
        let reaction = Preset::Pathological.behavior().reactions[AuthEvent::Open];
        let targets = |draw| {
            let mut task = Task::before_answer(reaction, NO_TIME, draw);
            (0..5).map(|_| task.step(Outcome::Finished)).collect::<Vec<_>>()
        };
        assert_eq!(targets(7), targets(7));
        assert_ne!(targets(7), targets(8));
    }
}
