//! Which operations a driver's worker makes in a phase, and when: drawn from the lab's seed.

use lab_model::{ExecProgram, LoadKind, PhaseKind, Span, Workload};

use crate::{
    pace::{Pace, planned},
    random::Random,
};

/// What a phase allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseLimits {
    /// Which phase: each has streams of its own.
    pub phase: PhaseKind,
    /// An open loop plans the operations that start before this time has passed.
    pub span: Span,
    /// No more than this many operations over all loads.
    pub operations_max: Option<u64>,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Opens this file of the load.
    Open {
        /// The file's number within its load.
        file: u32,
    },
    /// Opens this file of the load to write to it, and writes to it.
    Write {
        /// The file's number within its load.
        file: u32,
    },
    /// Creates the worker's own new file, and removes it again.
    Create,
    /// Runs this program.
    Exec(ExecProgram),
    /// Runs a tree of programs.
    Tree,
    /// Runs the load's command.
    Run,
}

/// One operation to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The load it belongs to, by its place in the workload.
    pub load: usize,
    /// What to do.
    pub action: Action,
    /// When to start, in nanoseconds from the phase's start; `None` for as soon as the last one has ended.
    pub offset: Option<u64>,
}

/// The operations of one worker in one phase, in order. Endless for a closed loop without a limit.
#[derive(Clone, Debug)]
pub struct Schedule {
    load: usize,
    work: Work,
    /// `None` for a closed loop.
    pace: Option<Pace>,
    remaining: u64,
    random: Random,
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Open { files: u32 },
    Mix { files: u32, read: u32, write: u32, create: u32 },
    List { files: u32, next: u32, stride: u32 },
    Exec(ExecProgram),
    Tree,
    Run,
}

impl Schedule {
    /// How many operations are left; `u64::MAX` for no end.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.remaining
    }

    /// How many planned operations are left; `None` for a closed loop, which plans none.
    #[must_use]
    pub fn unplayed(&self) -> Option<u64> {
        self.pace.as_ref().map(|_| self.remaining)
    }
}

impl Iterator for Schedule {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        if self.remaining == 0 {
            return None;
        }
        if self.remaining != u64::MAX {
            self.remaining -= 1;
        }
        let offset = self.pace.as_mut().map(Pace::next);
        let action = match &mut self.work {
            Work::Open { files } => Action::Open { file: self.random.below(*files) },
            Work::Mix { files, read, write, create } => {
                let drawn = self.random.below(read.saturating_add(*write).saturating_add(*create));
                let file = self.random.below(*files);
                if drawn < *read {
                    Action::Open { file }
                } else if drawn - *read < *write {
                    Action::Write { file }
                } else {
                    Action::Create
                }
            }
            Work::List { files, next, stride } => {
                let file = *next % *files;
                *next = (file + *stride) % *files;
                Action::Open { file }
            }
            Work::Exec(program) => Action::Exec(*program),
            Work::Tree => Action::Tree,
            Work::Run => Action::Run,
        };
        Some(Planned { load: self.load, action, offset })
    }
}

fn work(load: &Workload) -> Work {
    match &load.kind {
        LoadKind::OpenStorm(storm) => Work::Open { files: storm.files },
        LoadKind::FileMix(mix) => {
            let (read, write, create) = (mix.read, mix.write, mix.create);
            Work::Mix { files: mix.files, read, write, create }
        }
        LoadKind::OpenList(_) => Work::List { files: load.files(), next: 0, stride: 0 },
        LoadKind::ExecStorm(storm) => Work::Exec(storm.program),
        LoadKind::ExecTree(_) => Work::Tree,
        LoadKind::Run(_) => Work::Run,
    }
}

/// The most operations a load may make in a phase: none in one in which it does not run, `u64::MAX` for no limit.
fn most(load: &Workload, limits: &PhaseLimits) -> u64 {
    if !load.phases.contains(limits.phase) {
        return 0;
    }
    let own = load.operations_max.unwrap_or(u64::MAX);
    if !load.runs_programs() && load.files() == 0 {
        return 0;
    }
    // A plan that is longer than can be counted still ends.
    planned(load.rate, limits.span).map_or(own, |planned| own.min(planned.min(u64::MAX - 1)))
}

/// The workers of all loads together.
#[must_use]
pub fn workers(workload: &[Workload]) -> usize {
    workload.iter().map(|load| usize::from(load.workers)).sum()
}

