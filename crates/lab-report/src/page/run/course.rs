//! How the run went on: over time, waiting, and calm after the storm.

use lab_analysis::findings::Findings;

use crate::{
    page::{Block, Drawing, Picture, Section, picture},
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
    for fault in findings.faults.iter().take(5) {
        lead.push(visible(&format!("At {}: {} of {}.", time(fault.at_ns), fault.kind, fault.actor)));
    }
    if findings.faults.len() > 5 {
        lead.push(format!("{} more faults left out.", findings.faults.len() - 5));
    }
    let blocks = vec![
        picture(Drawing::Rate, "Decisions a second by cause", true),
        picture(Drawing::Queue, "Decisions pending at once, by client", true),
        picture(Drawing::Headroom, "Lowest headroom, by client", true),
    ];
    Section { id: "time", title: "Over time", lead, blocks }
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
            "{} → {} closed at {}, {lasted}",
            members.join(" → "),
            members.first().map_or("", String::as_str),
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
