//! Clients that waited for each other in a circle.

use lab_analysis::findings::{Findings, LongWait};

use crate::{
    page::{Block, Drawing, Picture, Section},
    visible::visible,
};
use lab_model::units::{agreeing, count_of, time, times};

/// The most wait cycles that are drawn.
const WAIT_CYCLES_MAX: usize = 4;

/// The most long waits that are listed.
const LONG_WAITS_MAX: usize = 16;

/// Whose operations the clients of a circle wait in, beside their own.
fn through(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| visible(name)).collect();
    if names.is_empty() { String::new() } else { format!(", through {},", names.join(", ")) }
}

pub(super) fn waiting(findings: &Findings) -> Section {
    let mut lead = Vec::new();
    let mut blocks = Vec::new();
    if findings.wait_cycles.is_empty() {
        lead.push("No clients were seen waiting for each other in a circle.".to_owned());
    } else {
        let who = if findings.wait_cycles.iter().any(|cycle| cycle.seen) { "Processes" } else { "Clients" };
        lead.push(format!(
            "{who} waited for each other in a circle, {}.",
            times(count_of(findings.wait_cycles.len()))
        ));
    }
    for (place, cycle) in findings.wait_cycles.iter().enumerate().take(WAIT_CYCLES_MAX) {
        let members: Vec<String> = cycle.members.iter().map(|member| visible(member)).collect();
        let lasted = match cycle.lasted() {
            Some(lasted) => format!("lasted {lasted} and was ended by {}", cycle.ended_by),
            None => format!("never ended ({})", cycle.ended_by),
        };
        let caption = format!(
            "{} → {}{} closed at {}, {lasted}",
            members.join(" → "),
            members.first().map_or("", String::as_str),
            through(&cycle.through),
            time(cycle.began_ns)
        );
        blocks.push(Block::Picture(Picture { drawing: Drawing::WaitCycle(place), caption, wide: false }));
        blocks.push(Block::List(cycle.evidence.iter().map(|line| visible(line)).collect()));
    }
    if findings.wait_cycles.len() > WAIT_CYCLES_MAX {
        lead.push(format!("The first {WAIT_CYCLES_MAX} are shown."));
    }
    if !findings.long_waits.is_empty() {
        lead.push(format!(
            "{} seen waiting long in the middle of something; the longest first.",
            agreeing(count_of(findings.long_waits.len()), "thread was", "threads were")
        ));
        let line = |wait: &LongWait| {
            let end = if wait.to_the_end { ", to the end of the record" } else { "" };
            format!(
                "{}, thread {}, from {} on for at least {}{end}: {}",
                visible(&wait.who),
                wait.tid,
                time(wait.began_ns),
                time(wait.lasted_ns),
                visible(&wait.words)
            )
        };
        blocks.push(Block::List(findings.long_waits.iter().take(LONG_WAITS_MAX).map(line).collect()));
    }
    Section { id: "waiting", title: "Waiting for each other", lead, blocks }
}
