//! Who could end a thread's wait, by what connects its process with others.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use crate::{
    snapshot::{Call, Descriptor, Group, MarkedPlace, Mount, Peer, Process, Snapshot, Thread},
    wait::{Wait, WaitKind, descriptor},
};

/// Who could end a wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// The processes, by their places in the snapshot, the likelier ones first. Any one of them could.
    pub on: Vec<usize>,
    /// How many of them are likelier than the rest; all of them where nothing tells.
    pub likelier: usize,
    /// Somebody else could as well who is not on this machine, or whom nothing here shows.
    pub others: bool,
    /// What says so, in words.
    pub evidence: String,
}

impl Edge {
    /// An edge to processes of which none is likelier than another. Where there is none, it is somebody out of sight.
    fn of(on: BTreeSet<usize>, others: bool, evidence: String) -> Edge {
        Edge { others: others || on.is_empty(), likelier: on.len(), on: on.into_iter().collect(), evidence }
    }
}

/// What connects the processes of a snapshot.
#[derive(Debug)]
pub(crate) struct Connections<'a> {
    snapshot: &'a Snapshot,
    place_of: BTreeMap<u32, usize>,
    pipe_readers: BTreeMap<u64, BTreeSet<usize>>,
    pipe_writers: BTreeMap<u64, BTreeSet<usize>>,
    sockets: BTreeMap<u64, BTreeSet<usize>>,
    fuse_daemons: Vec<(usize, Option<u64>)>,
    groups: Vec<(usize, &'a Group)>,
}

impl<'a> Connections<'a> {
    pub(crate) fn of(snapshot: &'a Snapshot) -> Connections<'a> {
        let mut all = Connections {
            snapshot,
            place_of: BTreeMap::new(),
            pipe_readers: BTreeMap::new(),
            pipe_writers: BTreeMap::new(),
            sockets: BTreeMap::new(),
            fuse_daemons: Vec::new(),
            groups: Vec::new(),
        };
        for (place, process) in snapshot.processes.iter().enumerate() {
            all.place_of.insert(process.pid, place);
            for descriptor in process.descriptors.values() {
                all.add(place, descriptor);
            }
        }
        all
    }

    fn add(&mut self, place: usize, descriptor: &'a Descriptor) {
        match descriptor {
            Descriptor::Pipe { inode, reads, writes } => {
                if *reads {
                    self.pipe_readers.entry(*inode).or_default().insert(place);
                }
                if *writes {
                    self.pipe_writers.entry(*inode).or_default().insert(place);
                }
            }
            Descriptor::Socket { inode, .. } => {
                self.sockets.entry(*inode).or_default().insert(place);
            }
            Descriptor::Fuse { connection } => self.fuse_daemons.push((place, *connection)),
            Descriptor::Group(group) if group.marks.iter().any(|mark| mark.asks) => {
                self.groups.push((place, group));
            }
            Descriptor::Group(_) | Descriptor::Epoll(_) | Descriptor::File(_) => {}
        }
    }

    /// Who could end what a thread waits in; `None` for a wait that is for nobody in particular, or none.
    pub(crate) fn edge(&self, place: usize, thread: &Thread, wait: Wait) -> Option<Edge> {
        let process = &self.snapshot.processes[place];
        let call = thread.call.as_ref();
        match wait.kind {
            WaitKind::PermissionEvent => Some(self.permission(place, call)),
            WaitKind::Fuse => Some(self.fuse(process, call)),
            WaitKind::Lease => Some(self.lease()),
            WaitKind::FileLock => Some(self.file_lock(process, thread)),
            WaitKind::Automount => Some(self.automount(process, call)),
            WaitKind::PipeFull | WaitKind::PipeInput | WaitKind::SocketFull | WaitKind::SocketInput => {
                self.connected(place, &[descriptor(process, call?)?])
            }
            WaitKind::Poll => self.polled(place, process, call?),
            WaitKind::Futex => Some(Edge {
                on: vec![place],
                likelier: 1,
                others: false,
                evidence: "a futex, which the kernel does not say the holder of".to_owned(),
            }),
            WaitKind::Child => self.child(process, call),
            WaitKind::Runs
            | WaitKind::Timer
            | WaitKind::Idle
            | WaitKind::Stopped
            | WaitKind::Storage
            | WaitKind::Unknown => None,
        }
    }

    /// The mount below which a file lies, as far as its path alone says.
    fn mount(&self, process: &Process, path: &str) -> Option<&'a Mount> {
        let below = |mount: &&Mount| Path::new(path).starts_with(&mount.point);
        let mounts = self.snapshot.mounts.get(&process.mounts)?.iter().filter(below);
        // Of two mounts on one place the later one is seen.
        mounts.enumerate().max_by_key(|(order, mount)| (mount.point.len(), *order)).map(|(_, mount)| mount)
    }

