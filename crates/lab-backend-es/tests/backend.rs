//! The backend trait over the fake machine: events go in on one thread, answers come from others.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::sync::{Arc, Mutex, mpsc};

use lab_backend_es::{
    Arena, Cache, EsBackend, MutePlan, Scope, Ticket,
    fake::{FakeEvent, FakeMachine, FakeResponder},
    start,
};
use lab_client_core::{Backend, Disposition, Event, Intake};
use lab_model::{
    AuthEvent, AuthEvents, EventKind, FileId, LifeStep, NotifyEvent, ProcessId, Signature, ThreadId, Verdict,
};
use lab_testing::recording::RecordingIntake;

const KINDS: [EventKind; 3] =
    [EventKind::AUTH_OPEN, EventKind::AUTH_EXEC, EventKind::Notify(NotifyEvent::Fork)];

fn fake_event(kind: EventKind, inode: u64) -> FakeEvent {
    FakeEvent {
        kind,
        subject: ThreadId { pid: 7, tid: 70, generation: 1 },
        executable: b"/usr/local/bin/driver".to_vec(),
        target: (kind != EventKind::Notify(NotifyEvent::Fork))
            .then(|| (format!("/arena/{inode}").into_bytes(), FileId { device: 1, inode })),
        made: None,
        modified: None,
        window: 1_000,
    }
}

/// Keeps every second event for a worker and has the backend answer the others.
struct TestIntake {
    worker: mpsc::Sender<Event<Ticket>>,
    done: mpsc::Sender<Ticket>,
    batch: Vec<Ticket>,
    seen: u64,
    in_batch: u64,
    lost: Arc<Mutex<u64>>,
    errors: Arc<Mutex<Vec<u32>>>,
    panics_at: Option<u64>,
}

impl Intake<Ticket> for TestIntake {
    fn batch(&mut self) {
        self.batch.clear();
        self.in_batch = 0;
    }

    fn event(&mut self, event: &Event<Ticket>) -> Disposition {
        self.seen += 1;
        self.in_batch += 1;
        assert!(self.in_batch <= 1_024, "a batch of {}", self.in_batch);
        assert!(self.panics_at != Some(self.seen), "planned");
        if self.seen.is_multiple_of(2) {
            self.worker.send(*event).unwrap();
            Disposition::Keep
        } else {
            self.batch.push(event.token);
            Disposition::Answer(Verdict::Allow)
        }
    }

    fn answering(&mut self) {}

    fn answered(&mut self, nth: usize, error: u32) {
        if error != 0 {
            self.errors.lock().unwrap().push(error);
        }
        self.done.send(self.batch[nth]).unwrap();
    }

    fn lost(&mut self, events: u64, _: u32) {
        *self.lost.lock().unwrap() += events;
    }
}

/// When the reader starts: before the events come, or after all of them have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    Ready,
    Late,
}

fn feed(machine: &FakeMachine, backend: &EsBackend<FakeResponder>, events: u64) {
    for number in 0..events {
        let kind = KINDS[usize::try_from(number % 3).unwrap()];
        machine.happen(fake_event(kind, number)).unwrap();
        backend.handle(machine.deliver().unwrap(), Cache::Off);
    }
}

struct Outcome {
    machine: FakeMachine,
    backend: Arc<EsBackend<FakeResponder>>,
    lost: u64,
    errors: Vec<u32>,
    reader_survived: bool,
    paths: Vec<Vec<u8>>,
}

