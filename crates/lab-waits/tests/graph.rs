//! Circles, and what is none.

use std::collections::BTreeMap;

use lab_waits::{
    Call, Descriptor, FileLock, Group, Mark, MarkedPlace, Mount, Peer, Process, Snapshot, Thread, WaitKind,
    WaitReport,
};

/// For how long everything in these snapshots has lasted, in milliseconds.
const LONG: u64 = 1_000;

fn group() -> Descriptor {
    let mark = Mark { place: MarkedPlace::Mount(64), mask: 0x1_0000, asks: true };
    Descriptor::Group(Group { flags: 4, unread: Some(0), marks: vec![mark] })
}

fn thread(tid: u32, channel: &str, call: Call) -> Thread {
    Thread {
        tid,
        name: "t".to_owned(),
        state: 'S',
        channel: channel.to_owned(),
        call: Some(call),
        switches: 1,
        since_ms: LONG,
        rested_ms: LONG,
    }
}

fn named(name: &str) -> Call {
    Call { name: name.to_owned(), ..Call::default() }
}

fn on(name: &str, descriptor: i32) -> Call {
    Call { descriptor: Some(descriptor), ..named(name) }
}

/// Opens a file of the watched mount.
fn opens(tid: u32, path: &str) -> Thread {
    let call = Call { path: Some(path.to_owned()), ..named("openat") };
    thread(tid, "fanotify_handle_event", call)
}

/// Waits for the next event.
fn reads_events(tid: u32, group: i32) -> Thread {
    thread(tid, "wait_woken", on("read", group))
}

fn process(pid: u32, name: &str, threads: Vec<Thread>, descriptors: &[(i32, Descriptor)]) -> Process {
    Process {
        pid,
        parent: 1,
        name: name.to_owned(),
        mounts: 1,
        threads,
        descriptors: descriptors.iter().cloned().collect(),
    }
}

fn snapshot(processes: Vec<Process>) -> Snapshot {
    let mount = |id, minor, point: &str, kind: &str| Mount {
        id,
        device: (0, minor),
        point: point.to_owned(),
        kind: kind.to_owned(),
        automounter: None,
    };
    let mounts = vec![mount(1, 1, "/", "ext4"), mount(64, 40, "/a", "tmpfs"), mount(65, 41, "/f", "fuse.x")];
    Snapshot {
        version: Snapshot::VERSION,
        watched_ms: LONG,
        processes,
        mounts: BTreeMap::from([(1, mounts)]),
        ..Snapshot::default()
    }
}

/// The names in the one circle that a snapshot shows, in order; nothing when it shows none that is sure.
fn circle(snapshot: &Snapshot) -> Vec<String> {
    let seen = WaitReport::of(snapshot, LONG, &[]);
    let mut sure = seen.circles.iter().filter(|circle| circle.sure);
    let names = sure.next().map(|circle| circle.links.iter().map(|link| link.process.name.clone()).collect());
    assert_eq!(sure.count(), 0, "one circle");
    names.unwrap_or_default()
}

fn socket(inode: u64, peer: u64) -> Descriptor {
    Descriptor::Socket { inode, peer: Peer::Socket(peer) }
}

/// Two scanners, each behind a client of its own, as two pairs of clamd and clamonacc stand: the scanners open what the
/// other's client is asked about.
fn two_pairs() -> Vec<Process> {
    let asks = |tid, number| {
        let call = Call { polled: Some(vec![number]), timeout_ms: Some(5_000), ..named("pselect6") };
        thread(tid, "poll_schedule_timeout", call)
    };
    let client = |pid, name: &str, own, peer| {
        let open = Descriptor::File("/a/f".to_owned());
        let threads = vec![reads_events(pid, 4), asks(pid + 1, 5)];
        process(pid, name, threads, &[(4, group()), (5, socket(own, peer)), (6, open)])
    };
    let scanner =
        |pid, name: &str, own, peer| process(pid, name, vec![opens(pid, "/a/f")], &[(5, socket(own, peer))]);
    vec![
        client(10, "client-a", 101, 102),
        scanner(20, "scanner-a", 102, 101),
        client(30, "client-b", 103, 104),
        scanner(40, "scanner-b", 104, 103),
        process(50, "cat", vec![opens(50, "/a/f")], &[]),
    ]
}

#[test]
fn two_scanners_behind_sockets_are_a_circle_of_four() {
    let snapshot = snapshot(two_pairs());
    let mut names = circle(&snapshot);
    names.sort();
    assert_eq!(names, ["client-a", "client-b", "scanner-a", "scanner-b"]);
    let seen = WaitReport::of(&snapshot, LONG, &[]);
    let sentence = &seen.circles[0].sentence;
    for words in [
        "scanner-a (20), thread 20, opens /a/f and waits for client-b (30)",
        "client-b (30), thread 31, waits on its connection for scanner-b (40)",
    ] {
        assert!(sentence.contains(words), "{sentence}");
    }
    let end = seen.circles[0].end.as_ref().unwrap();
    assert!(end.name.starts_with("client-"), "{}", end.name);
}

