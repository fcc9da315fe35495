//! Runs the handler against the fake machine under thousands of random schedules, and under real threads.
//!
//! The contract: every AUTH event that reaches the client is answered exactly once, in the right form; every
//! retained message is released; an answer after the deadline leaves a record that says so; nothing that was
//! dropped stays unnoticed; and a panic in the client's code breaks none of it.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use lab_backend_es::{
    Answer, Cache, Delivery, Facts, Gap, Grounds, Message, MessageHandler, MutePlan, Observer, Question,
    Scope, Watch,
    fake::{DEFAULT_MUTED_EXECUTABLE, DEFAULT_MUTED_TARGET, FakeEvent, FakeMachine, FakeResponder, Fate},
    start,
};
use lab_model::{EventKind, FileId, NotifyEvent, ThreadId, Verdict};

/// Steele and Vigna's SplitMix64: a whole schedule from one seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }
}

#[derive(Default)]
struct Book {
    /// Answers by global sequence number, which names the event.
    answers: Mutex<BTreeMap<u64, Vec<(Facts, Answer)>>>,
    gaps: Mutex<Vec<Gap>>,
    panics: Mutex<u64>,
}

impl Observer for Book {
    fn answered(&self, facts: &Facts, answer: &Answer) {
        let number = facts.sequence_of_all.unwrap();
        self.answers.lock().unwrap().entry(number).or_default().push((*facts, *answer));
    }

    fn lost(&self, gap: &Gap) {
        self.gaps.lock().unwrap().push(*gap);
    }

    fn panicked(&self, _: &Facts) {
        *self.panics.lock().unwrap() += 1;
    }
}

type TestQuestion = Question<FakeResponder, Book>;

const KINDS: [EventKind; 5] = [
    EventKind::AUTH_OPEN,
    EventKind::AUTH_EXEC,
    EventKind::Notify(NotifyEvent::Exec),
    EventKind::Notify(NotifyEvent::Fork),
    EventKind::Notify(NotifyEvent::Exit),
];

fn fake_event(kind: EventKind, path: &str, window: u64) -> FakeEvent {
    let has_target =
        !matches!(kind, EventKind::Notify(NotifyEvent::Fork) | EventKind::Notify(NotifyEvent::Exit));
    FakeEvent {
        kind,
        subject: ThreadId { pid: 100, tid: 1000, generation: 1 },
        executable: b"/usr/local/bin/driver".to_vec(),
        target: has_target.then(|| (path.as_bytes().to_vec(), FileId { device: 1, inode: 2 })),
        made: None,
        modified: None,
        window,
    }
}

/// Keeps the default hook from printing the panics that the schedules plan.
fn silence_planned_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() != Some(&"planned") {
            usual(info);
        }
    }));
}

struct Totals {
    late: u64,
    abandoned: u64,
    dropped: u64,
    orphaned: u64,
    lost_races: u64,
}

