//! The loads beside the two storms, and the schedules of all: as written, and resolved.

use std::{borrow::Cow, collections::BTreeMap};

use lab_model::{Distribution, ExecTree, Expectation, FileMix, Knee, OpenList, Rate, Run, Span};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    Beside, Diagnostic,
    distribution::RawBytes,
    expectations::expectation,
    read::{At, Field, List, Problems, Read, records},
    resolve::{check_path, path_mistake},
    scalar::Bounded,
    tree::{Node, Value, shortened},
};

/// The most paths of one list, and the most bytes of all of them: a lab is handed to its processes whole.
const PATHS_MAX: usize = 10_000;
const PATH_BYTES_MAX: usize = 512 << 10;

records! {
    /// Opens files of many folders, sizes and endings: to read, to write, or to create.
    #[schemars(rename = "FileMix")]
    "`file_mix`" RawFileMix {
        /// Threads that open, each one file at a time.
        #[schemars(extend("default" = 2))]
        workers [default]: Bounded<1, 256>,
        /// Files in the arena.
        #[schemars(extend("default" = 500))]
        files [default]: Bounded<1, 1_000_000>,
        /// The folder below the arena that holds them all.
        #[schemars(extend("default" = "mix"))]
        directory [default]: String,
        /// Folders that hold the files, evenly.
        #[schemars(extend("default" = 20))]
        directories [default]: Bounded<1, 10_000>,
        /// How deep these lie below `directory`.
        #[schemars(extend("default" = 2))]
        depth [default]: Bounded<1, 8>,
        /// Bytes in a file, drawn for each. Left out, half have at most 4 KiB and 99 % at most 256 KiB.
        file_bytes [default]: RawBytes,
        /// The endings of the files' names, without the dot, one after the other.
        #[schemars(extend("default" = ["txt", "bin", "so", "conf"], "minItems" = 1))]
        extensions [default]: List<String>,
        /// How many of all operations open a file to read.
        #[schemars(extend("default" = 8))]
        read [default]: Bounded<0, 1_000_000>,
        /// How many open one to write to it, and write: a kernel then forgets the answers that it kept.
        #[schemars(extend("default" = 1))]
        write [default]: Bounded<0, 1_000_000>,
        /// How many create a new file, which is removed again at once.
        #[schemars(extend("default" = 1))]
        create [default]: Bounded<0, 1_000_000>,
        /// How fast.
        #[schemars(extend("default" = "max"))]
        rate [default]: RawRate,
        /// Raises the rate step by step over the phase, in place of `rate`.
        find_knee [default]: RawKnee,
        /// Stops after this many operations in a phase. Left out, it goes on until the phase ends.
        operations_max [default]: Bounded<1, { u64::MAX }>,
    }

    /// Opens the files of a recorded list, in its order, again and again. Each is made again in the arena.
    #[schemars(rename = "OpenList", extend("oneOf" = [{ "required": ["list"] }, { "required": ["paths"] }]))]
    "`open_list`" RawOpenList {
        /// A file with one path a line, relative to the lab file. Empty lines and lines that begin with `#` are
        /// left out, and the slash at a path's beginning does not count.
        list [default]: String,
        /// The paths themselves, in place of `list`.
        paths [default]: RawPaths,
        /// Threads that open, each one file at a time; they take turns in the list.
        #[schemars(extend("default" = 1))]
        workers [default]: Bounded<1, 256>,
        /// The folder below the arena in which the files are made again.
        #[schemars(extend("default" = "list"))]
        directory [default]: String,
        /// Bytes in a file.
        #[schemars(extend("default" = 4096))]
        file_bytes [default]: RawBytes,
        /// How fast.
        #[schemars(extend("default" = "max"))]
        rate [default]: RawRate,
        /// Raises the rate step by step over the phase, in place of `rate`.
        find_knee [default]: RawKnee,
        /// Stops after this many operations in a phase. Left out, it goes on until the phase ends.
        operations_max [default]: Bounded<1, { u64::MAX }>,
    }

    /// Runs trees of processes. Each program runs `fanout` more, `depth` levels deep, and waits for them; every one
    /// is an exec of the workload's, recorded with its own beginning and end.
    #[schemars(rename = "ExecTree")]
    "`exec_tree`" RawExecTree {
        /// Threads that run trees, each one at a time.
        #[schemars(extend("default" = 1))]
        workers [default]: Bounded<1, 256>,
        /// Programs that each program runs, at the same time.
        #[schemars(extend("default" = 2))]
        fanout [default]: Bounded<1, 100>,
        /// Levels below the root.
        #[schemars(extend("default" = 3))]
        depth [default]: Bounded<0, 8>,
        /// How fast, in trees.
        #[schemars(extend("default" = "max"))]
        rate [default]: RawRate,
        /// Raises the rate step by step over the phase, in place of `rate`.
        find_knee [default]: RawKnee,
        /// Stops after this many trees in a phase. Left out, it goes on until the phase ends.
        operations_max [default]: Bounded<1, { u64::MAX }>,
    }

    /// Runs a command of your own, on Linux. It sees this machine's files, and the arena as its working directory; what it
    /// opens and runs in the arena, the clients are asked about. Each of its processes and threads is one operation, from
    /// birth to end, as the kernel tells of them; the opens within are not recorded one by one. What still runs when the
    /// phase is over is killed.
    #[schemars(rename = "Run")]
    "`run`" RawRun {
        /// The program, found as a shell finds it, and its arguments: `[make, -j2]`.
        #[schemars(extend("minItems" = 1))]
        command: List<String>,
        /// Its working directory below the arena, made if it is not there. Left out, it is the arena itself.
        directory [default]: String,
        /// Threads that run it, each once at a time.
        #[schemars(extend("default" = 1))]
        workers [default]: Bounded<1, 256>,
        /// Runs it this many times in a phase.
        #[schemars(extend("default" = 1))]
        operations_max [default]: Bounded<1, { u64::MAX }>,
    }

    /// Bursts or a ramp; exactly one of `burst` with `every`, and `ramp`.
    #[schemars(
        rename = "PlannedRate",
        extend("oneOf" = [{ "required": ["burst", "every"] }, { "required": ["ramp"] }])
    )]
    "a planned rate" RawPlannedRate {
        /// So many operations at once.
        burst [default]: Bounded<1, 1_000_000>,
        /// From one burst to the next.
        every [default]: Span,
        /// Operations a second at the phase's start and at its end; evenly more, or fewer, in between.
        #[schemars(extend("minItems" = 2, "maxItems" = 2))]
        ramp [default]: List<Bounded<0, 10_000_000>>,
    }

    /// Looks for the rate from which on the lab no longer holds its expectations: the phase is cut into steps, each
    /// at a rate of its own, a constant factor above the last. The report tells which was the last that held.
    #[schemars(rename = "Knee")]
    "`find_knee`" RawKnee {
        /// Operations a second in the first step.
        from: Bounded<1, 10_000_000>,
        /// Operations a second in the last step.
        to: Bounded<1, 10_000_000>,
        /// How many steps. Each lasts the same part of the phase.
        #[schemars(extend("default" = 10))]
        steps [default]: Bounded<2, { Knee::STEPS_MAX as u64 }>,
        /// What each step must hold, beside keeping up with its rate: conditions on `op_latency.storm`, `headroom` and
        /// `deadline.misses`, taken for the step alone, such as `op_latency.storm.p99 < 5ms`.
        hold [default]: List<String>,
    }
}

