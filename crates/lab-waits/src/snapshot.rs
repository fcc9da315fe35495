//! What the kernel shows of a machine's threads at one moment.
//!
//! It is written as JSON, so that the graph of a machine that stood still can be made again elsewhere. Paths and names are
//! those of the machine; whoever reads them shows them with control characters made visible.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A machine's threads, and what connects their processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The version of this form: [`Snapshot::VERSION`].
    pub version: u32,
    /// How long the machine was watched, in milliseconds: no wait is known to have lasted longer.
    pub watched_ms: u64,
    /// How long the last look took, in microseconds.
    pub took_us: u64,
    /// The processes, without the kernel's own threads.
    pub processes: Vec<Process>,
    /// What is mounted in each mount namespace in which somebody waits, by the namespace's inode.
    pub mounts: BTreeMap<u64, Vec<Mount>>,
    /// Leases and locks, and who waits for them.
    pub locks: Vec<FileLock>,
    /// What could not be read, in words.
    pub unreadable: Vec<String>,
}

/// What is wrong with what should be a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It is no JSON of this form.
    #[error("it is no snapshot: {0}")]
    Form(#[from] serde_json::Error),
    /// Another version of this program has written it.
    #[error("it has version {0}, and this program reads version {version}", version = Snapshot::VERSION)]
    Version(u32),
}

impl Snapshot {
    /// The version of the form.
    pub const VERSION: u32 = 1;

    /// Reads a snapshot that was saved.
    ///
    /// # Errors
    /// [`SnapshotError`] when the text is none, or one of another version.
    pub fn parse(text: &[u8]) -> Result<Snapshot, SnapshotError> {
        let snapshot: Snapshot = serde_json::from_slice(text)?;
        if snapshot.version != Snapshot::VERSION {
            return Err(SnapshotError::Version(snapshot.version));
        }
        Ok(snapshot)
    }

    /// Says of each thread since when it has been in the wait it is in, by an earlier look `apart_ms` milliseconds before.
    /// A thread is in the same wait as long as it has not run, or has come back to the very same call with a timeout.
    pub fn follow(&mut self, earlier: &Snapshot, apart_ms: u64) {
        let known: BTreeMap<(u32, u32), &Thread> = earlier
            .processes
            .iter()
            .flat_map(|process| process.threads.iter().map(|thread| ((process.pid, thread.tid), thread)))
            .collect();
        for process in &mut self.processes {
            for thread in &mut process.threads {
                let Some(then) = known.get(&(process.pid, thread.tid)) else { continue };
                if thread.is_still(then) {
                    thread.since_ms = then.since_ms.saturating_add(apart_ms);
                }
                if thread.switches == then.switches {
                    thread.rested_ms = then.rested_ms.saturating_add(apart_ms);
                }
            }
        }
        self.watched_ms = earlier.watched_ms.saturating_add(apart_ms);
    }

    /// The process of this number.
    #[must_use]
    pub fn process(&self, pid: u32) -> Option<&Process> {
        self.processes.iter().find(|process| process.pid == pid)
    }
}

/// One process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number, in the PID namespace of whoever looked.
    pub pid: u32,
    /// The process that it was started by, or has come to belong to.
    pub parent: u32,
    /// What it calls itself.
    pub name: String,
    /// The inode of its mount namespace; 0 when it may not be looked at.
    pub mounts: u64,
    /// Its threads.
    pub threads: Vec<Thread>,
    /// What of its descriptors connects it with others, by number.
    pub descriptors: BTreeMap<i32, Descriptor>,
}

/// One thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Its number.
    pub tid: u32,
    /// What it calls itself.
    pub name: String,
    /// What it does, by the kernel's letter: `R`, `S`, `D`, `T`, `Z`, …
    pub state: char,
    /// The function of the kernel in which it waits; empty when it runs, or the kernel does not say it.
    pub channel: String,
    /// The system call that it is in; `None` when it runs, or may not be looked at.
    pub call: Option<Call>,
    /// How often it has left a processor.
    pub switches: u64,
    /// For how long at least it has been in this wait, in milliseconds: as long as it was watched.
    pub since_ms: u64,
    /// For how long at least it has not run, in milliseconds.
    pub rested_ms: u64,
}