/// Runs one schedule and checks the whole contract at its end.
#[expect(clippy::too_many_lines, reason = "one schedule from its beginning to its end")]
fn run_schedule(seed: u64, totals: &mut Totals) {
    let mut dice = Dice(seed);
    let machine = FakeMachine::new(1 + dice.below(40));
    let (mut connection, responder) = machine.connect();
    let handler = MessageHandler::new(Book::default());
    handler.open(responder);
    start(&mut connection, &MutePlan::new(&Scope::System, &[], &[]).unwrap(), &KINDS).unwrap();

    let mut open: Vec<(TestQuestion, Watch<FakeResponder, Book>)> = Vec::new();
    let mut fired: Vec<Watch<FakeResponder, Book>> = Vec::new();
    let (mut planned_panics, mut lost_races, mut questions, mut dropped) = (0, 0, 0, 0);
    for _ in 0..20 + dice.below(200) {
        match dice.below(100) {
            0..35 => {
                let kind = KINDS[dice.below(KINDS.len())];
                let window = 1 + dice.next() % 300;
                let number = machine.happen(fake_event(kind, "/arena/file", window)).unwrap();
                let is_question = matches!(kind, EventKind::AUTH_OPEN | EventKind::AUTH_EXEC);
                dropped += u64::from(is_question && machine.fate(number) == Some(Fate::QueueFull));
            }
            35..65 => {
                let Some(message) = machine.deliver() else { continue };
                let panics = dice.below(12) == 0;
                planned_panics += u64::from(panics);
                handler.handle(message, Cache::Off, |delivery| {
                    if let Delivery::Question(question) = delivery {
                        questions += 1;
                        let watch = question.watch();
                        if panics {
                            panic!("planned");
                        }
                        open.push((question, watch));
                    } else if panics {
                        panic!("planned");
                    }
                });
            }
            65..85 if !open.is_empty() => {
                let (question, watch) = open.swap_remove(dice.below(open.len()));
                let verdict = if dice.below(5) == 0 { Verdict::Deny } else { Verdict::Allow };
                let twin = question.clone();
                let first = question.answer(verdict);
                if first.is_none() {
                    lost_races += 1;
                }
                assert_eq!(twin.answer(Verdict::Deny), None, "seed {seed}");
                drop((question, twin));
                assert_eq!(watch.expire(Verdict::Allow), None, "seed {seed}");
            }
            85..90 if !open.is_empty() => {
                // A worker dies with the question in its hands.
                let (question, watch) = open.swap_remove(dice.below(open.len()));
                drop(question);
                fired.push(watch);
            }
            90..95 if !open.is_empty() => {
                // The budget runs out while the worker is still at it.
                let (_, watch) = &open[dice.below(open.len())];
                let _first_or_not = watch.expire(Verdict::Allow);
            }
            _ => machine.advance(dice.next() % 60),
        }
    }
    for watch in fired {
        assert_eq!(watch.expire(Verdict::Allow), None, "seed {seed}: an abandoned question has its answer");
    }
    let still_open = handler.outstanding();
    let closes_first = dice.below(3) == 0;
    if !closes_first {
        while let Some(message) = machine.deliver() {
            handler.handle(message, Cache::Off, |delivery| {
                questions += usize::from(matches!(delivery, Delivery::Question(_)));
            });
        }
        open.clear();
        assert_eq!(handler.outstanding(), 0, "seed {seed}");
    }
    let (responder, outstanding) = handler.close();
    assert!(!closes_first || outstanding == still_open, "seed {seed}");
    connection.delete(responder);
    open.clear();
    assert_eq!(handler.outstanding(), 0, "seed {seed}");
    assert_eq!(
        handler.observer().answers.lock().unwrap().len(),
        questions,
        "seed {seed}: a question without a record"
    );
    check(seed, &machine, &handler, (planned_panics, dropped), totals);
    totals.lost_races += lost_races;
}

fn check(
    seed: u64,
    machine: &FakeMachine,
    handler: &Arc<MessageHandler<FakeResponder, Book>>,
    (planned_panics, dropped): (u64, u64),
    totals: &mut Totals,
) {
    let tally = machine.tally();
    assert_eq!(tally.retained, tally.released, "seed {seed}: a message leaked");
    assert_eq!(*handler.observer().panics.lock().unwrap(), planned_panics, "seed {seed}");

    let answers = handler.observer().answers.lock().unwrap();
    let (mut arrived, mut refused) = (0, 0);
    for (number, answers) in answers.iter() {
        assert_eq!(answers.len(), 1, "seed {seed}: event {number} was answered {} times", answers.len());
        let (facts, answer) = answers[0];
        assert!(facts.is_question, "seed {seed}: a notice was answered");
        let index = usize::try_from(*number).unwrap();
        match (machine.fate(index).unwrap(), answer.result) {
            (Fate::Answered(verdict), Ok(())) => {
                arrived += 1;
                assert_eq!(verdict, answer.verdict, "seed {seed}");
                assert!(!answer.is_late(&facts), "seed {seed}: a late answer arrived");
            }
            (Fate::DeadlineMissed, Err(_)) => {
                let gone = answer.result == Err(lab_backend_es::RespondError::Closed);
                assert!(answer.is_late(&facts) || gone, "seed {seed}: a late answer without a record");
                totals.late += 1;
                refused += u64::from(!gone);
            }
            (Fate::ClientGone, Err(error)) => {
                assert_eq!(error, lab_backend_es::RespondError::Closed, "seed {seed}");
            }
            other => panic!("seed {seed}: event {number} ended as {other:?}"),
        }
        totals.abandoned += u64::from(answer.grounds == Grounds::Abandoned);
    }
    assert_eq!(tally.answered, arrived, "seed {seed}");
    assert_eq!(tally.refused, refused, "seed {seed}: the kernel saw a second or a wrong answer");
    let settled = tally.answered + tally.missed + tally.orphaned + dropped;
    assert_eq!(settled, tally.asked, "seed {seed}: a question has no end, or two");
    totals.dropped += tally.dropped;
    totals.orphaned += tally.orphaned;
}

