//! Sizes that only the whole lab has: what each key allows may be too much together. Refused here with the number, not
//! found out when a process of the lab cannot be told what it is there for.

use std::ops::Range;

use lab_model::{Client, Daemon, Lab, Workload};

use crate::{diagnostic::Diagnostic, limits::SOURCE_BYTES_MAX, read::Problems};

/// The files that all loads of a lab have together. A simulated lab keeps each in memory, a live one makes each before it
/// begins.
const FILES_MAX: u64 = 2_000_000;

/// The helpers of all clients of a lab together. Each is a process with a trace of at least a mebibyte, on disk or in the
/// simulator's memory, and every client is told the threads of each.
const HELPERS_MAX: usize = 1024;

/// The bytes of what a process of the lab is told at once. A message has at most 4 MiB; what it holds beside is small.
const ORDER_BYTES_MAX: usize = 3 << 20;

/// Adds what is too large about a lab that is good in all of its parts; `written` is the lab written out.
pub(crate) fn check(
    lab: &Lab,
    written: &str,
    loads: Range<usize>,
    clients: Range<usize>,
    problems: &mut Problems<'_>,
) {
    let add = |problems: &mut Problems<'_>, place: &Range<usize>, message: String, help: &str| {
        problems.add(Diagnostic::new(place.clone(), message).help(help));
    };
    let workers: usize = lab.workload.iter().map(|load| usize::from(load.workers)).sum();
    let most = Workload::WORKERS_MAX;
    if workers > most {
        let message = format!("the loads have {workers} workers together, a driver at most {most}");
        add(problems, &loads, message, "take fewer `workers`, or fewer loads");
    }
    let files = files(lab);
    if files > FILES_MAX {
        let message = format!("the loads have {files} files together, a lab at most {FILES_MAX}");
        add(problems, &loads, message, "take fewer `files`, or fewer loads");
    }
    let helpers: usize = lab.clients.iter().map(|client| helpers_of(lab, client)).sum();
    if helpers > HELPERS_MAX {
        let message = format!("the clients have {helpers} helpers together, a lab at most {HELPERS_MAX}");
        add(problems, &clients, message, "take fewer clients, or give each a smaller `count` of helpers");
    }
    for daemon in &lab.daemons {
        let asking = lab.clients.iter().filter(|client| asks(lab, client, daemon)).count();
        let channels = asking.saturating_mul(usize::from(daemon.workers));
        let most = Daemon::CHANNELS_MAX;
        if channels > most {
            let message = format!(
                "{} would have {channels} channels, one for each of its {} workers from each of the {asking} clients \
                 that ask it; a daemon has at most {most}",
                daemon.id, daemon.workers
            );
            add(problems, &clients, message, "give it fewer workers, or let fewer clients ask it");
        }
    }
    let load = encoded(&lab.workload);
    for client in &lab.clients {
        // A client is told what each of its helpers is told, and every one of them knows the workload.
        let helpers = helpers_of(lab, client);
        let bytes = load.saturating_mul(helpers.saturating_add(1)).saturating_add(encoded(&client.behavior));
        if bytes > ORDER_BYTES_MAX {
            let message = format!(
                "{} would be told {bytes} bytes, {load} of them the workload for itself and for each of its {helpers} \
                 helpers; a message holds at most {ORDER_BYTES_MAX}",
                client.id
            );
            add(problems, &clients, message, "take fewer helpers, or a shorter list of paths");
            // The others are likely alike.
            break;
        }
    }
    let bytes = written.len();
    if bytes > SOURCE_BYTES_MAX {
        let message = format!(
            "the lab has {bytes} bytes when it is written out in full, a lab file at most {SOURCE_BYTES_MAX}"
        );
        add(
            problems,
            &clients,
            message,
            "each client has its own copy of what `defaults` say: take fewer clients, or shorter lists",
        );
    }
}

/// True when a client asks a daemon under any of its behaviours.
fn asks(lab: &Lab, client: &Client, daemon: &Daemon) -> bool {
    let mut asked = lab.behaviors_of(client).flat_map(|behavior| &behavior.daemons);
    asked.any(|asked| asked.daemon == daemon.id)
}

/// The helpers that a client starts, under whichever behaviour it has most.
fn helpers_of(lab: &Lab, client: &Client) -> usize {
    let counts = lab.behaviors_of(client).filter_map(|behavior| behavior.helpers);
    counts.map(|helpers| usize::from(helpers.count)).max().unwrap_or(0)
}

fn files(lab: &Lab) -> u64 {
    lab.workload.iter().map(|load| u64::from(load.files())).fold(0, u64::saturating_add)
}

/// The bytes that something takes in a message.
fn encoded(value: &impl serde::Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |text| text.len())
}
