//! Whether something outside a live lab disturbed it: from what the kernel told of the machine while it ran.
//!
//! A lab that fills its processors waits for them as well, so neither a full machine nor threads that waited say that it was
//! disturbed. What does is time that *others* took: what processors were busy with beyond the lab's own, and what the
//! machine around a virtual one took away. Memory and devices are disturbed where all work of the machine stood still.

use lab_model::units::{agreeing, ratio, share, time};

use crate::findings::{Findings, MachineLoad, PhaseLoad, RunState, RunWord, Stalled, StateReason};

/// The share of all processors' time that others may take. Measured on two processors over storms of 0.5 s: -11 % to 8 %
/// with little else to do (`/proc/stat` samples, and what is the lab's own is summed exactly), 46 % to 48 % in three beside one
/// busy process, and nothing in between but 18 % and more.
pub(crate) const OTHERS_MAX: f64 = 0.15;

/// The share of all processors' time that the machine around a virtual one may take.
const STOLEN_MAX: f64 = 0.05;

/// The share of a phase in which all work of the machine may wait for memory or a device.
const STALLED_MAX: f64 = 0.1;

/// Times are counted in ticks of 10 ms on each processor, and at two ends: less than this is no measurement, in
/// nanoseconds.
const TIME_MIN_NS: u64 = 60_000_000;

/// The most names that a sentence has.
const NAMED_MAX: usize = 4;

impl Findings {
    /// The same findings with what was measured of the machine meanwhile. A run that was disturbed says so; it is judged all
    /// the same, since what it shows is true of what took place. `None` where nothing was measured.
    #[must_use]
    pub fn on_machine(mut self, load: Option<MachineLoad>) -> Findings {
        match &load {
            None => self.not_observed.push(NOT_MEASURED.to_owned()),
            Some(load) => {
                if load.phases.iter().any(|phase| phase.stalled.is_none()) {
                    self.not_observed.push(NO_PRESSURE.to_owned());
                }
                let mut reasons = self.state.reasons;
                reasons.extend(disturbances(load));
                let simulated_because = self.state.simulated_because.take();
                self.state = RunState { simulated_because, ..RunState::of(reasons) };
            }
        }
        self.state.machine_load = load;
        self
    }
}

const NOT_MEASURED: &str = "Whether other processes disturbed the lab was not measured.";
const NO_PRESSURE: &str = "How long the machine stood still for want of memory or devices was not measured: its kernel has no /proc/pressure.";

/// What disturbed a lab, a sentence each.
fn disturbances(load: &MachineLoad) -> Vec<StateReason> {
    let mut texts: Vec<String> = Vec::new();
    let others = in_phases(load, |phase| (phase.others_ns(), phase.all_ns()), OTHERS_MAX);
    texts.extend(others.map(|(shares, worst)| {
        let waited =
            worst.ran_ns.zip(worst.waited_ns).filter(|(_, waited)| *waited > 0).map(|(ran, waited)| {
                let all = ran.saturating_add(waited);
                format!(
                    "; its own threads were ready to run and waited for {} of their time",
                    share(ratio(waited, all))
                )
            });
        format!("Of the processors' time other processes took {shares}{}.", waited.unwrap_or_default())
    }));
    let stolen = in_phases(load, |phase| (phase.stolen_ns, phase.all_ns()), STOLEN_MAX);
    texts.extend(stolen.map(|(shares, _)| {
        format!("Of the processors' time the machine around this virtual one took {shares} (steal).")
    }));
    for what in ["memory", "devices"] {
        let stalled =
            |phase: &PhaseLoad| (phase.stalled.map_or(0, |stalled| of(stalled, what)), phase.lasted_ns);
        texts.extend(in_phases(load, stalled, STALLED_MAX).map(|(shares, _)| {
            format!("Of the time all work of the machine waited for {what} for {shares}.")
        }));
    }
    texts.extend(neighbours(load));
    texts.into_iter().map(|text| StateReason { word: RunWord::Disturbed, text }).collect()
}

/// How long all work of the machine waited for this.
fn of(stalled: Stalled, what: &str) -> u64 {
    if what == "memory" { stalled.memory_full_ns } else { stalled.io_full_ns }
}

/// Who else was there.
fn neighbours(load: &MachineLoad) -> Option<String> {
    let labs = u64::try_from(load.other_labs.len()).unwrap_or(u64::MAX);
    (labs > 0).then(|| {
        let pids: Vec<String> = load.other_labs.iter().take(NAMED_MAX).map(ToString::to_string).collect();
        let up = agreeing(labs, "other lab was", "other labs were");
        format!("{up} up at the same time (driver: process {}).", pids.join(", "))
    })
}

