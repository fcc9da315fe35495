//! What tests ask of findings more than once.

use lab_analysis::findings::{
    ApprovalWay, Client, FaultMark, FaultMarkKind, Findings, Life, Phase, ProcessEnd, Word,
};

/// The client of this ID.
pub fn client<'a>(findings: &'a Findings, id: &str) -> &'a Client {
    let client = findings.clients.iter().find(|client| client.id == id);
    client.unwrap_or_else(|| panic!("a client {id} took part"))
}

/// The phase of this name.
pub fn phase<'a>(findings: &'a Findings, name: &str) -> &'a Phase {
    let phase = findings.phases.iter().find(|phase| phase.kind.name() == name);
    phase.unwrap_or_else(|| panic!("there was a phase {name}: {:?}", findings.phases))
}

/// The storm.
pub fn storm(findings: &Findings) -> &Phase {
    phase(findings, "storm")
}

/// Operations that the client at this place approved in this way, asked about or not.
pub fn approved(findings: &Findings, client: usize, way: impl Into<Word<ApprovalWay>>) -> u64 {
    findings.clients[client].approvals.by(way)
}

/// How each process of the client at this place ended, the first first.
pub fn ends(findings: &Findings, client: usize) -> Vec<ProcessEnd> {
    let known = |life: &Life| *life.end.known().unwrap_or_else(|| panic!("a known end: {life:?}"));
    findings.clients[client].lives.iter().map(known).collect()
}

/// The only fault of this kind.
pub fn the_fault(findings: &Findings, kind: impl Into<FaultMarkKind>) -> &FaultMark {
    let kind = kind.into();
    let mut mine = findings.faults.iter().filter(|fault| fault.kind == kind);
    let found = mine.next().unwrap_or_else(|| panic!("a {kind:?} took place: {:?}", findings.faults));
    assert!(mine.next().is_none(), "one {kind:?}: {:?}", findings.faults);
    found
}

/// How long a fault lasted, in nanoseconds; it must have ended.
pub fn lasted_ns(fault: &FaultMark) -> u64 {
    fault.until_ns.unwrap_or_else(|| panic!("it ended: {fault:?}")) - fault.at_ns
}

/// Whether each expectation held, and in which words.
pub fn expected(findings: &Findings) -> Vec<(Option<bool>, &str)> {
    findings.expectations.iter().map(|one| (one.held, one.observed.as_str())).collect()
}
