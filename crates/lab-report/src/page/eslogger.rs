//! The report of an import: somebody who was told and never asked. None of the sections of a run about answers,
//! deadlines and waiting would have anything to say, so there are others.

use lab_analysis::{
    findings::{Blame, Client, Findings},
    import,
};

use super::run::verdict::{origin, remark};
use super::{Block, Cell, Column, Drawing, Fact, Mood, Page, Section, Table, Verdict, picture};
use crate::visible::visible;
use lab_model::units::{count, counted, ratio, share, time};

/// Whether the findings are those of an import.
pub(super) fn is_told(findings: &Findings) -> bool {
    import::is_import(findings)
}

/// Builds the report.
pub(super) fn page(findings: &Findings) -> Page {
    let mut sections = vec![makers(findings)];
    sections.extend(findings.clients.first().map(files));
    sections.push(over_time(findings));
    sections.push(record(findings));
    let mut origin = origin(findings);
    // An import has neither.
    origin.retain(|(name, _)| !matches!(*name, "seed" | "deadline"));
    Page {
        title: visible(&findings.lab),
        kind: "Import",
        client: None,
        origin,
        verdict: verdict(findings),
        answers: Vec::new(),
        findings: findings.findings.iter().map(remark).collect(),
        sections,
    }
}

fn verdict(findings: &Findings) -> Verdict {
    let totals = &findings.totals;
    let whole = totals.lost == 0;
    let fact = |label, mood, value: String, rest: String| Fact { label, mood, value, rest, code: false };
    Verdict {
        mood: Mood::Unknown,
        headline: format!("{} told, none asked", counted(totals.decisions, "event")),
        checks: Vec::new(),
        facts: vec![
            fact(
                "Outcome",
                Mood::Unknown,
                findings.outcome.name().to_owned(),
                visible(&findings.outcome_rule),
            ),
            fact(
                "Lost",
                if whole { Mood::Good } else { Mood::Warn },
                if whole { "nothing known".to_owned() } else { format!("at least {}", count(totals.lost)) },
                format!(
                    "{} damaged; {} denied",
                    counted(totals.damaged, "line"),
                    counted(totals.denied, "operation")
                ),
            ),
            Fact { code: true, ..fact("Replay", Mood::Plain, visible(&findings.replay), String::new()) },
        ],
    }
}

fn makers(findings: &Findings) -> Section {
    let causes = &findings.causes;
    let mut kinds = Table::new(
        "Events by kind of process",
        vec![Column::words("kind"), Column::numbers("events"), Column::numbers("share")],
    );
    for (column, events) in causes.columns.iter().zip(causes.decisions.iter().flatten()) {
        let part = ratio(*events, causes.total);
        kinds.rows.push(vec![Cell::words(&column.name), Cell::count(*events), Cell::share(part).bar(part)]);
    }
    let mut blocks = vec![Block::Table(kinds)];
    let mut lead = vec!["No event.".to_owned()];
    if let Some(client) = findings.clients.first().filter(|client| !client.blame_in.is_empty()) {
        blocks.push(Block::Table(ranking(
            "Events by program",
            "program",
            &client.blame_in,
            client.decisions,
        )));
        lead.clear();
    }
    Section { id: "causes", title: "Who made the events", lead, blocks }
}

fn ranking(caption: &str, name: &'static str, lines: &[Blame], all: u64) -> Table {
    let kinds = lines.iter().any(|line| line.kind.text() != name);
    let mut columns = vec![Column::words(name)];
    columns.extend(kinds.then(|| Column::words("kind")));
    columns.extend([Column::numbers("events"), Column::numbers("share").hint("of all events")]);
    let mut table = Table::new(caption, columns);
    table.rows = lines
        .iter()
        .map(|line| {
            let part = ratio(line.decisions, all);
            let mut row = vec![Cell::code(&line.name)];
            row.extend(kinds.then(|| Cell::words(&line.kind.text())));
            row.extend([Cell::count(line.decisions), Cell::share(part).bar(part)]);
            row
        })
        .collect();
    table
}

fn files(client: &Client) -> Section {
    let rankings = [
        ("Files the events are about most", "file", &client.top_paths),
        ("Their extensions", "extension", &client.top_extensions),
    ];
    let filled = rankings.into_iter().filter(|(.., lines)| !lines.is_empty());
    let blocks: Vec<Block> = filled
        .map(|(caption, name, lines)| Block::Table(ranking(caption, name, lines, client.decisions).first(10)))
        .collect();
    let lead = if blocks.is_empty() { vec!["No event names a file.".to_owned()] } else { Vec::new() };
    Section { id: "files", title: "What the events are about", lead, blocks }
}

fn over_time(findings: &Findings) -> Section {
    let series = &findings.series;
    let (lead, blocks) = if series.bucket_ns == 0 {
        ("Nothing was recorded.".to_owned(), Vec::new())
    } else {
        let lead = format!("Each point stands for {}.", time(series.bucket_ns));
        (lead, vec![picture(Drawing::Rate, "Events a second by kind of process", true)])
    };
    Section { id: "time", title: "Over time", lead: vec![lead], blocks }
}

fn record(findings: &Findings) -> Section {
    let totals = &findings.totals;
    let mut table = Table::new("Counts", vec![Column::words("count"), Column::numbers("events")]);
    for (name, value) in [
        ("events told", totals.decisions),
        ("of denied operations", totals.denied),
        ("without a known file", totals.targets_unknown),
        ("lost, at least", totals.lost),
        ("damaged lines", totals.damaged),
    ] {
        table.rows.push(vec![Cell::words(name), Cell::count(value)]);
    }
    let notes = findings.not_observed.iter().map(|line| visible(line)).collect();
    Section {
        id: "record",
        title: "What was recorded, and what such a recording cannot show",
        lead: share_known(findings),
        blocks: vec![Block::List(notes), Block::Table(table)],
    }
}

fn share_known(findings: &Findings) -> Vec<String> {
    let totals = &findings.totals;
    let all = totals.decisions.saturating_add(totals.lost);
    if all == 0 {
        return Vec::new();
    }
    vec![format!(
        "{} of the events that are known to have been are in it.",
        share(ratio(totals.decisions, all))
    )]
}
