//! The loop gain against the truth: random labs whose gain follows from their settings, and what their traces show of it.
#![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]

use lab_analysis::findings::{GainUnknown, Interval, Outcome};
use lab_model::{
    Approval, AuthEvent, Behavior, Concurrency, Distribution, Lab, LoadKind, Mute, OpenStorm, Rate, ReactTo,
    Reaction, Span, When, Workload, mix,
};
use lab_sim::{Kernel, Options};
use lab_testing::{labs, simulated};

/// The folders that extra opens are spread over evenly: a client that has muted some of them is asked about that much less.
const FOLDERS: u16 = 20;

/// The decisions after which a run is cut short: what feeds itself has no other end.
const DECISIONS_MAX: u64 = 30_000;

/// A lab, the kernel that it runs on, and the loop gain that its settings give it.
struct Known {
    lab: Lab,
    kernel: Kernel,
    truth: f64,
    about: String,
}

/// What one client makes, and of how many of twenty operations it hears.
#[derive(Clone, Copy, Debug)]
struct Settings {
    makes: u32,
    heard: u16,
    react_to: ReactTo,
}

/// The loop gain by definition: the spectral radius of the matrix that says how many operations client i makes because
/// of one of client j's.
fn truth(clients: &[Settings], kernel: Kernel) -> f64 {
    let reacts = |settings: &Settings, own: bool| match settings.react_to {
        ReactTo::Workload => false,
        ReactTo::Peers => !own,
        ReactTo::Own => own && kernel == Kernel::Fanotify,
        ReactTo::All => !own || kernel == Kernel::Fanotify,
    };
    let mean = |i: usize, j: usize| {
        let part = f64::from(clients[i].heard) / f64::from(FOLDERS);
        if reacts(&clients[i], i == j) { f64::from(clients[i].makes) * part } else { 0.0 }
    };
    // Iterated on 1 + R, which has one largest eigenvalue.
    let mut vector = vec![1.0; clients.len()];
    let mut radius = 1.0;
    for _ in 0..5000 {
        let next: Vec<f64> = (0..clients.len())
            .map(|i| vector[i] + (0..clients.len()).map(|j| mean(i, j) * vector[j]).sum::<f64>())
            .collect();
        radius = next.iter().copied().fold(0.0, f64::max);
        vector = next.iter().map(|x| x / radius).collect();
    }
    radius - 1.0
}

/// Numbers that depend on nothing but the seed.
struct Random(u64);

