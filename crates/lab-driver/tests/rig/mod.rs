//! A scratch arena, a driver on it, and its trace read back.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{MetadataExt, PermissionsExt},
            net::UnixStream,
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lab_model::{
    Actor, Distribution, ExecProgram, ExecStorm, ExecTree, FileMix, LoadKind, OpenStorm, Rate, Run, Workload,
};
use lab_protocol::{
    Assignment, DriverAssignment, Order, PROTOCOL, PhaseOrder, Reply, TraceAssignment, Welcome, receive, send,
};
use lab_trace::{Board, Counter, Entry, Header, LossKind, Operation, Record, StoredTrace, ThreadMark, Trace};
use lab_workload::{ArenaEntry, ArenaHost, Content, HostFile, arena, elf::Machine, fill, program_path};

/// No driver is started while a program is being written: it would hold it open for writing for a moment,
/// and running the program would fail.
static WRITING: Mutex<()> = Mutex::new(());

/// How long a driver may take before the test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

fn writing() -> MutexGuard<'static, ()> {
    WRITING.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn open(workers: u16, files: u32, rate: Rate, operations_max: Option<u64>) -> Workload {
    let directory = "files".to_owned();
    Workload {
        workers,
        rate,
        operations_max,
        ..Workload::of(LoadKind::OpenStorm(OpenStorm { files, directory, file_bytes: 64 }))
    }
}

pub(crate) fn exec(workers: u16, program: ExecProgram, operations_max: Option<u64>) -> Workload {
    Workload {
        workers,
        rate: Rate::Max,
        operations_max,
        ..Workload::of(LoadKind::ExecStorm(ExecStorm { program }))
    }
}

pub(crate) fn mix(workers: u16, operations_max: u64) -> Workload {
    Workload {
        workers,
        rate: Rate::Max,
        operations_max: Some(operations_max),
        ..Workload::of(LoadKind::FileMix(FileMix {
            files: 40,
            directory: "mix".to_owned(),
            directories: 4,
            depth: 2,
            file_bytes: Distribution::Uniform(10, 5000),
            extensions: vec!["txt".to_owned(), "so".to_owned()],
            read: 2,
            write: 1,
            create: 1,
        }))
    }
}

pub(crate) fn command(words: &[&str], operations_max: u64) -> Workload {
    let command = words.iter().map(|word| (*word).to_owned()).collect();
    let directory = Some("work".to_owned());
    Workload {
        workers: 1,
        operations_max: Some(operations_max),
        ..Workload::of(LoadKind::Run(Run { command, directory }))
    }
}

pub(crate) fn tree(workers: u16, fanout: u32, depth: u32, operations_max: u64) -> Workload {
    let (rate, operations_max) = (Rate::Max, Some(operations_max));
    Workload { workers, rate, operations_max, ..Workload::of(LoadKind::ExecTree(ExecTree { fanout, depth })) }
}

/// A driver and its arena.
pub(crate) struct Rig {
    root: PathBuf,
    trace: PathBuf,
    workload: Vec<Workload>,
    control: Option<UnixStream>,
    child: Child,
}

impl Rig {
    pub(crate) fn new(name: &str, workload: Vec<Workload>) -> Rig {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        drop(fs::remove_dir_all(&folder));
        let (root, trace) = (folder.join("arena"), folder.join("driver.trace"));
        let ground = ArenaHost { root: root.to_str().unwrap().to_owned(), machine: Machine::this() };
        let guard = writing();
        fs::create_dir_all(root.join("work")).unwrap();
        for entry in arena(&workload, &[], &ground).unwrap() {
            create(&root, &entry);
        }
        let (control, its_end) = UnixStream::pair().unwrap();
        control.set_read_timeout(Some(PATIENCE)).unwrap();
        let driver = env!("CARGO_BIN_EXE_lab-driver");
        // A careless parent: the driver also gets a file that it was not meant to have.
        let inherited = File::create(folder.join("inherited-file")).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exec 9<\"$1\"; exec \"$0\"", driver]).arg(folder.join("inherited-file"));
        let child = command.stdin(OwnedFd::from(its_end)).spawn().unwrap();
        drop((command, inherited, guard));
        Rig { root, trace, workload, control: Some(control), child }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn trace(&self) -> &Path {
        &self.trace
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn replace_program(&self, content: &[u8]) {
        let _guard = writing();
        fs::write(self.root.join(program_path(ExecProgram::Static)), content).unwrap();
    }

    pub(crate) fn send(&mut self, order: &Order) {
        send(self.control.as_mut().unwrap(), order).unwrap();
    }

    pub(crate) fn receive(&mut self) -> Reply {
        receive(self.control.as_mut().unwrap()).unwrap()
    }

    pub(crate) fn welcome(&mut self) {
        let welcome = Welcome {
            protocol: PROTOCOL,
            actor: Actor(9),
            name: "driver".to_owned(),
            seed: 42,
            arena: self.root.to_str().unwrap().to_owned(),
            trace: TraceAssignment {
                path: self.trace.to_str().unwrap().to_owned(),
                salt: 7,
                bytes_max: 1 << 30,
            },
            assignment: Assignment::Driver(DriverAssignment { workload: self.workload.clone() }),
        };
        self.send(&Order::Welcome(Box::new(welcome)));
    }

    /// Starts the driver's threads and returns their IDs.
    pub(crate) fn ready(&mut self) -> Vec<u64> {
        self.welcome();
        match self.receive() {
            Reply::Ready { pid, threads, queue: _, helpers: _ } => {
                assert_eq!(pid, self.pid());
                threads
            }
            other => panic!("{other:?}"),
        }
    }

    /// Runs one phase and returns the operations in it.
    pub(crate) fn drive(&mut self, order: PhaseOrder) -> u64 {
        self.send(&Order::Drive(order));
        assert_eq!(self.receive(), Reply::Done);
        match self.receive() {
            Reply::PhaseEnded { operations, .. } => operations,
            other => panic!("{other:?}"),
        }
    }

    /// Watches the board until the driver has ended so many operations.
    pub(crate) fn wait_for_operations(&self, operations: u64) {
        let board = Board::attach(&self.trace).unwrap();
        let begun = Instant::now();
        while board.get(Counter::OperationsEnded) < operations {
            assert!(begun.elapsed() < PATIENCE, "no operations");
            std::thread::yield_now();
        }
    }

    pub(crate) fn hang_up(&mut self) {
        self.control = None;
    }

    /// Waits for the driver's end and returns its exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Ends the driver and reads its trace back.
    pub(crate) fn finish(&mut self) -> Recorded {
        self.send(&Order::Finish);
        assert_eq!(self.receive(), Reply::Closed { lost: 0 });
        assert_eq!(self.wait(), Some(0));
        self.read()
    }

    pub(crate) fn read(&self) -> Recorded {
        Recorded::read(&self.trace)
    }
}

