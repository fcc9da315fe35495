//! Looks at a run while it goes on, for expectations that end it as soon as they no longer hold.

use std::fs;

use lab_analysis::{Context, analyse};
use lab_model::{Expectation, Lab, PhaseKind, Ticks};
use lab_process::clock;
use lab_trace::{Entry, Record, StoredTrace, Trace};

use crate::{RunFolder, recorded::trace_files};

/// Traces that are larger than this together are not looked at while they grow: the look would cost more than the run.
const LOOK_BYTES_MAX: u64 = 512 << 20;

/// What to look for.
#[derive(Debug)]
pub(crate) struct AbortWatch<'a> {
    lab: &'a Lab,
    folder: &'a RunFolder,
}

impl<'a> AbortWatch<'a> {
    /// A watch over a lab, if one of its expectations asks for it.
    pub(crate) fn of(lab: &'a Lab, folder: &'a RunFolder) -> Option<AbortWatch<'a>> {
        lab.expect.iter().any(|expectation| expectation.abort).then_some(AbortWatch { lab, folder })
    }

    /// The first expectation that ends the run now, as written. `None` also when the traces cannot tell.
    pub(crate) fn broken(&self) -> Option<String> {
        let now = clock::now();
        let files = trace_files(&self.folder.traces()).ok()?;
        let size: u64 =
            files.iter().filter_map(|file| fs::metadata(file).ok()).map(|facts| facts.len()).sum();
        if size > LOOK_BYTES_MAX {
            return None;
        }
        let stored: Vec<StoredTrace> = files.iter().filter_map(|file| StoredTrace::open(file).ok()).collect();
        let traces: Vec<Trace<'_>> = stored.iter().filter_map(|stored| Trace::of(stored).ok()).collect();
        let began = traces.iter().find_map(storm_began)?;
        let elapsed = clock::timebase().nanoseconds(now.since(began));
        let due = |expectation: &Expectation| expectation.abort && elapsed >= expectation.after.nanos();
        if !self.lab.expect.iter().any(due) {
            return None;
        }
        let context = Context {
            lab: self.lab,
            run: &self.folder.name(),
            backend: self.lab.backend,
            replay: "",
            unreadable: &[],
            waits: None,
        };
        let found = analyse(&traces, &context).expectations;
        if stored.iter().any(|stored| stored.check().is_err()) {
            return None;
        }
        let broken = self
            .lab
            .expect
            .iter()
            .zip(found)
            .find(|(expectation, seen)| due(expectation) && seen.held == Some(false));
        broken.map(|(expectation, seen)| format!("{} (it is {})", expectation.text, seen.observed))
    }
}

fn storm_began(trace: &Trace<'_>) -> Option<Ticks> {
    if trace.header.actor != lab_model::Actor::ORCHESTRATOR {
        return None;
    }
    trace.entries().find_map(|entry| match entry {
        Entry::Record { record: Record::Phase(mark), .. }
            if mark.begins && mark.phase == PhaseKind::Storm =>
        {
            Some(mark.at)
        }
        _ => None,
    })
}
