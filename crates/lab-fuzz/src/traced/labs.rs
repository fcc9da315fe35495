//! A lab out of a few bytes: all that a lab file can say that changes what analysis does, and numbers that none would.

use lab_model::{
    AskedDaemon, AuthEvent, AuthEvents, BackendChoice, Behavior, Cache, Client, Comparison, Daemon, Decimal,
    DenyRule, Errand, ExecProgram, ExecStorm, ExecTree, Expectation, Expected, External, FaultAction,
    Helpers, Knee, Lab, LoadKind, LoadPhases, METRICS, NotifyEvents, OpenStorm, Phases, PlannedFault, Preset,
    Rate, ReactTo, Reaction, Ready, Recognized, Run, Safety, Span, Workload,
};

use super::bytes::Bytes;

const IDS: [&str; 4] = ["alpha", "bravo", "charlie", "delta"];

fn behavior(bytes: &mut Bytes<'_>) -> Behavior {
    let (preset, odd) = (bytes.below(Preset::ALL.len()), bytes.byte());
    let mut behavior = Preset::ALL[preset].behavior();
    let open = Reaction { reopen: true, read: true, ..Reaction::none() };
    if odd & 1 != 0 {
        behavior.notify = NotifyEvents::ALL;
        behavior.on_notify = open;
    }
    if odd & 2 != 0 {
        behavior.react_to = ReactTo::All;
        behavior.reactions[AuthEvent::Open] = open;
    }
    if odd & 4 != 0 {
        behavior.cache = Cache::On;
    }
    if odd & 8 != 0 {
        behavior.mute.paths = vec![bytes.name().to_owned()];
        behavior.mute.helpers = true;
        behavior.mute.processes = vec!["workload".to_owned()];
    }
    if odd & 16 != 0 {
        let errand = Errand { open: true, ..Errand::none() };
        behavior.helpers =
            Some(Helpers { count: 1 + u16::from(bytes.byte()), errand, on: AuthEvents::ALL, wait: true });
    }
    if odd & 32 != 0 {
        behavior.daemons = IDS
            .iter()
            .filter_map(|_| "guard".parse().ok())
            .take(1)
            .map(|daemon| AskedDaemon { daemon, on: AuthEvents::ALL, wait: true })
            .collect();
    }
    if odd & 64 != 0 {
        let path = Some(bytes.name().to_owned());
        behavior.deny = vec![DenyRule { path, process: None, signature: None, on: AuthEvents::ALL }];
    }
    if odd & 128 != 0 {
        behavior.answer_by_percent = Some(bytes.byte());
    }
    behavior
}

fn load(bytes: &mut Bytes<'_>) -> Workload {
    let (workers, directory) = (1 + u16::from(bytes.byte() & 3), "files".to_owned());
    let rate = match bytes.below(5) {
        0 => Rate::Max,
        1 => Rate::PerSecond(bytes.number() as u32),
        2 => Rate::Burst { operations: bytes.number() as u32, every: Span::from_nanos(bytes.number()) },
        3 => Rate::Ramp { from: bytes.number() as u32, to: bytes.number() as u32 },
        _ => Rate::Knee(Knee {
            from: bytes.number() as u32,
            to: bytes.number() as u32,
            steps: u16::from(bytes.byte()) % 70,
        }),
    };
    let operations_max = bytes.flag().then(|| bytes.number());
    let kind = match bytes.below(4) {
        0 => LoadKind::OpenStorm(OpenStorm { files: 10, directory, file_bytes: 0 }),
        1 => LoadKind::ExecStorm(ExecStorm { program: ExecProgram::Static }),
        2 => LoadKind::ExecTree(ExecTree { fanout: 2, depth: 2 }),
        _ => LoadKind::Run(Run { command: vec!["make".into()], directory: None }),
    };
    let rate = if matches!(kind, LoadKind::Run(_)) { Rate::Max } else { rate };
    Workload { workers, rate, operations_max, phases: LoadPhases::ALL, kind }
}

