//! What each client did.

use lab_analysis::findings::{Client, Figure, Findings, HeadroomFigure, Population, PopulationOf};
use lab_model::PhaseKind;

use super::{
    requests,
    verdict::{bad_above_zero, end_mood, headroom_mood},
};
use crate::{
    page::{Block, Cell, Column, Drawing, Mood, Section, Table, picture},
    visible::visible,
};
use lab_model::units::{count_of, counted, is_whole, numbered, times};

/// What the workload's operations led to. Where that is no whole number it was not the same for each.
fn decisions_each(findings: &Findings, amplification: f64) -> String {
    // The average is over those that completed while all clients lived, so it names no others where one died.
    let storm =
        findings.phases.iter().find(|phase| phase.kind == PhaseKind::Storm && phase.after_death.is_some());
    let count = storm.map_or(findings.storm.root_ops, |storm| storm.root_ops);
    let operations = counted(count, "operation");
    let lived = if storm.is_some() { " while all clients lived" } else { "" };
    let clients = counted(count_of(findings.clients.len()), "client");
    if is_whole(amplification) {
        let whose = if count == 1 { "The workload's" } else { "Each of the workload's" };
        return format!(
            "{whose} {operations}{lived} led to {} of {clients}.",
            numbered(amplification, "decision")
        );
    }
    let average = if amplification < 0.005 {
        "less than 0.01 decisions".to_owned()
    } else {
        numbered(amplification, "decision")
    };
    format!("The workload's {operations}{lived} led to {average} of {clients} on average.")
}

/// The clients whose restarts are told one by one.
const RESTARTED_MAX: usize = 5;

pub(super) fn clients(findings: &Findings) -> Section {
    let columns = vec![
        Column::words("client"),
        Column::numbers("decisions").hint("in storm and drain").rank(8),
        Column::numbers("own").hint("of those, about its own process").rank(4),
        Column::numbers("workload p50").hint(
            "median time from read to answer, or to the end of a client that gave none, of the workload's events",
        ),
        Column::numbers("workload p99").rank(6),
        Column::numbers("max").hint("of all events, whoever made them").rank(8),
        Column::numbers("queue p99").hint("from read to the start of work").wide(),
        Column::numbers("ops").hint("operations it made itself").rank(3),
        Column::numbers("headroom").hint(
            "the lowest share of the deadline left at an answer, or at the end of a client that gave none",
        ).rank(9),
        Column::numbers("misses").hint("deadlines missed").rank(9),
        Column::numbers("unanswered").rank(2),
        Column::numbers("lost").hint("records lost or damaged").wide(),
        Column::words("end").rank(7),
    ];
    let mut table = Table::new("What each client did, in storm and drain", columns);
    table.rows = findings.clients.iter().map(client_row).collect();
    if findings.clients.len() > 1 && !findings.latency_ns.is_empty() {
        table.footer = Some(all_clients(findings));
    }
    let mut lead = Vec::new();
    if let Some(amplification) = findings.amplification.filter(|amplification| amplification.is_finite()) {
        lead.push(decisions_each(findings, amplification));
    }
    for client in findings.clients.iter().filter(|client| client.lives.len() > 1).take(RESTARTED_MAX) {
        let ends: Vec<String> = client.lives.iter().map(|life| visible(&life.end.text())).collect();
        let again = times(count_of(client.lives.len().saturating_sub(1)));
        lead.push(format!(
            "{} was started again {again}; its processes ended like this: {}.",
            visible(&client.id),
            ends.join(", ")
        ));
    }
    if findings.clients.is_empty() {
        lead.push("No client took part.".to_owned());
    }
    let blocks = if findings.clients.is_empty() {
        Vec::new()
    } else {
        let mut blocks = vec![Block::Table(table)];
        blocks.extend(requests::requests(&findings.clients).map(Block::Table));
        blocks.extend(requests::times(&findings.clients).map(Block::Table));
        blocks.push(picture(
            Drawing::ClientsSpectrum,
            "Time from read to answer, decisions about own processes left out",
            false,
        ));
        blocks
    };
    Section { id: "clients", title: "Clients", lead, blocks }
}

/// The table of the clients alone, of which at most so many are shown: of more, those first that something is wrong with.
pub(super) fn screen(findings: &Findings, most: usize) -> Section {
    let mut section = clients(findings);
    section.lead.clear();
    section.blocks.retain(|block| matches!(block, Block::Table(_)));
    section.blocks.truncate(1);
    if let Some(Block::Table(table)) = section.blocks.first_mut()
        && table.rows.len() > most
    {
        table.rows.sort_by_key(|row| !row.iter().any(|cell| cell.mood == Mood::Bad));
        table.terminal_rows = most;
    }
    section
}

fn client_row(client: &Client) -> Vec<Cell> {
    vec![
        Cell::client(&client.id),
        Cell::count(client.decisions),
        Cell::count(client.own_process),
        of_workload(&client.populations, Figure::P50),
        of_workload(&client.populations, Figure::P99),
        Cell::measured(&client.latency_ns, Figure::Max),
        Cell::measured(&client.queue_ns, Figure::P99),
        Cell::count(client.operations),
        Cell::left(&client.headroom, HeadroomFigure::Min).mood(headroom_mood(client.headroom.min)),
        bad_above_zero(client.deadline_misses),
        bad_above_zero(client.unanswered),
        bad_above_zero(client.lost),
        Cell::words(&client.end.text()).mood(end_mood(&client.end)),
    ]
}

/// A figure of the decisions about what the workload did.
fn of_workload(populations: &[Population], figure: Figure) -> Cell {
    let workload = populations.iter().find(|population| population.of == PopulationOf::Workload);
    workload.map_or_else(Cell::unknown, |population| Cell::measured(&population.latency_ns, figure))
}

/// The row below the clients: all of them together.
fn all_clients(findings: &Findings) -> Vec<Cell> {
    let sum = |of: fn(&Client) -> u64| {
        Cell::count(findings.clients.iter().fold(0_u64, |sum, client| sum.saturating_add(of(client))))
    };
    let latency = &findings.latency_ns;
    vec![
        Cell::words("all"),
        sum(|client| client.decisions),
        sum(|client| client.own_process),
        of_workload(&findings.populations, Figure::P50),
        of_workload(&findings.populations, Figure::P99),
        Cell::measured(latency, Figure::Max),
        Cell::words(""),
        sum(|client| client.operations),
        Cell::left(&findings.headroom, HeadroomFigure::Min),
        sum(|client| client.deadline_misses),
        sum(|client| client.unanswered),
        sum(|client| client.lost),
        Cell::words(""),
    ]
}
