//! What each command does, a module for each group of them.

mod advice;
mod bundle;
mod calibration;
mod conform;
mod diff;
mod labs;
mod ladder;
mod machine;
mod minimize;
mod plan;
mod repeat;
mod report;
mod run_sets;
mod sim;
mod sweep;
mod trials;
mod up;
mod virtual_run;
mod why;

use crate::{
    ExitError,
    arguments::{Arguments, Command},
    labs::Places,
};

/// Runs the command and returns the exit code.
/// `mask` is the mask of modes that this process was started with.
pub(crate) fn run(arguments: &Arguments, mask: u32) -> Result<u8, ExitError> {
    if matches!(arguments.command, Command::Control) {
        lab_orchestrator::control()?;
        return Ok(0);
    }
    // What needs no lab and no run needs no folder either.
    match &arguments.command {
        Command::Explain { field } => return labs::explain(field.as_deref()),
        Command::Schema { of } => return labs::schema(*of),
        Command::Completions { shell } => return labs::completions(*shell),
        // On a machine that stands still, even looking for folders could stand still.
        Command::Why(why) if why.save.is_none() => return why::why(None, why),
        _ => {}
    }
    let places = Places::find(arguments, mask)?;
    match &arguments.command {
        Command::Up(up) => up::up(&places, up),
        Command::Down(down) => machine::down(&places, down),
        Command::Status(status) => machine::status(&places, status),
        Command::List(list) => labs::list(&places, list),
        Command::Plan(plan) => plan::plan(&places, plan),
        Command::Validate { names } => labs::validate(&places, names),
        Command::Explain { field } => labs::explain(field.as_deref()),
        Command::Why(why) => why::why(Some(&places), why),
        Command::Doctor(doctor) => machine::doctor(&places, doctor),
        Command::Bundle(bundle) => bundle::bundle(&places, bundle),
        Command::Sign(sign) => bundle::sign(&places, sign),
        Command::Report(report) => report::report(&places, report),
        Command::Diff(diff) => diff::diff(&places, diff),
        Command::Export(export) => report::export(&places, export),
        Command::Import(import) => report::import(&places, import),
        Command::Sim(sim) => sim::sim(&places, sim),
        Command::Sweep(sweep) => sweep::sweep(&places, sweep),
        Command::Ladder(ladder) => ladder::ladder(&places, ladder),
        Command::Conform(conform) => conform::conform(&places, conform),
        Command::Merge(merge) => sweep::merge(&places, merge),
        Command::Minimize(minimize) => minimize::minimize(&places, minimize),
        Command::Schema { of } => labs::schema(*of),
        Command::Completions { shell } => labs::completions(*shell),
        Command::Control => Ok(0),
    }
}
