//! The real kernel's rules for answers that are kept, for paths that are hidden and for what is told after the fact. Needs CAP_SYS_ADMIN;
//! without it the tests say so and count as ignored, never as passed.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test that asks the real kernel"
)]

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use lab_backend_fanotify::{EventFd, Group};
use lab_client_core::{Backend, Disposition, DroppedNotifications, Event, Intake, Listener, Notification};
use lab_model::{AuthEvent, AuthEvents, NotifyEvent, NotifyEvents, Verdict};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

/// Allows everything at once; keeps the answers when it is told to.
struct Allowing {
    group: Arc<Group>,
    keeps: Arc<AtomicBool>,
    events: Arc<AtomicU64>,
    batch: Vec<EventFd>,
}

impl Intake<EventFd> for Allowing {
    fn batch(&mut self) {
        self.batch.clear();
    }

    fn event(&mut self, event: &Event<EventFd>) -> Disposition {
        self.events.fetch_add(1, Ordering::SeqCst);
        if self.keeps.load(Ordering::SeqCst) {
            self.group.cache_answer(event.token, event.event).unwrap();
        }
        self.batch.push(event.token);
        Disposition::Answer(Verdict::Allow)
    }

    fn answering(&mut self) {}

    fn answered(&mut self, nth: usize, error: u32) {
        assert_eq!(error, 0);
        self.group.release(self.batch[nth]);
    }

    fn lost(&mut self, events: u64, error: u32) {
        panic!("{events} events were lost: error {error}");
    }
}

/// A tmpfs of this thread's own with one client on it.
struct Scene {
    group: Arc<Group>,
    arena: PathBuf,
    keeps: Arc<AtomicBool>,
    events: Arc<AtomicU64>,
}

impl Scene {
    /// A namespace, an arena and a client of its own.
    fn set(name: &str) -> Scene {
        let none: Option<&str> = None;
        // Only this thread, and those that it starts, move to the new namespace.
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let arena = std::env::temp_dir().join(format!("lab-{name}-{}", std::process::id()));
        fs::create_dir_all(&arena).unwrap();
        mount(Some("arena"), &arena, Some("tmpfs"), MsFlags::empty(), none).unwrap();
        for folder in ["kept", "hidden", "hidden/deep", "hiddenly"] {
            fs::create_dir(arena.join(folder)).unwrap();
            fs::write(arena.join(folder).join("file"), "content").unwrap();
        }
        let group = Arc::new(Group::create(&arena).unwrap().observing(all_of_files()).unwrap());
        let (keeps, events) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut intake = Allowing {
            group: Arc::clone(&group),
            keeps: Arc::clone(&keeps),
            events: Arc::clone(&events),
            batch: Vec::new(),
        };
        // It waits in `read` for as long as this process lives.
        let reading = Arc::clone(&group);
        thread::spawn(move || reading.receive(&mut intake));
        Scene { group, arena, keeps, events }
    }

    /// How many questions so many opens of a file raise.
    fn questions(&self, opens: u64, path: &str) -> u64 {
        let before = self.events.load(Ordering::SeqCst);
        for _ in 0..opens {
            drop(File::open(self.arena.join(path)).unwrap());
        }
        self.events.load(Ordering::SeqCst) - before
    }

    fn path(&self, path: &str) -> Vec<u8> {
        self.arena.join(Path::new(path)).into_os_string().into_encoded_bytes()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let detached = nix::mount::umount2(&self.arena, nix::mount::MntFlags::MNT_DETACH);
        if detached.is_ok() {
            fs::remove_dir(&self.arena).ok();
        }
    }
}

