//! What a person reads of waits and circles. Names and paths are the machine's, with control characters made visible.

use lab_model::Visible;

use crate::{
    circle::Circle,
    graph::{ThreadWait, WaitGraph},
    snapshot::{Process, Snapshot, Thread},
    wait::WaitKind,
};

/// How a process is called, such as `clamd (412)`.
#[must_use]
fn process_words(process: &Process) -> String {
    format!("{} ({})", Visible::new(&process.name), process.pid)
}

/// What a thread waits in and for whom, such as `opens /a/f04 and waits for clamonacc (77)`.
#[must_use]
pub(crate) fn wait_words(snapshot: &Snapshot, wait: &ThreadWait) -> String {
    let thread = &snapshot.processes[wait.process].threads[wait.thread];
    let doing = doing_words(thread, wait);
    match &wait.edge {
        Some(edge) if edge.on.is_empty() => format!("{doing}; for whom is not known"),
        Some(edge) if wait.wait.kind == WaitKind::Futex && edge.on == [wait.process] => {
            format!("{doing} for another thread of its own process")
        }
        Some(edge) => {
            let names: Vec<String> =
                edge.on.iter().map(|&place| name_of(snapshot, place, wait.process)).collect();
            let whom = names.join(" or ");
            let others = if edge.others { ", or somebody who is not in sight" } else { "" };
            format!("{doing} for {whom}{others}")
        }
        None => doing,
    }
}

fn name_of(snapshot: &Snapshot, place: usize, from: usize) -> String {
    if place == from { "itself".to_owned() } else { process_words(&snapshot.processes[place]) }
}

fn doing_words(thread: &Thread, wait: &ThreadWait) -> String {
    let call = thread.call.as_ref();
    let path = call.and_then(|call| call.path.as_deref());
    let on_file = |verb: &str| match path {
        Some(path) => format!("{verb} {} and waits", Visible::new(path)),
        None => "waits in an open".to_owned(),
    };
    let verb = match call.map(|call| call.name.as_str()) {
        Some("execve" | "execveat") => "executes",
        Some("read" | "readv" | "pread64") => "reads",
        _ => "opens",
    };
    let base = match wait.wait.kind {
        WaitKind::Runs => "runs".to_owned(),
        WaitKind::Timer => "sleeps for a time".to_owned(),
        WaitKind::Idle => "waits for new work".to_owned(),
        WaitKind::Stopped => "is stopped".to_owned(),
        WaitKind::PermissionEvent if wait.wait.hand_over => "waits for the answer about it".to_owned(),
        WaitKind::PermissionEvent => on_file(verb),
        WaitKind::Fuse => match path {
            Some(path) => format!(
                "is in {} of {} and waits for the FUSE daemon's answer,",
                call_name(thread),
                Visible::new(path)
            ),
            None => "waits for a FUSE daemon's answer,".to_owned(),
        },
        WaitKind::Lease => "waits until a lease is given back,".to_owned(),
        WaitKind::FileLock => "waits for a file lock,".to_owned(),
        WaitKind::Automount => "waits for an automount,".to_owned(),
        WaitKind::PipeFull => "waits to write into a full pipe,".to_owned(),
        WaitKind::PipeInput => "waits to read from a pipe,".to_owned(),
        WaitKind::SocketFull => "waits to write into a full socket,".to_owned(),
        WaitKind::SocketInput | WaitKind::Poll => "waits on its connection".to_owned(),
        WaitKind::Futex => "waits in a futex".to_owned(),
        WaitKind::Child => "waits until a child ends,".to_owned(),
        WaitKind::Storage => "waits for a disk".to_owned(),
        WaitKind::Unknown => format!("is in {} at {}", call_name(thread), Visible::new(&thread.channel)),
    };
    if wait.wait.hand_over {
        format!("has taken an event whose file the kernel cannot hand over, and {base}")
    } else {
        base
    }
}

fn call_name(thread: &Thread) -> String {
    thread.call.as_ref().map_or_else(|| "the kernel".to_owned(), |call| Visible::new(&call.name).to_string())
}

/// A circle as one sentence: who is in what, and waits for whom.
#[must_use]
pub(crate) fn circle_sentence(snapshot: &Snapshot, graph: &WaitGraph, circle: &Circle) -> String {
    let next = circle.links.iter().skip(1).chain(circle.links.first());
    let parts: Vec<String> = circle
        .links
        .iter()
        .zip(next)
        .map(|(&place, &next)| {
            let mut wait = graph.waits[place].clone();
            let process = &snapshot.processes[wait.process];
            let thread = &process.threads[wait.thread];
            // Of several who could end it, the next one of the circle comes first.
            if let Some(edge) = &mut wait.edge {
                let next = graph.waits[next].process;
                edge.on.sort_by_key(|&place| place != next);
            }
            format!("{}, thread {}, {}", process_words(process), thread.tid, wait_words(snapshot, &wait))
        })
        .collect();
    parts.join("; ")
}

/// The one process of a circle to end, by its place in the snapshot: a permission client, whose end answers whatever waits for
/// it. One that waits for a FUSE daemon does not end before that daemon does, and then it is somebody else of the circle.
#[must_use]
pub(crate) fn process_to_end(graph: &WaitGraph, circle: &Circle) -> Option<usize> {
    let next = circle.links.iter().skip(1).chain(circle.links.first());
    let asked = circle
        .links
        .iter()
        .zip(next)
        .filter(|(waiter, _)| graph.waits[**waiter].wait.kind == WaitKind::PermissionEvent)
        .map(|(_, &next)| graph.waits[next].process);
    let all = circle.links.iter().map(|&place| graph.waits[place].process);
    let outlives_a_kill = |process: usize| {
        let links = circle.links.iter().map(|&place| &graph.waits[place]);
        links.clone().any(|link| link.process == process && link.wait.kind == WaitKind::Fuse)
    };
    asked.chain(all).find(|&process| !outlives_a_kill(process))
}
