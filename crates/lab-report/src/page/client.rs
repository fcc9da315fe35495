//! One client's report: whom it approved and for whom, and what it did to the others.

use lab_analysis::findings::{Client, Findings, HeadroomFigure, RunWord};
use lab_model::Total;

use super::{
    Block, Cell, Check, Column, Drawing, Fact, Mood, Page, Section, Table, Verdict, approvals,
    bounds::left,
    calls::{blame, calls},
    eslogger::{self, is_told},
    notify, picture,
    run::{STILL_RUNNING, end_mood, headroom_mood, origin},
    spent,
};
use crate::visible::visible;
use lab_model::units::{agreeing, count, counted, ratio, share, time};

/// Builds the report of the client with this ID; `None` when there is no such client.
pub(crate) fn client(findings: &Findings, id: &str) -> Option<Page> {
    let place = findings.clients.iter().position(|client| client.id == id)?;
    if is_told(findings) {
        // It is the only one, and all there is to say about it.
        return Some(eslogger::page(findings));
    }
    let client = &findings.clients[place];
    let mut origin_of_client =
        vec![("client of", visible(&findings.lab)), ("bundle", visible(&client.bundle_id))];
    origin_of_client.extend(origin(findings));
    Some(Page {
        title: visible(&client.id),
        kind: "Client report",
        client: Some(place),
        origin: origin_of_client,
        verdict: verdict(findings, client),
        answers: Vec::new(),
        findings: Vec::new(),
        sections: [
            headroom(client),
            spent::spent(client),
            blame_in(client),
            blame_out(client),
            peers(client),
            approvals::of_client(client),
        ]
        .into_iter()
        .chain(notify::of_client(client))
        .chain([avoidable(client), timeline(findings, client), switches(client), record(findings, client)])
        .collect(),
    })
}

/// What a client owes whatever the lab expects of it.
fn checks(client: &Client) -> Vec<Check> {
    let (missed, least) = (client.deadline_misses, client.headroom.min);
    let check = |mood, text: &str, observed: String| Check { mood, text: text.to_owned(), observed };
    let held = |held: bool| if held { Mood::Good } else { Mood::Bad };
    let deadline = match (missed, least) {
        (0, None) => check(Mood::Unknown, "no deadline was missed", "nothing was asked of it".to_owned()),
        _ => check(held(missed == 0), "no deadline was missed", format!("{} missed", count(missed))),
    };
    vec![
        deadline,
        check(
            held(client.unanswered == 0),
            "every question was answered",
            counted(client.unanswered, "open question"),
        ),
        check(
            held(client.lost == 0),
            "its trace is whole",
            format!("{} lost or damaged", count(client.lost)),
        ),
        check(
            match end_mood(&client.end) {
                Mood::Plain => Mood::Good,
                other => other,
            },
            "it ended as the lab asked",
            visible(&client.end.text()),
        ),
    ]
}

fn verdict(findings: &Findings, client: &Client) -> Verdict {
    let least = client.headroom.min;
    let missed = client.deadline_misses;
    let checks = checks(client);
    let mood = [Mood::Bad, Mood::Unknown, Mood::Good]
        .into_iter()
        .find(|mood| checks.iter().any(|check| check.mood == *mood))
        .unwrap_or_default();
    let peers = workload_and_rest(client);
    let lowest = least.map_or_else(
        || "lowest headroom not known".to_owned(),
        |_| format!("lowest headroom {}", left(&client.headroom, HeadroomFigure::Min)),
    );
    let headline = format!("{}, {} missed, {lowest}", counted(client.decisions, "decision"), count(missed));
    let (mood, headline) = match findings.state.word {
        RunWord::Running => (Mood::Unknown, format!("{STILL_RUNNING}: {headline}")),
        RunWord::Whole => (mood, headline),
        RunWord::Disturbed => (mood, format!("{}: {headline}", RunWord::Disturbed)),
        word if mood == Mood::Bad => (mood, format!("{word}: {headline}")),
        word => (Mood::Unknown, format!("{word}: {headline}")),
    };
    Verdict {
        mood,
        headline,
        checks,
        facts: vec![
            Fact {
                label: "Headroom",
                mood: headroom_mood(least),
                value: left(&client.headroom, HeadroomFigure::Min),
                rest: format!(
                    "the lowest; p01 {}, median {}",
                    left(&client.headroom, HeadroomFigure::P01),
                    left(&client.headroom, HeadroomFigure::P50)
                ),
                code: false,
            },
            Fact { label: "Was it me?", mood: Mood::Plain, value: peers.0, rest: peers.1, code: false },
            Fact {
                label: "Replay",
                mood: Mood::Plain,
                value: visible(&findings.replay),
                rest: String::new(),
                code: true,
            },
        ],
    }
}