pub(crate) fn main() -> ExitCode {
    let tests: [(&str, fn()); 7] = [
        ("a_kept_answer_lasts_until_the_first_write", a_kept_answer_lasts_until_the_first_write),
        ("a_client_is_asked_about_what_it_subscribes_to", a_client_is_asked_about_what_it_subscribes_to),
        ("what_has_happened_is_told_once_for_each_kind", what_has_happened_is_told),
        ("what_lies_unread_is_merged_by_thread_and_file", what_lies_unread_is_merged),
        ("names_that_come_and_go_are_told_with_their_file", names_are_told),
        ("what_one_thread_does_to_one_name_is_merged_while_unread", names_are_merged),
        (
            "a_hidden_folder_hides_all_below_it_and_nothing_beside_it",
            a_hidden_folder_hides_all_below_it_and_nothing_beside_it,
        ),
    ];
    let trials = tests.map(|(name, body)| {
        Trial::ignorable_test(name, move || {
            if let Err(obstacle) = lab_backend_fanotify::probe::capacity() {
                eprintln!("SKIPPED: {name}: {obstacle}");
                return Ok(Completion::ignored_with(obstacle.to_string()));
            }
            // A thread of its own, because the namespace it moves to stays its own.
            thread::spawn(body).join().map_err(|_| Failed::from("see the message above"))?;
            Ok(Completion::Completed)
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

fn a_kept_answer_lasts_until_the_first_write() {
    let scene = Scene::set("keep");
    assert_eq!(scene.questions(100, "kept/file"), 100, "nothing is kept yet");
    scene.keeps.store(true, Ordering::SeqCst);
    assert_eq!(scene.questions(100, "kept/file"), 1);

    // Opening for writing is hidden as well; it is the write that makes the kernel ask again.
    let mut writer = OpenOptions::new().append(true).open(scene.arena.join("kept/file")).unwrap();
    assert_eq!(scene.questions(10, "kept/file"), 0);
    writer.write_all(b"more").unwrap();
    assert_eq!(scene.questions(10, "kept/file"), 10, "nothing is kept while somebody may write");
    drop(writer);
    assert_eq!(scene.questions(10, "kept/file"), 1);

    scene.keeps.store(false, Ordering::SeqCst);
    scene.group.mute(&[]).unwrap();
    assert_eq!(scene.questions(10, "kept/file"), 10, "everything is forgotten");
}

fn a_client_is_asked_about_what_it_subscribes_to() {
    let scene = Scene::set("subscribe");
    for (events, expected) in [
        (AuthEvents::of(AuthEvent::Exec), 0),
        (AuthEvents::NONE, 0),
        (AuthEvents::of(AuthEvent::Open), 10),
        (AuthEvents::ALL, 10),
    ] {
        scene.group.subscribe(events).unwrap();
        assert_eq!(scene.questions(10, "kept/file"), expected, "{events:?}");
    }
}

/// Hands on what it is told: the events and the thread.
struct Hearing {
    group: Arc<Group>,
    said: mpsc::Sender<(Vec<NotifyEvent>, u64)>,
}

impl Listener<EventFd> for Hearing {
    fn batch(&mut self) {}

    fn on_notify(&mut self, notification: &Notification<EventFd>) {
        self.group.release(notification.token);
        self.said.send((notification.events.iter().collect(), notification.subject.tid)).unwrap();
    }

    fn batch_over(&mut self) {}

    fn on_dropped(&mut self, dropped: DroppedNotifications) {
        panic!("{dropped:?}");
    }
}

impl Scene {
    /// Listens from now on; what lay unread comes first.
    fn listen(&self) -> mpsc::Receiver<(Vec<NotifyEvent>, u64)> {
        let (said, heard) = mpsc::channel();
        let group = Arc::clone(&self.group);
        thread::spawn(move || group.observe(&mut Hearing { group: Arc::clone(&group), said }));
        heard
    }
}

fn what_has_happened_is_told() {
    use NotifyEvent::{Close, Open, Write};
    let scene = Scene::set("told");
    assert!(scene.group.notify([NotifyEvent::Fork].into_iter().collect()).is_err(), "it tells of files");
    scene.group.notify([Open, Close, Write].into_iter().collect()).unwrap();
    let heard = scene.listen();
    let own = u64::from(nix::unistd::gettid().as_raw().unsigned_abs());
    // Each is waited for before the next is done, so nothing can be merged. The client's own opens are told as well.
    let file = scene.arena.join("kept/file");
    let mut writer = OpenOptions::new().append(true).open(&file).unwrap();
    assert_eq!(heard.recv().unwrap(), (vec![Open], own));
    writer.write_all(b"more").unwrap();
    assert_eq!(heard.recv().unwrap(), (vec![Write], own));
    drop(writer);
    assert_eq!(heard.recv().unwrap(), (vec![Close], own));

    // What does not happen is not told: `nowhere` is no file, and the next that is told is the open after it.
    scene.group.mute(&[scene.path("hidden")]).unwrap();
    scene.group.notify([Open].into_iter().collect()).unwrap();
    drop(File::open(scene.arena.join("nowhere")).unwrap_err());
    drop(File::open(scene.arena.join("hidden/deep/file")).unwrap());
    drop(File::open(&file).unwrap());
    assert_eq!(heard.recv().unwrap(), (vec![Open], own), "what is muted is not told either");
    scene.group.notify(NotifyEvents::NONE).unwrap();
    drop(File::open(&file).unwrap());
    scene.group.notify([Close].into_iter().collect()).unwrap();
    drop(File::open(&file).unwrap());
    assert_eq!(heard.recv().unwrap(), (vec![Close], own), "nothing else was told in between");
    assert_eq!(scene.group.unread_notices(), 0);
}

fn what_lies_unread_is_merged() {
    use NotifyEvent::{Close, Open};
    let scene = Scene::set("merged");
    scene.group.notify([Open, Close].into_iter().collect()).unwrap();
    let own = u64::from(nix::unistd::gettid().as_raw().unsigned_abs());
    assert_eq!(scene.questions(10, "kept/file"), 10, "nobody is merged who asks");
    assert_eq!(scene.questions(1, "hidden/file"), 1);
    let file = scene.arena.join("kept/file");
    let other = thread::spawn(move || {
        for _ in 0..10 {
            drop(File::open(&file).unwrap());
        }
        u64::from(nix::unistd::gettid().as_raw().unsigned_abs())
    });
    let other = other.join().unwrap();
    assert_eq!(scene.group.unread_notices(), 3);
    let heard = scene.listen();
    let all: Vec<_> = (0..3).map(|_| heard.recv().unwrap()).collect();
    let both = || vec![Open, Close];
    assert_eq!(
        all,
        [(both(), own), (both(), own), (both(), other)],
        "ten opens and ten closes are one event"
    );
}

/// What was told of a name: the events, the thread, the path and the inode.
type Said = (Vec<NotifyEvent>, u64, String, u64);

/// Hands on what it is told of names.
struct HearingNames {
    group: Arc<Group>,
    said: mpsc::Sender<Said>,
}

impl Listener<EventFd> for HearingNames {
    fn batch(&mut self) {}

    fn on_notify(&mut self, notification: &Notification<EventFd>) {
        let facts = self.group.file(notification.token, &|_| true).unwrap();
        let mut again = Vec::new();
        self.group.reopen_path(notification.token, &mut again);
        let path = facts.path.unwrap();
        if notification.events.has_names() {
            assert_eq!(again.split_last(), Some((&0, path.as_slice())));
            assert!(
                self.group.read_content(notification.token, 0, &mut [0]).is_err(),
                "there is no descriptor"
            );
        }
        let path = String::from_utf8(path).unwrap();
        let said = (notification.events.iter().collect(), notification.subject.tid, path, facts.file.inode);
        self.group.release_all(&mut [notification.token]);
        assert!(!notification.events.has_names() || self.group.file(notification.token, &|_| true).is_none());
        // The test may have heard enough.
        drop(self.said.send(said));
    }

    fn batch_over(&mut self) {}

    fn on_dropped(&mut self, dropped: DroppedNotifications) {
        panic!("{dropped:?}");
    }
}

fn all_of_files() -> NotifyEvents {
    NotifyEvents::ALL.without(NotifyEvents::OF_NAMES)
}

/// A group that also hears of names, on the scene's arena.
fn hears_names(scene: &Scene) -> Arc<Group> {
    let group = Group::create(&scene.arena).unwrap();
    // Nobody answers for this one.
    group.subscribe(AuthEvents::NONE).unwrap();
    Arc::new(group.observing(NotifyEvents::ALL).unwrap())
}

fn listen_to(group: &Arc<Group>) -> mpsc::Receiver<Said> {
    let (said, heard) = mpsc::channel();
    let group = Arc::clone(group);
    thread::spawn(move || {
        let mut hearing = HearingNames { group: Arc::clone(&group), said };
        group.observe(&mut hearing).unwrap();
    });
    heard
}

fn names_are_told() {
    use NotifyEvent::{Create, Open, Rename, Unlink};
    let scene = Scene::set("names");
    assert!(scene.group.notify([Create].into_iter().collect()).is_err(), "it was not set up for names");
    let group = hears_names(&scene);
    assert!(group.notify([NotifyEvent::Fork].into_iter().collect()).is_err(), "it tells of files");
    group.notify([Create, Rename, Unlink].into_iter().collect()).unwrap();
    let heard = listen_to(&group);
    let own = u64::from(nix::unistd::gettid().as_raw().unsigned_abs());
    let at = |path: &str| scene.arena.join(path);
    let notification =
        |event, path: &str, inode| (vec![event], own, at(path).to_str().unwrap().to_owned(), inode);

    let inode = File::create(at("kept/new")).unwrap().metadata().unwrap().ino();
    assert_eq!(heard.recv().unwrap(), notification(Create, "kept/new", inode));
    // Opened with O_CREAT, and there already: nothing was made.
    drop(File::create(at("kept/new")).unwrap());
    fs::rename(at("kept/new"), at("hidden/newer")).unwrap();
    assert_eq!(heard.recv().unwrap(), notification(Rename, "hidden/newer", inode), "under its new name");
    // A folder that was made later is found all the same; a rename over a file takes its name and is no unlink.
    fs::create_dir(at("late")).unwrap();
    let other = File::create(at("late/file")).unwrap().metadata().unwrap().ino();
    assert_eq!(heard.recv().unwrap(), notification(Create, "late/file", other));
    fs::rename(at("hidden/newer"), at("late/file")).unwrap();
    assert_eq!(heard.recv().unwrap(), notification(Rename, "late/file", inode));
    fs::remove_file(at("late/file")).unwrap();
    assert_eq!(heard.recv().unwrap(), notification(Unlink, "late/file", inode));

    // What is hidden is not told of, and neither is what nobody listens to; opens come from the other group.
    group.mute(&[scene.path("hidden")]).unwrap();
    group.notify([Create, Open].into_iter().collect()).unwrap();
    drop(File::create(at("hidden/deep/unseen")).unwrap());
    fs::remove_file(at("hidden/deep/unseen")).unwrap();
    drop(File::open(at("kept/file")).unwrap());
    let (events, ..) = heard.recv().unwrap();
    assert_eq!(events, [Open], "of two groups");
    assert_eq!(group.unread_notices(), 0);
}

fn names_are_merged() {
    use NotifyEvent::{Create, Rename, Unlink};
    let scene = Scene::set("merged-names");
    let group = hears_names(&scene);
    group.notify([Create, Rename, Unlink].into_iter().collect()).unwrap();
    let at = |path: &str| scene.arena.join(path);
    for _ in 0..10 {
        drop(File::create(at("kept/brief")).unwrap());
        fs::remove_file(at("kept/brief")).unwrap();
    }
    drop(File::create(at("kept/other")).unwrap());
    assert_eq!(group.unread_notices(), 11);
    let heard = listen_to(&group);
    let brief: Vec<_> = (0..10).map(|_| heard.recv().unwrap()).collect();
    assert!(brief.iter().all(|(events, ..)| *events == [Create, Unlink]), "one event a file: {brief:?}");
    assert!(brief.windows(2).all(|pair| pair[0].3 != pair[1].3), "each is another file of the same name");
    assert_eq!(heard.recv().unwrap().0, [Create]);
}

fn a_hidden_folder_hides_all_below_it_and_nothing_beside_it() {
    let scene = Scene::set("hide");
    scene.group.mute(&[scene.path("hidden"), scene.path("kept/file")]).unwrap();
    for path in ["hidden/file", "hidden/deep/file", "kept/file"] {
        assert_eq!(scene.questions(10, path), 0, "{path}");
    }
    assert_eq!(scene.questions(10, "hiddenly/file"), 10);
    let mut writer = OpenOptions::new().append(true).open(scene.arena.join("hidden/file")).unwrap();
    writer.write_all(b"more").unwrap();
    assert_eq!(scene.questions(10, "hidden/file"), 0, "a mute is no cache: it survives a write");

    scene.group.mute(&[scene.path("hiddenly")]).unwrap();
    assert_eq!((scene.questions(10, "hidden/file"), scene.questions(10, "hiddenly/file")), (10, 0));
    let refused = scene.group.mute(&[scene.path("nowhere")]);
    let not_there = u32::try_from(nix::libc::ENOENT).unwrap();
    assert_eq!(refused, Err((scene.path("nowhere"), not_there)));
}
