//! A lab in virtual time whose traces are analysed at once, as those of a live run would be, and kept nowhere.

use lab_analysis::{Context, analyse, findings::Findings};
use lab_model::{BackendChoice, Lab};
use lab_sim::{Options, Summary, Traces};
use lab_trace::Trace;

use super::ExitError;

/// Simulated traces are kept in memory until the run is over: the most that one process's may take, in bytes.
pub(super) const TRACE_BYTES_MAX: u64 = 1 << 30;

/// Runs a lab in virtual time and says what its traces show.
///
/// # Errors
/// A bug when a trace that the simulator wrote cannot be read.
pub(super) fn analysed(lab: &Lab, options: &Options) -> Result<(Summary, Findings), ExitError> {
    let mut traces = Traces::new(lab.safety.trace_bytes_max.min(TRACE_BYTES_MAX));
    let summary = lab_sim::simulate(lab, options, &mut traces);
    let files = traces.into_files();
    let parsed: Result<Vec<Trace<'_>>, _> = files.iter().map(|file| Trace::parse(&file.bytes)).collect();
    let parsed =
        parsed.map_err(|error| ExitError::bug(format!("a simulated trace cannot be read: {error}")))?;
    let context = Context {
        lab,
        run: "simulated",
        backend: BackendChoice::Simulated,
        replay: "",
        unreadable: &[],
        waits: None,
    };
    Ok((summary, analyse(&parsed, &context)))
}
