//! Where a client's time between read and answer went, and how long it took for whom.

use lab_analysis::findings::{Client, Figure, Latency, PopulationOf};
use lab_model::units::{at_least, counted, ratio, share, time};

use super::{Block, Cell, Column, Drawing, Section, Table, listed, picture, run::requests};

/// What of a decision that was never answered can be told no better.
const UNTOLD: &str = "queued or worked";

/// One part of the time between read and answer.
pub(crate) struct Part<'a> {
    /// Its name in tables and pictures.
    pub(crate) name: &'static str,
    /// What it is in a sentence.
    went_into: &'static str,
    pub(crate) latency: &'a Latency,
}

/// Where a client's time goes, in the order of a decision's life.
pub(crate) fn spent_parts(client: &Client) -> [Part<'_>; 4] {
    let part = |name, went_into, latency| Part { name, went_into, latency };
    [
        part("queued", "its queue", &client.queue_ns),
        part("worked", "work", &client.work_ns),
        part("own operations", "operations of its own that it waited for", &client.blocked_ns),
        part(UNTOLD, "decisions that it never answered, in its queue or at work", &client.untold_ns),
    ]
}

/// Whose events, in a table.
const fn made_by(of: PopulationOf) -> &'static str {
    match of {
        PopulationOf::Workload => "about the workload",
        PopulationOf::Peers => "about other clients",
        PopulationOf::Itself => "about itself",
        PopulationOf::Others => "about others",
    }
}

/// Where its time went, in a sentence. Of what it never answered the time is a lower bound.
fn spent_sentence(client: &Client) -> String {
    let parts = spent_parts(client);
    let total = |part: &Part<'_>| part.latency.total();
    let all = parts.iter().map(total).fold(0, u64::saturating_add);
    if client.decisions == 0 {
        return "It was asked nothing.".to_owned();
    }
    if all == 0 && client.unanswered == 0 {
        return "It answered everything at once.".to_owned();
    }
    if all == 0 {
        return format!(
            "It never answered {}, and ended as soon as it had read {}; all else it answered at once.",
            counted(client.unanswered, "decision"),
            if client.unanswered == 1 { "it" } else { "them" }
        );
    }
    let shown = parts.iter().filter(|part| !part.latency.is_empty());
    let went = shown.enumerate().map(|(place, part)| {
        let verb = if place == 0 { " went" } else { "" };
        format!("{}{verb} into {}", share(ratio(total(part), all)), part.went_into)
    });
    let went: Vec<String> = went.collect();
    let open = parts.iter().any(|part| part.latency.censored > 0);
    let time = if open { at_least(&time(all)) } else { format!("the {}", time(all)) };
    let until = if client.unanswered > 0 { ", or the client's end" } else { "" };
    format!("Of {time} between read and answer{until}, {}.", listed(&went))
}

/// Whom it waited for within its own operations, in a sentence; `None` without one.
fn own_sentence(client: &Client) -> Option<String> {
    let own = &client.own_operations;
    if own.operations == 0 || own.total_ns == 0 {
        return None;
    }
    let part = |value: u64| share(ratio(value, own.total_ns));
    let peers = match (own.peers_ns, client.peers.is_empty()) {
        (_, true) => "no peer decided, for there was none".to_owned(),
        (0, false) => "no peer decided".to_owned(),
        (held, false) => format!("peers decided for {}", part(held)),
    };
    Some(format!(
        "Within the {} of its {}, {peers}, its own reader decided for {}; {} passed before anybody had read of them, and {} is \
         unexplained: the kernel, the scheduler and the operations themselves.",
        time(own.total_ns),
        counted(own.operations, "own operation"),
        part(own.own_reader_ns),
        part(own.handed_over_ns),
        part(own.unexplained_ns)
    ))
}

/// The parts of the time within its own operations, a row each; `None` without one.
fn own_operations(client: &Client) -> Option<Table> {
    let own = &client.own_operations;
    if own.operations == 0 {
        return None;
    }
    let columns = vec![Column::words("part"), Column::numbers("sum"), Column::numbers("share")];
    let mut table = Table::new(format!("Within {}", counted(own.operations, "own operation")), columns);
    let mut line = |name: &str, value: u64| {
        let part = ratio(value, own.total_ns);
        table.rows.push(vec![Cell::words(name), Cell::time(value), Cell::share(part).bar(part)]);
    };
    line("until a client read of it", own.handed_over_ns);
    line("peers decided", own.peers_ns);
    line("its own reader decided", own.own_reader_ns);
    line("unexplained: kernel, scheduler, the operation itself", own.unexplained_ns);
    line("all", own.total_ns);
    Some(table)
}

pub(super) fn spent(client: &Client) -> Section {
    let columns = vec![
        Column::words("part"),
        Column::numbers("times"),
        Column::numbers("p50"),
        Column::numbers("p90"),
        Column::numbers("p99"),
        Column::numbers("max"),
        Column::numbers("sum"),
    ];
    let mut table = Table::new("From read to answer", columns);
    let mut line = |name: String, latency: &Latency| {
        let times = latency.count.saturating_add(latency.censored);
        let mut row = vec![Cell::words(&name), Cell::count(times)];
        row.extend(
            [Figure::P50, Figure::P90, Figure::P99, Figure::Max]
                .map(|figure| Cell::measured(latency, figure)),
        );
        row.push(match (latency.is_empty(), latency.censored) {
            (true, _) => Cell::unknown(),
            (false, 0) => Cell::time(latency.total()),
            (false, _) => Cell::time_at_least(latency.total()),
        });
        table.rows.push(row);
    };
    line("read to answer, all".to_owned(), &client.latency_ns);
    for population in &client.populations {
        line(format!("  {}", made_by(population.of)), &population.latency_ns);
    }
    for (event, latency) in &client.latency_by_event_ns {
        line(format!("  {event}"), latency);
    }
    let parts = spent_parts(client);
    for part in &parts {
        if part.name != UNTOLD || !part.latency.is_empty() {
            line(part.name.to_owned(), part.latency);
        }
    }
    let mut lead = vec![spent_sentence(client)];
    lead.extend(own_sentence(client));
    let mut blocks = Vec::new();
    if parts.iter().any(|part| part.latency.total() > 0) {
        blocks.push(picture(Drawing::TimeSpent, "All its decisions together", true));
    }
    blocks.push(Block::Table(table));
    blocks.extend(own_operations(client).map(Block::Table));
    blocks.extend(requests::requests([client]).map(Block::Table));
    blocks.extend(requests::times([client]).map(Block::Table));
    Section { id: "spent", title: "Where its time went", lead, blocks }
}
