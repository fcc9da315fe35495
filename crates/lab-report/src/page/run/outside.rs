//! The products beside the lab's clients, as far as they can be seen from outside.

use lab_analysis::findings::{Figure, Findings, Gap, Outside, Product};

use crate::{
    page::{Block, Cell, Column, Section, Table, listed},
    visible::visible,
};
use lab_model::units::{UNKNOWN, count, counted, maybe_share, signed_time, time};

pub(super) fn outside(outside: &Outside, findings: &Findings) -> Section {
    let mut lead = if outside.products.iter().any(|product| product.asked) {
        vec![cost(outside), place(outside)]
    } else {
        vec![format!(
            "The kernel asks {} nothing: no mark for permission events on the arena was seen.",
            names(outside)
        )]
    };
    lead.extend(outside.products.iter().filter_map(waited));
    lead.extend(waited_for_one(outside));
    lead.extend(denials(outside));
    lead.extend(outside.products.iter().filter_map(|product| generated(product, findings)));
    let mut blocks = vec![Block::Table(products(outside))];
    let groups = groups(outside);
    if !groups.is_empty() {
        blocks.push(Block::List(groups));
    }
    if !outside.unaccounted.is_empty() {
        blocks.push(Block::Table(unaccounted(outside)));
    }
    if !outside.gaps.is_empty() {
        blocks.push(Block::Table(gaps(outside)));
    }
    if outside.denials.operations > 0 {
        blocks.push(Block::Table(denied(outside)));
        blocks.push(Block::Table(denied_kinds(outside)));
        if !outside.denials.files.is_empty() {
            blocks.push(Block::Table(denied_files(outside)));
        }
    }
    Section { id: "outside", title: "The products beside the lab's clients", lead, blocks }
}

fn names(outside: &Outside) -> String {
    listed(&outside.products.iter().map(|product| visible(&product.id)).collect::<Vec<_>>())
}

fn cost(outside: &Outside) -> String {
    let names = names(outside);
    match &outside.added_ns {
        Some(added) => format!(
            "An open takes about {} longer beside {names} than without (between {} and {}, 95% of resampled parts of \
             the run). That is an estimate from the gap between clients that grew beyond the others since the control; \
             {names} has no trace.",
            signed_time(added.value),
            signed_time(added.low),
            signed_time(added.high)
        ),
        None => format!(
            "What {names} adds to an open is not known: that takes a control phase without it, an external phase with it, \
             and a gap between clients that grew beyond the others."
        ),
    }
}

fn place(outside: &Outside) -> String {
    let names = names(outside);
    match &outside.place {
        Some(place) => {
            format!(
                "The kernel asks {names} {}: the gap there is the one that grew beyond the others.",
                visible(place)
            )
        }
        None => {
            format!("Where in the pipeline {names} is asked is not known: no gap between clients stands out.")
        }
    }
}

fn waited(product: &Product) -> Option<String> {
    let longest = product.waited_longest_ns?;
    Some(format!(
        "Up to {} of the lab waited for {} at the same time, the longest for {}, while no client of the lab had the question.",
        counted(product.waiting_max, "operation"),
        visible(&product.id),
        time(longest)
    ))
}

/// What waited for one of several products, when nobody can tell which.
fn waited_for_one(outside: &Outside) -> Option<String> {
    let waiting = outside.waiting_for_one_of_them;
    (waiting > 0).then(|| {
        format!(
            "Up to {} of the lab waited at the same time for {}, and it cannot be told for which: the kernel does not say, \
             and they showed the same signs.",
            counted(waiting, "operation"),
            visible(&outside.one_of_them())
        )
    })
}

fn denials(outside: &Outside) -> Option<String> {
    let denials = &outside.denials;
    if denials.operations == 0 {
        return None;
    }
    let never: Vec<String> = denials
        .not_asked
        .iter()
        .filter(|(_, times)| *times > 0)
        .map(|(client, times)| format!("{} about {}", visible(client), count(*times)))
        .collect();
    let who = if never.is_empty() {
        "every client had been asked before".to_owned()
    } else {
        format!("a denial ends the pass, so these clients were never asked: {}", listed(&never))
    };
    let reasons = denials.reasons(&outside.whoever());
    Some(visible(&format!(
        "{} failed with EPERM and no client of the lab denied them; {who}. {}",
        counted(denials.operations, "operation"),
        reasons.join(" ")
    )))
}

fn generated(product: &Product, findings: &Findings) -> Option<String> {
    (product.generated > 0).then(|| {
        format!(
            "{} of the clients' {} were about what {} did itself.",
            count(product.generated),
            counted(findings.causes.total, "decision"),
            visible(&product.id)
        )
    })
}