#[test]
fn thousands_of_random_schedules_keep_the_contract() {
    silence_planned_panics();
    let mut totals = Totals { late: 0, abandoned: 0, dropped: 0, orphaned: 0, lost_races: 0 };
    for seed in 0..5_000 {
        run_schedule(seed, &mut totals);
    }
    // A schedule that never gets into trouble would prove nothing.
    assert!(totals.late > 1_000, "{}", totals.late);
    assert!(totals.abandoned > 1_000, "{}", totals.abandoned);
    assert!(totals.dropped > 100, "{}", totals.dropped);
    assert!(totals.orphaned > 1_000, "{}", totals.orphaned);
    assert!(totals.lost_races > 1_000, "{}", totals.lost_races);
}

#[test]
fn threads_that_race_for_one_question_send_one_answer() {
    const ROUNDS: usize = 20_000;
    let machine = FakeMachine::new(1);
    let (mut connection, responder) = machine.connect();
    let handler = MessageHandler::new(Book::default());
    handler.open(responder);
    start(&mut connection, &MutePlan::new(&Scope::System, &[], &[]).unwrap(), &KINDS).unwrap();
    let mut questions: Vec<TestQuestion> = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        machine.happen(fake_event(EventKind::AUTH_OPEN, "/arena/file", 1_000)).unwrap();
        handler.handle(machine.deliver().unwrap(), Cache::Off, |delivery| {
            if let Delivery::Question(question) = delivery {
                questions.push(question);
            }
        });
    }
    // Both threads meet before each question: the one that waits spins, so that they leave together.
    let arrivals = AtomicUsize::new(0);
    let race = |answers: &(dyn Fn(&TestQuestion) -> bool + Sync)| -> usize {
        let mut wins = 0;
        for (round, question) in questions.iter().enumerate() {
            arrivals.fetch_add(1, Ordering::AcqRel);
            let mut spins = 0_u32;
            while arrivals.load(Ordering::Acquire) < 2 * (round + 1) {
                spins += 1;
                if spins.is_multiple_of(1_000) {
                    std::thread::yield_now();
                }
                std::hint::spin_loop();
            }
            wins += usize::from(answers(question));
        }
        wins
    };
    let wins: usize = std::thread::scope(|scope| {
        let worker = scope.spawn(|| race(&|question| question.answer(Verdict::Allow).is_some()));
        let timer = scope.spawn(|| race(&|question| question.watch().expire(Verdict::Deny).is_some()));
        [worker, timer].map(|thread| thread.join().unwrap()).iter().sum()
    });
    assert_eq!(wins, ROUNDS);
    drop(questions);
    let tally = machine.tally();
    assert_eq!((tally.answered, tally.refused, handler.outstanding()), (ROUNDS as u64, 0, 0));
    assert_eq!(tally.retained, tally.released);
}

#[test]
fn a_connection_is_never_deleted_under_an_answer() {
    for _ in 0..500 {
        let machine = FakeMachine::new(64);
        let (mut connection, responder) = machine.connect();
        let handler = MessageHandler::new(Book::default());
        handler.open(responder);
        start(&mut connection, &MutePlan::new(&Scope::System, &[], &[]).unwrap(), &KINDS).unwrap();
        let mut open: Vec<TestQuestion> = Vec::new();
        for _ in 0..32 {
            machine.happen(fake_event(EventKind::AUTH_EXEC, "/arena/program", 1_000)).unwrap();
            handler.handle(machine.deliver().unwrap(), Cache::Off, |delivery| {
                if let Delivery::Question(question) = delivery {
                    open.push(question);
                }
            });
        }
        let gate = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                gate.wait();
                for question in open.drain(..) {
                    question.answer(Verdict::Allow).unwrap();
                }
            });
            gate.wait();
            let (responder, _) = handler.close();
            connection.delete(responder);
        });
        let tally = machine.tally();
        assert_eq!(tally.refused, 0, "an answer reached a deleted connection");
        assert_eq!(tally.answered + tally.orphaned, 32);
        assert_eq!(handler.observer().answers.lock().unwrap().len(), 32);
    }
}

