//! The kernel's own rules, as far as the run shows them.

use lab_analysis::findings::{AfterDeny, DeliveryOrder, Findings, KeptAnswers};

use crate::page::{Cell, Column, Table};
use lab_model::{
    Kernel,
    units::{count, counted, share},
};

/// What the run shows of the kernel's own rules, a sentence each; nothing where nothing tells.
pub(super) fn sentences(findings: &Findings) -> Vec<String> {
    let rules = &findings.rules;
    let mut sentences = Vec::new();
    if let Some(delivery) = rules.delivery {
        let how = match delivery {
            DeliveryOrder::Serial => "one client after the other",
            DeliveryOrder::Parallel => "all clients at once",
            DeliveryOrder::Mixed => "sometimes one client after the other, sometimes several at once",
        };
        sentences.push(format!(
            "The kernel asks {how}: {} held by several clients in turn, {} at once.",
            counted(rules.serial, "operation"),
            count(rules.parallel)
        ));
    }
    if let Some(after) = rules.after_deny {
        let what = match after {
            AfterDeny::Spared => "is not asked any more",
            AfterDeny::NotWaited => "is asked, and nobody waits for its answer",
            AfterDeny::Waited => "is asked, and its answer is waited for",
            AfterDeny::Mixed => "is handled in more than one way",
        };
        sentences.push(format!(
            "After a denial a client that has not answered {what}: {} not asked, {} not waited for, {} waited for.",
            counted(rules.spared, "time"),
            count(rules.not_waited),
            count(rules.waited)
        ));
    }
    if let Some(kept) = rules.kept_answers {
        sentences.push(
            match kept {
                KeptAnswers::Own => "A kept answer serves only the client that gave it.",
                KeptAnswers::Shared => "A kept answer also serves clients that keep none.",
                KeptAnswers::NotKept => "No answer was kept, although a client asked for it.",
                KeptAnswers::Mixed => "Kept answers served other clients at times.",
            }
            .to_owned(),
        );
    }
    sentences
}

/// How long an answer may take, a row for each event.
pub(super) fn deadlines(findings: &Findings) -> Table {
    let columns = vec![
        Column::words("event"),
        Column::numbers("decisions"),
        Column::numbers("shortest"),
        Column::numbers("longest"),
        Column::numbers("left when read")
            .hint("the median share of it; unknown where the kernel gives an event no time"),
    ];
    let caption = match findings.kernel().map(Kernel::enforces_deadlines) {
        Some(true) => "How long the kernel waits for an answer",
        Some(false) => "How long the lab waits for an answer; the kernel has no deadline",
        None => "How long an answer may take",
    };
    let mut table = Table::new(caption, columns);
    table.rows = findings
        .rules
        .deadlines
        .iter()
        .map(|(event, length)| {
            vec![
                Cell::words(&event.text()),
                Cell::count(length.decisions),
                Cell::time(length.min_ns),
                Cell::time(length.max_ns),
                length.left_at_read.p50.map_or_else(Cell::unknown, |left| Cell::words(&share(left))),
            ]
        })
        .collect();
    table
}
