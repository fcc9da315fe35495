//! Calm after the storm.

use lab_analysis::findings::Findings;

use crate::page::Section;
use lab_model::units::{count, counted, time};

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