/// Runs `events` through a backend for `pending_max` questions, with a reader and a worker of its own.
fn run(events: u64, pending_max: u32, panics_at: Option<u64>, reader: Reader) -> Outcome {
    let machine = FakeMachine::new(usize::try_from(events).unwrap() + 1);
    let (mut connection, responder) = machine.connect();
    let backend = EsBackend::new(pending_max);
    backend.handler().open(responder);
    start(&mut connection, &MutePlan::new(&Scope::System, &[], &[]).unwrap(), &KINDS).unwrap();
    let (worker, work) = mpsc::channel::<Event<Ticket>>();
    let (done, finished) = mpsc::channel::<Ticket>();
    let (lost, errors) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(Vec::new())));
    let mut intake = TestIntake {
        worker,
        done,
        batch: Vec::new(),
        seen: 0,
        in_batch: 0,
        lost: Arc::clone(&lost),
        errors: Arc::clone(&errors),
        panics_at,
    };
    let paths = Mutex::new(Vec::new());
    let reader_survived = std::thread::scope(|scope| {
        let late = reader == Reader::Late;
        if late {
            feed(&machine, &backend, events);
        }
        // The reader owns the intake: when it ends, by a panic too, the channels close and the others end.
        let receiving = &backend;
        let reader = scope.spawn(move || receiving.receive(&mut intake).unwrap());
        scope.spawn(|| {
            for event in work {
                let mut path = Vec::new();
                backend.reopen_path(event.token, &mut path);
                // An error is the reader's panic having answered before.
                let sent = backend.answer(event.token, Verdict::Deny);
                let again = backend.answer(event.token, Verdict::Allow);
                assert!(again.is_err(), "a second answer was sent after {sent:?}");
                if let Some(facts) = backend.file(event.token, &|_| true) {
                    assert_eq!(facts.path.as_deref(), Some(&path[..path.len() - 1]));
                    paths.lock().unwrap().push(path);
                }
                backend.release(event.token);
                assert!(backend.file(event.token, &|_| true).is_none(), "a released ticket still works");
                assert!(backend.answer(event.token, Verdict::Allow).is_err());
            }
        });
        scope.spawn(|| finished.into_iter().for_each(|token| backend.release(token)));
        if !late {
            feed(&machine, &backend, events);
        }
        backend.close();
        reader.join().is_ok()
    });
    let (lost, errors) = (*lost.lock().unwrap(), errors.lock().unwrap().clone());
    let paths = paths.into_inner().unwrap();
    Outcome { machine, backend, lost, errors, reader_survived, paths }
}

#[test]
fn every_event_is_answered_once_and_every_message_released() {
    answered_and_released(Reader::Ready);
}

#[test]
fn a_reader_that_comes_late_gets_batches_of_a_size_it_can_hold() {
    answered_and_released(Reader::Late);
}

fn answered_and_released(reader: Reader) {
    let outcome = run(3_000, 4_000, None, reader);
    let tally = outcome.machine.tally();
    assert!(outcome.reader_survived);
    assert_eq!((tally.asked, tally.answered, tally.refused), (2_000, 2_000, 0));
    assert_eq!((tally.retained, tally.released), (3_000, 3_000));
    assert_eq!(outcome.errors, Vec::<u32>::new());
    assert_eq!((outcome.lost, outcome.backend.counts().abandoned()), (0, 0));
    assert_eq!(outcome.paths.len(), 1_000);
    assert!(outcome.paths.iter().all(|path| path.starts_with(b"/arena/") && path.ends_with(&[0])));
    let mut lives = Vec::new();
    outcome.backend.lives(&mut lives);
    // The forks of this schedule make nobody; one process asks everything, and is told of once.
    let told: Vec<_> = lives.iter().map(|life| (life.step, life.process)).collect();
    assert_eq!(told, [(LifeStep::Seen, ProcessId { pid: 7, version: 1 })]);
    assert_eq!(outcome.backend.handler().outstanding(), 0);
}

#[test]
fn what_does_not_fit_is_allowed_at_once_and_counted() {
    // One place, and nobody who frees it until all have come.
    let outcome = run(3_000, 1, None, Reader::Late);
    let tally = outcome.machine.tally();
    assert_eq!((tally.asked, tally.answered, tally.refused), (2_000, 2_000, 0));
    assert_eq!((tally.retained, tally.released), (3_000, 3_000));
    assert_eq!(outcome.lost, 1_999);
}

#[test]
fn a_panic_of_the_reader_leaves_no_question_unanswered() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() != Some(&"planned") {
            usual(info);
        }
    }));
    let outcome = run(3_000, 4_000, Some(100), Reader::Late);
    let tally = outcome.machine.tally();
    assert!(!outcome.reader_survived, "the panic was planned");
    assert_eq!((tally.asked, tally.answered, tally.refused), (2_000, 2_000, 0));
    assert_eq!((tally.retained, tally.released), (3_000, 3_000));
    assert_eq!(outcome.backend.handler().outstanding(), 0);
}

/// A confined backend that sees opens and execs, and its machine.
fn confined(files: &[&str]) -> (FakeMachine, Arc<EsBackend<FakeResponder>>) {
    let machine = FakeMachine::new(64);
    let backend = EsBackend::new(64);
    let (mut connection, responder) = machine.connect();
    backend.handler().open(responder);
    backend.confined_to(Arena::new(b"/arena", files.iter().map(|file| file.as_bytes().to_vec()).collect()));
    let plan = MutePlan::new(&Scope::Arena(b"/arena".to_vec()), &[], &[]).unwrap();
    start(&mut connection, &plan, &KINDS).unwrap();
    (machine, backend)
}

