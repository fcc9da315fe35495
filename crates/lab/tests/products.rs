//! Several products beside the clients at once, real ones and small ones in Python: the deadline is kept by whoever holds
//! the question, and each has its own folders. What is not installed is said, and its tests count as ignored.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests start programs and look at what they leave"
)]

mod rig;

use std::{fs, path::Path, process::ExitCode};

use lab_analysis::findings::{Findings, Outside, Product, ProductEnd};
use libtest_mimic::Arguments;
use rig::{Finished, Live, Rig, live, sums_add_up};

const PYTHON: &str = "/usr/bin/python3";

fn main() -> ExitCode {
    let tests = vec![
        needs(PYTHON, "of_two_products_the_one_that_holds_on_is_killed", holds_on),
        needs(PYTHON, "a_product_that_does_not_read_is_killed_beside_one_that_does", does_not_read),
        needs(PYTHON, "two_products_have_the_same_folder_each_its_own", own_folders),
        with_io_uring("what_a_commands_io_uring_opens_is_the_commands", io_uring),
        needs("/usr/sbin/clamonacc", "two_scanners_that_leave_out_only_themselves", two_scanners),
    ];
    rig::main(Arguments::from_args(), tests)
}

/// A test that needs a program beside what a live lab needs.
fn needs(program: &'static str, name: &'static str, body: impl FnOnce() + Send + 'static) -> Live {
    let missing = (!Path::new(program).exists()).then(|| format!("{program} is not installed"));
    Live { lacks: missing, ..live(name, body) }
}

/// A test that needs the kernel's io_uring, which a machine may forbid.
fn with_io_uring(name: &'static str, body: impl FnOnce() + Send + 'static) -> Live {
    let test = needs(PYTHON, name, body);
    let allowed =
        fs::read_to_string("/proc/sys/kernel/io_uring_disabled").is_ok_and(|text| text.trim() == "0");
    let forbidden = (!allowed).then(|| "the kernel has no io_uring, or forbids it".to_owned());
    Live { lacks: test.lacks.or(forbidden), ..test }
}

/// A product in a few lines: it allows what it is asked about, and says so. `held`: from so many events on it reads one
/// and does not answer; `unread`: it reads no more.
const RESPONDER: &str = r#"
import ctypes, os, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
how, where, after = sys.argv[1], sys.argv[2], int(sys.argv[3])
group = libc.fanotify_init(4, os.O_RDONLY)
if libc.fanotify_mark(group, 0x101, ctypes.c_uint64(0x10000), -100, where.encode()) < 0:
    sys.exit(os.strerror(ctypes.get_errno()))
print("own:", open(sys.argv[4]).read().strip() if len(sys.argv) > 4 else "none", flush=True)
events = 0
while True:
    if how == "unread" and events >= after: time.sleep(99)
    batch = os.read(group, 24)
    events += 1
    if how == "held" and events >= after: time.sleep(99)
    _, _, _, _, _, file, _ = struct.unpack("=IBBHQii", batch)
    os.write(group, struct.pack("=iI", file, 1))
    os.close(file)
"#;

/// A responder as a product of a lab. The marks are on the arena's file system, which is the lab's own.
fn responder(id: &str, how: &str, after: u32, more: &str) -> String {
    let script = serde_json::to_string(RESPONDER).unwrap();
    format!(
        "  - id: {id}\n    start: [{PYTHON}, -c, {script}, {how}, \"{{arena}}\", \"{after}\"{more}]\n    ready: mark\n"
    )
}

fn load(storm: &str) -> String {
    format!(
        "clients: {{ count: 2, behavior: noop }}\ndeadline: 600ms\n\
         phases: {{ baseline: 50ms, control: 50ms, external: 0s, storm: {storm}, drain: 1s }}\n\
         workload:\n  - open_storm: {{ workers: 2, files: 10, rate: max, operations_max: 200 }}\n"
    )
}

/// Opens a file so many times by an io_uring, each in a worker that the kernel makes for it; then the worker idles.
const BY_IO_URING: &str = r#"
import ctypes, mmap, os, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
params = ctypes.create_string_buffer(120)
ring = libc.syscall(425, 8, params)
if ring < 0: sys.exit("io_uring: " + os.strerror(ctypes.get_errno()))
w = struct.unpack("30I", params.raw)
sq_entries, cq_entries = w[0], w[1]
sq = dict(zip(("head","tail","mask","entries","flags","dropped","array"), w[10:17]))
cq = dict(zip(("head","tail","mask","entries","overflow","cqes"), w[20:26]))
size = max(sq["array"] + sq_entries * 4, cq["cqes"] + cq_entries * 16)
rings = mmap.mmap(ring, size, flags=mmap.MAP_SHARED, offset=0)
sqes = mmap.mmap(ring, sq_entries * 64, flags=mmap.MAP_SHARED, offset=0x10000000)
name = ctypes.create_string_buffer(sys.argv[1].encode())
for nth in range(int(sys.argv[2])):
    tail = struct.unpack_from("I", rings, sq["tail"])[0]
    place = tail & (sq_entries - 1)
    # IORING_OP_OPENAT, done by a worker (IOSQE_ASYNC).
    struct.pack_into("=BBHiQQIIQ", sqes, place * 64, 18, 16, 0, -100, 0, ctypes.addressof(name), 0, os.O_RDONLY, nth)
    struct.pack_into("I", rings, sq["array"] + place * 4, place)
    struct.pack_into("I", rings, sq["tail"], tail + 1)
    if libc.syscall(426, ring, 1, 1, 1, None, 0) < 0: sys.exit(os.strerror(ctypes.get_errno()))
    head = struct.unpack_from("I", rings, cq["head"])[0]
    _, result, _ = struct.unpack_from("=QiI", rings, cq["cqes"] + (head & (cq_entries - 1)) * 16)
    struct.pack_into("I", rings, cq["head"], head + 1)
    if result < 0: sys.exit(os.strerror(-result))
    os.close(result)
