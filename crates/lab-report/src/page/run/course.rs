//! How the run went on: over time, waiting, and calm after the storm.

use lab_analysis::findings::{FaultMark, Findings};

use crate::{
    page::{Block, Cell, Column, Drawing, Picture, Section, Table, picture},
    units::{count, counted, time},
    visible::visible,
};

pub(super) fn over_time(findings: &Findings) -> Section {
    let series = &findings.series;
    if series.bucket_ns == 0 {
        let lead = vec!["No time series: nothing was recorded.".to_owned()];
        return Section { id: "time", title: "Over time", lead, blocks: Vec::new() };
    }
    let mut lead = vec![format!("Each point stands for {}.", time(series.bucket_ns))];
    if !findings.faults.is_empty() {
        let planned = findings.faults.iter().filter(|fault| fault.planned).count();
        lead.push(format!(
            "{} took place, {} of them planned by the lab file; their times are shaded.",
            counted(findings.faults.len() as u64, "disturbance"),
            planned
        ));
    }
    let mut blocks = vec![
        picture(Drawing::Rate, "Decisions a second by cause", true),
        picture(Drawing::Queue, "Decisions pending at once, by client", true),
        picture(Drawing::Headroom, "Lowest headroom, by client", true),
    ];
    if !findings.faults.is_empty() {
        blocks.push(Block::Table(disturbances(findings)));
    }
    Section { id: "time", title: "Over time", lead, blocks }
}

fn disturbances(findings: &Findings) -> Table {
    let columns = vec![
        Column::words("what"),
        Column::words("of"),
        Column::numbers("at"),
        Column::numbers("for"),
        Column::words("detail"),
    ];
    let mut table = Table::new("What was done to the lab", columns);
    let row = |fault: &FaultMark| {
        let lasted = fault.until_ns.map(|until| until.saturating_sub(fault.at_ns));
        vec![
            Cell::words(&fault.kind),
            Cell::words(&fault.actor),
            Cell::time(fault.at_ns),
            lasted.map_or_else(|| Cell::words(""), Cell::time),
            Cell::words(&fault.detail),
        ]
    };
    table.rows = findings.faults.iter().take(DISTURBANCES_MAX).map(row).collect();
    if findings.faults.len() > DISTURBANCES_MAX {
        table.note =
            Some(format!("{} more left out.", findings.faults.len().saturating_sub(DISTURBANCES_MAX)));
    }
    table
}

/// The most disturbances that are listed.
const DISTURBANCES_MAX: usize = 100;

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
        lead.push(format!(
            "Clients waited for each other in a circle, {}.",
            times(findings.wait_cycles.len())
        ));
    }
    for (place, cycle) in findings.wait_cycles.iter().enumerate().take(WAIT_CYCLES_MAX) {
        let members: Vec<String> = cycle.members.iter().map(|member| visible(member)).collect();
        let lasted = match cycle.lasted_ns {
            Some(lasted) => format!("lasted {} and was ended by {}", time(lasted), visible(&cycle.ended_by)),
            None => format!("never ended ({})", visible(&cycle.ended_by)),
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
    Section { id: "waiting", title: "Waiting for each other", lead, blocks }
}

/// The most wait cycles that are drawn.
const WAIT_CYCLES_MAX: usize = 4;

fn times(value: usize) -> String {
    if value == 1 { "once".to_owned() } else { format!("{value} times") }
}

pub(super) fn drain(findings: &Findings) -> Section {
    let mut lead = Vec::new();
    match &findings.drain {
        None => lead.push("There was no drain after the storm.".to_owned()),
        Some(drain) => {
            lead.push(match drain.last_ns {
                None => "Nothing was asked any more after the storm's end.".to_owned(),
                Some(last) => format!(
                    "{} came after the storm's end, the last {} after it; the rate halved in {}.",
                    counted(drain.decisions, "decision"),
                    time(last),
                    drain.half_life_ns.map_or_else(|| "a time that cannot be told".to_owned(), time)
                ),
            });
            let quiet = if drain.quiet { "It fell quiet" } else { "It did not fall quiet" };
            lead.push(format!(
                "{quiet} before the drain ended; {} still in flight.",
                match drain.in_flight {
                    0 => "nothing was".to_owned(),
                    1 => "1 event was".to_owned(),
                    more => format!("{} events were", count(more)),
                }
            ));
        }
    }
    Section { id: "drain", title: "Calm after the storm", lead, blocks: Vec::new() }
}
