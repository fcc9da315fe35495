//! Labs for tests to start from.

use std::{fs, path::PathBuf};

use lab_config::Limits;
use lab_model::{
    AuthEvent, BackendChoice, Behavior, Client, Comparison, Concurrency, Decimal, Distribution, ExecProgram,
    ExecStorm, Expectation, Expected, FileMix, Lab, LoadKind, OpenStorm, Phases, Preset, Rate, ReactTo,
    Safety, Span, When, Workload,
};

/// The condition that a metric is 0.
pub fn none_of(metric: &str) -> Expectation {
    Expectation {
        text: format!("{metric} == 0"),
        metric: metric.into(),
        comparison: Comparison::Equal,
        value: Expected::Number(Decimal::from(0)),
        sometimes: false,
        abort: false,
        after: Span::default(),
    }
}

/// Every lab of the gallery, by name.
#[expect(clippy::disallowed_methods, reason = "they are files of the workspace")]
pub fn gallery() -> Vec<Lab> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../lab-configs");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|of| of == "yaml")).collect();
    files.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        lab_config::parse(&path.display().to_string(), text, &Limits::default()).unwrap()
    };
    files.into_iter().map(read).collect()
}

/// A client of this ID that never comes back.
pub fn client(id: &str, behavior: &Behavior) -> Client {
    Client {
        id: id.parse().unwrap(),
        bundle_id: format!("com.example.{id}").parse().unwrap(),
        behavior: behavior.clone(),
        restart: None,
    }
}

/// Clients `c0`, `c1` and so on with one behavior, and two workers that open without a pause, `operations` in each
/// phase. The storm lasts until they have, at most 100 s; nothing comes before it.
pub fn lab(clients: usize, behavior: &Behavior, operations: u64) -> Lab {
    Lab {
        name: "test".to_owned(),
        about: String::new(),
        seed: 42,
        backend: BackendChoice::Simulated,
        deadline: Span::from_secs(1),
        clients: (0..clients).map(|number| client(&format!("c{number}"), behavior)).collect(),
        daemons: Vec::new(),
        external: Vec::new(),
        faults: Vec::new(),
        hold: Vec::new(),
        phases: Phases {
            baseline: Span::default(),
            control: Span::default(),
            external: Span::default(),
            storm: Span::from_secs(100),
            drain: Span::from_secs(10),
        },
        workload: vec![open_storm(2, Rate::Max, Some(operations))],
        expect: Vec::new(),
        safety: Safety::default(),
    }
}

/// Opens of 50 files of 4 KiB.
pub fn open_storm(workers: u16, rate: Rate, operations_max: Option<u64>) -> Workload {
    Workload {
        workers,
        rate,
        operations_max,
        ..Workload::of(LoadKind::OpenStorm(OpenStorm {
            files: 50,
            directory: "files".to_owned(),
            file_bytes: 4096,
        }))
    }
}

/// Executions by two workers without a pause.
pub fn exec_storm(program: ExecProgram, operations_max: u64) -> Workload {
    Workload {
        workers: 2,
        rate: Rate::Max,
        operations_max: Some(operations_max),
        ..Workload::of(LoadKind::ExecStorm(ExecStorm { program }))
    }
}

/// 300 operations by one worker on nine files of 4 KiB, in these shares.
pub fn mix(read: u32, write: u32, create: u32) -> Workload {
    Workload {
        workers: 1,
        rate: Rate::Max,
        operations_max: Some(300),
        ..Workload::of(LoadKind::FileMix(FileMix {
            files: 9,
            directory: "mix".to_owned(),
            directories: 2,
            depth: 1,
            file_bytes: Distribution::Fixed(4096),
            extensions: vec!["txt".to_owned()],
            read,
            write,
            create,
        }))
    }
}

/// The preset of that name.
pub fn scanner() -> Behavior {
    Preset::Scanner.behavior()
}

/// Reopens the target of every event that is not its own.
pub fn peer_scanner(workers: u16, when: When) -> Behavior {
    let mut behavior =
        Behavior { concurrency: Concurrency::new(workers), react_to: ReactTo::Peers, ..scanner() };
    behavior.reactions[AuthEvent::Open].when = when;
    behavior
}
