//! A daemon as its clients and its controller see it: what it refuses, and whom that holds up.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests start programs and wait for them")]

#[cfg(target_os = "linux")]
use std::io::{Read, Write};
use std::{
    fs,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use lab_model::{Actor, Errand};
use lab_process::channel::send_order;
use lab_protocol::{
    Assignment, Carried, Order, PROTOCOL, Reply, Request, TraceAssignment, Welcome, WorkerAssignment,
    receive, receive_reply, send, send_request,
};

const EXDEV: u32 = 18;
const ENOENT: u32 = 2;

struct Daemon {
    child: Child,
    control: UnixStream,
    folder: PathBuf,
}

impl Daemon {
    fn start(name: &str) -> Daemon {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(folder.join("arena/files")).unwrap();
        fs::write(folder.join("arena/files/f1"), "x").unwrap();
        fs::write(folder.join("outside"), "x").unwrap();
        std::os::unix::fs::symlink("../../outside", folder.join("arena/files/link")).unwrap();
        let (control, other) = UnixStream::pair().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_lab-worker"))
            .stdin(OwnedFd::from(other))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let errand = Errand { open: true, ..Errand::none() };
        let assignment = WorkerAssignment { client: None, workers: 2, errand, workload: Vec::new() };
        let text = |path: &str| folder.join(path).display().to_string();
        let welcome = Welcome {
            protocol: PROTOCOL,
            actor: Actor(5),
            name: "indexer".to_owned(),
            seed: 1,
            arena: text("arena"),
            trace: TraceAssignment { path: text("indexer.trace"), salt: 7, bytes_max: 1 << 24 },
            assignment: Assignment::Worker(assignment),
        };
        let mut daemon = Daemon { child, control, folder };
        send(&mut daemon.control, &Order::Welcome(Box::new(welcome))).unwrap();
        assert!(matches!(receive(&mut daemon.control).unwrap(), Reply::Ready { .. }));
        daemon
    }

    fn order(&mut self, order: &Order) {
        send(&mut self.control, order).unwrap();
        assert_eq!(receive::<Reply>(&mut self.control).unwrap(), Reply::Done);
    }

    fn connect(&mut self, client: Actor, channels: u16) -> Vec<UnixStream> {
        let pairs: Vec<_> = (0..channels).map(|_| UnixStream::pair().unwrap()).collect();
        let ends: Vec<_> = pairs.iter().map(|(_, end)| end.as_fd()).collect();
        send_order(&self.control, &Order::Connect { with: client, channels }, &ends).unwrap();
        assert_eq!(receive::<Reply>(&mut self.control).unwrap(), Reply::Done);
        pairs.into_iter().map(|(own, _)| own).collect()
    }

    #[cfg(target_os = "linux")]
    fn status(&self, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn finish(mut self) {
        send(&mut self.control, &Order::Finish).unwrap();
        assert_eq!(receive::<Reply>(&mut self.control).unwrap(), Reply::Closed { lost: 0 });
        assert!(self.child.wait().unwrap().success());
    }
}

fn ask(channel: &mut UnixStream, path: &str) -> Carried {
    let request = Request { record: 9, draw: 1, path: path.as_bytes().to_vec() };
    send_request(channel, &request).unwrap();
    receive_reply(channel).unwrap()
}

#[test]
fn a_daemon_opens_what_lies_in_the_arena_and_tells_of_nothing_else() {
    let mut daemon = Daemon::start("opens");
    daemon.order(&Order::Serve);
    let mut channel = daemon.connect(Actor(2), 1).remove(0);
    let outside = daemon.folder.join("outside").display().to_string();
    assert_eq!(ask(&mut channel, "files/f1").error, 0);
    assert_eq!(ask(&mut channel, "files/none").error, ENOENT);
    // Whether it is there or not, the answer is the same.
    for path in ["/etc/shadow", "/no/such/file", "../outside", "../none", "files/link", "", &outside] {
        assert_eq!(ask(&mut channel, path).error, EXDEV, "{path}");
    }
    daemon.finish();
}

#[test]
fn orders_over_a_channel_of_requests_are_none() {
    let mut daemon = Daemon::start("orders");
    daemon.order(&Order::Serve);
    let mut channels = daemon.connect(Actor(2), 2);
    send(&mut channels[0], &Order::Finish).unwrap();
    // The frame's length and its first letters make a length that no path has.
    let service = lab_model::Service { errand: Errand::none(), workers: 1 };
    send(&mut channels[0], &Order::Work { helper: None, service }).unwrap_or(());
    assert_eq!(ask(&mut channels[1], "files/f1").error, 0, "it goes on, and does what it did");
    drop(channels);
    daemon.finish();
}

#[cfg(target_os = "linux")]
#[test]
fn who_floods_is_cut_off_alone_and_takes_neither_memory_nor_threads() {
    let mut daemon = Daemon::start("floods");
    daemon.order(&Order::Serve);
    let mut good = daemon.connect(Actor(2), 1).remove(0);
    let mut idle = Vec::new();
    for client in 3..19 {
        idle.extend(daemon.connect(Actor(client), 64));
    }
    let before = daemon.status("Threads");
    assert_eq!(before, 4, "two workers, one that grows the trace, and one that hears all of 1025 channels");
    let mut bad = daemon.connect(Actor(19), 64);
    for channel in &mut bad {
        let mut wire = Vec::new();
        send_request(&mut wire, &Request { record: 1, draw: 1, path: vec![b'x'; 4096] }).unwrap();
        let flood = wire.repeat(64);
        // It is cut off in the middle.
        drop(channel.write_all(&flood));
    }
    for channel in &mut idle {
        channel.write_all(&[1, 0, 0]).unwrap();
    }
    assert_eq!(ask(&mut good, "files/f1").error, 0, "beside 64 floods and 1024 halves of requests");
    for channel in &mut bad {
        let mut rest = Vec::new();
        // Nothing of it is read any more: it ends, or is reset.
        let ended = channel.read_to_end(&mut rest);
        assert!(ended.is_ok() || ended.is_err_and(|error| error.raw_os_error() == Some(104)));
    }
    assert_eq!(daemon.status("Threads"), before);
    let memory = daemon.status("VmHWM");
    assert!(memory < 64 << 10, "{memory} KiB");
    daemon.finish();
}