/// The phases in which a part of the time was more than it may be, as words, and the phase in which it was the most.
fn in_phases(
    load: &MachineLoad,
    part: impl Fn(&PhaseLoad) -> (u64, u64),
    max: f64,
) -> Option<(String, &PhaseLoad)> {
    let share_of = |phase: &PhaseLoad| {
        let (part, all) = part(phase);
        if part >= TIME_MIN_NS { ratio(part.min(all), all) } else { 0.0 }
    };
    let over: Vec<&PhaseLoad> = load.phases.iter().filter(|phase| share_of(phase) > max).collect();
    let worst = over.iter().copied().max_by(|one, other| share_of(one).total_cmp(&share_of(other)))?;
    let words: Vec<String> = over
        .iter()
        .map(|phase| {
            format!("{} in the {} ({})", share(share_of(phase)), phase.phase.name(), time(phase.lasted_ns))
        })
        .collect();
    Some((words.join(", "), worst))
}

#[cfg(test)]
mod tests {
    use lab_model::PhaseKind;

    use super::*;

    fn storm(busy_ms: u64, lab_ms: u64) -> PhaseLoad {
        PhaseLoad {
            phase: PhaseKind::Storm,
            lasted_ns: 1_000_000_000,
            processors: 2,
            busy_ns: busy_ms * 1_000_000,
            lab_ns: lab_ms * 1_000_000,
            stolen_ns: 0,
            ran_ns: Some(lab_ms * 1_000_000),
            waited_ns: Some(lab_ms * 1_000_000),
            stalled: Some(Stalled { cpu_some_ns: 900_000_000, io_full_ns: 0, memory_full_ns: 0 }),
        }
    }

    fn check(phases: Vec<PhaseLoad>, expected: &[&str]) {
        let load = MachineLoad { phases, ..MachineLoad::default() };
        let findings = Findings::default().on_machine(Some(load.clone()));
        let found: Vec<&str> = findings.state.reasons.iter().map(|reason| reason.text.as_str()).collect();
        assert_eq!(found, expected);
        let word = if expected.is_empty() { RunWord::Whole } else { RunWord::Disturbed };
        assert!(findings.state.is_whole(), "nothing of it is missing");
        assert_eq!((findings.state.word, findings.state.machine_load), (word, Some(load)));
    }

    #[test]
    fn a_lab_that_fills_its_machine_is_not_disturbed() {
        check(vec![storm(1_950, 1_900)], &[]);
        check(vec![storm(0, 0)], &[]);
        // Its own time is counted in ticks, and may come out larger than all.
        check(vec![storm(1_950, 1_980)], &[]);
        check(vec![storm(1_200, 900)], &[]);
        check(Vec::new(), &[]);
    }

    #[test]
    fn others_that_take_processors_disturb() {
        check(
            vec![PhaseLoad { phase: PhaseKind::Control, ..storm(1_000, 900) }, storm(1_980, 780)],
            &[
                "Of the processors' time other processes took 60% in the storm (1.00 s); its own threads were ready to run and waited for 50% of their time.",
            ],
        );
        // Two ticks of ten are no measurement.
        check(vec![PhaseLoad { lasted_ns: 50_000_000, ..storm(50, 30) }], &[]);
    }

    #[test]
    fn what_the_machine_around_takes_and_stalls_disturb() {
        check(
            vec![PhaseLoad { stolen_ns: 300_000_000, ..storm(1_000, 900) }],
            &[
                "Of the processors' time the machine around this virtual one took 15% in the storm (1.00 s) (steal).",
            ],
        );
        let stalled = Some(Stalled { cpu_some_ns: 0, io_full_ns: 99_000_000, memory_full_ns: 250_000_000 });
        check(
            vec![PhaseLoad { stalled, ..storm(1_000, 900) }],
            &["Of the time all work of the machine waited for memory for 25% in the storm (1.00 s)."],
        );
    }

    #[test]
    fn what_was_not_measured_is_said() {
        let without = PhaseLoad { stalled: None, ..storm(1_000, 900) };
        let findings = Findings::default()
            .on_machine(Some(MachineLoad { phases: vec![without], ..MachineLoad::default() }));
        assert_eq!(
            (findings.state.word, findings.not_observed.as_slice()),
            (RunWord::Whole, &[NO_PRESSURE.to_owned()][..])
        );
        let findings = Findings::default().on_machine(None);
        assert_eq!(
            (findings.state.word, findings.not_observed.as_slice()),
            (RunWord::Whole, &[NOT_MEASURED.to_owned()][..])
        );
    }

    #[test]
    fn another_reason_leads() {
        let cut = StateReason { word: RunWord::Incomplete, text: "A trace is missing.".to_owned() };
        let findings = Findings { state: RunState::of(vec![cut]), ..Findings::default() };
        let load =
            MachineLoad { other_labs: vec![7, 9], phases: vec![storm(1_900, 0)], ..MachineLoad::default() };
        let findings = findings.on_machine(Some(load));
        assert_eq!((findings.state.word, findings.state.is_whole()), (RunWord::Incomplete, false));
        let last = findings.state.reasons.last().map(|reason| reason.text.as_str());
        assert_eq!(last, Some("2 other labs were up at the same time (driver: process 7, 9)."));
    }
}