    /// The file that a call is about, as far as the caller's memory or descriptors say.
    fn path(process: &Process, call: Option<&Call>) -> Option<PathBuf> {
        let call = call?;
        let of_descriptor = || match descriptor(process, call)? {
            Descriptor::File(path) => Some(path.clone()),
            _ => None,
        };
        call.path.clone().or_else(of_descriptor).map(PathBuf::from)
    }

    /// The groups that are asked about an open. The kernel asks one after another and does not say which is asked now.
    ///
    /// A client has the file open that it decides about. And one that is connected with whoever opens the file does not
    /// ask itself: a product that would wait for its own scanner would do so alone, at its first file.
    fn permission(&self, place: usize, call: Option<&Call>) -> Edge {
        let process = &self.snapshot.processes[place];
        let path = Self::path(process, call);
        let mount = path.as_ref().and_then(|path| self.mount(process, path.to_str()?));
        let covers = |group: &Group| {
            let Some(mount) = mount else { return true };
            group.marks.iter().filter(|mark| mark.asks).any(|mark| match mark.place {
                MarkedPlace::Mount(id) => id == mount.id,
                MarkedPlace::FileSystem(device) | MarkedPlace::Inode(device) => device == mount.device,
            })
        };
        // Below an overlay, or by a symbolic link, the file lies elsewhere than its path says.
        let narrowed = self.groups.iter().any(|(_, group)| covers(group));
        let asked: BTreeSet<usize> = self
            .groups
            .iter()
            .filter(|(_, group)| !narrowed || covers(group))
            .map(|(place, _)| *place)
            .collect();
        let has_it_open = |place: usize| {
            let descriptors = self.snapshot.processes[place].descriptors.values();
            descriptors
                .into_iter()
                .any(|one| matches!(one, Descriptor::File(open) if path.as_deref() == Some(Path::new(open))))
        };
        let rank = |&client: &usize| (!has_it_open(client), self.are_connected(client, place));
        let mut on: Vec<usize> = asked.into_iter().collect();
        on.sort_by_key(rank);
        let best = on.first().map(rank);
        let likelier = on.iter().take_while(|client| Some(rank(client)) == best).count();
        let evidence = match mount {
            Some(mount) if narrowed => format!("permission marks on {}", mount.point),
            _ => "every group with permission marks".to_owned(),
        };
        Edge { others: on.is_empty(), on, likelier, evidence }
    }

    /// True when a socket or a pipe leads from one process to another.
    fn are_connected(&self, one: usize, other: usize) -> bool {
        let ends = self.snapshot.processes[one].descriptors.values();
        one != other
            && ends.into_iter().any(|end| match end {
                Descriptor::Socket { peer: Peer::Socket(peer), .. } => {
                    self.sockets.get(peer).is_some_and(|holders| holders.contains(&other))
                }
                _ => false,
            })
    }

    fn fuse(&self, process: &Process, call: Option<&Call>) -> Edge {
        let path = Self::path(process, call);
        let mount = path.as_ref().and_then(|path| self.mount(process, path.to_str()?));
        let mount = mount.filter(|mount| mount.kind.starts_with("fuse"));
        let serves = |connection: Option<u64>| match (mount, connection) {
            (Some(mount), Some(connection)) => mount.device.1 == connection,
            _ => true,
        };
        let daemons = self.fuse_daemons.iter().filter(|(_, connection)| serves(*connection));
        let on: BTreeSet<usize> = daemons.map(|(place, _)| *place).collect();
        let evidence = match mount {
            Some(mount) => format!("FUSE connection {} on {}", mount.device.1, mount.point),
            None => "every open FUSE connection".to_owned(),
        };
        Edge::of(on, false, evidence)
    }

    fn lease(&self) -> Edge {
        let leases = self.snapshot.locks.iter().filter(|lock| lock.lease && lock.breaking);
        let holders: Vec<Option<usize>> = leases.map(|lock| self.holder(lock.holder)).collect();
        let known = holders.iter().flatten().copied().collect();
        Edge::of(known, holders.contains(&None), "a lease that is being broken (/proc/locks)".to_owned())
    }

