//! What each key allows may be too much together: it is refused with the number, and the largest that is allowed is not.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use lab_config::{Limits, parse};

fn file(body: &str) -> String {
    format!("schema: 1\nname: sizes\nphases: {{ baseline: 0s, control: 0s, storm: 1s, drain: 1s }}\n{body}")
}

/// The messages about a lab file; empty for a good one.
fn mistakes(body: &str) -> Vec<String> {
    mistakes_within(body, &Limits::default())
}

fn mistakes_within(body: &str, limits: &Limits) -> Vec<String> {
    match parse("sizes.yaml", file(body).as_bytes(), limits) {
        Ok(_) => Vec::new(),
        Err(report) => report.diagnostics.iter().map(|one| one.message.clone()).collect(),
    }
}

const LOAD: &str = "workload: [open_storm: { files: 1 }]\n";
const ARENA: &str = "safety: { arena_bytes_max: 1099511627776 }\n";

fn loads(count: usize, load: &str) -> String {
    let items = (0..count).map(|place| format!("  - open_storm: {{ directory: d{place}, {load} }}\n"));
    format!("clients: [{{ id: alpha }}]\n{ARENA}workload:\n{}", items.collect::<String>())
}

#[test]
fn the_workers_of_all_loads_have_room_on_the_board() {
    assert_eq!(mistakes(&loads(4, "workers: 256, files: 1")), Vec::<String>::new());
    let expected = "the loads have 1280 workers together, a driver at most 1024";
    assert_eq!(mistakes(&loads(5, "workers: 256, files: 1")), [expected]);
}

#[test]
fn a_lab_has_only_so_many_files() {
    assert_eq!(mistakes(&loads(2, "files: 1000000, file_bytes: 0")), Vec::<String>::new());
    let expected = "the loads have 3000000 files together, a lab at most 2000000";
    assert_eq!(mistakes(&loads(3, "files: 1000000, file_bytes: 0")), [expected]);
}

#[test]
fn a_client_and_its_helpers_can_be_told_the_workload() {
    let paths: Vec<String> = (0..9000).map(|number| format!("folder/of/a/recorded/list/{number}")).collect();
    let lab = |helpers: usize| {
        let clients =
            format!("clients: [{{ id: alpha, behavior: {{ helpers: {{ count: {helpers} }} }} }}]\n");
        format!("{clients}{ARENA}workload: [open_list: {{ paths: [{}] }}]\n", paths.join(", "))
    };
    assert_eq!(mistakes(&lab(4)), Vec::<String>::new());
    let said = mistakes(&lab(64));
    assert!(said.len() == 1 && said[0].starts_with("alpha would be told "), "{said:?}");
    assert!(said[0].ends_with("a message holds at most 3145728"), "{said:?}");
}

#[test]
fn a_lab_written_out_in_full_can_be_read_again() {
    let lab = |clients: usize| {
        let rules: Vec<String> =
            (0..256).map(|rule| format!("{{ path: {}{rule} }}", "x".repeat(200))).collect();
        let rules = rules.join(", ");
        format!(
            "defaults: {{ behavior: {{ verdict: {{ deny: [{rules}] }} }} }}\nclients: {{ count: {clients} }}\n{LOAD}"
        )
    };
    let good = parse("sizes.yaml", file(&lab(8)).as_bytes(), &Limits::default()).unwrap();
    let written = lab_config::to_yaml(&good);
    assert_eq!(parse("again.yaml", written.as_bytes(), &Limits::default()).unwrap(), good);
    let said = mistakes(&lab(128));
    assert!(said.len() == 1 && said[0].contains("bytes when it is written out in full"), "{said:?}");
}

#[test]
fn the_helpers_of_all_clients_are_as_many_as_a_lab_has() {
    let lab = |clients: usize, helpers: usize| {
        format!("clients: {{ count: {clients}, behavior: {{ helpers: {{ count: {helpers} }} }} }}\n{LOAD}")
    };
    assert_eq!(mistakes(&lab(128, 8)), Vec::<String>::new());
    assert_eq!(mistakes(&lab(16, 64)), Vec::<String>::new());
    let expected = "the clients have 8192 helpers together, a lab at most 1024";
    assert_eq!(mistakes(&lab(128, 64)), [expected]);
}

#[test]
fn a_daemon_has_only_so_many_channels() {
    let lab = |clients: usize| {
        format!(
            "daemons: [{{ id: indexer, workers: 64 }}]\n\
             clients: {{ count: {clients}, behavior: {{ daemons: [{{ ask: indexer }}] }} }}\n{LOAD}"
        )
    };
    // A machine whose kernel was told to allow more clients than usual.
    let tuned = Limits { clients_max: 256 };
    assert_eq!(mistakes_within(&lab(128), &tuned), Vec::<String>::new());
    let expected = "indexer would have 8256 channels, one for each of its 64 workers from each of the 129 clients that \
                    ask it; a daemon has at most 8192";
    assert_eq!(mistakes_within(&lab(129), &tuned), [expected]);
}
