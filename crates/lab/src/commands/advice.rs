//! What would mend a lab: tried on the simulator when its run is over, and put beside the findings.

use std::num::NonZeroU32;

use lab_analysis::findings::{
    Advice, ChangedSettings, Effect, Findings, Outcome as FoundOutcome, TriedMitigation,
};
use lab_model::{Kernel, Lab, units};
use lab_orchestrator::RunFolder;
use lab_sim::{Options, Outcome, Range, Rung, Trial, Trials};

use super::{trials::seeds, up::rules_here};
use crate::{parallel, terminal};

/// Simulated runs of each change.
const SEEDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(2);

/// The most processors that the simulator has.
const CORES_MAX: u16 = 64;

/// Tries what could mend the lab of a run and puts it beside its findings; the lab with the best of it goes into the run's
/// folder, where that may be written.
pub(super) fn advise(folder: &RunFolder, lab: &Lab, findings: &mut Findings) {
    let Some(mended) = tried(findings, lab) else { return };
    if let Err(error) = folder.write(RunFolder::MENDED, mended_yaml(&mended, findings).as_bytes()) {
        tracing::warn!("{} is not written: {error}", folder.root().join(RunFolder::MENDED).display());
    }
}

/// Tries what could mend the lab of these findings, and puts it beside them. Gives the lab with the best of it.
pub(super) fn tried(findings: &mut Findings, lab: &Lab) -> Option<Lab> {
    let kernel = rules_here(findings.kernel());
    if let Some(why) = no_trial(lab, kernel, findings) {
        findings.advice = Some(Advice { untried: Some(why), ..Advice::default() });
        return None;
    }
    let progress = terminal::Progress::new(&format!("trying what would mend {}", lab.name));
    let mut options = Options::new(lab, kernel);
    // More threads help only where there are processors for them.
    if let Ok(cores @ 1..) = u16::try_from(findings.machine.cpus) {
        options.costs.cores = cores.min(CORES_MAX);
    }
    let seeds = seeds(lab, SEEDS);
    let found = lab_sim::advice(lab, &options, &seeds, &|labs| {
        parallel::map(labs, parallel::threads(None), |_| (), |lab| lab_sim::trials(lab, &options, &seeds))
    });
    progress.end();
    let shown = |rung: &Rung, mended: Option<&Lab>| of(&found.base, rung, lab, mended);
    findings.advice = Some(Advice {
        untried: None,
        rules: kernel.name().to_owned(),
        runs: u64::from(SEEDS.get()),
        clients: units::count_of(lab.clients.len()),
        storm_ns: found.storm.nanos(),
        outcome: outcome(&found.base),
        missed: median(found.base.missed),
        helps: found.helps.iter().map(|(rung, mended)| shown(rung, Some(mended))).collect(),
        idle: found.idle.iter().map(|rung| shown(rung, None)).collect(),
    });
    found.helps.into_iter().next().map(|(_, mended)| mended)
}

/// Why nothing can be tried.
fn no_trial(lab: &Lab, kernel: Kernel, findings: &Findings) -> Option<String> {
    if findings.still_running {
        return Some("the lab still runs".to_owned());
    }
    if let Some((client, event, _)) = lab.unsupported_notify(kernel) {
        return Some(format!("{client} subscribes to `{}`, which {} has not", event.word(), kernel.name()));
    }
    lab_sim::not_simulated(lab).map(|parts| format!("the simulator does not model {parts}"))
}

fn of(base: &Trials, rung: &Rung, lab: &Lab, mended: Option<&Lab>) -> TriedMitigation {
    let changes = mended.map(|mended| lab_config::behavior_changes(lab, mended)).unwrap_or_default();
    let settings = changes
        .into_iter()
        .map(|change| ChangedSettings { clients: change.clients, yaml: change.yaml })
        .collect();
    let effect = |range: fn(&Trials) -> Option<Range>, figure: fn(&Trial) -> Option<f64>| {
        let change = lab_sim::change(base, &rung.trials, figure);
        Some(Effect {
            before: range(base)?.median,
            after: range(&rung.trials)?.median,
            change: change.map(|change| [change.low, change.median, change.high]),
        })
    };
    let blind = rung.with.iter().filter(|mitigation| mitigation.has_blind_spot());
    TriedMitigation {
        names: rung.with.iter().map(|mitigation| mitigation.name().to_owned()).collect(),
        settings,
        outcome: outcome(&rung.trials),
        missed: median(rung.trials.missed),
        decisions: effect(|trials| trials.amplification, |run| run.amplification),
        p50_ns: effect(|trials| trials.open_p50, |run| run.open_p50_ns),
        p99_ns: effect(|trials| trials.open_p99, |run| run.open_p99_ns),
        blind_spots: blind.map(|mitigation| mitigation.blind_spot().to_owned()).collect(),
    }
}

fn median(range: Option<Range>) -> f64 {
    range.map_or(0.0, |range| range.median)
}

fn outcome(trials: &Trials) -> FoundOutcome {
    match trials.worst() {
        Some(Outcome::Stable) => FoundOutcome::Stable,
        Some(Outcome::Saturated) => FoundOutcome::Saturated,
        Some(Outcome::Divergent) => FoundOutcome::Divergent,
        Some(Outcome::Deadlocked) => FoundOutcome::Deadlocked,
        Some(Outcome::Unknown) | None => FoundOutcome::Unknown,
    }
}

/// The lab with what helps most, as a lab file.
fn mended_yaml(lab: &Lab, findings: &Findings) -> String {
    let best = findings.advice.as_ref().and_then(|advice| advice.helps.first());
    let name = best.map(TriedMitigation::name).unwrap_or_default();
    let about = format!("{} with {name}.", lab.name);
    // A name has at most 64 letters.
    let stem: String = lab.name.chars().take(57).collect();
    let mended = Lab { name: format!("{}-mended", stem.trim_end_matches('-')), about, ..lab.clone() };
    format!(
        "# Made by the lab: {} with the change that helped most in {} simulated. Try it: lab up THIS-FILE\n{}",
        lab.name,
        units::counted(u64::from(SEEDS.get()), "run"),
        lab_config::to_yaml(&mended)
    )
}