fn products(outside: &Outside) -> Table {
    let columns = vec![
        Column::words("product"),
        Column::numbers("ready after"),
        Column::numbers("processes").hint("that were seen"),
        Column::numbers("threads").hint("that were seen"),
        Column::numbers("generated").hint("decisions of the lab's clients about what it did"),
        Column::numbers("unread").hint("the most events in its queue at one look"),
        Column::numbers("waited for").hint("the most operations that waited for it at one look"),
        Column::words("end"),
    ];
    let mut table = Table::new("Products", columns);
    table.rows = outside
        .products
        .iter()
        .map(|product| {
            vec![
                Cell::words(&product.id),
                maybe_time(product.ready_ns),
                Cell::count(product.processes),
                Cell::count(product.threads),
                Cell::count(product.generated),
                product.unread_max.map_or_else(|| Cell::words(UNKNOWN), Cell::count),
                Cell::count(product.waiting_max),
                Cell::words(&product.end.text()),
            ]
        })
        .collect();
    table
}

fn groups(outside: &Outside) -> Vec<String> {
    let lines = outside.products.iter().flat_map(|product| {
        product.groups.iter().map(|group| {
            let marks = if group.marks.is_empty() { "no marks".to_owned() } else { group.marks.join("; ") };
            visible(&format!("{}: a fanotify group of class {}; {marks}", product.id, group.class))
        })
    });
    lines.collect()
}

fn unaccounted(outside: &Outside) -> Table {
    let columns = vec![
        Column::words("phase"),
        Column::numbers("opens"),
        Column::numbers("p50"),
        Column::numbers("p90"),
        Column::numbers("p99"),
        Column::numbers("max"),
        Column::numbers("share").hint("of all the time that these opens took"),
    ];
    let mut table = Table::new("The time of an open that no client of the lab accounts for", columns);
    table.rows = outside
        .unaccounted
        .iter()
        .map(|one| {
            let measured = |figure| Cell::measured(&one.time_ns, figure);
            vec![
                Cell::words(one.phase.name()),
                Cell::count(one.time_ns.count),
                measured(Figure::P50),
                measured(Figure::P90),
                measured(Figure::P99),
                measured(Figure::Max),
                Cell::words(&maybe_share(one.share)),
            ]
        })
        .collect();
    table
}

fn gaps(outside: &Outside) -> Table {
    let columns = vec![
        Column::words("from"),
        Column::words("to"),
        Column::numbers("control"),
        Column::numbers("external"),
        Column::numbers("storm"),
    ];
    let mut table = Table::new("Between the clients of one open, medians", columns);
    let from = |gap: &Gap| match &gap.after {
        Some(client) => format!("{client} answers"),
        None => "the open starts".to_owned(),
    };
    let to = |gap: &Gap| match &gap.before {
        Some(client) => format!("{client} reads"),
        None => "the open ends".to_owned(),
    };
    table.rows = outside
        .gaps
        .iter()
        .map(|gap| {
            vec![
                Cell::words(&from(gap)),
                Cell::words(&to(gap)),
                maybe_time(gap.control_ns),
                maybe_time(gap.external_ns),
                maybe_time(gap.storm_ns),
            ]
        })
        .collect();
    table
}

fn denied(outside: &Outside) -> Table {
    let columns = vec![
        Column::words("client"),
        Column::numbers("asked before"),
        Column::numbers("never asked").hint("a denial ends the pass; mutes and kept answers count here too"),
    ];
    let mut table = Table::new("Operations that were denied, and not by a client of the lab", columns);
    let denials = &outside.denials;
    table.rows = denials
        .asked
        .iter()
        .zip(&denials.not_asked)
        .map(|((client, asked), (_, not_asked))| {
            vec![Cell::client(client), Cell::count(*asked), Cell::count(*not_asked)]
        })
        .collect();
    table
}

fn denied_kinds(outside: &Outside) -> Table {
    let columns = vec![
        Column::words("operation"),
        Column::words("error"),
        Column::numbers("questions read")
            .hint("the most that one client had read about one: an exec is asked about several times"),
        Column::numbers("denied"),
        Column::numbers("of").hint("all operations of this kind in storm and drain"),
    ];
    let mut table = Table::new("What was denied, and how far the kernel had come with asking", columns);
    table.rows = outside
        .denials
        .kinds
        .iter()
        .map(|kind| {
            let numbers = [kind.questions_read, kind.operations, kind.of].map(Cell::count);
            [Cell::words(&kind.kind), Cell::words(&kind.error)].into_iter().chain(numbers).collect()
        })
        .collect();
    table
}

fn denied_files(outside: &Outside) -> Table {
    let columns = vec![
        Column::words("file"),
        Column::numbers("denied"),
        Column::numbers("of").hint("all on this file"),
    ];
    let mut table = Table::new("The files of which most was denied", columns);
    let files = outside.denials.files.iter();
    table.rows = files
        .map(|file| vec![Cell::words(&file.path), Cell::count(file.operations), Cell::count(file.of)])
        .collect();
    table
}

fn maybe_time(nanoseconds: Option<u64>) -> Cell {
    nanoseconds.map_or_else(|| Cell::words(UNKNOWN), Cell::time)
}