/// Whose events it decided on, and what it brought upon others.
fn workload_and_rest(client: &Client) -> (String, String) {
    let received: u64 = client.peers.iter().map(|peer| peer.received).total();
    let inflicted: u64 = client.peers.iter().map(|peer| peer.inflicted).total();
    let part = |value: u64| share(ratio(value, client.decisions));
    (
        format!("{} own, {} peers", part(client.own_process), part(received)),
        format!(
            "{} it made led to {} of other clients",
            counted(client.operations, "operation"),
            counted(inflicted, "decision")
        ),
    )
}

fn headroom(client: &Client) -> Section {
    let mut lead = Vec::new();
    lead.push(match client.headroom.min {
        Some(_) => format!(
            "The closest call left {} of the deadline{}; p01 {}, median {}.",
            left(&client.headroom, HeadroomFigure::Min),
            if client.headroom.is_at_most(HeadroomFigure::Min) { ", for it never answered" } else { "" },
            left(&client.headroom, HeadroomFigure::P01),
            left(&client.headroom, HeadroomFigure::P50)
        ),
        None => "It was asked nothing, so there is no headroom.".to_owned(),
    });
    if client.unanswered > 0 {
        lead.push(format!(
            "{} never answered: {} with the time until its client ended, or the record, and no percentile leaves that out.",
            agreeing(client.unanswered, "decision was", "decisions were"),
            if client.unanswered == 1 { "it counts" } else { "each counts" }
        ));
    }
    if client.deadline_misses > 0 {
        lead.push(format!("{} missed.", counted(client.deadline_misses, "deadline")));
    }
    let mut blocks = Vec::new();
    if !client.spectrum.is_empty() || !client.control_spectrum.is_empty() {
        blocks.push(picture(
            Drawing::ClientSpectrum,
            "Time from read to answer, its own process left out",
            false,
        ));
    }
    if !client.closest_calls.is_empty() {
        blocks.push(Block::Table(calls(
            "Closest calls: its slowest decisions, worst first",
            &client.closest_calls,
        )));
    }
    Section { id: "headroom", title: "How close it was", lead, blocks }
}

fn blame_in(client: &Client) -> Section {
    let mut blocks = Vec::new();
    let rankings = [
        ("Who made it decide", "subject", &client.blame_in),
        ("Files it was asked about most", "file", &client.top_paths),
        ("Extensions it was asked about most", "extension", &client.top_extensions),
    ];
    for (caption, name, ranking) in rankings {
        if !ranking.is_empty() {
            blocks.push(Block::Table(blame(caption, name, ranking, client.decisions).first(10)));
        }
    }
    let lead = match client.blame_in.first() {
        Some(first) => vec![format!(
            "Most of what it had to approve, {}, came from {} ({}).",
            share(ratio(first.decisions, client.decisions)),
            visible(&first.name),
            visible(&first.kind.text())
        )],
        None => vec!["It was asked nothing.".to_owned()],
    };
    Section { id: "blame-in", title: "Who made it work", lead, blocks }
}

fn blame_out(client: &Client) -> Section {
    let exclusive: u64 = client.blame_out.iter().map(|line| line.exclusive).total();
    let inclusive: u64 = client.blame_out.iter().map(|line| line.inclusive).total();
    let lead = if inclusive == 0 {
        vec!["Its decisions led to none of other clients.".to_owned()]
    } else {
        vec![format!(
            "Its own operations brought {} directly and {} with all that followed from them.",
            counted(exclusive, "decision"),
            count(inclusive)
        )]
    };
    let columns = vec![
        Column::words("who had to decide"),
        Column::numbers("directly").hint("decisions about this client's own operations"),
        Column::numbers("with all that followed").hint("decisions anywhere below this client's decisions"),
    ];
    let mut table = Table::new("What its operations brought upon each client", columns);
    table.rows = client
        .blame_out
        .iter()
        .map(|line| {
            vec![Cell::client(&line.client), Cell::count(line.exclusive), Cell::count(line.inclusive)]
        })
        .collect();
    let mut blocks = Vec::new();
    if !table.rows.is_empty() {
        blocks.push(Block::Table(table));
    }
    if !client.costliest.is_empty() {
        blocks.push(Block::Table(
            calls("The decisions that led to most decisions of others", &client.costliest).first(5),
        ));
    }
    Section { id: "blame-out", title: "What it did to the others", lead, blocks }
}

fn peers(client: &Client) -> Section {
    let columns = vec![
        Column::words("client"),
        Column::numbers("received").hint("its events that this client decided on"),
        Column::numbers("inflicted").hint("this client's events that it decided on"),
        Column::numbers("waited for it"),
        Column::numbers("made it wait"),
    ];
    let mut table = Table::new("It and each other client", columns);
    table.rows = client
        .peers
        .iter()
        .map(|peer| {
            vec![
                Cell::client(&peer.client),
                Cell::count(peer.received),
                Cell::count(peer.inflicted),
                Cell::time(peer.waited_ns),
                Cell::time(peer.made_wait_ns),
            ]
        })
        .collect();
    let (lead, blocks) = if table.rows.is_empty() {
        (vec!["It was alone.".to_owned()], Vec::new())
    } else {
        (Vec::new(), vec![Block::Table(table)])
    };
    Section { id: "peers", title: "Peers", lead, blocks }
}