#[test]
fn a_confined_client_sees_the_arena_and_the_process_tree_only() {
    let machine = FakeMachine::new(64);
    let (mut connection, _responder) = machine.connect();
    let words = [0, 0, 0, 0, 0, 555, 0, 2];
    let scope = Scope::Arena(b"/private/lab".to_vec());
    let plan = MutePlan::new(&scope, &[b"/opt/lab/helper".to_vec()], &[words]).unwrap();
    start(&mut connection, &plan, &KINDS).unwrap();

    let sees = |fake_event: FakeEvent| machine.happen(fake_event).is_some();
    assert!(sees(fake_event(EventKind::AUTH_OPEN, "/private/lab/files/1", 10)));
    assert!(sees(fake_event(EventKind::AUTH_EXEC, "/private/lab/program", 10)));
    assert!(!sees(fake_event(EventKind::AUTH_OPEN, "/private/lab-of-somebody-else/1", 10)));
    assert!(!sees(fake_event(EventKind::AUTH_OPEN, "/etc/passwd", 10)));
    let protected = String::from_utf8(DEFAULT_MUTED_TARGET.to_vec()).unwrap() + "x";
    assert!(!sees(fake_event(EventKind::AUTH_OPEN, &protected, 10)), "the default set would be selected");
    assert!(
        sees(fake_event(EventKind::Notify(NotifyEvent::Fork), "", 10)),
        "forks have no target to be muted by"
    );
    let helper = FakeEvent {
        executable: b"/opt/lab/helper".to_vec(),
        ..fake_event(EventKind::AUTH_OPEN, "/private/lab/1", 10)
    };
    assert!(!sees(helper));
    let watchdog = FakeEvent {
        executable: DEFAULT_MUTED_EXECUTABLE.to_vec(),
        ..fake_event(EventKind::AUTH_OPEN, "/private/lab/1", 10)
    };
    assert!(!sees(watchdog), "the system's own watchdogs stay muted");
    let muted = ThreadId { pid: 555, tid: 1, generation: 2 };
    assert!(!sees(FakeEvent { subject: muted, ..fake_event(EventKind::AUTH_OPEN, "/private/lab/1", 10) }));
    let reused = ThreadId { pid: 555, tid: 1, generation: 3 };
    assert!(sees(FakeEvent { subject: reused, ..fake_event(EventKind::AUTH_OPEN, "/private/lab/1", 10) }));
}

#[test]
fn a_full_queue_shows_as_a_gap_and_a_dropped_tail_does_not() {
    let machine = FakeMachine::new(2);
    let (mut connection, responder) = machine.connect();
    let handler = MessageHandler::new(Book::default());
    handler.open(responder);
    start(&mut connection, &MutePlan::new(&Scope::System, &[], &[]).unwrap(), &KINDS).unwrap();
    let deliver_all = || {
        while let Some(message) = machine.deliver() {
            handler.handle(message, Cache::Off, |_| {});
        }
    };
    for _ in 0..5 {
        machine.happen(fake_event(EventKind::AUTH_OPEN, "/arena/file", 10));
    }
    deliver_all();
    assert_eq!(
        *handler.observer().gaps.lock().unwrap(),
        [],
        "three dropped at the tail: nothing shows it yet"
    );
    machine.happen(fake_event(EventKind::AUTH_OPEN, "/arena/.lab-fence-storm-0", 10));
    deliver_all();
    let gap = Gap { before: EventKind::AUTH_OPEN, of_this_kind: 3, of_all_kinds: 3 };
    assert_eq!(*handler.observer().gaps.lock().unwrap(), [gap]);
    assert_eq!(machine.tally().dropped, 3);
}

#[test]
fn an_answer_carries_what_was_left() {
    let machine = FakeMachine::new(8);
    let (mut connection, responder) = machine.connect();
    let handler = MessageHandler::new(Book::default());
    handler.open(responder);
    start(&mut connection, &MutePlan::new(&Scope::System, &[], &[]).unwrap(), &KINDS).unwrap();
    machine.happen(fake_event(EventKind::AUTH_OPEN, "/arena/file", 100)).unwrap();
    machine.advance(30);
    let message = machine.deliver().unwrap();
    assert_eq!(message.target().unwrap().path, b"/arena/file");
    let mut answer = None;
    handler.handle(message, Cache::Off, |delivery| {
        let Delivery::Question(question) = delivery else { panic!("an AUTH event is a question") };
        machine.advance(50);
        answer = question.answer(Verdict::Allow).map(|answer| (answer, *question.facts()));
    });
    let (answer, facts) = answer.unwrap();
    assert_eq!(facts.window.left(answer.entry), 70);
    assert_eq!(facts.window.left(answer.at), 20);
    assert_eq!(answer.result, Ok(()));
    assert!(!answer.is_late(&facts));
}