impl Random {
    /// From 0 to 1.
    fn part(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        (mix(self.0) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + self.part() * (high - low)
    }

    fn below(&mut self, bound: u32) -> u32 {
        (self.part() * f64::from(bound)) as u32
    }
}

/// A random lab of this many clients, and its gain.
fn drawn(seed: u64, clients: usize, when: When, saturated: bool) -> Known {
    let mut random = Random(seed);
    let (kernel, settings, truth) = loop {
        let kernel = if random.below(2) == 0 { Kernel::Fanotify } else { Kernel::EndpointSecurity };
        let aim = random.between(0.2, 1.5) / clients as f64;
        let settings: Vec<Settings> = (0..clients)
            .map(|_| {
                let makes = 1 + random.below(3);
                let part = aim * random.between(0.3, 2.0) / f64::from(makes);
                let heard = (part * f64::from(FOLDERS)).round().clamp(0.0, f64::from(FOLDERS)) as u16;
                let react_to = [ReactTo::Peers, ReactTo::All, ReactTo::All, ReactTo::Own];
                Settings { makes, heard, react_to: react_to[random.below(4) as usize] }
            })
            .collect();
        let truth = truth(&settings, kernel);
        if (0.2..=1.5).contains(&truth) {
            break (kernel, settings, truth);
        }
    };
    let mut lab = labs::lab(clients, &Behavior::noop(), 0);
    lab.seed = seed;
    (lab.deadline, lab.phases.drain) = (Span::from_secs(100), Span::from_millis(50));
    lab.phases.storm = Span::from_millis(if saturated { 100 } else { 1000 });
    let rate = if saturated { 2000 } else { 2 + random.below(18) };
    lab.workload = (0..FOLDERS).map(|folder| load(folder, rate)).collect();
    let busy = Distribution::Exponential(Span::from_nanos(if saturated { 300_000 } else { 3_000 }));
    for (client, settings) in lab.clients.iter_mut().zip(&settings) {
        let reaction = Reaction { extra_opens: settings.makes, when, ..Reaction::none() };
        let workers = if when == When::Before { 64 } else { 1 + random.below(4) as u16 };
        let muted = (settings.heard..FOLDERS).map(folder_name).collect();
        client.behavior = Behavior {
            concurrency: Concurrency::new(workers),
            react_to: settings.react_to,
            delay: busy,
            mute: Mute { paths: muted, ..Mute::default() },
            ..Behavior::noop().reacting(AuthEvent::Open, reaction)
        };
    }
    let about =
        format!("seed {seed}, {clients} clients, {when:?}, saturated {saturated}, {kernel:?}, {settings:?}");
    Known { lab, kernel, truth, about }
}

fn folder_name(folder: u16) -> String {
    format!("folder-{folder:02}")
}

fn load(folder: u16, rate: u32) -> Workload {
    let storm = OpenStorm { files: 5, directory: folder_name(folder), file_bytes: 100 };
    let rate = Rate::PerSecond(rate);
    Workload { workers: 1, rate, operations_max: None, ..Workload::of(LoadKind::OpenStorm(storm)) }
}

fn measured(known: &Known) -> Option<Interval> {
    let options = Options { decisions_max: DECISIONS_MAX, ..Options::new(&known.lab, known.kernel) };
    let (_, files) = simulated::traced(&known.lab, &options);
    let findings = simulated::findings(&known.lab, known.kernel, &files);
    assert_eq!(findings.loop_gain.is_none(), findings.loop_gain_unknown.is_some());
    findings.loop_gain
}

/// The labs that are tried, and of how many the interval must hold the truth. It claims 99 of 100.
const LABS: u64 = 100;
const COVERED_MIN: usize = 93;

#[test]
fn the_interval_covers_the_gain_that_the_settings_give() {
    let (mut missed, mut widths) = (Vec::new(), Vec::new());
    for seed in 0..LABS {
        let clients = 1 + seed as usize % 8;
        let when = if seed / 8 % 2 == 0 { When::Before } else { When::After };
        let known = drawn(seed, clients, when, seed / 16 % 2 == 1);
        let gain = measured(&known);
        widths.extend(gain.map(|gain| gain.high - gain.low));
        if !gain.is_some_and(|gain| (gain.low..=gain.high).contains(&known.truth)) {
            missed.push(format!("{:.3} is not in {gain:?}: {}", known.truth, known.about));
        }
    }
    let covered = LABS as usize - missed.len();
    assert!(covered >= COVERED_MIN, "{covered} of {LABS}: {missed:#?}");
    // An interval that holds everything says nothing.
    widths.sort_by(f64::total_cmp);
    assert!(widths[widths.len() / 2] < 0.5, "{widths:?}");
}

/// Two clients that echo each other, in a storm that their queues cannot take: what was answered because a queue was full
/// was not taken up, and the gain of what was is 1.
#[test]
fn a_full_queue_does_not_hide_that_each_event_brings_one_more() {
    let mut lab = labs::lab(2, &labs::peer_scanner(1, When::After), 0);
    lab.workload = vec![labs::open_storm(8, Rate::Max, None)];
    lab.phases.storm = Span::from_millis(400);
    lab.phases.drain = Span::from_millis(20);
    let (summary, findings) = simulated::analysed(&lab, Kernel::Fanotify);
    // Each of its own events stands for a reaction: most answers had none.
    let (answered, reactions) = (summary.approvals(Approval::Rule), summary.approvals(Approval::OwnProcess));
    assert!(answered > 4 * reactions && reactions > 4096, "{answered} {reactions}");
    let gain = findings.loop_gain.unwrap();
    assert!((gain.value - 1.0).abs() < 1e-9 && gain.low > 0.99 && gain.high < 1.05, "{gain:?}");
    assert_eq!(findings.outcome, Outcome::Divergent, "{}", findings.outcome_rule);
}

/// No reaction has begun when the record ends: nothing is known of what events set off.
#[test]
fn where_nothing_had_time_to_react_the_gain_is_unknown() {
    let slow = Behavior { delay: Span::from_secs(10).into(), ..labs::peer_scanner(1, When::After) };
    let mut lab = labs::lab(2, &slow, 50);
    lab.phases.storm = Span::from_secs(1);
    lab.phases.drain = Span::from_secs(1);
    let (_, findings) = simulated::analysed(&lab, Kernel::Fanotify);
    assert_eq!(findings.loop_gain, None);
    assert_eq!(findings.loop_gain_unknown, Some(GainUnknown::NotReacted.into()));
    assert_ne!(findings.outcome, Outcome::Stable, "{}", findings.outcome_rule);
}