/// The schedule of each worker, load by load. The same arguments give the same schedules.
#[must_use]
pub fn schedules(workload: &[Workload], seed: u64, limits: &PhaseLimits) -> Vec<Schedule> {
    let shares = shares(workload, limits);
    let mut schedules = Vec::with_capacity(workers(workload));
    for (load, (settings, share)) in workload.iter().zip(shares).enumerate() {
        let workers = u64::from(settings.workers);
        for place in 0..workers {
            let stream = [u64::from(limits.phase.code()), schedules.len() as u64];
            let mut work = work(settings);
            if let Work::List { files, next, stride } = &mut work {
                let narrow = |wide: u64| u32::try_from(wide).unwrap_or(0) % (*files).max(1);
                (*next, *stride) = (narrow(place), narrow(workers));
            }
            schedules.push(Schedule {
                load,
                work,
                pace: Pace::of(settings.rate, limits.span, place, workers),
                remaining: part(share, workers, place),
                random: Random::new(seed, &stream),
            });
        }
    }
    schedules
}

/// Part `place` of `whole` split into `parts`: the first ones get one more where it does not divide.
const fn part(whole: u64, parts: u64, place: u64) -> u64 {
    if whole == u64::MAX {
        return u64::MAX;
    }
    whole / parts + (place < whole % parts) as u64
}

/// How many operations each load may make: never more together than the phase allows, and exactly as many
/// if the loads have that many. What one load does not need goes to the others, evenly by worker.
fn shares(loads: &[Workload], limits: &PhaseLimits) -> Vec<u64> {
    let most: Vec<u64> = loads.iter().map(|load| most(load, limits)).collect();
    let Some(mut left) = limits.operations_max else { return most };
    // Worker by worker, the least needy first, each taking no more than an even share of what is left.
    let mut needs: Vec<(u64, usize)> = Vec::new();
    for (load, (settings, &most)) in loads.iter().zip(&most).enumerate() {
        let workers = u64::from(settings.workers);
        needs.extend((0..workers).map(|place| (part(most, workers, place), load)));
    }
    needs.sort_unstable();
    let mut shares = vec![0; loads.len()];
    for (taken, &(need, load)) in needs.iter().enumerate() {
        let even = left / (needs.len() - taken) as u64;
        let share = need.min(even);
        shares[load] += share;
        left -= share;
    }
    shares
}

#[cfg(test)]
mod tests {
    use lab_model::{Distribution, ExecStorm, FileMix, OpenList, OpenStorm, Rate};
    use proptest::prelude::*;

    use super::*;

    fn open(workers: u16, files: u32, rate: Rate, operations_max: Option<u64>) -> Workload {
        Workload {
            workers,
            rate,
            operations_max,
            ..Workload::of(LoadKind::OpenStorm(OpenStorm {
                files,
                directory: "files".to_owned(),
                file_bytes: 1,
            }))
        }
    }

    fn limits(milliseconds: u64, operations_max: Option<u64>) -> PhaseLimits {
        PhaseLimits { phase: PhaseKind::Storm, span: Span::from_millis(milliseconds), operations_max }
    }

