//! What a client is told of over the second connection: in order, once each, with every loss counted, and without a
//! question noticing.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::{
    sync::{Arc, mpsc},
    thread,
};

use lab_backend_es::{
    Arena, Cache, EsBackend, MutePlan, Scope, Ticket, confine,
    fake::{FakeConnection, FakeEvent, FakeMachine, FakeResponder},
    start,
};
use lab_client_core::{Backend, Disposition, DroppedNotifications, Event, Notification};
use lab_model::{
    AuthEvents, EventKind, FileId, NotifyEvent, NotifyEvents, ProcessId, Signature, ThreadId, Ticks, Verdict,
};
use lab_testing::recording::{RecordingIntake, RecordingListener};

/// The process that has both connections.
const OWN: u32 = 50;
const QUESTIONS: [EventKind; 2] = [EventKind::AUTH_OPEN, EventKind::AUTH_EXEC];

fn fake_event(event: NotifyEvent, inode: u64) -> FakeEvent {
    let has_target = !matches!(event, NotifyEvent::Fork | NotifyEvent::Exit);
    FakeEvent {
        kind: event.into(),
        subject: ThreadId { pid: 7, tid: 70, generation: 3 },
        executable: b"/usr/local/bin/driver".to_vec(),
        target: has_target.then(|| (format!("/arena/{inode}").into_bytes(), FileId { device: 1, inode })),
        made: None,
        modified: None,
        window: 1_000,
    }
}

/// A client with two connections of one process, each with its own queue.
struct Rig {
    asking: FakeMachine,
    telling: FakeMachine,
    backend: Arc<EsBackend<FakeResponder>>,
    _connections: [FakeConnection; 2],
}

impl Rig {
    /// Room for so many notices in the kernel's queue and in the client.
    fn new(kernel_max: usize, notices_max: u32, events: &[NotifyEvent]) -> Rig {
        let (asking, telling) = (FakeMachine::new(4_096), FakeMachine::new(kernel_max));
        let backend = EsBackend::observing(4_096, notices_max);
        let (mut asks, responder) = asking.connect();
        backend.handler().open(responder);
        let (mut tells, responder) = telling.connect();
        backend.notify_handler().open(responder);
        for machine in [&asking, &telling] {
            machine.belongs_to(OWN);
        }
        let files = ["1", "2", "secret/1"].map(|file| file.as_bytes().to_vec());
        backend.confined_to(Arena::new(b"/arena", files.to_vec()));
        let plan = MutePlan::new(&Scope::Arena(b"/arena".to_vec()), &[], &[]).unwrap();
        start(&mut asks, &plan, &QUESTIONS).unwrap();
        confine(&mut tells, &plan).unwrap();
        backend.notify(events.iter().copied().collect()).unwrap();
        Rig { asking, telling, backend, _connections: [asks, tells] }
    }

    /// The same happens for both connections, each of which sees what it is to see.
    fn happen(&self, fake_event: &FakeEvent) {
        self.asking.happen(fake_event.clone());
        self.telling.happen(fake_event.clone());
    }

    /// Lets the framework's handlers take what is queued.
    fn deliver(&self) {
        while let Some(message) = self.telling.deliver() {
            self.backend.handle_told(message);
        }
        while let Some(message) = self.asking.deliver() {
            self.backend.handle(message, Cache::Off);
        }
    }

    /// Everything told so far, to the end.
    fn heard(&self) -> Heard {
        let mut heard = Heard::new(|_| {});
        self.backend.close();
        self.backend.observe(&mut heard).unwrap();
        heard
    }

    fn path(&self, token: Ticket) -> String {
        let mut path = Vec::new();
        self.backend.reopen_path(token, &mut path);
        assert_eq!(path.pop(), Some(0));
        String::from_utf8(path).unwrap()
    }
}

/// What was told of, and nothing let go of meanwhile.
type Heard = RecordingListener<Ticket, fn(&Notification<Ticket>)>;

