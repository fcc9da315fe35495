//! The run report: one page across all clients.

use lab_analysis::findings::{CascadeTree, Client, Expectation, Finding, Findings, Interval, Outcome};

use super::{
    Block, Cell, Check, Column, Drawing, Fact, Mood, Page, Picture, Remark, Section, Table, Tree, Verdict,
    listed, shown_path,
};
use crate::{
    units::{count, counted, number, ratio, share, time},
    visible::visible,
};

/// The most findings that are shown; more are no findings.
const FINDINGS_MAX: usize = 3;
/// Below this headroom a client is marked.
const HEADROOM_WARN: f64 = 0.5;
/// Below this headroom a client is marked badly.
const HEADROOM_BAD: f64 = 0.1;

/// Builds the run report.
pub(crate) fn run(findings: &Findings) -> Page {
    Page {
        title: visible(&findings.lab),
        kind: "Run report",
        client: None,
        origin: origin(findings),
        verdict: verdict(findings),
        findings: findings.findings.iter().take(FINDINGS_MAX).map(remark).collect(),
        sections: vec![
            clients(findings),
            causes(findings),
            gain(findings),
            cascades(findings),
            over_time(findings),
            pipeline(findings),
            waiting(findings),
            drain(findings),
            cost(findings),
            record(findings),
        ],
    }
}

/// Where a report comes from.
pub(crate) fn origin(findings: &Findings) -> Vec<(&'static str, String)> {
    let machine = &findings.machine;
    let processors = counted(u64::from(machine.cpus), "processor");
    vec![
        ("run", visible(&findings.run)),
        ("backend", visible(&findings.backend)),
        ("seed", findings.seed.to_string()),
        ("deadline", time(findings.deadline_ns)),
        ("machine", visible(&format!("{}, {}, {processors}", machine.kernel, machine.machine))),
        ("lab", visible(&machine.version)),
    ]
}

fn outcome_mood(outcome: Outcome) -> Mood {
    match outcome {
        Outcome::Stable => Mood::Good,
        Outcome::Saturated => Mood::Warn,
        Outcome::Divergent | Outcome::Deadlocked => Mood::Bad,
        Outcome::Unknown => Mood::Unknown,
    }
}

fn check(expectation: &Expectation) -> Check {
    let mood = match expectation.held {
        Some(true) => Mood::Good,
        Some(false) => Mood::Bad,
        None => Mood::Unknown,
    };
    Check { mood, text: visible(&expectation.text), observed: visible(&expectation.observed) }
}

fn headline(findings: &Findings) -> (Mood, String) {
    let all = findings.expectations.len();
    let failed = findings.expectations.iter().filter(|expectation| expectation.held == Some(false)).count();
    let open = findings.expectations.iter().filter(|expectation| expectation.held.is_none()).count();
    match (all, failed, open) {
        (0, ..) => (outcome_mood(findings.outcome), "no expectations stated".to_owned()),
        (_, 0, 0) => (Mood::Good, format!("{all} of {all} expectations hold")),
        (_, 0, _) => (Mood::Unknown, format!("{open} of {all} expectations cannot be told")),
        _ => (Mood::Bad, format!("{failed} of {all} expectations failed")),
    }
}

