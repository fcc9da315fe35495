//! Analysis over several traces that agree with each other or not, and then one of the surfaces that show the findings.

use lab_analysis::{Context, analyse, findings::Findings};
use lab_model::BackendChoice;
use lab_testing::sums::decisions_add_up;
use lab_trace::Trace;

use super::{bytes::Bytes, labs, pages, traces};

/// Findings of a lab and traces that the bytes say, handed on with what they were made from.
pub(crate) fn analysed(bytes: &mut Bytes<'_>, then: impl FnOnce(&[Trace<'_>], &Findings)) {
    let backend = BackendChoice::ALL[bytes.below(BackendChoice::ALL.len())];
    let lab = labs::make(bytes);
    let made = traces::make(bytes);
    let (readable, unreadable) = traces::parse(&made);
    let context = Context {
        lab: &lab,
        run: "a run",
        backend,
        replay: "lab up lab.yaml",
        unreadable: &unreadable,
        waits: None,
    };
    let mut findings = analyse(&readable, &context);
    if backend == BackendChoice::Auto {
        // A report.json of another version may say anything.
        findings.backend = "<script>alert(1)</script>".into();
    }
    decisions_add_up(&findings);
    then(&readable, &findings);
}

/// Analysis of several traces, and one surface of its findings.
pub fn analysis(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let surface = bytes.byte();
    analysed(&mut bytes, |_, findings| pages::show(findings, surface));
}
