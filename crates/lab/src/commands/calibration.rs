//! Takes a machine's costs from live runs: one or several, of one lab or several.

use lab_model::Lab;
use lab_model::units;
use lab_orchestrator::{Recorded, RunFolder};
use lab_sim::{Calibration, Costs, Evidence, FigureSpread, Kernel, Measured};
use serde_json::{Value, json};

use super::ExitError;
use crate::{labs::relative, table::Table, terminal};

/// A machine's costs and what they come from.
#[derive(Clone, Debug)]
pub(super) struct Calibrated {
    /// The labs that ran, each with the names of its runs and how far these are apart.
    pub(super) labs: Vec<LabRuns>,
    pub(super) evidence: Vec<Evidence>,
    pub(super) calibration: Calibration,
}

/// The runs of one lab.
#[derive(Clone, Debug)]
pub(super) struct LabRuns {
    pub(super) lab: String,
    pub(super) runs: Vec<String>,
    pub(super) spread: Vec<FigureSpread>,
}

/// What is known before anything is fitted.
#[derive(Default)]
pub(super) struct Gathered {
    labs: Vec<LabRuns>,
    evidence: Vec<Evidence>,
}

impl Gathered {
    /// Takes in the runs of one lab.
    pub(super) fn add(&mut self, lab: &Lab, folders: &[&RunFolder]) -> Result<(), ExitError> {
        let measured =
            folders.iter().map(|folder| measured_in(folder)).collect::<Result<Vec<Measured>, ExitError>>()?;
        let runs = folders.iter().map(|folder| folder.name()).collect();
        self.labs.push(LabRuns { lab: lab.name.clone(), runs, spread: Measured::spread(&measured) });
        self.evidence.push(Evidence { lab: lab.clone(), measured: Measured::median(&measured) });
        Ok(())
    }

    /// Fits the costs.
    pub(super) fn calibrated(self, kernel: Kernel) -> Calibrated {
        let progress = terminal::Progress::new("fitting the costs");
        let calibration = lab_sim::calibrate(&self.evidence, kernel, Costs::default());
        progress.end();
        Calibrated { labs: self.labs, evidence: self.evidence, calibration }
    }
}

impl Calibrated {
    /// Which runs: "three-clients (3 runs)".
    pub(super) fn from(&self) -> String {
        let of = |lab: &LabRuns| match lab.runs.as_slice() {
            [run] => format!("{} ({run})", lab.lab),
            runs => format!("{} ({})", lab.lab, units::counted(runs.len() as u64, "run")),
        };
        self.labs.iter().map(of).collect::<Vec<_>>().join(", ")
    }

    /// How far the runs are apart, for every lab of which there are several.
    pub(super) fn spread_text(&self) -> String {
        let mut table = Table::new(["lab", "measured", "median", "lowest", "highest"]).words([0, 1]);
        let several = |lab: &&LabRuns| lab.runs.len() > 1;
        let mut lines = 0;
        for (lab, figure) in self
            .labs
            .iter()
            .filter(several)
            .flat_map(|lab| lab.spread.iter().map(move |figure| (lab, figure)))
        {
            lines += 1;
            let times = [figure.median, figure.low, figure.high].map(units::time);
            table.row([lab.lab.clone(), figure.name.to_owned()].into_iter().chain(times));
        }
        if lines == 0 { String::new() } else { table.text() }
    }

    pub(super) fn json(&self) -> Value {
        let labs: Vec<Value> = self
            .labs
            .iter()
            .zip(&self.evidence)
            .map(|(lab, evidence)| {
                let figure = |figure: &FigureSpread| {
                    json!({ "name": figure.name, "median_ns": figure.median, "low_ns": figure.low, "high_ns": figure.high })
                };
                json!({
                    "lab": lab.lab,
                    "runs": lab.runs,
                    "figures": lab.spread.iter().map(figure).collect::<Vec<_>>(),
                    "storm_open_p50_ns": evidence.measured.storm_open.map(|spread| spread.p50),
                })
            })
            .collect();
        json!({
            "labs": labs,
            "scale_permille": self.calibration.scale_permille,
            "control_ratio": self.calibration.control_ratio,
            "costs": self.calibration.costs,
        })
    }
}

/// What the traces of a live run say of its machine.
fn measured_in(folder: &RunFolder) -> Result<Measured, ExitError> {
    let unreadable = |error: &dyn std::fmt::Display| {
        ExitError::usage(
            format!("cannot take the machine's costs from {}: {error}", relative(folder.root()).display()),
            "name a live run that has ended",
        )
    };
    let recorded = Recorded::open(folder)?;
    let (traces, damaged) = recorded.traces();
    if let Some((name, why)) = damaged.first() {
        return Err(unreadable(&format!("{name}: {why}")));
    }
    let measured = lab_sim::measure(&traces);
    recorded.check()?;
    if measured == Measured::default() {
        return Err(unreadable(&"its traces hold no operation"));
    }
    Ok(measured)
}