fn verdict(findings: &Findings) -> Verdict {
    let (mood, headline) = headline(findings);
    let outcome = findings.outcome.name();
    Verdict {
        mood,
        headline: format!("{headline} · {outcome}"),
        checks: findings.expectations.iter().map(check).collect(),
        facts: vec![
            Fact {
                label: "Outcome",
                mood: outcome_mood(findings.outcome),
                value: outcome.to_owned(),
                rest: visible(&findings.outcome_rule),
                code: false,
            },
            deadline_fact(findings),
            lost_fact(findings),
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

fn deadline_fact(findings: &Findings) -> Fact {
    let misses: u64 = findings.clients.iter().map(|client| client.deadline_misses).sum();
    let lowest = findings
        .clients
        .iter()
        .filter_map(|client| {
            client.headroom.min.filter(|least| least.is_finite()).map(|least| (least, &client.id))
        })
        .min_by(|one, other| one.0.total_cmp(&other.0));
    let rest = lowest.map_or_else(
        || "no decision was answered".to_owned(),
        |(least, id)| format!("lowest headroom {}, by {}", share(least), visible(id)),
    );
    let (mood, value) = match (misses, lowest) {
        (0, None) => (Mood::Unknown, "not known".to_owned()),
        (0, Some((least, _))) if least < HEADROOM_BAD => (Mood::Warn, "none missed".to_owned()),
        (0, Some(_)) => (Mood::Good, "none missed".to_owned()),
        _ => (Mood::Bad, format!("{} missed", count(misses))),
    };
    Fact { label: "Deadlines", mood, value, rest, code: false }
}

fn lost_fact(findings: &Findings) -> Fact {
    let totals = &findings.totals;
    let mut parts = Vec::new();
    if totals.lost > 0 {
        parts.push(counted(totals.lost, "record"));
    }
    if totals.damaged > 0 {
        parts.push(counted(totals.damaged, "damaged place"));
    }
    let (mood, value) = match parts.is_empty() {
        true => (Mood::Good, "nothing".to_owned()),
        false => (Mood::Warn, listed(&parts)),
    };
    let rest = format!(
        "{} recorded = {} explained + {} unexplained",
        counted(totals.decisions, "decision"),
        count(totals.explained),
        count(totals.unexplained)
    );
    Fact { label: "Lost", mood, value, rest, code: false }
}

/// The sections that findings lead to, by the names in the findings.
fn section_of(name: &str) -> Option<&'static str> {
    ["clients", "causes", "gain", "cascades", "time", "pipeline", "waiting", "drain", "cost", "record"]
        .into_iter()
        .find(|section| *section == name)
}

fn remark(finding: &Finding) -> Remark {
    let mood = match finding.weight.as_str() {
        "bad" => Mood::Bad,
        "warn" => Mood::Warn,
        _ => Mood::Plain,
    };
    Remark {
        mood,
        text: visible(&finding.text),
        advice: finding.advice.as_deref().map(visible),
        section: section_of(&finding.section),
    }
}

/// How a headroom is marked.
pub(crate) fn headroom_mood(headroom: Option<f64>) -> Mood {
    match headroom {
        Some(least) if least < HEADROOM_BAD => Mood::Bad,
        Some(least) if least < HEADROOM_WARN => Mood::Warn,
        _ => Mood::Plain,
    }
}

/// How a client's end is marked.
pub(crate) fn end_mood(end: &str) -> Mood {
    match end {
        "clean" => Mood::Plain,
        "unknown" => Mood::Unknown,
        _ => Mood::Bad,
    }
}

fn bad_above_zero(value: u64) -> Cell {
    Cell::count(value).mood(if value > 0 { Mood::Bad } else { Mood::Plain })
}

fn clients(findings: &Findings) -> Section {
    let columns = vec![
        Column::words("client"),
        Column::numbers("decisions").hint("in storm and drain"),
        Column::numbers("own").hint("of those, about its own process"),
        Column::numbers("p50").hint("median time from read to answer"),
        Column::numbers("p99"),
        Column::numbers("max"),
        Column::numbers("queue p99").hint("from read to the start of work").wide(),
        Column::numbers("ops").hint("operations it made itself"),
        Column::numbers("headroom").hint("the lowest share of the deadline left when an answer left"),
        Column::numbers("misses").hint("deadlines missed"),
        Column::numbers("unanswered").wide(),
        Column::numbers("lost").hint("records lost or damaged").wide(),
        Column::words("end"),
    ];
    let mut table = Table::new("What each client did, in storm and drain", columns);
    table.rows = findings.clients.iter().map(client_row).collect();
    if findings.clients.len() > 1 && findings.latency_ns.count > 0 {
        table.footer = Some(all_clients(findings));
    }
    let mut lead = Vec::new();
    if let Some(amplification) = findings.amplification.filter(|amplification| amplification.is_finite()) {
        lead.push(format!(
            "Each of the workload's {} brought {} decisions upon {}.",
            counted(findings.storm.root_ops, "operation"),
            number(amplification),
            counted(float_len(findings.clients.len()), "client")
        ));
    }
    if findings.clients.is_empty() {
        lead.push("No client took part.".to_owned());
    }
    let blocks = if findings.clients.is_empty() {
        Vec::new()
    } else {
        vec![
            Block::Table(table),
            Block::Picture(Picture {
                drawing: Drawing::ClientsSpectrum,
                caption: "Time from read to answer, decisions about own processes left out".to_owned(),
                wide: false,
            }),
        ]
    };
    Section { id: "clients", title: "Clients", lead, blocks }
}

fn float_len(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn client_row(client: &Client) -> Vec<Cell> {
    vec![
        Cell::client(&client.id),
        Cell::count(client.decisions),
        Cell::count(client.own_process),
        Cell::measured(&client.latency_ns, client.latency_ns.p50),
        Cell::measured(&client.latency_ns, client.latency_ns.p99),
        Cell::measured(&client.latency_ns, client.latency_ns.max),
        Cell::measured(&client.queue_ns, client.queue_ns.p99),
        Cell::count(client.operations),
        Cell::maybe_share(client.headroom.min).mood(headroom_mood(client.headroom.min)),
        bad_above_zero(client.deadline_misses),
        bad_above_zero(client.unanswered),
        bad_above_zero(client.lost),
        Cell::words(&client.end).mood(end_mood(&client.end)),
    ]
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
        Cell::measured(latency, latency.p50),
        Cell::measured(latency, latency.p99),
        Cell::measured(latency, latency.max),
        Cell::words(""),
        sum(|client| client.operations),
        Cell::maybe_share(findings.headroom.min),
        sum(|client| client.deadline_misses),
        sum(|client| client.unanswered),
        sum(|client| client.lost),
        Cell::words(""),
    ]
}

/// Decisions of the cause matrix by kind of column: workload, own, peers, everything else.
fn by_kind(findings: &Findings) -> (u64, u64, u64, u64) {
    let causes = &findings.causes;
    let (mut workload, mut own, mut peers, mut other) = (0_u64, 0_u64, 0_u64, 0_u64);
    for (row, counts) in causes.rows.iter().zip(&causes.decisions) {
        for (column, decisions) in causes.columns.iter().zip(counts) {
            let sum = match column.kind.as_str() {
                "workload" => &mut workload,
                "client" | "helper" if column.name == *row => &mut own,
                "client" | "helper" => &mut peers,
                _ => &mut other,
            };
            *sum = sum.saturating_add(*decisions);
        }
    }
    (workload, own, peers, other)
}

fn causes(findings: &Findings) -> Section {
    let causes = &findings.causes;
    let mut lead = Vec::new();
    if causes.total == 0 {
        lead.push("Nothing was approved in storm and drain.".to_owned());
    } else {
        let (workload, own, peers, other) = by_kind(findings);
        let part = |value: u64| share(ratio(value, causes.total));
        let mut sentence = format!(
            "Of {}, {} were about the workload, {} about the approver's own operations and {} about other clients'",
            counted(causes.total, "decision"),
            part(workload),
            part(own),
            part(peers)
        );
        if other > 0 {
            sentence.push_str(&format!("; {} came from elsewhere", part(other)));
        }
        sentence.push('.');
        lead.push(sentence);
        lead.push(match causes.misattributed {
            0 => "None of the clients' own events looked like the workload's to its approver.".to_owned(),
            missed => format!(
                "{} ({}) came from clients and looked like the workload: a check of the subject cannot see them.",
                counted(missed, "decision"),
                part(missed)
            ),
        });
    }
    let blocks = if causes.rows.is_empty() {
        Vec::new()
    } else {
        vec![
            Block::Picture(Picture {
                drawing: Drawing::CauseMatrix,
                caption: "Rows approve, columns cause; share of all decisions".to_owned(),
                wide: true,
            }),
            Block::Table(cause_table(findings)),
        ]
    };
    Section { id: "causes", title: "Who made what each client had to approve", lead, blocks }
}

fn cause_table(findings: &Findings) -> Table {
    let causes = &findings.causes;
    let mut columns = vec![Column::words("approver")];
    columns.extend(causes.columns.iter().map(|column| Column::numbers(visible(&column.name))));
    columns.push(Column::numbers("sum"));
    let mut table = Table::new("Decisions by approver (row) and cause (column)", columns).folded();
    let mut sums = vec![0_u64; causes.columns.len()];
    for (row, counts) in causes.rows.iter().zip(&causes.decisions) {
        let mut cells = vec![Cell::client(row)];
        for (sum, decisions) in sums.iter_mut().zip(counts) {
            *sum = sum.saturating_add(*decisions);
            cells.push(Cell::count(*decisions));
        }
        cells.push(Cell::count(counts.iter().sum()));
        table.rows.push(cells);
    }
    let mut footer = vec![Cell::words("sum")];
    footer.extend(sums.into_iter().map(Cell::count));
    footer.push(Cell::count(causes.total));
    table.footer = Some(footer);
    table
}

fn gain(findings: &Findings) -> Section {
    let mut lead = Vec::new();
    let known = |gain: &Interval| gain.value.is_finite() && gain.low.is_finite() && gain.high.is_finite();
    match findings.loop_gain.filter(known) {
        Some(gain) => {
            let verdict = if gain.high < 1.0 {
                "below 1, so every cascade ends"
            } else if gain.low >= 1.0 {
                "at or above 1, so cascades feed themselves"
            } else {
                "the interval holds 1, so whether cascades end cannot be told"
            };
            lead.push(format!(
                "Loop gain {} (95% between {} and {}): {verdict}.",
                number(gain.value),
                number(gain.low),
                number(gain.high)
            ));
        }
        None => lead.push("The loop gain is not known: too few cascades.".to_owned()),
    }
    if let Some(prediction) = &findings.prediction {
        lead.push(match prediction.predicted_size {
            Some(size) => format!(
                "Predicted cascade size {}, observed {}.",
                number(size),
                number(prediction.observed_size)
            ),
            None => format!(
                "No cascade size can be predicted at this gain; completed ones had {} decisions on average.",
                number(prediction.observed_size)
            ),
        });
    }
    let mut blocks = Vec::new();
    if !findings.gain.is_empty() {
        blocks.push(Block::Picture(Picture {
            drawing: Drawing::GainGraph,
            caption: "Events that one handled event brings: grey from the workload's (drive), coloured from \
                      clients' (gain)"
                .to_owned(),
            wide: false,
        }));
        let drive = "Drive: events on the row per workload event handled by the column";
        blocks.push(Block::Table(matrix(drive, findings, &findings.drive)));
        if findings.gain.iter().flatten().all(|value| *value == 0.0) {
            lead.push(
                "No client makes events in answer to other clients' or its own: the gain is 0 everywhere."
                    .to_owned(),
            );
        } else {
            let gain = "Gain: events on the row per client-caused event handled by the column";
            blocks.push(Block::Table(matrix(gain, findings, &findings.gain)));
        }
    }
    Section { id: "gain", title: "Does it feed itself", lead, blocks }
}

/// The most clients whose matrices are shown in full; of more, the strongest pairs are.
const MATRIX_CLIENTS_MAX: usize = 6;
/// The most pairs that are shown instead.
const PAIRS_MAX: usize = 12;

fn matrix(caption: &str, findings: &Findings, values: &[Vec<f64>]) -> Table {
    if findings.clients.len() > MATRIX_CLIENTS_MAX {
        return pairs(caption, findings, values);
    }
    let mut columns = vec![Column::words("lands on")];
    columns.extend(findings.clients.iter().map(|client| Column::numbers(visible(&client.id))));
    let mut table = Table { compact: true, ..Table::new(caption, columns) };
    for (client, row) in findings.clients.iter().zip(values) {
        let mut cells = vec![Cell::words(&client.id)];
        cells.extend(row.iter().map(|value| Cell::number(*value)));
        cells.resize(table.columns.len(), Cell::unknown());
        table.rows.push(cells);
    }
    table
}

fn pairs(caption: &str, findings: &Findings, values: &[Vec<f64>]) -> Table {
    let columns = vec![Column::words("lands on"), Column::words("handled by"), Column::numbers("events")];
    let mut table = Table::new(format!("{caption}; the strongest pairs"), columns);
    let mut pairs: Vec<(f64, &str, &str)> = Vec::new();
    for (target, row) in findings.clients.iter().zip(values) {
        pairs.extend(
            findings
                .clients
                .iter()
                .zip(row)
                .map(|(source, value)| (*value, target.id.as_str(), source.id.as_str())),
        );
    }
    pairs.retain(|(value, ..)| *value > 0.0);
    pairs.sort_by(|one, other| other.0.total_cmp(&one.0));
    table.rows = pairs
        .into_iter()
        .map(|(value, target, source)| vec![Cell::client(target), Cell::client(source), Cell::number(value)])
        .collect();
    table.cap(PAIRS_MAX);
    table
}

fn cascades(findings: &Findings) -> Section {
    let cascades = &findings.cascades;
    let mut lead = Vec::new();
    if cascades.count == 0 {
        lead.push("No cascade was completed.".to_owned());
    } else {
        lead.push(format!(
            "{} completed: {} decisions at the median (largest {}), {} deep (deepest {}), {} long (longest {}).",
            counted(cascades.count, "cascade"),
            count(cascades.size.p50),
            count(cascades.size.max),
            counted(cascades.depth.p50, "level"),
            count(cascades.depth.max),
            time(cascades.duration_ns.p50),
            time(cascades.duration_ns.max)
        ));
    }
    if cascades.unfinished > 0 {
        lead.push(format!("{} still going on when the run ended.", counted(cascades.unfinished, "cascade")));
    }
    let mut blocks = Vec::new();
    if cascades.count > 0 {
        blocks.push(picture(Drawing::CascadeSize, "Decisions in a cascade", false));
        blocks.push(picture(
            Drawing::CascadeDepth,
            "Levels of operations in a cascade; the root is 1",
            false,
        ));
    }
    if !cascades.flame.is_empty() {
        blocks.push(picture(
            Drawing::Flame,
            "Cause chains of all cascades; width is decisions at or below",
            true,
        ));
    }
    blocks.extend(cascades.worst.iter().map(tree));
    Section { id: "cascades", title: "Cascades", lead, blocks }
}

fn picture(drawing: Drawing, caption: &str, wide: bool) -> Block {
    Block::Picture(Picture { drawing, caption: caption.to_owned(), wide })
}

fn tree(cascade: &CascadeTree) -> Block {
    let lines = cascade
        .nodes
        .iter()
        .map(|node| {
            let what = match node.kind.as_str() {
                "decision" => format!("{} decides: {}", visible(&node.actor), visible(&node.note)),
                kind => {
                    let path = shown_path(node.path.as_deref());
                    let note = if node.note.is_empty() { String::new() } else { format!(" ({})", node.note) };
                    visible(&format!("{} {kind} {path}{note}", node.actor))
                }
            };
            let took = node.took_ns.map_or_else(|| "never ended".to_owned(), time);
            (node.level, what, format!("+{} {took}", time(node.began_ns)))
        })
        .collect();
    let note = (cascade.omitted > 0).then(|| format!("{} more left out", count(cascade.omitted)));
    Block::Tree(Tree {
        caption: format!(
            "The {} cascade: {}, {} deep, {}",
            visible(&cascade.why),
            counted(cascade.size, "decision"),
            counted(cascade.depth, "level"),
            time(cascade.duration_ns)
        ),
        lines,
        note,
    })
}

fn over_time(findings: &Findings) -> Section {
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

fn pipeline(findings: &Findings) -> Section {
    let pipeline = &findings.pipeline;
    let mut lead = Vec::new();
    let mut blocks = Vec::new();
    if pipeline.stages.is_empty() {
        lead.push("No root operation of the storm was completed, so there is no order to show.".to_owned());
    } else {
        lead.push(match pipeline.serial_percent {
            Some(percent) => format!(
                "In {} of the operations the clients were asked one after another.",
                share(percent / 100.0)
            ),
            None => "Whether the clients were asked one after another is not known.".to_owned(),
        });
        lead.push(format!(
            "A median operation took {}; the clients' decision times sum to {}, the longest is {}.",
            time(pipeline.op_ns),
            time(pipeline.sum_ns),
            time(pipeline.max_ns)
        ));
        blocks.push(picture(
            Drawing::Waterfall,
            "Median times of one root operation, client by client",
            false,
        ));
        blocks.push(Block::Table(stages(findings)));
        if !pipeline.orders.is_empty() {
            blocks.push(Block::Table(orders(findings)));
        }
    }
    if !pipeline.slowest.is_empty() {
        blocks.push(picture(
            Drawing::SlowOperations,
            "The slowest operations and where their time went",
            true,
        ));
        blocks.push(Block::Table(slowest(findings)));
    }
    Section { id: "pipeline", title: "Pipeline order", lead, blocks }
}

fn stages(findings: &Findings) -> Table {
    let columns = vec![
        Column::words("client"),
        Column::numbers("asked after").hint("median time from the operation's start to the client's read"),
        Column::numbers("answered after"),
        Column::numbers("last to answer").hint("how often everybody waited for it"),
    ];
    let mut table = Table::new("In the order in which they were asked", columns);
    table.rows = findings
        .pipeline
        .stages
        .iter()
        .map(|stage| {
            vec![
                Cell::client(&stage.client),
                Cell::time(stage.read_ns),
                Cell::time(stage.answered_ns),
                Cell::count(stage.last),
            ]
        })
        .collect();
    table
}

fn orders(findings: &Findings) -> Table {
    let orders = &findings.pipeline.orders;
    let all: u64 = orders.iter().map(|(_, times)| times).sum();
    let mut table = Table::new(
        "Orders that occurred",
        vec![Column::words("order"), Column::numbers("times"), Column::numbers("share")],
    );
    table.rows = orders
        .iter()
        .map(|(order, times)| {
            let part = ratio(*times, all);
            vec![Cell::words(&order.join(" › ")), Cell::count(*times), Cell::share(part).bar(part)]
        })
        .collect();
    table
}

fn slowest(findings: &Findings) -> Table {
    let columns = vec![
        Column::words("operation"),
        Column::words("target"),
        Column::numbers("began at"),
        Column::numbers("took"),
        Column::words("where the time went"),
    ];
    let mut table = Table::new("Slowest root operations", columns).first(3).folded();
    table.rows = findings
        .pipeline
        .slowest
        .iter()
        .map(|operation| {
            let steps: Vec<String> =
                operation.steps.iter().map(|(step, took)| format!("{step} {}", time(*took))).collect();
            vec![
                Cell::words(&operation.kind),
                Cell::code(&shown_path(operation.path.as_deref())),
                Cell::time(operation.began_ns),
                Cell::time(operation.took_ns),
                Cell::words(&steps.join(" · ")),
            ]
        })
        .collect();
    table
}

fn waiting(findings: &Findings) -> Section {
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

fn drain(findings: &Findings) -> Section {
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

fn cost(findings: &Findings) -> Section {
    let cost = &findings.cost;
    let mut lead = Vec::new();
    if let (Some(baseline), Some(storm)) = (cost.baseline_ns, cost.storm_ns) {
        let mut sentence = format!("A median operation took {} without clients", time(baseline));
        if let Some(control) = cost.control_ns {
            sentence.push_str(&format!(
                ", {} ({}) with clients that answer at once",
                time(control),
                times_of(control, baseline)
            ));
        }
        sentence.push_str(&format!(" and {} ({}) in the storm.", time(storm), times_of(storm, baseline)));
        lead.push(sentence);
    } else {
        lead.push("Without both a baseline and a storm the price is not known.".to_owned());
    }
    let mut blocks = Vec::new();
    if cost.baseline_ns.or(cost.control_ns).or(cost.storm_ns).is_some() {
        blocks.push(picture(Drawing::Cost, "Median root operation", false));
    }
    if findings.phases.iter().any(|phase| !phase.spectrum.is_empty()) {
        blocks.push(picture(Drawing::PhaseSpectrum, "Latency of root operations, by phase", false));
    }
    if !findings.phases.is_empty() {
        blocks.push(Block::Table(phases(findings)));
    }
    Section { id: "cost", title: "What it costs the user", lead, blocks }
}

fn times_of(value: u64, base: u64) -> String {
    if base == 0 { "×–".to_owned() } else { format!("×{}", number(ratio(value, base))) }
}

fn phases(findings: &Findings) -> Table {
    let columns = vec![
        Column::words("phase"),
        Column::numbers("seconds"),
        Column::numbers("root ops"),
        Column::numbers("unfinished"),
        Column::numbers("failed"),
        Column::numbers("ops/s"),
        Column::numbers("p50"),
        Column::numbers("p99"),
        Column::numbers("p99.9").wide(),
        Column::numbers("max"),
    ];
    let mut table = Table::new("Root operations by phase", columns);
    table.rows = findings
        .phases
        .iter()
        .map(|phase| {
            let measured = |value| Cell::measured(&phase.op_latency_ns, value);
            vec![
                Cell::words(&phase.name),
                Cell::number(phase.seconds),
                Cell::count(phase.root_ops),
                Cell::count(phase.root_ops_unfinished),
                Cell::count(phase.root_ops_failed),
                Cell::number(phase.ops_per_second.round()),
                measured(phase.op_latency_ns.p50),
                measured(phase.op_latency_ns.p99),
                measured(phase.op_latency_ns.p999),
                measured(phase.op_latency_ns.max),
            ]
        })
        .collect();
    table
}

fn record(findings: &Findings) -> Section {
    let columns = vec![Column::words("count"), Column::numbers("storm"), Column::numbers("whole run")];
    let mut table = Table::new("Counts that add up", columns);
    let (storm, run) = (&findings.storm, &findings.totals);
    let mut line = |name: &str, storm: u64, run: u64| {
        table.rows.push(vec![Cell::words(name), Cell::count(storm), Cell::count(run)]);
    };
    line("root operations", storm.root_ops, run.root_ops);
    line("operations, roots included", storm.operations, run.operations);
    line("operations that never ended", storm.operations_unfinished, run.operations_unfinished);
    line("decisions", storm.decisions, run.decisions);
    line("  explained", storm.explained, run.explained);
    line("  unexplained", storm.unexplained, run.unexplained);
    for (approval, decisions) in &run.by_approval {
        let in_storm = storm.by_approval.get(approval).copied().unwrap_or(0);
        line(&format!("  answered: {approval}"), in_storm, *decisions);
    }
    line("  unanswered", storm.unanswered, run.unanswered);
    line("decisions about the own process", storm.own_process, run.own_process);
    line("denied", storm.denied, run.denied);
    line("targets not resolved", storm.targets_unknown, run.targets_unknown);
    line("records lost", storm.lost, run.lost);
    line("damaged places", storm.damaged, run.damaged);
    let lead = if findings.not_observed.is_empty() {
        vec!["Nothing is known to be missing.".to_owned()]
    } else {
        vec!["What was not observed:".to_owned()]
    };
    let missing = findings.not_observed.iter().map(|line| visible(line)).collect();
    Section {
        id: "record",
        title: "What was recorded and what was not",
        lead,
        blocks: vec![Block::List(missing), Block::Table(table)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_that_does_not_exist_is_no_link() {
        assert_eq!(section_of("causes"), Some("causes"));
        assert_eq!(section_of("javascript:alert(1)"), None);
    }

    #[test]
    fn unknown_is_not_zero() {
        assert_eq!(headroom_mood(None), Mood::Plain);
        assert_eq!(times_of(3, 0), "×–");
    }
}