fn events<H>(heard: &RecordingListener<Ticket, H>) -> Vec<(NotifyEvents, u64)> {
    heard.notifications.iter().map(|notification| (notification.events, notification.sequence)).collect()
}

/// How many events were not told of; Endpoint Security says how many.
fn untold<H>(heard: &RecordingListener<Ticket, H>) -> u64 {
    let count = |dropped: &DroppedNotifications| match dropped {
        DroppedNotifications::Events(count) => *count,
        DroppedNotifications::Overflow => panic!("Endpoint Security says how many"),
    };
    heard.dropped.iter().map(count).sum()
}

fn one(event: NotifyEvent) -> NotifyEvents {
    NotifyEvents::of(event)
}

#[test]
fn everything_is_told_once_in_order_with_who_did_it_to_what() {
    let rig = Rig::new(64, 64, NotifyEvent::ALL);
    for (nth, event) in (0..).zip(NotifyEvent::ALL.iter().copied()) {
        rig.telling.advance(10);
        rig.happen(&fake_event(event, nth));
    }
    rig.deliver();
    assert_eq!(rig.backend.unread_notices(), 9);
    let heard = rig.heard();
    assert_eq!((rig.backend.unread_notices(), untold(&heard)), (0, 0));
    let expected: Vec<_> = NotifyEvent::ALL.iter().copied().map(one).zip(0..).collect();
    assert_eq!(events(&heard), expected);
    for (nth, notification) in (0..).zip(&heard.notifications) {
        assert_eq!(notification.subject, ThreadId { pid: 7, tid: 70, generation: 3 });
        assert_eq!(notification.kernel, Some(Ticks(1 + 10 * (nth + 1))), "the kernel's own time");
        let facts = rig.backend.file(notification.token, &|_| true);
        if notification.events.contains(NotifyEvent::Fork) || notification.events.contains(NotifyEvent::Exit)
        {
            assert_eq!((facts, rig.path(notification.token).as_str()), (None, ""), "there is no file");
            continue;
        }
        let facts = facts.unwrap();
        assert_eq!(facts.file, FileId { device: 1, inode: nth });
        assert_eq!(facts.path.unwrap(), format!("/arena/{nth}").into_bytes());
        assert_eq!(rig.path(notification.token), format!("/arena/{nth}"));
        assert_eq!(
            rig.backend.file(notification.token, &|_| false).unwrap().path,
            None,
            "names only when wanted"
        );
    }
    let tokens: Vec<_> = heard.notifications.iter().map(|notification| notification.token).collect();
    for &token in &tokens {
        assert!(rig.backend.answer(token, Verdict::Deny).is_err(), "a notice is never answered");
        assert!(rig.backend.cache_answer(token, EventKind::AUTH_OPEN).is_err());
        rig.backend.release(token);
        rig.backend.release(token);
        assert!(rig.backend.file(token, &|_| true).is_none(), "a released ticket still works");
    }
    let tally = rig.telling.tally();
    assert_eq!((tally.retained, tally.released, tally.refused), (9, 9, 0));
}

#[test]
fn the_program_of_an_exec_is_its_file_and_a_close_says_whether_there_was_a_change() {
    let rig = Rig::new(64, 64, &[NotifyEvent::Exec, NotifyEvent::Close]);
    let program = Some(ProcessId { pid: 7, version: 4 });
    rig.happen(&FakeEvent { made: program, ..fake_event(NotifyEvent::Exec, 5) });
    for modified in [Some(false), Some(true)] {
        rig.happen(&FakeEvent { modified, ..fake_event(NotifyEvent::Close, 6) });
    }
    rig.deliver();
    let heard = rig.heard();
    let exec = heard.notifications[0];
    // Who ran it is the process as it was before: its version is not that of the new program.
    assert_eq!(exec.subject.generation, 3);
    let facts = rig.backend.file(exec.token, &|_| true).unwrap();
    assert_eq!((facts.file.inode, facts.path.as_deref()), (5, Some(&b"/arena/5"[..])));
    let by =
        Signature { signing_id: Some("com.example.5".to_owned()), team_id: Some("ABCDE12345".to_owned()) };
    assert_eq!(facts.signature, Some(by), "the new program's, not that of whoever ran it");
    let modified: Vec<_> = heard.notifications.iter().map(|notification| notification.modified).collect();
    assert_eq!(modified, [None, Some(false), Some(true)]);
}