#[test]
fn who_runs_sleeps_or_asks_somebody_elsewhere_is_slow_and_in_no_circle() {
    let runs = Thread { state: 'R', call: None, channel: String::new(), ..reads_events(77, 4) };
    let sleeps = thread(77, "hrtimer_nanosleep", named("clock_nanosleep"));
    let timed = Call { polled: Some(vec![7, 4]), timeout_ms: Some(500), ..named("poll") };
    let timed = thread(77, "poll_schedule_timeout", timed);
    let elsewhere = thread(77, "unix_stream_read_generic", on("recvfrom", 8));
    let unknown = thread(77, "something_new", named("syscall 999"));
    let disk = Thread { state: 'D', ..thread(77, "io_schedule", on("read", 6)) };
    for slow in [runs, sleeps, timed, elsewhere, unknown, disk] {
        let mut processes = two_pairs();
        let words = format!("{slow:?}");
        for client in [0, 2] {
            let descriptor = Descriptor::Socket { inode: 300, peer: Peer::Elsewhere };
            processes[client].descriptors.insert(8, descriptor);
            processes[client].threads.push(slow.clone());
        }
        assert_eq!(circle(&snapshot(processes)), [""; 0], "{words}");
    }
}

/// A thread that comes round now and then answers nobody: it was in that sleep before anybody waited, woken since or not.
#[test]
fn who_only_comes_round_does_not_help() {
    for rested_ms in [100, 3 * LONG] {
        let mut processes = two_pairs();
        let sleeps = thread(77, "hrtimer_nanosleep", named("clock_nanosleep"));
        processes[0].threads.push(Thread { since_ms: 3 * LONG, rested_ms, ..sleeps });
        assert_eq!(circle(&snapshot(processes)).len(), 4, "{rested_ms}");
    }
}

/// Whoever is asked over a connection may sleep over its answer, however often it naps.
#[test]
fn who_waits_for_a_slow_one_behind_a_socket_is_not_stuck() {
    for (since_ms, rested_ms) in [(LONG, 100), (LONG, LONG), (9 * LONG, LONG)] {
        let asks = thread(11, "unix_stream_read_generic", on("recvfrom", 5));
        let sleeps = thread(20, "hrtimer_nanosleep", named("clock_nanosleep"));
        let processes = vec![
            process(10, "asker", vec![reads_events(10, 4), asks], &[(4, group()), (5, socket(1, 2))]),
            process(20, "slow", vec![Thread { since_ms, rested_ms, ..sleeps }], &[(5, socket(2, 1))]),
            process(30, "cat", vec![opens(30, "/a/f")], &[]),
        ];
        let seen = WaitReport::of(&snapshot(processes), LONG, &[]);
        assert!(!seen.waits[0].stuck, "{:#?}", seen.waits);
    }
}

#[test]
fn what_has_not_lasted_is_none() {
    let mut processes = two_pairs();
    processes[1].threads[0].since_ms = LONG - 1;
    assert_eq!(circle(&snapshot(processes)), [""; 0]);
}

#[test]
fn a_full_pipe_whose_reader_opens_a_watched_file_is_a_circle() {
    let pipe = |reads| Descriptor::Pipe { inode: 9, reads, writes: !reads };
    let log = thread(12, "anon_pipe_write", on("write", 2));
    let processes = vec![
        process(10, "policy", vec![reads_events(10, 4), log], &[(4, group()), (2, pipe(false))]),
        process(20, "log", vec![opens(20, "/a/log")], &[(0, pipe(true))]),
    ];
    assert_eq!(circle(&snapshot(processes)).len(), 2);
}

#[test]
fn a_reader_stuck_in_hand_over_is_in_a_circle_with_the_daemon_that_it_watches() {
    let takes = thread(10, "request_wait_answer", on("read", 4));
    let processes = vec![
        process(10, "client", vec![takes], &[(4, group())]),
        process(20, "bindfs", vec![opens(20, "/a/f")], &[(3, Descriptor::Fuse { connection: Some(41) })]),
    ];
    let snapshot = snapshot(processes);
    assert_eq!(circle(&snapshot).len(), 2);
    let seen = WaitReport::of(&snapshot, LONG, &[]);
    let client = seen.waits.iter().find(|wait| wait.process.pid == 10).unwrap();
    assert!(client.hand_over && client.kind == WaitKind::Fuse, "{client:?}");
    // SIGKILL would not end the client before the daemon has answered.
    assert_eq!(seen.circles[0].end.as_ref().unwrap().name, "bindfs");
}