impl Thread {
    /// Whether this thread has been in the same wait since an earlier look.
    fn is_still(&self, then: &Thread) -> bool {
        // What a call says beyond that is not read at every look.
        let call = |thread: &Thread| thread.call.as_ref().map(|call| (call.name.clone(), call.descriptor));
        let same = call(self) == call(then) && self.channel == then.channel && self.state == then.state;
        // Whoever waits for a lease is woken again and again to look after it; who sleeps or polls with a timeout comes back.
        let comes_back = |call: &Call| call.timeout_ms.is_some() || call.name.ends_with("nanosleep");
        let timed = self.channel == "__break_lease" || self.call.as_ref().is_some_and(comes_back);
        same && (timed || self.switches == then.switches)
    }
}

/// A system call, with what of its arguments says what it waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its name, such as `openat`; `syscall 999` when this program knows none.
    pub name: String,
    /// The descriptor that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<i32>,
    /// The descriptors that it polls; `None` when it polls none, or they could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub polled: Option<Vec<i32>>,
    /// After how many milliseconds it ends by itself; `None` for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The file that it is about, as the caller named it, made absolute by its working folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The process that it waits for; `None` for any child.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<u32>,
}

/// A descriptor that connects its process with others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Descriptor {
    /// One end of a pipe, or a FIFO.
    Pipe {
        /// The pipe.
        inode: u64,
        /// It may be read from.
        reads: bool,
        /// It may be written to.
        writes: bool,
    },
    /// A socket.
    Socket {
        /// This end.
        inode: u64,
        /// The other end.
        peer: Peer,
    },
    /// The side of a FUSE connection that answers.
    Fuse {
        /// The connection; `None` when the kernel does not say it (before Linux 6.18).
        connection: Option<u64>,
    },
    /// A fanotify group.
    Group(Group),
    /// An epoll instance, with what it polls.
    Epoll(Vec<i32>),
    /// A file, by its path in the mount namespace of its process.
    File(String),
}

/// The other end of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Peer {
    /// There is none: it listens, or is not connected.
    Nobody,
    /// The socket of this inode.
    Socket(u64),
    /// Somebody who is not on this machine, or cannot be found on it.
    Elsewhere,
}

/// A fanotify group, as its holder's `fdinfo` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The flags that it was made with (`fanotify_init`).
    pub flags: u32,
    /// The events that wait to be read; `None` when that cannot be seen.
    pub unread: Option<u64>,
    /// What it is told or asked about.
    pub marks: Vec<Mark>,
}

/// One mark of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// What is marked.
    pub place: MarkedPlace,
    /// The events, `FAN_*`.
    pub mask: u64,
    /// Whoever raises one of the events has to wait for an answer.
    pub asks: bool,
}

/// What a mark is on. Devices are `(major, minor)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkedPlace {
    /// A file or folder of this device.
    Inode((u64, u64)),
    /// The mount of this ID.
    Mount(u64),
    /// The file system of this device.
    FileSystem((u64, u64)),
}

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Its ID.
    pub id: u64,
    /// The file system's device, as `(major, minor)`. The minor number of a FUSE file system is its connection.
    pub device: (u64, u64),
    /// Where it is mounted.
    pub point: String,
    /// The kind of file system, such as `fuse.sshfs`.
    pub kind: String,
    /// The process group of the daemon of an automount point; `None` for any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automounter: Option<u32>,
}

/// A line of `/proc/locks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLock {
    /// It is a lease; otherwise a lock.
    pub lease: bool,
    /// Somebody waits for the lease to be given back.
    pub breaking: bool,
    /// Who has it; `None` when that is nobody of this PID namespace.
    pub holder: Option<u32>,
    /// Who waits for the lock.
    pub waiters: Vec<u32>,
    /// The file, as `(major, minor, inode)`.
    pub file: (u64, u64, u64),
}