fn expectation(bytes: &mut Bytes<'_>) -> Expectation {
    let metric = METRICS[bytes.below(METRICS.len())].pattern;
    // The first of each choice that the metric's name gives.
    let metric: Vec<String> = metric
        .split('.')
        .map(|part| match part {
            "<client>" => IDS[bytes.below(2)].to_owned(),
            "<phase>" => "storm".to_owned(),
            part => part.split('|').next().unwrap_or(part).to_owned(),
        })
        .collect();
    let comparisons = [
        Comparison::Below,
        Comparison::AtMost,
        Comparison::Equal,
        Comparison::Unequal,
        Comparison::AtLeast,
        Comparison::Above,
    ];
    let comparison = comparisons[bytes.below(comparisons.len())];
    let value = match bytes.flag() {
        true => Expected::Word(bytes.name().to_owned()),
        false => Decimal::new(bytes.number(), bytes.byte() % 19)
            .map_or_else(|| Expected::Word(String::new()), Expected::Number),
    };
    Expectation {
        text: bytes.name().to_owned(),
        metric: metric.join("."),
        comparison,
        value,
        sometimes: bytes.flag(),
        abort: false,
        after: Span::default(),
    }
}

fn fault(bytes: &mut Bytes<'_>) -> PlannedFault {
    let span = Span::from_nanos(bytes.number());
    let action = match bytes.below(5) {
        0 => FaultAction::Stall { span },
        1 => FaultAction::Kill,
        2 => FaultAction::Restart { after: span },
        3 => FaultAction::Slow { by: span, span },
        _ => FaultAction::Behave { behavior: Box::new(behavior(bytes)), span: Some(span) },
    };
    PlannedFault { at: Span::from_nanos(bytes.number()), on: bytes.name().to_owned(), action }
}

fn product(bytes: &mut Bytes<'_>) -> Option<External> {
    Some(External {
        id: "guard".parse().ok()?,
        start: vec!["guard".into()],
        environment: Vec::new(),
        ready: Ready::Mark,
        ready_within: Span::from_secs(1),
        process: Recognized { path: Some(bytes.name().to_owned()), ..Recognized::default() },
        arena: None,
        private: Vec::new(),
    })
}

/// A lab. No bytes make a plain one with two scanners.
pub(crate) fn make(bytes: &mut Bytes<'_>) -> Lab {
    let odd = bytes.byte();
    let few =
        |bytes: &mut Bytes<'_>, bit: u8, most: usize| if odd & bit == 0 { 0 } else { bytes.below(most + 1) };
    let clients = if odd & 1 == 0 { 2 } else { bytes.below(IDS.len() + 1) };
    let clients = IDS[..clients].iter().filter_map(|id| {
        let behavior = if odd & 2 == 0 { Preset::Scanner.behavior() } else { behavior(bytes) };
        let bundle_id = format!("com.example.{id}").parse().ok()?;
        Some(Client { id: id.parse().ok()?, bundle_id, behavior, restart: None })
    });
    let clients = clients.collect();
    let span = |bytes: &mut Bytes<'_>| Span::from_nanos(if odd & 4 == 0 { 50_000 } else { bytes.number() });
    let (deadline, storm, drain) = (span(bytes), span(bytes), span(bytes));
    let name = if odd & 8 == 0 { "a lab" } else { bytes.name() };
    let workload = (0..1 + few(bytes, 16, 2)).map(|_| load(bytes)).collect();
    let daemon = |id| Daemon { id, workers: 2, errand: Errand { open: true, ..Errand::none() } };
    Lab {
        name: name.to_owned(),
        about: name.to_owned(),
        seed: 7,
        backend: BackendChoice::Simulated,
        deadline,
        clients,
        daemons: (0..few(bytes, 32, 1)).filter_map(|_| "guard".parse().ok()).map(daemon).collect(),
        external: (0..few(bytes, 64, 2)).filter_map(|_| product(bytes)).collect(),
        faults: (0..few(bytes, 128, 3)).map(|_| fault(bytes)).collect(),
        phases: Phases { baseline: storm, control: Span::default(), external: Span::default(), storm, drain },
        workload,
        hold: (0..few(bytes, 16, 2)).map(|_| expectation(bytes)).collect(),
        expect: (0..few(bytes, 128, 3)).map(|_| expectation(bytes)).collect(),
        safety: Safety::default(),
    }
}
