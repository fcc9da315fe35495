//! Which traces are taken as the run's: a copy, a second trace of one process, a trace of another clock and one of
//! another time are left out and named, because counting them would count a run that never took place.

use lab_model::{
    Actor, Role, Timebase,
    units::{count_of, counted},
};
use lab_trace::Trace;

/// The most traces of one run. Their places are numbers of 16 bits, and the highest stands for nobody.
const TRACES_MAX: usize = 65_000;

/// The traces that are taken, and a sentence about each that is not.
#[derive(Clone, Debug)]
pub struct Admitted<'a> {
    /// Those that are taken, in their order.
    pub traces: Vec<Trace<'a>>,
    /// A sentence about each of the others.
    pub remarks: Vec<String>,
}

/// The traces of one run among these, in their order, and a sentence about each that is left out.
///
/// The orchestrator's trace says what time and which clock the run had; of two that say they are the orchestrator's, the
/// one beside which more of the others ran does. Of two traces of one process the first is taken.
#[must_use]
pub fn admit<'a>(traces: &[Trace<'a>]) -> Admitted<'a> {
    let mut admitted = Admitted { traces: Vec::with_capacity(traces.len()), remarks: Vec::new() };
    let orchestrator = orchestrator(traces);
    let Some(frame) = traces.get(orchestrator.unwrap_or(0)) else { return admitted };
    for (place, trace) in traces.iter().enumerate() {
        let objection = if admitted.traces.len() >= TRACES_MAX {
            let most = counted(count_of(TRACES_MAX), "trace");
            Some(format!("There are more than {most}, and {}'s is beyond them", name_of(trace)))
        } else if Some(place) == orchestrator {
            None
        } else {
            objection(trace, frame, &admitted.traces)
        };
        let Some(objection) = objection else {
            admitted.traces.push(trace.clone());
            continue;
        };
        let records = counted(count_of(trace.entries().remaining()), "record");
        admitted.remarks.push(format!("{objection}; it is left out, with its {records}."));
    }
    admitted
}

/// Why a trace cannot be taken beside the one that frames the run and those that are taken already.
fn objection(trace: &Trace<'_>, frame: &Trace<'_>, taken: &[Trace<'_>]) -> Option<String> {
    let (name, framed) = (name_of(trace), frame.header.role == Role::Orchestrator);
    if framed && trace.header.role == Role::Orchestrator {
        return Some(if trace.header == frame.header {
            twice(&name)
        } else {
            "Two traces say that they are the orchestrator's, and fewer of the others ran beside one of them"
                .into()
        });
    }
    let (mine, theirs) = (trace.header.timebase, frame.header.timebase);
    if !same_clock(mine, theirs) {
        let frame = name_of(frame);
        return Some(format!(
            "{name}'s trace says that a tick is {}/{} nanoseconds and {frame}'s says {}/{}: one of them is wrong, and \
             their times cannot be compared",
            mine.numer, mine.denom, theirs.numer, theirs.denom,
        ));
    }
    if framed && !overlap(trace, frame) {
        return Some(format!(
            "{name}'s trace is of another time than the run: it begins after the run's end, or ends before its beginning"
        ));
    }
    let other = taken.iter().find(|other| other.header.actor == trace.header.actor)?;
    if other.header == trace.header {
        return Some(twice(&name));
    }
    let (number, other) = (trace.header.actor.0, name_of(other));
    Some(format!("{name}'s trace says that it is process number {number} of the run, and so does {other}'s"))
}

fn twice(name: &str) -> String {
    format!("{name}'s trace is there twice, under two file names")
}

/// The place of the trace that is taken for the orchestrator's.
fn orchestrator(traces: &[Trace<'_>]) -> Option<usize> {
    let mut best: Option<(usize, usize)> = None;
    for (place, trace) in
        traces.iter().enumerate().filter(|(_, trace)| trace.header.role == Role::Orchestrator)
    {
        let beside = traces.iter().filter(|other| overlap(other, trace)).count();
        if best.is_none_or(|(most, _)| beside > most) {
            best = Some((beside, place));
        }
    }
    best.map(|(_, place)| place)
}

/// True when the lives of two processes overlap, or may: of one that was cut off, nobody knows the end.
fn overlap(one: &Trace<'_>, other: &Trace<'_>) -> bool {
    let begins_before_end = |one: &Trace<'_>, other: &Trace<'_>| {
        other.closed.is_none_or(|closed| one.header.created <= closed || closed < other.header.created)
    };
    begins_before_end(one, other) && begins_before_end(other, one)
}

/// True when two rates are the same number.
fn same_clock(one: Timebase, other: Timebase) -> bool {
    let product = |numer: u32, denom: u32| u64::from(numer).saturating_mul(u64::from(denom));
    product(one.numer, other.denom) == product(other.numer, one.denom)
}

/// What a trace calls itself.
fn name_of(trace: &Trace<'_>) -> String {
    match trace.header.identity.name.as_str() {
        "" if trace.header.actor == Actor::ORCHESTRATOR => "orchestrator".to_owned(),
        "" => format!("process {}", trace.header.actor.0),
        name => name.to_owned(),
    }
}