    fn plan(workload: &[Workload], seed: u64, limits: &PhaseLimits) -> Vec<Vec<Planned>> {
        schedules(workload, seed, limits).into_iter().map(|schedule| schedule.take(1000).collect()).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_plan() {
        let workload = [open(2, 500, Rate::Max, None)];
        let first = plan(&workload, 42, &limits(1000, None));
        assert_eq!(first, plan(&workload, 42, &limits(1000, None)));
        assert_ne!(first, plan(&workload, 43, &limits(1000, None)));
        assert_ne!(first[0], first[1], "each worker has a stream of its own");
        let control = PhaseLimits { phase: PhaseKind::Control, ..limits(1000, None) };
        assert_ne!(first, plan(&workload, 42, &control), "and each phase");
        assert!(first.iter().flatten().all(|planned| planned.offset.is_none()));
        let files = first.iter().flatten().filter_map(|planned| match planned.action {
            Action::Open { file } => Some(file),
            _ => None,
        });
        assert_eq!(files.clone().count(), 2000);
        assert!(files.max().unwrap() < 500);
    }

    #[test]
    fn an_open_loop_is_evenly_spaced_and_does_not_drift() {
        let workload = [open(3, 10, Rate::PerSecond(7), None)];
        let mut offsets: Vec<u64> =
            plan(&workload, 1, &limits(3000, None)).iter().flatten().filter_map(|one| one.offset).collect();
        offsets.sort_unstable();
        let exact: Vec<u64> = (0..21).map(|k| k * 1_000_000_000 / 7).collect();
        assert_eq!(offsets, exact);
        let second = plan(&workload, 1, &limits(3000, None))[1][0].offset;
        assert_eq!(second, Some(142_857_142), "the workers take turns");
        let late = [open(1, 1, Rate::PerSecond(1_000_000_000), None)];
        let last = schedules(&late, 1, &limits(1000, None))[0].remaining();
        assert_eq!(last, 1_000_000_000);
    }

    #[test]
    fn an_open_loop_ends_with_its_span() {
        let count = |rate, milliseconds| {
            let workload = [open(2, 10, Rate::PerSecond(rate), None)];
            schedules(&workload, 1, &limits(milliseconds, None)).iter().map(Schedule::remaining).sum::<u64>()
        };
        assert_eq!(count(500, 1000), 500);
        assert_eq!(count(3, 1000), 3);
        assert_eq!(count(3, 1001), 4, "the fourth starts when a second has passed");
        assert_eq!(count(1, 500), 1);
    }

    #[test]
    fn a_mix_keeps_its_shares() {
        let mix = Workload {
            workers: 2,
            rate: Rate::Max,
            operations_max: Some(20_000),
            ..Workload::of(LoadKind::FileMix(FileMix {
                files: 50,
                directory: "mix".to_owned(),
                directories: 5,
                depth: 2,
                file_bytes: Distribution::Fixed(10),
                extensions: vec!["c".to_owned()],
                read: 7,
                write: 2,
                create: 1,
            }))
        };
        let all: Vec<Action> =
            schedules(&[mix], 42, &limits(1, None)).into_iter().flatten().map(|one| one.action).collect();
        let count = |wanted: fn(&Action) -> bool| all.iter().filter(|action| wanted(action)).count();
        let found = [
            count(|action| matches!(action, Action::Open { .. })),
            count(|action| matches!(action, Action::Write { .. })),
            count(|action| matches!(action, Action::Create)),
        ];
        assert_eq!(found.iter().sum::<usize>(), 20_000);
        // Six standard deviations of a fair draw (at most 65).
        for (found, expected) in found.into_iter().zip([14_000_usize, 4000, 2000]) {
            assert!(found.abs_diff(expected) < 390, "{found} of {expected}");
        }
    }

    #[test]
    fn workers_take_turns_in_a_list() {
        let list = Workload {
            workers: 2,
            rate: Rate::Max,
            operations_max: Some(12),
            ..Workload::of(LoadKind::OpenList(OpenList {
                paths: ["a", "b", "a", "c", "d"].map(str::to_owned).to_vec(),
                directory: "list".to_owned(),
                file_bytes: Distribution::Fixed(10),
            }))
        };
        let files = |worker: usize| {
            let made = plan(std::slice::from_ref(&list), 1, &limits(1, None));
            made[worker].iter().map(|one| one.action).collect::<Vec<_>>()
        };
        let opens = |files: [u32; 6]| files.map(|file| Action::Open { file }).to_vec();
        assert_eq!(files(0), opens([0, 2, 4, 1, 3, 0]));
        assert_eq!(files(1), opens([1, 3, 0, 2, 4, 1]));
    }

    #[test]
    fn a_slow_load_leaves_its_share_to_the_others() {
        let exec = Workload::of(LoadKind::ExecStorm(ExecStorm { program: ExecProgram::Static }));
        let exec = Workload { rate: Rate::PerSecond(10), ..exec };
        let workload = [open(1, 5, Rate::Max, None), exec];
        let remaining: Vec<u64> =
            schedules(&workload, 1, &limits(1000, Some(200))).iter().map(Schedule::remaining).collect();
        assert_eq!(remaining, [190, 10]);
    }

    proptest! {
        #[test]
        fn limits_are_split_exactly(
            loads in prop::collection::vec((1_u16..6, prop::option::of(0_u64..40)), 1..4),
            phase in prop::option::of(0_u64..100),
        ) {
            let workload: Vec<Workload> =
                loads.iter().map(|&(workers, most)| open(workers, 3, Rate::Max, most)).collect();
            let made = schedules(&workload, 9, &limits(1, phase));
            prop_assert_eq!(made.len(), workers(&workload));
            let of_load = |load: usize| {
                let own = made.iter().filter(|schedule| schedule.load == load).map(Schedule::remaining);
                own.fold(0_u64, u64::saturating_add)
            };
            let all = loads.iter().map(|load| load.1.unwrap_or(u64::MAX)).fold(0, u64::saturating_add);
            let total = made.iter().map(Schedule::remaining).fold(0, u64::saturating_add);
            prop_assert_eq!(total, phase.map_or(all, |phase| phase.min(all)));
            for (load, (_, most)) in loads.iter().enumerate() {
                prop_assert!(of_load(load) <= most.unwrap_or(u64::MAX));
            }
        }
    }

    #[test]
    fn a_load_runs_in_its_phases_only_and_leaves_its_share_to_the_others() {
        let storm_only =
            Workload { phases: [PhaseKind::Storm].into_iter().collect(), ..open(2, 5, Rate::Max, Some(100)) };
        let workload = [storm_only, open(1, 5, Rate::Max, Some(100))];
        let made = |phase| {
            let limits = PhaseLimits { phase, span: Span::from_secs(1), operations_max: Some(80) };
            let left = schedules(&workload, 1, &limits).into_iter().map(|schedule| schedule.remaining());
            left.collect::<Vec<u64>>()
        };
        assert_eq!(made(PhaseKind::Baseline), [0, 0, 80]);
        assert_eq!(made(PhaseKind::Storm).iter().sum::<u64>(), 80);
        assert!(made(PhaseKind::Storm)[0] > 0);
    }
}