time.sleep(0.2)
"#;

/// No tracer is told of the workers that the kernel makes, and beside a product nobody knew whose they are.
fn io_uring() {
    let rig = Rig::new("products-uring");
    let script = rig.root.join("by-io-uring.py");
    fs::write(&script, BY_IO_URING).unwrap();
    let command = format!("{PYTHON}, {}, files/f000001, \"100\"", script.display());
    let load = load("3s") + &format!("  - run: {{ command: [{command}] }}\n");
    rig.lab("uring", &format!("external:\n{}{load}", responder("first", "never", 0, "")));
    let report = rig.report("uring");
    sums_add_up(&report);
    assert_eq!(report.causes.total, 2 * (200 + 100), "{:?}", report.causes);
    assert_eq!(report.totals.unexplained, 0, "{:?}", report.not_observed);
}

fn outside(report: &Findings) -> &Outside {
    report.outside.as_ref().unwrap()
}

fn ends(report: &Findings) -> Vec<&Product> {
    outside(report).products.iter().collect()
}

/// The second of two products is killed for what it held, and the first goes on.
fn second_is_killed(rig: &Rig, finished: &Finished) {
    assert_eq!(rig.remains(), Vec::<String>::new());
    finished.failed_for("external.misses == 0");
    assert!(
        finished.stderr.contains("second missed the lab's deadline and is killed\n"),
        "{}",
        finished.stderr
    );
    let report = finished.report();
    sums_add_up(&report);
    let ends = ends(&report);
    assert_eq!(ends[1].end, ProductEnd::DeadlineKill, "{ends:#?}");
    assert_ne!(ends[0].end, ProductEnd::DeadlineKill, "{ends:#?}");
    assert_eq!((ends[0].ended_early_ns, outside(&report).misses), (None, 1));
    assert!(ends[1].waited_longest_ns.unwrap() >= 600_000_000, "{ends:#?}");
    let misses = report.clients.iter().map(|client| client.deadline_misses);
    assert_eq!(misses.sum::<u64>(), 0, "no client held it");
    assert_eq!(report.storm.root_ops, 200, "what waited went on");
    assert_eq!(report.answers().missed.unwrap().by, [("second".to_owned(), 1)]);
}

/// Both queues are empty: the one has answered, the other has taken the event and sits on it.
fn holds_on() {
    let rig = Rig::new("products-hold");
    let products = responder("first", "never", 0, "") + &responder("second", "held", 50, "");
    rig.lab("hold", &format!("external:\n{products}{}", load("4s")));
    second_is_killed(&rig, &rig.run(&["up", "hold", "--json"]));
}

fn does_not_read() {
    let rig = Rig::new("products-unread");
    let products = responder("first", "never", 0, "") + &responder("second", "unread", 50, "");
    rig.lab("unread", &format!("external:\n{products}{}", load("4s")));
    second_is_killed(&rig, &rig.run(&["up", "unread", "--json"]));
}

fn own_folders() {
    let rig = Rig::new("products-folders");
    let private =
        |text: &str| format!("    private:\n      - path: /srv\n        files: {{ whose: {text} }}\n");
    let more = ", /srv/whose";
    let products = responder("first", "never", 0, more)
        + &private("the-first")
        + &responder("second", "never", 0, more)
        + &private("the-second");
    rig.lab("folders", &format!("external:\n{products}{}", load("2s")));
    let report = rig.report("folders");
    assert_eq!(report.storm.root_ops, 200);
    for (id, text) in [("first", "own: the-first"), ("second", "own: the-second")] {
        let log = fs::read_to_string(rig.latest("folders").join("logs").join(format!("{id}.log"))).unwrap();
        assert!(log.contains(text), "{id}: {log}");
    }
    assert!(!Path::new("/srv/whose").exists(), "the machine's own folder is untouched");
    assert!(ends(&report).iter().all(|product| product.asked), "{:#?}", ends(&report));
}

/// ClamAV twice, by path: the first open waits for both, and no reader, queue or socket shows it.
fn two_scanners() {
    let rig = Rig::new("products-clamav");
    let file = format!("{}/../../lab-configs/two-scanners.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(file).unwrap().replace("deadline: 2s", "deadline: 1s");
    let expectations = text.find("expect:").unwrap();
    fs::write(rig.configs().join("two-scanners.yaml"), &text[..expectations]).unwrap();
    let finished = rig.run(&["up", "two-scanners", "--json"]);
    assert_eq!(rig.remains(), Vec::<String>::new());
    let report = finished.report();
    sums_add_up(&report);
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    let killed = ends(&report).iter().filter(|product| product.end == ProductEnd::DeadlineKill).count();
    assert_eq!((killed, outside(&report).misses), (1, 1), "one end breaks the circle: {:#?}", ends(&report));
    let waited = outside(&report).waited_longest_ns.unwrap();
    assert!((1_000_000_000..10_000_000_000).contains(&waited), "it is killed at the deadline: {waited} ns");
    assert_eq!(report.clients[0].deadline_misses, 0);
    assert_eq!(report.storm.root_ops, 40, "the rest passes through the other");
}
