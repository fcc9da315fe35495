//! The block that comes first: what held, how it ended, how close it was, what was lost.

use lab_analysis::findings::{
    Expectation, Finding, Findings, Judgement, Outcome, ProcessEnd, RunState, RunWord, Unwatched, Weight,
    Word,
};

use crate::{
    page::{Cell, Check, Fact, Mood, Remark, Verdict, listed},
    visible::visible,
};
use lab_model::units::{count, count_of, counted, time};

/// Below this headroom a client is marked.
const HEADROOM_WARN: f64 = 0.5;
/// Below this headroom a client is marked badly.
const HEADROOM_BAD: f64 = 0.1;

/// A count that is bad when it is not zero.
pub(super) fn bad_above_zero(value: u64) -> Cell {
    Cell::count(value).mood(if value > 0 { Mood::Bad } else { Mood::Plain })
}

/// Where a report comes from.
pub(in crate::page) fn origin(findings: &Findings) -> Vec<(&'static str, String)> {
    let machine = &findings.machine;
    let mut parts: Vec<String> =
        [&machine.kernel, &machine.machine].into_iter().filter(|part| !part.is_empty()).cloned().collect();
    if machine.cpus > 0 {
        parts.push(counted(u64::from(machine.cpus), "processor"));
    }
    let mut origin = vec![
        ("run", visible(&findings.run)),
        ("backend", visible(&findings.backend.text())),
        ("seed", findings.seed.to_string()),
        ("deadline", time(findings.deadline_ns)),
        ("machine", visible(&parts.join(", "))),
        ("lab", visible(&machine.version)),
    ];
    origin.retain(|(_, value)| !value.is_empty());
    origin
}

fn outcome_mood(outcome: Outcome) -> Mood {
    match outcome {
        Outcome::Stable => Mood::Good,
        Outcome::Saturated => Mood::Warn,
        Outcome::Divergent | Outcome::Deadlocked => Mood::Bad,
        Outcome::Unknown => Mood::Unknown,
    }
}

/// The same, but that nothing of a run that was not whole is good: it is so as far as it was recorded.
fn as_recorded(findings: &Findings, mood: Mood) -> Mood {
    if mood == Mood::Good && !findings.state.is_whole() { Mood::Unknown } else { mood }
}

fn check(expectation: &Expectation) -> Check {
    let mood = match expectation.held {
        Some(true) => Mood::Good,
        Some(false) => Mood::Bad,
        None => Mood::Unknown,
    };
    Check { mood, text: visible(&expectation.text), observed: visible(&expectation.observed) }
}

/// What leads a headline while there is more to come.
pub(in crate::page) const STILL_RUNNING: &str =
    "the lab still runs, and this is what it had recorded when it was looked at";

/// How the expectations came out, in words.
pub(super) fn expected(findings: &Findings) -> String {
    let all = findings.expectations.len();
    let failed = findings.expectations.iter().filter(|expectation| expectation.held == Some(false)).count();
    let open = findings.expectations.iter().filter(|expectation| expectation.held.is_none()).count();
    let of_all =
        |part: usize| format!("{} of {}", count(count_of(part)), counted(count_of(all), "expectation"));
    match (all, failed, open) {
        (0, ..) => "no expectations stated".to_owned(),
        (1, 0, 0) => format!("{} holds", of_all(1)),
        (_, 0, 0) => format!("{} hold", of_all(all)),
        (_, 0, _) => format!("{} cannot be told", of_all(open)),
        _ => format!("{} failed", of_all(failed)),
    }
}

/// The colour of the headline, which is that of the exit code; without expectations a bad outcome is one, too, and a
/// disturbed run is not praised.
pub(super) fn mood(findings: &Findings) -> Mood {
    match findings.judgement() {
        Judgement::Failed => Mood::Bad,
        Judgement::Unknown => Mood::Unknown,
        Judgement::Good => {
            let mood =
                if findings.expectations.is_empty() { outcome_mood(findings.outcome) } else { Mood::Good };
            // What holds might not on a machine that is left alone, or the other way round.
            if mood == Mood::Good && findings.state.word == RunWord::Disturbed { Mood::Warn } else { mood }
        }
    }
}

/// The state of the run, where it is not whole; how the expectations came out; the outcome.
fn headline(findings: &Findings) -> String {
    let (state, expected, outcome) = (&findings.state, expected(findings), findings.outcome.name());
    match state.word {
        RunWord::Running => format!("{STILL_RUNNING} · {outcome}"),
        RunWord::Whole if state.simulated_because.is_some() => {
            format!("only simulated · {expected} · {outcome}")
        }
        RunWord::Whole => format!("{expected} · {outcome}"),
        word => format!("{word} · {expected} · {outcome}"),
    }
}