#[test]
fn a_client_is_told_of_what_it_does_itself_and_not_asked() {
    let rig = Rig::new(64, 64, &[NotifyEvent::Open]);
    let own = |fake_event: FakeEvent| FakeEvent {
        subject: ThreadId { pid: OWN, tid: 500, generation: 1 },
        ..fake_event
    };
    rig.happen(&own(fake_event(NotifyEvent::Open, 1)));
    rig.happen(&own(FakeEvent { kind: EventKind::AUTH_OPEN, ..fake_event(NotifyEvent::Open, 1) }));
    rig.happen(&FakeEvent { kind: EventKind::AUTH_OPEN, ..fake_event(NotifyEvent::Open, 1) });
    rig.deliver();
    assert_eq!(rig.asking.tally().asked, 1, "only about the driver's open");
    let heard = rig.heard();
    assert_eq!(
        heard.notifications.iter().map(|notification| notification.subject.pid).collect::<Vec<_>>(),
        [OWN]
    );
}

#[test]
fn what_the_kernel_drops_is_counted_by_the_numbers_of_this_connection_alone() {
    let rig = Rig::new(4, 64, &[NotifyEvent::Open, NotifyEvent::Close]);
    for inode in 0..10 {
        rig.happen(&fake_event(if inode % 2 == 0 { NotifyEvent::Open } else { NotifyEvent::Close }, inode));
    }
    rig.deliver();
    // Six were dropped, which no number shows before the next event does.
    assert_eq!(rig.backend.unread_notices(), 4);
    rig.happen(&fake_event(NotifyEvent::Open, 10));
    rig.deliver();
    assert_eq!(rig.backend.unread_notices(), 5 + 6, "what is known to be lost is never silent");
    let heard = rig.heard();
    assert_eq!((heard.notifications.len(), untold(&heard), rig.telling.tally().dropped), (5, 6, 6));
    assert_eq!(heard.notifications.last().unwrap().sequence, 10);
    let mut asked = RecordingIntake::new(allow);
    rig.backend.receive(&mut asked).unwrap();
    assert_eq!((asked.events.len(), asked.lost), (0, 0), "no question was lost");
}

#[test]
fn what_does_not_fit_is_counted_and_hinders_no_question() {
    const EACH: u64 = 1_000;
    let rig = Rig::new(4_096, 8, &[NotifyEvent::Open]);
    let rounds = thread::scope(|scope| {
        let (backend, asking) = (&rig.backend, &rig.asking);
        let reader = scope.spawn(move || {
            let mut asked = RecordingIntake::telling(allow, |token| backend.release(token));
            backend.receive(&mut asked).unwrap();
            assert!(asked.errors.is_empty(), "{:?}", asked.errors);
            (asked.events.len() as u64, asked.lost)
        });
        for inode in 0..EACH {
            rig.happen(&fake_event(NotifyEvent::Open, inode));
            rig.happen(&FakeEvent { kind: EventKind::AUTH_OPEN, ..fake_event(NotifyEvent::Open, inode) });
            rig.deliver();
        }
        // The observer has stood still all the time; every question has its answer nevertheless.
        while asking.tally().answered < EACH {
            thread::yield_now();
        }
        backend.close();
        reader.join().unwrap()
    });
    assert_eq!(rounds, (EACH, 0));
    let heard = rig.heard();
    assert_eq!(
        (heard.notifications.len(), untold(&heard)),
        (8, EACH - 8),
        "the first stay, the rest is counted"
    );
    for notification in &heard.notifications {
        rig.backend.release(notification.token);
    }
    let tally = rig.telling.tally();
    assert_eq!((tally.retained, tally.released, tally.dropped), (EACH, EACH, 0));
}