/// Lets a file be opened or run; true when the client is asked. The question is answered, and kept when `keep` says so.
fn asked(
    machine: &FakeMachine,
    backend: &Arc<EsBackend<FakeResponder>>,
    (kind, path, inode): (EventKind, &str, u64),
    keep: Keep,
) -> bool {
    let target = Some((path.as_bytes().to_vec(), FileId { device: 1, inode }));
    if machine.happen(FakeEvent { target, ..fake_event(kind, inode) }).is_none() {
        return false;
    }
    backend.handle(machine.deliver().unwrap(), Cache::Off);
    // One question, taken as a reader would: the reader ends when the backend is closed, so it is not run here.
    let mut taken = RecordingIntake::new(keep_for_later);
    backend.receive_one(&mut taken);
    let token = taken.events[0].token;
    if keep == Keep::Yes {
        backend.cache_answer(token, kind).unwrap();
    }
    backend.answer(token, Verdict::Allow).unwrap();
    backend.release(token);
    true
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Yes,
    No,
}

const OPEN: EventKind = EventKind::AUTH_OPEN;
const EXEC: EventKind = EventKind::AUTH_EXEC;

#[test]
fn hidden_paths_are_not_asked_about_and_can_be_shown_again() {
    let (machine, backend) = confined(&["files/0", "secret/0", "secret/1"]);
    let sees = |path: &str| asked(&machine, &backend, (OPEN, path, 1), Keep::No);
    assert!(sees("/arena/files/0") && sees("/arena/secret/0") && !sees("/elsewhere"));
    backend.mute(&[b"/arena/secret".to_vec()]).unwrap();
    assert!(sees("/arena/files/0") && !sees("/arena/secret/0") && !sees("/arena/secret/1"));
    backend.mute(&[b"/arena/secret/1".to_vec()]).unwrap();
    assert!(sees("/arena/files/0") && sees("/arena/secret/0") && !sees("/arena/secret/1"));
    backend.mute(&[]).unwrap();
    assert!(sees("/arena/secret/1") && !sees("/elsewhere"), "never outside the arena");
}

#[test]
fn an_answer_is_kept_when_asked_and_forgotten_with_the_next_behaviour() {
    let (machine, backend) = confined(&["files/0"]);
    let sees = |inode, keep| asked(&machine, &backend, (OPEN, "/arena/files/0", inode), keep);
    assert!(sees(1, Keep::No) && sees(1, Keep::No), "nothing is kept of itself");
    assert!(sees(1, Keep::Yes));
    assert!(!sees(1, Keep::No) && sees(2, Keep::No), "only this file");
    backend.mute(&[]).unwrap();
    assert!(sees(1, Keep::No), "a change of behaviour forgets what was kept");
}

#[test]
fn a_client_is_asked_about_what_it_subscribes_to() {
    let (machine, backend) = confined(&["files/0"]);
    let sees = |kind| asked(&machine, &backend, (kind, "/arena/files/0", 1), Keep::No);
    assert!(sees(OPEN) && sees(EXEC));
    backend.subscribe(AuthEvents::of(AuthEvent::Exec)).unwrap();
    assert!(!sees(OPEN) && sees(EXEC));
    backend.subscribe(AuthEvents::of(AuthEvent::Open)).unwrap();
    assert!(sees(OPEN) && !sees(EXEC));
    backend.subscribe(AuthEvents::ALL).unwrap();
    assert!(sees(OPEN) && sees(EXEC));
}

#[test]
fn a_file_is_signed_by_somebody_when_it_is_the_program_of_an_exec() {
    let (machine, backend) = confined(&["programs/tool"]);
    let signed = |kind, made| {
        let target = Some((b"/arena/programs/tool".to_vec(), FileId { device: 1, inode: 9 }));
        machine.happen(FakeEvent { target, made, ..fake_event(kind, 9) }).unwrap();
        backend.handle(machine.deliver().unwrap(), Cache::Off);
        let mut taken = RecordingIntake::new(keep_for_later);
        backend.receive_one(&mut taken);
        let token = taken.events[0].token;
        let facts = backend.file(token, &|_| true).unwrap();
        backend.answer(token, Verdict::Allow).unwrap();
        backend.release(token);
        facts.signature
    };
    let program = Some(ProcessId { pid: 7, version: 2 });
    let tool = Some("com.example.tool".to_owned());
    let by = Signature { signing_id: tool, team_id: Some("ABCDE12345".to_owned()) };
    assert_eq!(signed(EXEC, program), Some(by), "the program, not who runs it");
    assert_eq!(signed(OPEN, None), None);
}

