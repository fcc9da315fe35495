//! A client whose helper does not work says so in one sentence and ends, before it asks the kernel for anything.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests start programs and wait for them")]

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Command, Stdio},
};

use lab_model::{Actor, Behavior, Errand, Span};
use lab_protocol::{
    Assignment, ClientAssignment, HelpersAssignment, Order, PROTOCOL, Reply, TraceAssignment, Welcome,
    WorkerAssignment, receive, send,
};

fn welcome(actor: u16, name: &str, folder: &str, assignment: Assignment) -> Welcome {
    Welcome {
        protocol: PROTOCOL,
        actor: Actor(actor),
        name: name.to_owned(),
        seed: 1,
        arena: folder.to_owned(),
        trace: TraceAssignment { path: format!("{folder}/{name}.trace"), salt: 7, bytes_max: 1 << 24 },
        assignment,
    }
}

/// What the client says when its helper is this program.
fn said(program: &str) -> String {
    let folder = &format!("{}/{}", env!("CARGO_TARGET_TMPDIR"), program.replace('/', "-"));
    drop(std::fs::remove_dir_all(folder));
    std::fs::create_dir_all(folder).unwrap();
    let errand = Errand { open: true, ..Errand::none() };
    let worker = WorkerAssignment { client: Some(Actor(2)), workers: 1, errand, workload: Vec::new() };
    let helper = welcome(7, "alpha.helper-1", folder, Assignment::Worker(worker));
    let client = ClientAssignment {
        bundle_id: "com.example.alpha".to_owned(),
        behavior: Box::new(Behavior::noop()),
        workers_max: 1,
        notifies: lab_model::NotifyEvents::NONE,
        deadline: Span::from_secs(1),
        workload: Vec::new(),
        helpers: Some(HelpersAssignment { program: program.to_owned(), welcomes: vec![helper] }),
        daemons: Vec::new(),
    };
    let (mut own, other) = UnixStream::pair().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_lab-client"))
        .stdin(OwnedFd::from(other))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let welcome = welcome(2, "alpha", folder, Assignment::Client(Box::new(client)));
    send(&mut own, &Order::Welcome(Box::new(welcome))).unwrap();
    let Reply::Failed { message, .. } = receive(&mut own).unwrap() else { panic!("it cannot be ready") };
    assert_eq!(child.wait().unwrap().code(), Some(1));
    message
}

#[test]
fn a_helper_that_dies_at_once() {
    assert_eq!(said("/bin/false"), "its helper alpha.helper-1 ended at once: exit status: 1");
}

#[test]
fn a_helper_that_is_not_there() {
    let message = said("/no/such/program");
    assert!(
        message.starts_with("its helper alpha.helper-1 cannot be started: /no/such/program"),
        "{message}"
    );
}