/// Paths of a list; more than other lists of a lab file may have.
#[derive(Clone, Debug)]
pub(crate) struct RawPaths(List<String>);

impl Read for RawPaths {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<RawPaths> {
        match &node.value {
            Value::List(nodes) => Some(RawPaths(List::of(nodes, PATHS_MAX, problems))),
            _ => {
                problems.wrong_type(node, "a list of paths", "`[etc/passwd, usr/lib/libc.so.6]`");
                None
            }
        }
    }
}

impl JsonSchema for RawPaths {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Paths".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let path = json_schema!({ "type": "string" });
        json_schema!({ "type": "array", "minItems": 1, "maxItems": PATHS_MAX, "items": path })
    }
}

/// How fast a load runs: `max`, a number of operations a second, or a plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawRate(pub(crate) Rate);

type PerSecond = Bounded<1, 10_000_000>;

impl Read for RawRate {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<RawRate> {
        match &node.value {
            Value::Text(text) if text == "max" => Some(RawRate(Rate::Max)),
            Value::Integer(_) => {
                PerSecond::read(node, problems).map(|rate| RawRate(Rate::PerSecond(rate.get())))
            }
            Value::Map(_) => RawPlannedRate::read(node, problems)?.resolve(node, problems).map(RawRate),
            _ => {
                let expected = "`max`, operations a second, or a planned rate";
                problems.wrong_type(node, expected, "`max`, `500`, or `{ ramp: [100, 5000] }`");
                None
            }
        }
    }
}