#[test]
fn nothing_is_hidden_or_kept_without_a_connection() {
    let backend = EsBackend::<FakeResponder>::new(4);
    assert!(backend.subscribe(AuthEvents::of(AuthEvent::Open)).is_err());
    assert!(backend.mute(&[b"/arena/x".to_vec()]).is_err());
    assert!(backend.mute(&[]).is_ok(), "there is nothing to do");
}

#[test]
fn a_process_tree_is_told_step_by_step_with_its_signers() {
    let machine = FakeMachine::new(64);
    let (mut connection, responder) = machine.connect();
    let backend = EsBackend::new(16);
    backend.handler().open(responder);
    let kinds = [
        EventKind::AUTH_OPEN,
        EventKind::Notify(NotifyEvent::Fork),
        EventKind::Notify(NotifyEvent::Exec),
        EventKind::Notify(NotifyEvent::Exit),
    ];
    start(&mut connection, &MutePlan::new(&Scope::System, &[], &[]).unwrap(), &kinds).unwrap();
    let id = |pid, version| ProcessId { pid, version };
    let by = |kind, of: ProcessId, executable: &str, target: Option<&str>, made| FakeEvent {
        subject: ThreadId { pid: of.pid, tid: 70, generation: of.version },
        executable: executable.as_bytes().to_vec(),
        target: target.map(|path| (path.as_bytes().to_vec(), FileId { device: 1, inode: 5 })),
        made,
        ..fake_event(kind, 5)
    };
    let open = |of, executable| by(EventKind::AUTH_OPEN, of, executable, Some("/arena/5"), None);
    let story = [
        by(EventKind::Notify(NotifyEvent::Fork), id(7, 1), "/bin/driver", None, Some(id(8, 2))),
        by(EventKind::Notify(NotifyEvent::Exec), id(8, 2), "/bin/driver", Some("/bin/tool"), Some(id(8, 3))),
        open(id(8, 3), "/bin/tool"),
        by(EventKind::Notify(NotifyEvent::Fork), id(8, 3), "/bin/tool", None, Some(id(9, 4))),
        open(id(9, 4), "/bin/tool"),
        open(id(9, 4), "/bin/tool"),
        by(EventKind::Notify(NotifyEvent::Exit), id(9, 4), "/bin/tool", None, None),
    ];
    let mut lives = Vec::new();
    for fake_event in story {
        machine.happen(fake_event).unwrap();
        let message = machine.deliver().unwrap();
        backend.handle(message, Cache::Off);
        let mut taken = RecordingIntake::new(keep_for_later);
        if backend.handler().outstanding() > 0 {
            backend.receive_one(&mut taken);
        }
        for Event { token, .. } in taken.events {
            backend.answer(token, Verdict::Allow).unwrap();
            backend.file(token, &|_| false).unwrap();
            backend.release(token);
        }
        backend.lives(&mut lives);
    }
    let told: Vec<_> = lives
        .iter()
        .map(|life| {
            let signer = life.signed.and_then(|signed| signed.signing_id()).unwrap_or_default();
            (life.step, life.process, life.from, signer)
        })
        .collect();
    let step = |step, process, from, signer: &str| (step, process, from, signer.to_owned());
    let expected = [
        step(LifeStep::Forked, id(8, 2), Some(id(7, 1)), "com.example.driver"),
        step(LifeStep::Became, id(8, 3), Some(id(8, 2)), "com.example.tool"),
        step(LifeStep::Forked, id(9, 4), Some(id(8, 3)), "com.example.tool"),
        step(LifeStep::Seen, id(9, 4), Some(id(8, 3)), "com.example.tool"),
        step(LifeStep::Ended, id(9, 4), None, ""),
    ];
    assert_eq!(told, expected);
    assert_eq!(machine.tally().retained, machine.tally().released);
}

/// Takes an event for later.
fn keep_for_later(_: &Event<Ticket>) -> Disposition {
    Disposition::Keep
}