#[test]
fn an_observer_takes_what_comes_while_it_works() {
    const EVENTS: u64 = 20_000;
    let rig = Rig::new(1, 32, &[NotifyEvent::Open, NotifyEvent::Write]);
    let (done, finished) = mpsc::channel();
    let (notifications, batches, untold) = thread::scope(|scope| {
        let backend = &rig.backend;
        let observer = scope.spawn(move || {
            let mut heard =
                RecordingListener::new(|told: &Notification<Ticket>| done.send(told.token).unwrap());
            backend.observe(&mut heard).unwrap();
            let untold = untold(&heard);
            (heard.notifications, heard.batches, untold)
        });
        // Reactions are let go of by other threads.
        scope.spawn(move || finished.into_iter().for_each(|token| backend.release(token)));
        for inode in 0..EVENTS {
            let event = if inode % 3 == 0 { NotifyEvent::Write } else { NotifyEvent::Open };
            rig.happen(&fake_event(event, inode));
            rig.deliver();
        }
        backend.close();
        observer.join().unwrap()
    });
    assert_eq!(notifications.len() as u64 + untold, EVENTS, "told or counted, and never both");
    assert!(notifications.windows(2).all(|pair| pair[0].sequence < pair[1].sequence), "in order");
    assert!(batches.iter().all(|&batch| batch <= 1_024));
    let tally = rig.telling.tally();
    assert_eq!((tally.retained, tally.released), (EVENTS, EVENTS));
}

#[test]
fn a_client_is_told_of_what_it_listens_to_and_of_nothing_that_is_hidden() {
    let rig = Rig::new(64, 64, &[NotifyEvent::Open]);
    let tells = |event, path: &str| {
        let target = Some((path.as_bytes().to_vec(), FileId { device: 1, inode: 1 }));
        rig.telling.happen(FakeEvent { target, ..fake_event(event, 1) }).is_some()
    };
    assert!(tells(NotifyEvent::Open, "/arena/1") && !tells(NotifyEvent::Close, "/arena/1"));
    assert!(!tells(NotifyEvent::Open, "/elsewhere/1"), "the second connection is confined as well");
    rig.backend.notify([NotifyEvent::Close].into_iter().collect()).unwrap();
    assert!(!tells(NotifyEvent::Open, "/arena/1") && tells(NotifyEvent::Close, "/arena/1"));
    rig.backend.mute(&[b"/arena/secret".to_vec()]).unwrap();
    assert!(tells(NotifyEvent::Close, "/arena/1") && !tells(NotifyEvent::Close, "/arena/secret/1"));
    rig.backend.mute(&[]).unwrap();
    assert!(tells(NotifyEvent::Close, "/arena/secret/1"));
    rig.backend.notify(NotifyEvents::NONE).unwrap();
    assert!(!tells(NotifyEvent::Close, "/arena/1"));
    rig.backend.subscribe(AuthEvents::NONE).unwrap();
    let question = FakeEvent { kind: EventKind::AUTH_OPEN, ..fake_event(NotifyEvent::Open, 1) };
    assert!(rig.asking.happen(question).is_none(), "asked nothing");
}

#[test]
fn a_client_without_a_second_connection_is_told_nothing() {
    let backend = EsBackend::<FakeResponder>::new(4);
    assert!(backend.notify(NotifyEvents::NONE).is_ok(), "there is nothing to do");
    assert!(backend.notify(one(NotifyEvent::Open)).is_err());
}

/// Allows at once.
fn allow(_: &Event<Ticket>) -> Disposition {
    Disposition::Answer(Verdict::Allow)
}