    fn holder(&self, pid: Option<u32>) -> Option<usize> {
        self.place_of.get(&pid?).copied()
    }

    fn file_lock(&self, process: &Process, thread: &Thread) -> Edge {
        let waits = |waiters: &[u32]| waiters.iter().any(|waiter| [process.pid, thread.tid].contains(waiter));
        let locks = self.snapshot.locks.iter().filter(|lock| !lock.lease && waits(&lock.waiters));
        let holders: Vec<Option<usize>> = locks.map(|lock| self.holder(lock.holder)).collect();
        let known = holders.iter().flatten().copied().collect();
        Edge::of(known, holders.contains(&None), "a file lock (/proc/locks)".to_owned())
    }

    fn automount(&self, process: &Process, call: Option<&Call>) -> Edge {
        let path = Self::path(process, call);
        let mount = path.as_ref().and_then(|path| self.mount(process, path.to_str()?));
        let daemon = self.holder(mount.and_then(|mount| mount.automounter));
        let evidence = mount.map_or_else(String::new, |mount| format!("automount point {}", mount.point));
        Edge::of(daemon.into_iter().collect(), false, evidence)
    }

    /// Those at the other ends of pipes and sockets; `None` when there is none, so that nobody in particular is waited for.
    fn connected(&self, place: usize, ends: &[&Descriptor]) -> Option<Edge> {
        let mut on = BTreeSet::new();
        let (mut others, mut evidence) = (false, BTreeSet::new());
        for end in ends {
            let (found, words) = match end {
                Descriptor::Pipe { inode, reads, .. } => {
                    let ends = if *reads { &self.pipe_writers } else { &self.pipe_readers };
                    (ends.get(inode), format!("pipe {inode}"))
                }
                Descriptor::Socket { peer: Peer::Socket(peer), .. } => {
                    (self.sockets.get(peer), format!("socket {peer}"))
                }
                Descriptor::Socket { peer: Peer::Elsewhere, .. } => {
                    others = true;
                    continue;
                }
                _ => continue,
            };
            match found {
                Some(found) => {
                    on.extend(found.iter().copied());
                    evidence.insert(words);
                }
                None => others = true,
            }
        }
        // Who holds both ends is a pool of threads that wake each other.
        if on.len() > 1 {
            on.remove(&place);
        }
        let evidence = evidence.into_iter().collect::<Vec<_>>().join(", ");
        (others || !on.is_empty()).then(|| Edge::of(on, others, evidence))
    }

    /// Whoever is at the other ends of what a thread polls.
    fn polled(&self, place: usize, process: &Process, call: &Call) -> Option<Edge> {
        let polled = call.polled.clone().or_else(|| match descriptor(process, call)? {
            Descriptor::Epoll(watched) => Some(watched.clone()),
            _ => None,
        });
        let Some(polled) = polled else {
            return Some(Edge::of(BTreeSet::new(), true, "what it polls is not known".to_owned()));
        };
        let ends: Vec<&Descriptor> =
            polled.iter().filter_map(|number| process.descriptors.get(number)).collect();
        self.connected(place, &ends)
    }

    /// True when a thread waits for nothing but the answers of other processes that it is connected with: it has asked
    /// somebody, and is no event loop that has other things to do.
    pub(crate) fn only_asks(&self, place: usize, thread: &Thread) -> bool {
        let process = &self.snapshot.processes[place];
        let Some(call) = &thread.call else { return false };
        let number = call.descriptor.as_slice();
        let ends = call.polled.as_deref().unwrap_or(number);
        let leads_away = |number: &i32| {
            let holders = match process.descriptors.get(number) {
                Some(Descriptor::Pipe { inode, .. }) => self.pipe_writers.get(inode),
                Some(Descriptor::Socket { peer: Peer::Socket(peer), .. }) => self.sockets.get(peer),
                _ => None,
            };
            holders.is_some_and(|holders| holders.iter().any(|&holder| holder != place))
        };
        !ends.is_empty() && ends.iter().all(leads_away)
    }

    fn child(&self, process: &Process, call: Option<&Call>) -> Option<Edge> {
        let wanted = call.and_then(|call| call.process);
        let is_it = |child: &Process| wanted.map_or(child.parent == process.pid, |pid| child.pid == pid);
        let all = self.snapshot.processes.iter().enumerate();
        let on: BTreeSet<usize> = all.filter(|(_, child)| is_it(child)).map(|(place, _)| place).collect();
        (!on.is_empty()).then(|| Edge::of(on, false, "its child".to_owned()))
    }
}