impl JsonSchema for RawRate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let per_second = generator.subschema_for::<PerSecond>();
        let planned = generator.subschema_for::<RawPlannedRate>();
        json_schema!({
            "description": "`max` starts the next operation when the last one ended; a number plans so many \
                operations a second over all workers, `{ burst: 100, every: 1s }` so many at once, and \
                `{ ramp: [100, 5000] }` a rate that grows evenly. Latency counts from the planned start.",
            "anyOf": [{ "const": "max", "description": "Closed loop." }, per_second, planned]
        })
    }
}

impl RawPlannedRate {
    fn resolve(&self, node: &Node, problems: &mut Problems<'_>) -> Option<Rate> {
        use Field::{Absent, Bad, Given};
        match (&self.burst, &self.every, &self.ramp) {
            (Given(burst), Given(every), Absent) if !every.value.is_zero() => {
                return Some(Rate::Burst { operations: burst.value.get(), every: every.value });
            }
            (Absent, Absent, Given(ramp)) => {
                if let [from, to] = ramp.value.items.as_slice()
                    && from.value.0 + to.value.0 > 0
                {
                    return Some(Rate::Ramp { from: from.value.get(), to: to.value.get() });
                }
                if !ramp.value.complete {
                    return None;
                }
            }
            (Bad, ..) | (_, Bad, _) | (.., Bad) => return None,
            _ => {}
        }
        let diagnostic = Diagnostic::new(node.place.clone(), "a rate is planned in one way")
            .label("expected `burst` with `every`, or `ramp` with two rates")
            .help("write for example `{ burst: 100, every: 1s }` or `{ ramp: [100, 5000] }`");
        problems.add(diagnostic);
        None
    }
}

/// The rate of a load: as written, or the steps of its knee.
pub(crate) fn rate(rate: &Field<RawRate>, knee: &Field<RawKnee>, problems: &mut Problems<'_>) -> Rate {
    let Some(written) = knee.given() else { return rate.value().map_or(Rate::Max, |rate| rate.0) };
    if let Some(at) = rate.given() {
        let diagnostic = Diagnostic::new(written.place.clone(), "a load has one rate")
            .label("takes the place of `rate`")
            .related(at.place.clone(), "a rate is given here")
            .help("remove `rate` or `find_knee`");
        problems.add(diagnostic);
    }
    let RawKnee { from, to, steps, hold: _ } = &written.value;
    let (Some(from), Some(to)) = (from.value(), to.value()) else { return Rate::Max };
    if from.0 >= to.0 {
        let message = format!("a knee is looked for from {} upwards, not to {}", from.0, to.0);
        let diagnostic = Diagnostic::new(written.place.clone(), message)
            .label("expected `to` above `from`")
            .help("write for example `{ from: 500, to: 50000 }`");
        problems.add(diagnostic);
    }
    Rate::Knee(Knee { from: from.get(), to: to.get(), steps: steps.value().map_or(10, |steps| steps.get()) })
}

/// What the steps of a knee must hold.
pub(crate) fn hold(
    raw: &RawKnee,
    clients: Option<&[String]>,
    problems: &mut Problems<'_>,
) -> Vec<Expectation> {
    let steps_have = |metric: &str| {
        ["op_latency.storm.", "headroom."].iter().any(|start| metric.starts_with(start))
            || metric == "deadline.misses"
    };
    let mut hold = Vec::new();
    for at in raw.hold.value().into_iter().flat_map(|list| &list.items) {
        let Some(condition) = expectation(at, clients, problems) else { continue };
        if !steps_have(&condition.metric) {
            let message = format!("`{}` is not known for a step alone", condition.metric);
            let diagnostic = Diagnostic::new(at.place.clone(), message)
                .label("expected a condition on `op_latency.storm`, `headroom` or `deadline.misses`")
                .help("conditions on the whole run belong under `expect`");
            problems.add(diagnostic);
        }
        hold.push(condition);
    }
    hold
}