fn create(root: &Path, entry: &ArenaEntry) {
    let path = root.join(&entry.path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let bytes = match &entry.content {
        Content::Fill { bytes, seed } => fill(*bytes, *seed),
        Content::Image(image) => image.clone(),
        Content::HostFile(HostFile::Driver) => fs::read(env!("CARGO_BIN_EXE_lab-driver")).unwrap(),
        Content::HostFile(file) => {
            let candidates = file.candidates(Machine::this());
            let found = candidates.iter().find_map(|candidate| fs::read(candidate).ok());
            found.unwrap_or_else(|| panic!("none of {candidates:?} is there"))
        }
    };
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(entry.mode)).unwrap();
}

/// A trace as read back.
pub(crate) struct Recorded {
    pub(crate) header: Header,
    pub(crate) closed: bool,
    pub(crate) lost: u64,
    pub(crate) operations: Vec<Operation>,
    pub(crate) threads: Vec<ThreadMark>,
    /// The sum of all loss records.
    pub(crate) losses: u64,
    /// Of these, what was not begun because of a halt.
    pub(crate) halted: u64,
    /// The places of the operations.
    pub(crate) places: Vec<u64>,
    pub(crate) paths: BTreeMap<u32, String>,
}

impl Recorded {
    fn read(path: &Path) -> Recorded {
        let file = StoredTrace::open(path).unwrap();
        let trace = Trace::of(&file).unwrap();
        let mut recorded = Recorded {
            header: trace.header.clone(),
            closed: trace.closed.is_some(),
            lost: trace.lost,
            operations: Vec::new(),
            threads: Vec::new(),
            losses: 0,
            halted: 0,
            places: Vec::new(),
            paths: BTreeMap::new(),
        };
        for entry in trace.entries() {
            match entry {
                Entry::Record { record, index } => {
                    if matches!(record, Record::Operation(_)) {
                        recorded.places.push(index);
                    }
                    recorded.add(record);
                }
                // A driver that was cut off leaves places that it had claimed.
                Entry::Damaged { .. } => assert!(!recorded.closed, "{entry:?}"),
            }
        }
        recorded
    }

    fn add(&mut self, record: Record) {
        match record {
            Record::Operation(operation) => self.operations.push(operation),
            Record::Thread(mark) => self.threads.push(mark),
            Record::Loss(loss) => {
                self.losses += loss.count;
                self.halted += if loss.kind == LossKind::NotBegunHalted { loss.count } else { 0 };
            }
            Record::Path(piece) => {
                let text = String::from_utf8(piece.bytes).unwrap();
                self.paths.entry(piece.path).or_default().push_str(&text);
            }
            other => panic!("the driver records no {other:?}"),
        }
    }

    /// Checks that each operation has all its parts, names a file of the arena, and that no thread was in
    /// two operations at once.
    pub(crate) fn check_each_operation(&self, rig: &Rig) {
        let mut inodes = BTreeMap::new();
        let mut last_end = BTreeMap::new();
        for one in &self.operations {
            let (end, target) = (one.end.present().unwrap(), one.target.present().unwrap());
            assert!(one.begin.started <= end.ended && one.begin.started.0 > 0, "{one:?}");
            let path = &self.paths[&target.path];
            assert!(Path::new(path).starts_with(rig.root()), "{path}");
            let inode = *inodes.entry(path).or_insert_with(|| fs::metadata(path).unwrap().ino());
            assert_eq!(target.inode, inode, "{path}");
            // Records of one worker lie in the order of their claims, so that a look at the last one is enough.
            for thread in [one.begin.subject.tid, u64::MAX - u64::from(one.begin.worker)] {
                let before = last_end.insert(thread, end.ended);
                assert!(before.is_none_or(|before| before <= one.begin.started), "{one:?}");
            }
        }
    }

    /// Checks that the threads in the trace are those that the driver named.
    pub(crate) fn check_threads(&self, named: &[u64]) {
        let marked: BTreeSet<u64> = self.threads.iter().map(|mark| mark.tid).collect();
        assert_eq!(marked, named.iter().copied().collect());
        assert_eq!(self.threads.len(), named.len());
    }
}