fn avoidable(client: &Client) -> Section {
    let columns = vec![
        Column::words("change"),
        Column::numbers("spares"),
        Column::numbers("share"),
        Column::words("what it would not see any more"),
    ];
    let mut table = Table::new("Decisions that one change would have spared it", columns);
    table.rows = client
        .avoidable
        .iter()
        .map(|change| {
            vec![
                Cell::words(&change.change.text()),
                Cell::count(change.decisions),
                Cell::share(change.share).bar(change.share),
                Cell::words(&change.blind_spot),
            ]
        })
        .collect();
    let best =
        client.avoidable.iter().filter(|change| change.decisions > 0).max_by_key(|change| change.decisions);
    let lead = match best {
        Some(change) => vec![format!(
            "The change that pays most: {} spares {} ({}).",
            visible(&change.change.text()),
            counted(change.decisions, "decision"),
            share(change.share)
        )],
        None => vec!["No change looked at would have spared it anything.".to_owned()],
    };
    let blocks = if table.rows.is_empty() { Vec::new() } else { vec![Block::Table(table)] };
    Section { id: "avoidable", title: "What to change", lead, blocks }
}

fn timeline(findings: &Findings, client: &Client) -> Section {
    let mut blocks = Vec::new();
    let mut lead = Vec::new();
    if findings.series.bucket_ns == 0 {
        lead.push("No time series: nothing was recorded.".to_owned());
    } else {
        lead.push(format!("Each point stands for {}.", time(findings.series.bucket_ns)));
        blocks.push(picture(Drawing::ClientQueue, "Its pending decisions", true));
        blocks.push(picture(Drawing::ClientHeadroom, "Its lowest headroom", true));
    }
    for fault in findings.faults.iter().filter(|fault| fault.actor == client.id).take(5) {
        let lasted = fault.until_ns.map(|until| time(until.saturating_sub(fault.at_ns)));
        let lasted = lasted.map(|lasted| format!(" for {lasted}")).unwrap_or_default();
        lead.push(visible(&format!("At {}: {}{lasted}.", time(fault.at_ns), fault.kind)));
    }
    if client.lives.len() > 1 {
        blocks.push(Block::Table(lives(client)));
    }
    Section { id: "timeline", title: "Over time", lead, blocks }
}

fn lives(client: &Client) -> Table {
    let columns = vec![
        Column::numbers("process"),
        Column::numbers("from"),
        Column::numbers("to"),
        Column::words("how it ended"),
    ];
    let mut table = Table::new("Its processes", columns);
    table.rows = (1_u64..)
        .zip(&client.lives)
        .map(|(nth, life)| {
            vec![
                Cell::count(nth),
                Cell::time(life.began_ns),
                life.ended_ns.map_or_else(Cell::unknown, Cell::time),
                Cell::words(&life.end.text()),
            ]
        })
        .collect();
    table
}

fn switches(client: &Client) -> Section {
    let mut table = Table::new("Its switches", vec![Column::words("switch"), Column::words("value")]);
    table.rows =
        client.behavior.iter().map(|(name, value)| vec![Cell::words(name), Cell::code(value)]).collect();
    let (lead, blocks) = if table.rows.is_empty() {
        (vec!["Its switches are not known.".to_owned()], Vec::new())
    } else {
        (Vec::new(), vec![Block::Table(table)])
    };
    Section { id: "switches", title: "How it was set", lead, blocks }
}

fn record(findings: &Findings, client: &Client) -> Section {
    let mut table =
        Table::new("Counts that add up", vec![Column::words("count"), Column::numbers("decisions")]);
    let mut line = |name: &str, value: u64| table.rows.push(vec![Cell::words(name), Cell::count(value)]);
    line("decisions", client.decisions);
    for (approval, decisions) in &client.by_approval {
        line(&format!("  answered: {approval}"), *decisions);
    }
    line("  unanswered", client.unanswered);
    line("about its own process", client.own_process);
    line("records lost or damaged", client.lost);
    let lead = if findings.not_observed.is_empty() {
        vec!["Nothing is known to be missing.".to_owned()]
    } else {
        vec!["What was not observed in this run:".to_owned()]
    };
    let missing = findings.not_observed.iter().map(|line| visible(line)).collect();
    Section {
        id: "record",
        title: "What was recorded and what was not",
        lead,
        blocks: vec![Block::List(missing), Block::Table(table)],
    }
}