pub(crate) fn resolve_file_mix(raw: &RawFileMix, problems: &mut Problems<'_>) -> FileMix {
    if let Some(at) = raw.directory.given() {
        check_path(at, problems);
    }
    let extensions: Vec<String> = match raw.extensions.given() {
        Some(list) => {
            check_extensions(list, problems);
            list.value.items.iter().map(|at| at.value.clone()).collect()
        }
        None => ["txt", "bin", "so", "conf"].map(str::to_owned).to_vec(),
    };
    let share =
        |field: &Field<Bounded<0, 1_000_000>>, default| field.value().map_or(default, |share| share.get());
    let (read, write, create) = (share(&raw.read, 8), share(&raw.write, 1), share(&raw.create, 1));
    if let (0, Some(at)) = (read + write + create, raw.create.given().or(raw.write.given())) {
        let diagnostic =
            Diagnostic::new(at.place.clone(), "a mix of no reads, writes and creations does nothing")
                .label("one of the three is more than 0");
        problems.add(diagnostic);
    }
    FileMix {
        workers: raw.workers.value().map_or(2, |workers| workers.get()),
        files: raw.files.value().map_or(500, |files| files.get()),
        directory: raw.directory.value().cloned().unwrap_or_else(|| "mix".to_owned()),
        directories: raw.directories.value().map_or(20, |directories| directories.get()),
        depth: raw.depth.value().map_or(2, |depth| depth.get()),
        file_bytes: raw.file_bytes.value().map_or(Distribution::HeavyTail(4096, 256 << 10), |bytes| bytes.0),
        extensions,
        read,
        write,
        create,
        rate: rate(&raw.rate, &raw.find_knee, problems),
        operations_max: raw.operations_max.value().map(|max| max.0),
    }
}