pub(super) fn verdict(findings: &Findings) -> Verdict {
    let (mut mood, mut headline) = (mood(findings), headline(findings));
    let outcome = findings.outcome.name();
    if let Some(gap) = unwatched(findings) {
        headline = format!("{headline} · nobody watched for {}", time(gap.total_ns));
        // What holds may hold only because nobody looked.
        mood = if mood == Mood::Good { Mood::Warn } else { mood };
    }
    Verdict {
        mood,
        headline,
        checks: findings.expectations.iter().map(check).collect(),
        facts: state_fact(findings)
            .into_iter()
            .chain([
                Fact {
                    label: "Outcome",
                    mood: as_recorded(findings, outcome_mood(findings.outcome)),
                    value: outcome.to_owned(),
                    rest: visible(&findings.outcome_rule),
                    code: false,
                },
                lost_fact(findings),
            ])
            .collect(),
    }
}

/// Why the run is not whole, or what disturbed it.
fn state_fact(findings: &Findings) -> Option<Fact> {
    let RunState { word, reasons, simulated_because, .. } = &findings.state;
    let because = simulated_because.iter().map(|reason| format!("Simulated, because {reason}."));
    let sentences: Vec<String> = reasons.iter().map(|reason| reason.text.clone()).chain(because).collect();
    (!sentences.is_empty()).then(|| Fact {
        label: "Run",
        mood: if findings.state.is_whole() { Mood::Warn } else { Mood::Unknown },
        value: visible(word.name()),
        rest: visible(&sentences.join(" ")),
        code: false,
    })
}

/// The times in which nobody watched, where they were long enough for a deadline to pass and no kernel kept it.
fn unwatched(findings: &Findings) -> Option<&Unwatched> {
    let unwatched = findings.unwatched.as_ref()?;
    (!unwatched.kept_by_kernel && unwatched.longest_ns >= findings.deadline_ns).then_some(unwatched)
}

fn lost_fact(findings: &Findings) -> Fact {
    let totals = &findings.totals;
    let mut parts = Vec::new();
    if totals.lost > 0 {
        parts.push(counted(totals.lost, "record"));
    }
    if totals.damaged > 0 {
        parts.push(counted(totals.damaged, "damaged place"));
    }
    let missing = findings.state.reasons.iter().any(|reason| reason.word == RunWord::Incomplete);
    let (mood, value) = match (parts.is_empty(), missing) {
        (true, false) => (Mood::Good, "nothing".to_owned()),
        (true, true) => (Mood::Unknown, "not known: traces are not whole".to_owned()),
        (false, _) => (Mood::Warn, listed(&parts)),
    };
    let rest = format!(
        "{} recorded = {} explained + {} unexplained",
        counted(totals.decisions, "decision"),
        count(totals.explained),
        count(totals.unexplained)
    );
    Fact { label: "Lost", mood, value, rest, code: false }
}

pub(in crate::page) fn remark(finding: &Finding) -> Remark {
    let mood = match finding.weight {
        Weight::Bad => Mood::Bad,
        Weight::Warn => Mood::Warn,
        Weight::Info => Mood::Plain,
    };
    Remark {
        mood,
        text: visible(&finding.text),
        advice: finding.advice.as_deref().map(visible),
        section: Some(finding.section.name()),
    }
}

/// How a headroom is marked.
pub(in crate::page) fn headroom_mood(headroom: Option<f64>) -> Mood {
    match headroom {
        Some(least) if least < HEADROOM_BAD => Mood::Bad,
        Some(least) if least < HEADROOM_WARN => Mood::Warn,
        _ => Mood::Plain,
    }
}

/// How a client's end is marked.
pub(in crate::page) const fn end_mood(end: &Word<ProcessEnd>) -> Mood {
    match end {
        Word::Known(ProcessEnd::Clean) => Mood::Plain,
        Word::Known(ProcessEnd::Unknown) => Mood::Unknown,
        Word::Known(_) | Word::Other(_) => Mood::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_headroom_is_not_bad() {
        assert_eq!(headroom_mood(None), Mood::Plain);
        assert_eq!(headroom_mood(Some(0.05)), Mood::Bad);
        assert_eq!(headroom_mood(Some(0.3)), Mood::Warn);
    }
}
