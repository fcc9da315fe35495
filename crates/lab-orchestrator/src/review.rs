//! Hands a run's traces to analysis and writes what comes out beside them.

use std::io;

use lab_analysis::{Context, analyse, findings::Findings};
use lab_model::{Kernel, Lab};
use lab_trace::Trace;
use lab_waits::WaitRecord;

use crate::{Active, Call, Failure, FailureKind, Recorded, RunFolder};

/// What the traces of a run show.
#[derive(Clone, Debug)]
pub struct Review {
    /// The lab as it ran.
    pub lab: Lab,
    /// The findings.
    pub findings: Findings,
}

/// The largest `report.json` that is read, in bytes.
pub const REPORT_BYTES_MAX: u64 = 256 << 20;

/// The largest record of who waits for whom, in bytes: some thousand changes.
const WAITS_BYTES_MAX: u64 = 256 << 20;

/// Reads a run's traces. Of a run that still goes on, the findings say so.
///
/// # Errors
/// [`FailureKind::Output`] when the resolved lab, how it was called for or the folder of traces cannot be read, and when reading a trace failed:
/// for want of descriptors or memory, or because it became shorter meanwhile. A file that is no trace is listed in the
/// findings.
pub fn review(folder: &RunFolder) -> Result<Review, Failure> {
    // Before anything is read: what ends meanwhile was read while it ran.
    let still_running = Active::of(folder)?.is_some_and(|active| active.lives());
    let lab = lab_of(folder)?;
    let recorded = Recorded::open(folder)?;
    let (traces, unreadable) = recorded.traces();
    let call = Call::kept(folder, &lab)?;
    let waits = waits_of(folder)?;
    let context = Context {
        lab: &lab,
        run: &folder.name(),
        backend: lab.backend,
        replay: &call.replay(lab.seed, simulated_rules(&traces)),
        unreadable: &unreadable,
        waits: waits.as_ref(),
    };
    let mut findings = analyse(&traces, &context);
    findings.state.simulated_because = call.simulated_because;
    let is_live = simulated_rules(&traces).is_none();
    let findings = match crate::load::kept(folder)? {
        _ if still_running => findings.while_running(),
        None if !is_live => findings,
        load => findings.on_machine(load),
    };
    recorded.check()?;
    Ok(Review { lab, findings })
}

/// What a run has recorded of who waits for whom; `None` where nobody looked.
fn waits_of(folder: &RunFolder) -> Result<Option<WaitRecord>, Failure> {
    let path = folder.root().join(RunFolder::WAITS);
    let text =
        lab_files::read_if_any(&path, WAITS_BYTES_MAX).map_err(|error| Failure::unread(&path, &error))?;
    Ok(text.map(|text| WaitRecord::parse(&text)))
}

/// Whose rules a simulated run followed, as its traces say; `None` for a live run.
#[must_use]
pub fn simulated_rules(traces: &[Trace<'_>]) -> Option<Kernel> {
    lab_model::simulated_rules(&traces.first()?.header.identity.host.kernel)
}

/// Reads the lab of a run, as it ran.
///
/// # Errors
/// [`FailureKind::Output`] when it cannot be read or is damaged.
pub fn lab_of(folder: &RunFolder) -> Result<Lab, Failure> {
    let path = folder.lab();
    let source = lab_files::read(&path, lab_config::SOURCE_BYTES_MAX as u64)
        .map_err(|error| Failure::unread(&path, &error))?;
    // What has run was within the limits of its machine, which need not be this one.
    let limits = lab_config::Limits { clients_max: u16::MAX };
    lab_config::parse(&path.display().to_string(), source, &limits).map_err(|report| {
        Failure::new(FailureKind::Output, format!("the run's resolved lab is damaged:\n{report}"))
    })
}

/// How the line begins that imports a recording again.
pub(crate) const IMPORT: &str = "lab import ";

/// The findings of a run of the store: from its traces, or, where no lab was run, as its import left them.
///
/// # Errors
/// As [`review`]; [`FailureKind::Output`] also when the import's `report.json` is damaged.
pub fn findings_of(folder: &RunFolder) -> Result<Findings, Failure> {
    let imported = folder.root().join("report.json");
    if folder.lab().exists() || !imported.exists() {
        return Ok(review(folder)?.findings);
    }
    let text =
        lab_files::read(&imported, REPORT_BYTES_MAX).map_err(|error| Failure::unread(&imported, &error))?;
    let findings: Findings = serde_json::from_slice(&text).map_err(|error| {
        Failure::new(FailureKind::Output, format!("{} is damaged: {error}", imported.display()))
            .mend("import the lines again")
    })?;
    // What was run has lost its lab, and its stored report says nothing of what the traces hold now.
    if findings.replay.starts_with(IMPORT) { Ok(findings) } else { Ok(review(folder)?.findings) }
}

/// Writes `report.json`, `report.html` and a page for every client into a run's folder, each whole or not at all. Two
/// processes may do so at once.
///
/// # Errors
/// [`FailureKind::Output`].
pub fn write_pages(folder: &RunFolder, findings: &Findings) -> Result<(), Failure> {
    let failed = |name: &str, error: &io::Error| {
        Failure::output(&format!("cannot write {}", folder.root().join(name).display()), error)
    };
    let write =
        |name: &str, text: &str| folder.write(name, text.as_bytes()).map_err(|error| failed(name, &error));
    write("report.json", &lab_report::json::to_string(findings))?;
    write("report.html", &lab_report::html::run(findings))?;
    for client in &findings.clients {
        if let Some(page) = lab_report::html::client(findings, &client.id) {
            folder
                .write_in(RunFolder::CLIENTS, &lab_report::html::file_name(&client.id), page.as_bytes())
                .map_err(|error| failed(RunFolder::CLIENTS, &error))?;
        }
    }
    folder.hand_over().map_err(|error| failed("", &error))
}