fn check_extensions(list: &At<List<String>>, problems: &mut Problems<'_>) {
    let good = |text: &str| {
        (1..=32).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if list.value.items.is_empty() && list.value.complete {
        let diagnostic = Diagnostic::new(list.place.clone(), "files have at least one ending")
            .help("write for example `[txt, so]`, or leave it out");
        problems.add(diagnostic);
    }
    for at in list.value.items.iter().filter(|at| !good(&at.value)) {
        let message = format!("`{}` is no ending of a file's name", shortened(&at.value));
        let diagnostic = Diagnostic::new(at.place.clone(), message)
            .label("expected 1 to 32 letters, digits or underscores")
            .help("write it without the dot, such as `txt`");
        problems.add(diagnostic);
    }
}

pub(crate) fn resolve_run(raw: &RawRun, problems: &mut Problems<'_>) -> Run {
    if let Some(at) = raw.directory.given() {
        check_path(at, problems);
    }
    let command: Vec<String> =
        raw.command.value().into_iter().flat_map(|list| &list.items).map(|at| at.value.clone()).collect();
    if let Some(list) = raw.command.given() {
        let empty = command.first().is_none_or(String::is_empty) && list.value.complete;
        if empty || command.iter().any(|part| part.contains('\0')) {
            let diagnostic = Diagnostic::new(list.place.clone(), "a command has at least a program")
                .label("expected a program and its arguments")
                .help("write for example `[make, -j2]`");
            problems.add(diagnostic);
        }
    }
    Run {
        workers: raw.workers.value().map_or(1, |workers| workers.get()),
        command,
        directory: raw.directory.value().cloned(),
        operations_max: Some(raw.operations_max.value().map_or(1, |max| max.0)),
    }
}

pub(crate) fn resolve_exec_tree(at: &At<RawExecTree>, problems: &mut Problems<'_>) -> ExecTree {
    let raw = &at.value;
    let tree = ExecTree {
        workers: raw.workers.value().map_or(1, |workers| workers.get()),
        fanout: raw.fanout.value().map_or(2, |fanout| fanout.get()),
        depth: raw.depth.value().map_or(3, |depth| depth.get()),
        rate: rate(&raw.rate, &raw.find_knee, problems),
        operations_max: raw.operations_max.value().map(|max| max.0),
    };
    if tree.execs() > ExecTree::EXECS_MAX {
        let message = format!("a tree of {} programs is more than one machine stands", tree.execs());
        let diagnostic = Diagnostic::new(at.place.clone(), message)
            .label(format!("at most {} in one tree", ExecTree::EXECS_MAX))
            .help("lower `fanout` or `depth`");
        problems.add(diagnostic);
    }
    tree
}

/// A list of paths; `beside` reads the file that it names.
pub(crate) fn resolve_open_list(
    at: &At<RawOpenList>,
    beside: &Beside<'_>,
    problems: &mut Problems<'_>,
) -> Option<OpenList> {
    let raw = &at.value;
    if let Some(at) = raw.directory.given() {
        check_path(at, problems);
    }
    let paths: Vec<(String, &std::ops::Range<usize>)> = match (&raw.list, &raw.paths) {
        (Field::Given(list), Field::Absent) => match beside(&list.value) {
            Ok(text) => {
                if let Some(diagnostic) = unfit(list, &text) {
                    problems.add(diagnostic);
                    return None;
                }
                listed(&text).map(|(_, path)| (path, &list.place)).collect()
            }
            Err(why) => {
                let message = format!("the list `{}` cannot be read: {why}", shortened(&list.value));
                let diagnostic = Diagnostic::new(list.place.clone(), message)
                    .label("a file beside the lab file")
                    .help("name a file that lies beside the lab file or below, one path a line");
                problems.add(diagnostic);
                return None;
            }
        },
        (Field::Absent, Field::Given(paths)) => {
            paths.value.0.items.iter().map(|at| (at.value.clone(), &at.place)).collect()
        }
        (Field::Bad, _) | (_, Field::Bad) => return None,
        _ => {
            let diagnostic = Diagnostic::new(at.place.clone(), "a list is named or written out")
                .label("expected one of `list` and `paths`")
                .help("write for example `list: recorded.txt`");
            problems.add(diagnostic);
            return None;
        }
    };
    check_paths(&paths, at, problems);
    Some(OpenList {
        workers: raw.workers.value().map_or(1, |workers| workers.get()),
        paths: paths.into_iter().map(|(path, _)| path).collect(),
        directory: raw.directory.value().cloned().unwrap_or_else(|| "list".to_owned()),
        file_bytes: raw.file_bytes.value().map_or(Distribution::Fixed(4096), |bytes| bytes.0),
        rate: rate(&raw.rate, &raw.find_knee, problems),
        operations_max: raw.operations_max.value().map(|max| max.0),
    })
}

/// The paths of a list as it is recorded, with the numbers of their lines.
fn listed(text: &str) -> impl Iterator<Item = (usize, String)> {
    let lines = (1..).zip(text.lines().map(str::trim));
    let paths = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    paths.map(|(number, line)| (number, line.trim_start_matches('/').to_owned()))
}

/// Why a list cannot be used. The lines are told by their numbers and never by what they say: a file that was named by
/// mistake may be nobody's to see.
fn unfit(list: &At<String>, text: &str) -> Option<Diagnostic> {
    let why = |number: usize, why: &str| {
        let message = format!("line {number} of the list `{}` is not a path", shortened(&list.value));
        Diagnostic::new(list.place.clone(), message)
            .label(why.to_owned())
            .help("write one path a line, below the arena, such as `files/deep`")
    };
    let mut first_with: BTreeMap<String, usize> = BTreeMap::new();
    for (number, path) in listed(text) {
        if let Some(mistake) = path_mistake(&path) {
            return Some(why(number, mistake));
        }
        first_with.entry(path).or_insert(number);
    }
    first_with.iter().find_map(|(path, &number)| {
        let mut parents = path.match_indices('/').map(|(at, _)| &path[..at]);
        let file = parents.find_map(|parent| first_with.get(parent))?;
        Some(why(number, &format!("its folder is the file of line {file}")))
    })
}

fn check_paths(
    paths: &[(String, &std::ops::Range<usize>)],
    list: &At<RawOpenList>,
    problems: &mut Problems<'_>,
) {
    let bytes: usize = paths.iter().map(|(path, _)| path.len()).sum();
    if paths.is_empty() || paths.len() > PATHS_MAX || bytes > PATH_BYTES_MAX {
        let message = format!("a list of {} paths and {bytes} bytes cannot be opened", paths.len());
        let diagnostic = Diagnostic::new(list.place.clone(), message)
            .label(format!("expected 1 to {PATHS_MAX} paths of together at most {PATH_BYTES_MAX} bytes"));
        problems.add(diagnostic);
        return;
    }
    for (path, place) in paths {
        check_path(&At { value: path.clone(), place: (*place).clone() }, problems);
    }
    // A path that is also the folder of another cannot be made.
    let mut sorted: Vec<&str> = paths.iter().map(|(path, _)| path.as_str()).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let known: std::collections::BTreeSet<&str> = sorted.iter().copied().collect();
    let folder_too = sorted.iter().find_map(|path| {
        let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
        parents.into_iter().find(|parent| known.contains(parent))
    });
    if let Some(path) = folder_too {
        let message = format!("`{}` is a file and the folder of another", shortened(path));
        problems.add(Diagnostic::new(list.place.clone(), message).help("remove one of the two"));
    }
}
