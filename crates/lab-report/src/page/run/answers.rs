//! The answers that a run ends with on a terminal, and begins with as a page: one line each, of which only this module
//! knows the words.

use lab_analysis::findings::{Answers, Closest, Effect, Events, Findings, Missed, Waiting};

use super::verdict::{expected, headroom_mood, mood};
use crate::{
    page::{Answer, Mood, listed},
    visible::visible,
};
use lab_model::units::{count, count_of, counted, number, numbered, ratio, share, share_at_most, time};

/// The participants that are named; of more, the rest is added up.
const NAMED_MAX: usize = 4;
/// The pairs of clients that are named.
const PAIRS_MAX: usize = 3;

/// The answers, in the order of an engineer's questions.
pub(super) fn answers(findings: &Findings) -> Vec<Answer> {
    let answers = findings.answers();
    let Answers { missed, closest, events, waiting, .. } = &answers;
    let mut lines = vec![
        run(findings, &answers),
        self::missed(missed.as_ref(), findings),
        self::closest(closest.as_ref()),
        self::events(events.as_ref(), findings),
        self::waiting(waiting.as_ref(), findings),
    ];
    lines.push(change(findings, &answers));
    lines.push(Answer { value: visible(&findings.replay), code: true, ..Answer::new("Replay") });
    lines
}

/// What to change: what helped in a trial, or what a finding advises.
fn change(findings: &Findings, answers: &Answers) -> Answer {
    let line = Answer::new("Change");
    if let Some((advice, best)) = findings.helped() {
        let effects = advice.effects(best, Effect::median);
        let details = effects.iter().map(|effect| visible(effect)).collect();
        // What it is blind to may have no room; that it is blind is never left out.
        let blind = match best.blind_spots.len() {
            0 => "no blind spot",
            1 => "a blind spot",
            _ => "blind spots",
        };
        let value = format!("{} (simulated; {blind})", visible(&advice.change(best)));
        return Answer { value, details, ..line };
    }
    let change = answers.change.as_deref().map(visible);
    Answer {
        value: change.unwrap_or_else(|| "nothing that a finding advises".to_owned()),
        brief: true,
        ..line
    }
}

/// The state of the run, its outcome and what was expected of it.
fn run(findings: &Findings, answers: &Answers) -> Answer {
    let run = &answers.run;
    let place = match findings.backend.text().as_ref() {
        "sim" if findings.state.simulated_because.is_some() => "only simulated".to_owned(),
        "sim" => "simulated".to_owned(),
        backend => format!("live on {}", visible(backend)),
    };
    Answer {
        mood: mood(findings),
        value: format!("{} · {} · {}", run.state, run.outcome.name(), expected(findings)),
        details: vec![place],
        ..Answer::new("Verdict")
    }
}

fn missed(missed: Option<&Missed>, findings: &Findings) -> Answer {
    let line = Answer::new("Missed");
    let Some(missed) = missed else {
        return Answer {
            mood: Mood::Unknown,
            value: "not known: no decision was answered".to_owned(),
            ..line
        };
    };
    let whole = findings.state.is_whole();
    let mut details = Vec::new();
    if missed.unanswered > 0 {
        details.push(format!("{} never answered", counted(missed.unanswered, "decision")));
    }
    let (mood, value) = match (missed.deadlines, missed.possible) {
        (0, 0) if whole && missed.unanswered > 0 => (Mood::Warn, "no deadline".to_owned()),
        (0, 0) if whole => (Mood::Good, "no deadline".to_owned()),
        (0, 0) => (Mood::Unknown, "no deadline that was recorded, and not all was".to_owned()),
        (0, possible) => (
            Mood::Unknown,
            format!("not known: none was seen, and perhaps {} more went by unwatched", count(possible)),
        ),
        (deadlines, possible) => {
            let unseen = match possible {
                0 => String::new(),
                possible => format!(", and perhaps {} unseen", count(possible)),
            };
            let by = each(&missed.by, count);
            (Mood::Bad, format!("{}: {by}{unseen}", counted(deadlines, "deadline")))
        }
    };
    Answer { mood, value, details, ..line }
}

fn closest(closest: Option<&Closest>) -> Answer {
    let line = Answer::new("Closest");
    let Some(Closest { client, headroom, at_most }) = closest else {
        return Answer {
            mood: Mood::Unknown,
            value: "not known: no decision has a headroom".to_owned(),
            ..line
        };
    };
    let left = if *at_most { share_at_most(*headroom) } else { share(*headroom) };
    let value = format!("lowest headroom {left}, by {}", visible(client));
    Answer { mood: headroom_mood(Some(*headroom)), value, ..line }
}

/// Names with what each has, of which only the first are named.
fn each(all: &[(String, u64)], show: impl Fn(u64) -> String) -> String {
    let named = all.iter().take(NAMED_MAX).map(|(name, value)| format!("{} {}", visible(name), show(*value)));
    let mut named: Vec<String> = named.collect();
    let rest = all.get(NAMED_MAX..).unwrap_or_default();
    if !rest.is_empty() {
        let value = rest.iter().map(|(_, value)| *value).fold(0, u64::saturating_add);
        named.push(format!("{} {}", counted(count_of(rest.len()), "other"), show(value)));
    }
    listed(&named)
}

fn events(events: Option<&Events>, findings: &Findings) -> Answer {
    let line = Answer::new("Events");
    let Some(events) = events else {
        return Answer {
            mood: Mood::Unknown,
            value: "not known: nothing was decided in storm and drain".to_owned(),
            ..line
        };
    };
    let by = each(&events.by, |decisions| share(ratio(decisions, events.decisions)));
    let mut details = Vec::new();
    let known = |value: &f64| value.is_finite();
    if let Some(amplification) = findings.amplification.filter(known) {
        details.push(format!("{} an operation", numbered(amplification, "decision")));
    }
    // Whoever waits in a circle has brought nothing yet.
    let in_circle = !findings.wait_cycles.is_empty();
    if let Some(gain) = findings.loop_gain.filter(|gain| gain.value.is_finite() && !in_circle) {
        details.push(format!("a client's event brings {} more", number(gain.value)));
    }
    Answer { value: by, details, ..line }
}

fn waiting(waiting: Option<&Waiting>, findings: &Findings) -> Answer {
    let line = Answer::new("Waiting");
    let Some(waiting) = waiting else {
        return Answer { mood: Mood::Unknown, value: "not known: no client took part".to_owned(), ..line };
    };
    let pairs = waiting
        .pairs
        .iter()
        .take(PAIRS_MAX)
        .map(|(who, whom, waited)| format!("{} for {} {}", visible(who), visible(whom), time(*waited)));
    let mut details: Vec<String> = pairs.collect();
    if let Some(cycle) = findings.wait_cycles.first() {
        let members: Vec<String> = cycle.members.iter().map(|member| visible(member)).collect();
        let lasted = cycle.lasted().map_or_else(|| "to the end".to_owned(), |lasted| format!("for {lasted}"));
        let value = match members.as_slice() {
            [alone] => format!("{alone} for itself, {lasted}"),
            several => format!("{} in a circle, {lasted}", listed(several)),
        };
        return Answer { mood: Mood::Bad, value, details, ..line };
    }
    let value = if waiting.pairs.is_empty() {
        match waiting.clients {
            1 => "for no other client: there was none".to_owned(),
            _ => "no client for another's answer".to_owned(),
        }
    } else if let Some(part) = waiting.share {
        format!("{} of the time from read to answer ({})", share(part), time(waiting.deciding_ns))
    } else {
        details.remove(0)
    };
    Answer { value, details, ..line }
}
