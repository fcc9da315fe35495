//! Labs for the tests.
#![allow(dead_code, reason = "each test file uses a part")]

use lab_model::{
    AuthEvent, BackendChoice, Behavior, Client, Concurrency, Distribution, ExecProgram, ExecStorm, FileMix,
    Lab, LoadKind, OpenStorm, Phases, Preset, Rate, ReactTo, Safety, Span, When, Workload,
};
use lab_sim::{Costs, Counting, Kernel, Options, Summary, simulate};

pub(crate) const KERNELS: [Kernel; 2] = [Kernel::Fanotify, Kernel::EndpointSecurity];

/// Scanners and two openers, with a limit on operations in each phase.
pub(crate) fn lab(clients: usize, behavior: &Behavior, operations: u64) -> Lab {
    let client = |number: usize| Client {
        id: format!("c{number}").parse().unwrap(),
        bundle_id: format!("com.example.c{number}").parse().unwrap(),
        behavior: behavior.clone(),
        restart: None,
    };
    Lab {
        name: "test".to_owned(),
        about: String::new(),
        seed: 42,
        backend: BackendChoice::Sim,
        deadline: Span::from_secs(1),
        clients: (0..clients).map(client).collect(),
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

pub(crate) fn open_storm(workers: u16, rate: Rate, operations_max: Option<u64>) -> Workload {
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

pub(crate) fn exec_storm(program: ExecProgram, operations_max: u64) -> Workload {
    Workload {
        workers: 2,
        rate: Rate::Max,
        operations_max: Some(operations_max),
        ..Workload::of(LoadKind::ExecStorm(ExecStorm { program }))
    }
}

pub(crate) fn scanner() -> Behavior {
    Preset::Scanner.behavior()
}

/// Reopens the target of every event that is not its own.
pub(crate) fn peer_scanner(workers: u16, when: When) -> Behavior {
    let mut behavior =
        Behavior { concurrency: Concurrency::new(workers), react_to: ReactTo::Peers, ..scanner() };
    behavior.reactions[AuthEvent::Open].when = when;
    behavior
}

pub(crate) fn run(lab: &Lab, kernel: Kernel) -> Summary {
    run_with(lab, kernel, Costs::default())
}

pub(crate) fn run_with(lab: &Lab, kernel: Kernel, costs: Costs) -> Summary {
    let options = Options { costs, ..Options::new(lab, kernel) };
    simulate(lab, &options, &mut Counting::default())
}

pub(crate) fn mix(read: u32, write: u32, create: u32) -> Workload {
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
