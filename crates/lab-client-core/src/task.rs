use lab_model::{Approval, Reaction, Span, Verdict, When};

/// The work on one decision, step by step.
///
/// Whoever runs it calls [`Task::step`] with how the last step went and does what comes back, until
/// [`Step::Done`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    reaction: Reaction,
    delay: Span,
    cpu: Span,
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
    Answer,
    Done,
}

/// How the last step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was none: the task begins.
    Begin,
    /// The wait is over, the answer has been handed over, or the content has been read or the operation has
    /// ended (well or not).
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
    /// Read the content of the event's file through what the kernel handed over with the event. No
    /// operation: nobody is asked about it.
    Inspect,
    /// Make an operation and wait for its end.
    Operate(OperationPlan),
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

/// An operation of the client's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationPlan {
    /// The file to open.
    pub target: PlannedTarget,
    /// Read it from start to end once it is open.
    pub read: bool,
}

/// A file to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlannedTarget {
    /// The one that the decision is about.
    Same,
    /// Another of the arena: this number, modulo how many there are.
    Other(u64),
}

impl Task {
    /// A task that ends with the answer.
    #[must_use]
    pub fn before_answer(reaction: Reaction, delay: Span, draw: u64) -> Task {
        Task { reaction, delay, draw, cpu: Span::default(), stage: Stage::Delay, answers: true }
    }

    /// A task that first has the rules judge the event's path. A denial is answered at once and ends it.
    #[must_use]
    pub fn judged(reaction: Reaction, delay: Span, draw: u64) -> Task {
        Task { reaction, delay, draw, cpu: Span::default(), stage: Stage::Judge, answers: true }
    }

    /// A task for a decision that has been answered.
    #[must_use]
    pub fn after_answer(reaction: Reaction, delay: Span, draw: u64) -> Task {
        Task { reaction, delay, draw, cpu: Span::default(), stage: Stage::Delay, answers: false }
    }

    /// The task, keeping a processor busy this long after its delay.
    #[must_use]
    pub fn burning(self, cpu: Span) -> Task {
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
                    if !self.delay.is_zero() {
                        return Step::Wait(self.delay);
                    }
                }
                Stage::Burn => {
                    self.stage = Stage::Inspect;
                    if !self.cpu.is_zero() {
                        return Step::Burn(self.cpu);
                    }
                }
                Stage::Inspect => {
                    self.stage = Stage::Reopen;
                    if self.reaction.inspects() {
                        return Step::Inspect;
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
                    return self.operate(PlannedTarget::Other(mix(self.draw, done)));
                }
                Stage::Extra(_) => self.stage = Stage::Answer,
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

    fn operate(&self, target: PlannedTarget) -> Step {
        Step::Operate(OperationPlan { target, read: self.reaction.read })
    }
}

/// A number drawn from a seed and a place: the finaliser of SplitMix64.
fn mix(seed: u64, place: u32) -> u64 {
    let mut z = seed.wrapping_add(u64::from(place).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use lab_model::{Preset, Via};

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
                Step::Inspect => "inspect".to_owned(),
                Step::Operate(OperationPlan { target: PlannedTarget::Same, .. }) => "reopen".to_owned(),
                Step::Operate(_) => "extra".to_owned(),
                Step::Answer { verdict: Verdict::Deny, .. } => "deny".to_owned(),
                Step::Answer { .. } => "answer".to_owned(),
                Step::Done => return found,
            });
        }
    }

    #[test]
    fn presets_step_by_step() {
        let of = |preset: Preset| steps(Task::before_answer(preset.behavior().on_open, Span::default(), 1));
        assert_eq!(of(Preset::Noop), ["answer"]);
        assert_eq!(of(Preset::Scanner), ["reopen", "answer"]);
        assert_eq!(of(Preset::Pathological), ["reopen", "extra", "extra", "extra", "extra", "answer"]);
    }

    #[test]
    fn the_rules_come_first_and_a_denial_ends_the_task() {
        let before = Preset::Scanner.behavior().on_open;
        let judged = |reaction| Task::judged(reaction, Span::default(), 1);
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
        let task = Task::before_answer(reaction, Span::from_millis(3), 1);
        assert_eq!(steps(task), ["wait 3ms", "inspect", "extra", "answer"]);
        let busy = task.burning(Span::from_millis(2));
        assert_eq!(steps(busy), ["wait 3ms", "burn 2ms", "inspect", "extra", "answer"]);
    }

    #[test]
    fn after_the_answer_there_is_no_second_one() {
        let task = Task::after_answer(Preset::Scanner.behavior().on_open, Span::from_millis(3), 1);
        assert_eq!(steps(task), ["wait 3ms", "reopen"]);
    }

    #[test]
    fn extra_files_follow_from_the_seed() {
        let reaction = Preset::Pathological.behavior().on_open;
        let targets = |draw| {
            let mut task = Task::before_answer(reaction, Span::default(), draw);
            (0..5).map(|_| task.step(Outcome::Finished)).collect::<Vec<_>>()
        };
        assert_eq!(targets(7), targets(7));
        assert_ne!(targets(7), targets(8));
    }
}