#[test]
fn a_lease_holder_is_named_and_is_no_circle() {
    let takes = thread(10, "__break_lease", on("read", 4));
    let holds = thread(20, "hrtimer_nanosleep", named("clock_nanosleep"));
    let processes = vec![
        process(10, "client", vec![takes], &[(4, group())]),
        process(20, "holder", vec![holds], &[]),
        process(30, "cat", vec![opens(30, "/a/f")], &[]),
    ];
    let lease =
        FileLock { lease: true, breaking: true, holder: Some(20), waiters: vec![10], file: (0, 40, 6) };
    let snapshot = Snapshot { locks: vec![lease], ..snapshot(processes) };
    assert_eq!(circle(&snapshot), [""; 0]);
    let seen = WaitReport::of(&snapshot, LONG, &[]);
    let of = |pid: u32| seen.waits.iter().find(|wait| wait.process.pid == pid).unwrap();
    assert!(of(10).hand_over);
    assert_eq!(of(10).waits_for[0].name, "holder");
    assert_eq!(of(30).waits_for[0].name, "client");
}

#[test]
fn two_locks_taken_in_two_orders_are_a_circle() {
    let waits = |tid| thread(tid, "locks_lock_inode_wait", on("flock", 3));
    let lock = |holder, waiter, inode| FileLock {
        lease: false,
        breaking: false,
        holder: Some(holder),
        waiters: vec![waiter],
        file: (0, 40, inode),
    };
    let processes =
        vec![process(10, "one", vec![waits(10)], &[]), process(20, "other", vec![waits(20)], &[])];
    let snapshot = Snapshot { locks: vec![lock(10, 20, 1), lock(20, 10, 2)], ..snapshot(processes) };
    assert_eq!(circle(&snapshot).len(), 2);
}

#[test]
fn two_processes_that_listen_to_each_other_are_at_rest() {
    let listens = |tid| thread(tid, "unix_stream_read_generic", on("recvfrom", 5));
    let processes = vec![
        process(10, "one", vec![listens(10)], &[(5, socket(1, 2))]),
        process(20, "other", vec![listens(20)], &[(5, socket(2, 1))]),
    ];
    let snapshot = snapshot(processes);
    assert_eq!(circle(&snapshot), [""; 0]);
    assert!(WaitReport::of(&snapshot, LONG, &[]).is_empty());
    let asked = WaitReport::of(&snapshot, LONG, &[10]);
    assert_eq!(asked.waits.len(), 1, "of a process that is asked about, every wait is shown");
}

#[test]
fn a_product_that_opens_what_it_is_asked_about_waits_for_itself_past_a_futex() {
    let waits = thread(12, "futex_do_wait", named("futex"));
    let product =
        process(10, "product", vec![reads_events(10, 4), opens(11, "/a/f"), waits], &[(4, group())]);
    let snapshot = snapshot(vec![product]);
    assert_eq!(circle(&snapshot), ["product"]);
    let seen = WaitReport::of(&snapshot, LONG, &[]);
    assert!(seen.circles[0].sentence.contains("waits for itself"), "{}", seen.circles[0].sentence);
}

#[test]
fn a_wait_is_followed_from_look_to_look() {
    let first = snapshot(two_pairs());
    let mut second = first.clone();
    for process in &mut second.processes {
        for thread in &mut process.threads {
            (thread.since_ms, thread.rested_ms) = (0, 0);
        }
    }
    // A poll that has timed out and come back is the same wait; an open that has run in between is another one.
    second.processes[0].threads[1].switches = 2;
    second.processes[4].threads[0].switches = 2;
    second.follow(&first, 100);
    let of = |process: usize, thread: usize| {
        let thread = &second.processes[process].threads[thread];
        (thread.since_ms, thread.rested_ms)
    };
    assert_eq!(of(0, 1), (LONG + 100, 0));
    assert_eq!(of(1, 0), (LONG + 100, LONG + 100));
    assert_eq!(of(4, 0), (0, 0));
    assert_eq!(second.watched_ms, LONG + 100);
}

#[test]
fn a_saved_snapshot_says_the_same_and_another_version_is_refused() {
    let saved = snapshot(two_pairs());
    let text = serde_json::to_vec(&saved).unwrap();
    let read = Snapshot::parse(&text).unwrap();
    assert_eq!(WaitReport::of(&read, LONG, &[]), WaitReport::of(&saved, LONG, &[]));
    let other = serde_json::to_vec(&Snapshot { version: 2, ..saved }).unwrap();
    assert!(Snapshot::parse(&other).unwrap_err().to_string().contains("version 2"));
    assert!(Snapshot::parse(b"{").is_err());
}
