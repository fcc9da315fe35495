//! What a person sees for each mistake in a lab file: the snapshots are to be read, as a user would.

use lab_config::{Color, Limits, Report, parse};

/// A lab without mistakes, for tests that put one in.
const GOOD: &str = "\
schema: 1
name: three-clients
defaults:
  behavior: scanner
clients:
  - { id: alpha }
  - { id: bravo }
phases: { baseline: 1s, storm: 5s }
workload:
  - open_storm: { workers: 2, files: 500, rate: max }
expect:
  - deadline.misses == 0
";

fn report(source: impl AsRef<[u8]>) -> Report {
    match parse("lab-configs/broken.yaml", source, &Limits::default()) {
        Ok(lab) => panic!("no mistake was found: {lab:?}"),
        Err(report) => report,
    }
}

/// The good lab with one part replaced.
fn with(part: &str, by: &str) -> String {
    assert_eq!(GOOD.matches(part).count(), 1, "{part}");
    GOOD.replace(part, by)
}

/// Checks how many mistakes are reported, and what they look like.
fn check(name: &str, mistakes: usize, source: impl AsRef<[u8]>) {
    let report = report(source);
    assert_eq!(report.diagnostics.len(), mistakes, "{report}");
    assert_eq!(report.more, 0);
    let text = report.to_string();
    for diagnostic in &report.diagnostics {
        let place = format!("--> lab-configs/broken.yaml:{}:{}\n", diagnostic.line, diagnostic.column);
        assert!(text.contains(&place), "{place} is missing from\n{text}");
    }
    insta::assert_snapshot!(name, text);
}

#[test]
fn the_good_lab_is_good() {
    parse("good.yaml", GOOD, &Limits::default()).unwrap();
}

#[test]
fn distributions() {
    let delay =
        |time: &str| with("behavior: scanner", &format!("behavior: {{ preset: scanner, delay: {time} }}"));
    check("distribution_two_forms", 1, delay("{ uniform: [1ms, 2ms], exponential: 1ms }"));
    check("distribution_turned_round", 1, delay("{ uniform: [5ms, 1ms] }"));
    check("distribution_half", 1, delay("{ p50: 1ms }"));
    check("distribution_p50_above_p99", 1, delay("{ p50: 20ms, p99: 1ms }"));
    check("distribution_unknown", 1, delay("{ unifrom: [1ms, 5ms] }"));
    let hash = with("behavior: scanner", "behavior: { on_open: { reopen: true, read: false, hash: true } }");
    check("hash_without_read", 1, hash);
}

#[test]
fn loads() {
    let load = |load: &str| with("open_storm: { workers: 2, files: 500, rate: max }", load);
    check("load_two_kinds", 1, load("open_storm: {}\n    exec_tree: {}"));
    check("load_tree_too_large", 1, load("exec_tree: { fanout: 100, depth: 8 }"));
    check("load_list_not_there", 1, load("open_list: { list: recorded.txt }"));
    check("load_list_leaves_the_arena", 1, load("open_list: { paths: [a/b, ../c] }"));
    check("load_list_file_and_folder", 1, load("open_list: { paths: [a/b, a] }"));
    check("load_mix_ending", 1, load("file_mix: { extensions: [.txt] }"));
    check("load_burst_without_every", 1, load("open_storm: { rate: { burst: 100 } }"));
    check("load_knee_and_rate", 1, load("open_storm: { rate: 5, find_knee: { from: 500, to: 5000 } }"));
    check("load_knee_downwards", 1, load("open_storm: { find_knee: { from: 5000, to: 500 } }"));
    let two = load(
        "open_storm: { find_knee: { from: 5, to: 500 } }\n  - exec_storm: { find_knee: { from: 5, to: 9 } }",
    );
    check("load_two_knees", 1, two);
    let hold = load("open_storm: { find_knee: { from: 5, to: 500, hold: [\"loop_gain < 1\"] } }");
    check("load_knee_holds_what_no_step_has", 1, hold);
}

#[test]
fn yaml_itself() {
    check("yaml_unclosed_bracket", 1, with("rate: max }", "rate: max"));
    check("yaml_tab", 1, with("  behavior: scanner", "\tbehavior: scanner"));
    check("yaml_colon_in_text", 1, with("name: three-clients", "name: three: clients"));
    check("yaml_two_documents", 1, format!("{GOOD}---\n{GOOD}"));
    check("yaml_tag", 1, with("storm: 5s", "storm: !seconds 5"));
    check("yaml_alias_without_anchor", 1, with("behavior: scanner", "behavior: *base"));
    check("empty_file", 1, "# nothing but a comment\n");
    check("no_mapping", 1, "- schema: 1\n- name: x\n");
}

#[test]
fn keys() {
    check("unknown_key", 1, with("phases:", "fases:"));
    check("unknown_key_deep", 1, with("workers: 2", "worker: 2"));
    check("unknown_key_far_off", 1, with("workers: 2", "speed: 2"));
    check("unknown_key_of_no_text", 1, with("workers: 2", "2: 2"));
    check("duplicate_key", 1, format!("{GOOD}name: again\n"));
    check("missing_keys", 2, "schema: 1\nname: lonely\n");
    check("misspelt_key_is_not_missing", 1, with("workload:", "worklaod:"));
    check("unknown_storm", 1, with("open_storm: { workers: 2, files: 500, rate: max }", "frobnicate: {}"));
    check("two_storms", 1, with("rate: max }", "rate: max }\n    exec_storm: {}"));
}

#[test]
fn values() {
    check("wrong_type_number", 1, with("workers: 2", "workers: many"));
    check("wrong_type_list", 1, with("phases: { baseline: 1s, storm: 5s }", "phases: [1s, 5s]"));
    check("wrong_type_text", 1, with("name: three-clients", "name: 2024"));
    check("number_in_quotes", 1, with("files: 500", "files: \"1,000\""));
    check("wrong_type_nothing", 1, with("behavior: scanner", "behavior:"));
    check("number_too_large", 1, with("workers: 2", "workers: 257"));
    check("number_negative", 1, with("workers: 2", "workers: -1"));
    check("number_with_leading_zero", 1, with("workers: 2", "workers: 02"));
    check("concurrency_zero", 1, with("behavior: scanner", "behavior: { concurrency: 0 }"));
    check("time_without_unit", 1, with("storm: 5s", "storm: 5"));
    check("time_with_wrong_unit", 1, with("storm: 5s", "storm: 5sec"));
    check("unknown_preset", 1, with("behavior: scanner", "behavior: scaner"));
    check("unknown_word", 1, with("behavior: scanner", "behavior: { react_to: peer }"));
    check("rate", 1, with("rate: max", "rate: fast"));
    check("boolean", 1, with("behavior: scanner", "behavior: { on_open: { reopen: yes } }"));
    check("schema_version", 1, with("schema: 1", "schema: 2"));
    check("lab_name", 1, with("name: three-clients", "name: Three Clients"));
}

#[test]
fn clients() {
    check("duplicate_client", 1, with("{ id: bravo }", "{ id: alpha }"));
    check(
        "duplicate_bundle_id",
        1,
        with("{ id: bravo }", "{ id: bravo, bundle_id: org.eslab.three-clients.Alpha }"),
    );
    check("bundle_id_form", 1, with("{ id: bravo }", "{ id: bravo, bundle_id: my bundle }"));
    check("client_id_form", 1, with("{ id: bravo }", "{ id: Bravo_2 }"));
    check("client_id_reserved", 1, with("{ id: bravo }", "{ id: workload }"));
    check("no_clients", 1, with("clients:\n  - { id: alpha }\n  - { id: bravo }", "clients: []"));
    let many = "clients: { count: 129 }";
    check("too_many_clients", 1, with("clients:\n  - { id: alpha }\n  - { id: bravo }", many));
    let prefix = "clients: { count: 3, prefix: Client }";
    check("client_prefix", 1, with("clients:\n  - { id: alpha }\n  - { id: bravo }", prefix));
}

#[test]
fn rules_across_fields() {
    check("path_leaves_arena", 1, with("files: 500", "directory: ../outside"));
    check("path_absolute", 1, with("files: 500", "directory: /etc"));
    check("path_odd", 1, with("files: 500", "directory: a//b"));
    check("storm_zero", 1, with("storm: 5s", "storm: 0s"));
    check("phases_longer_than_run", 1, with("storm: 5s", "storm: 20m"));
    check("default_phases_longer_than_run", 1, {
        with("phases: { baseline: 1s, storm: 5s }", "safety: { run_max: 5s }")
    });
    check("no_workload", 1, with("\n  - open_storm: { workers: 2, files: 500, rate: max }", " []"));
    check("too_many_items", 1, format!("{GOOD}{}", "  - lost == 0\n".repeat(256)));
    check("load_without_storm", 1, with("open_storm: { workers: 2, files: 500, rate: max }", "{}"));
    check("arena_too_small", 1, with("files: 500", "files: 100000"));
    check("read_without_reopen", 1, with("behavior: scanner", "behavior: { on_open: { read: true } }"));
    let mute = "behavior: { mute: { paths: [/etc], processes: [alfa, nobody-at-all] }, cache: true }";
    check("mute_and_cache", 4, with("behavior: scanner", mute));
    let deny =
        "behavior: { verdict: { deny: [{}, { path: ../x }, { process: brave }, { path: a, on: close }] } }";
    check("deny_rules", 4, with("behavior: scanner", deny));
    let signed = "behavior: { verdict: { deny: [{ team_id: ABCDE12345, on: open }, { team_id: \"A\\n\" }, { signing_id: '' }] } }";
    check("deny_signatures", 3, with("behavior: scanner", signed));
    let both = "behavior: { on_open: { reopen: true, read: true, via: descriptor } }";
    check("reopen_and_descriptor", 1, with("behavior: scanner", both));
}

#[test]
fn workers_outside_the_clients() {
    let asking = |daemons: &str, ask: &str| {
        let behavior = format!("behavior: {{ preset: scanner, daemons: {ask} }}\ndaemons: {daemons}");
        with("behavior: scanner", &behavior)
    };
    check("daemon_unknown", 1, asking("[{ id: indexer }]", "[{ ask: indexr }, { ask: indexer }]"));
    check("daemon_absent", 1, with("behavior: scanner", "behavior: { daemons: [{ ask: indexer }] }"));
    check("daemon_unused", 1, asking("[{ id: indexer }, { id: logger }]", "[{ ask: indexer }]"));
    check("daemon_named_like_a_client", 1, asking("[{ id: alpha }]", "[{ ask: alpha }]"));
    check("daemon_twice", 1, asking("[{ id: indexer }, { id: indexer }]", "[{ ask: indexer }]"));
    check("daemon_asked_twice", 1, asking("[{ id: indexer }]", "[{ ask: indexer }, { ask: indexer }]"));
    check("daemon_idle", 1, asking("[{ id: indexer, open: false }]", "[{ ask: indexer }]"));
    check("daemon_id_form", 1, asking("[{ id: The Indexer }]", "[]"));
    let helpers = |fields: &str| with("behavior: scanner", &format!("behavior: {{ helpers: {fields} }}"));
    check("helpers_idle", 1, helpers("{ count: 2, open: false }"));
    check("helpers_read_nothing", 1, helpers("{ count: 2, open: false, cpu: 1ms, read: true }"));
    check("helpers_too_many", 1, helpers("{ count: 65 }"));
    check(
        "helpers_of_nobody",
        1,
        with("behavior: scanner", "behavior: { mute: { processes: [brav/helpers] } }"),
    );
}

#[test]
fn expectations() {
    let expect = |condition: &str| with("deadline.misses == 0", condition);
    check("unknown_metric", 1, expect("deadline.mises == 0"));
    check("unknown_metric_prefix", 1, expect("headroom > 50%"));
    check("unknown_client_in_metric", 1, expect("clients.brave.latency.p99 < 3ms"));
    check("expectation_sign", 1, expect("deadline.misses = 0"));
    check("expectation_unit", 1, expect("op_latency.storm.p99 < 3"));
    check("expectation_share", 1, expect("\"headroom.p01 > 500%\""));
    check("expectation_outcome", 1, expect("outcome == deadlock"));
    check("expectation_not_a_condition", 1, expect("it works"));
    check("expectation_both", 1, expect("{ text: lost == 0, sometimes: lost == 0 }"));
    check("expectation_after_alone", 1, expect("{ text: lost == 0, after: 1s }"));
    check("expectation_sometimes_abort", 1, expect("{ sometimes: lost == 0, abort: true }"));
}

/// One run reports all mistakes, each once, in the order of the file.
#[test]
fn many_mistakes_at_once() {
    let source = "\
schema: 1
name: Broken
seed: -1
backend: fanotfy
defaults:
  behavior: { preset: scaner, concurrency: 300 }
clients:
  - { id: alpha, bundel_id: com.example.alpha }
  - { id: alpha }
  - { bundle_id: alpha }
phases: { baseline: 3, storm: 0s }
workload:
  - open_storm: { directory: ../up, directory: down }
  - close_storm: {}
expect:
  - deadline.mises == 0
  - { sometimes: cascade.depth => 2 }
";
    check("many_mistakes", 16, source);
}

/// An alias repeats a value; a mistake in it is still one mistake.
#[test]
fn aliases() {
    let twice = "{ id: alpha, behavior: &slow { concurrency: 1 } }\n  - { id: bravo, behavior: *slow }";
    let source = with("{ id: alpha }\n  - { id: bravo }", twice);
    let lab = parse("x", &source, &Limits::default()).unwrap();
    assert_eq!(lab.clients[0].behavior, lab.clients[1].behavior);
    check("mistake_behind_an_alias", 1, source.replace("concurrency: 1", "concurrency: 0"));
    check("merge_key", 1, with("{ id: bravo }", "{ id: bravo, <<: { behavior: noop } }"));
}

#[test]
fn hostile_text_is_shown_harmlessly() {
    check("bytes_that_are_no_text", 1, b"schema: 1\nname: caf\xe9\n");
    check("escape_sequence", 1, with("name: three-clients", "name: \"\\e[31mred\\nline\""));
    let long = "x".repeat(100_000);
    let report = report(with("workers: 2", &format!("{long}: 2")));
    assert!(report.to_string().len() < 3_000, "{}", report.to_string().len());
}

#[test]
fn line_ends_and_byte_order_marks_do_not_move_places() {
    let plain = report(with("workers: 2", "worker: 2")).to_string();
    let windows = with("workers: 2", "worker: 2").replace('\n', "\r\n");
    assert_eq!(report(format!("\u{feff}{windows}")).to_string(), plain);
    let crlf = GOOD.replace('\n', "\r\n");
    assert_eq!(
        parse("x", format!("\u{feff}{crlf}"), &Limits::default()),
        parse("x", GOOD, &Limits::default())
    );
}

#[test]
fn colour_only_when_asked_for() {
    let report = report(with("workers: 2", "worker: 2"));
    assert!(!report.render(Color::Never).contains('\u{1b}'));
    assert!(report.render(Color::Always).contains("\u{1b}["));
}

#[test]
fn faults() {
    let fault = |fault: &str| format!("{GOOD}faults:\n  - {fault}\n");
    check("fault_unknown_client", 1, fault("kill: { on: brvo, at: 1s }"));
    let worked = |fault: &str| {
        let daemons = "daemons: [{ id: indexer }]\n";
        let behavior = "behavior: { helpers: { count: 2 }, daemons: [{ ask: indexer }] }";
        format!("{daemons}{}faults:\n  - {fault}\n", with("behavior: scanner", behavior))
    };
    check("fault_on_a_helper_that_is_not_there", 1, worked("kill: { on: alpha.helper-3, at: 1s }"));
    check("fault_restarts_a_helper_that_is_not_there", 1, worked("restart: { on: alpha.helper-3, at: 1s }"));
    check("fault_denies_by_a_daemon", 1, worked("deny: { on: indexer, at: 1s, for: 1s }"));
    check("fault_set_of_a_daemon", 1, worked("behave: { on: indexer, at: 1s, set: { cache: on } }"));
    check("fault_errand_of_a_client", 1, worked("behave: { on: bravo, at: 1s, errand: { open: true } }"));
    check("fault_behaves_like_nothing", 1, worked("behave: { on: alpha.helper-1, at: 1s }"));
    check("fault_errand_is_the_same", 1, worked("behave: { on: indexer, at: 1s, errand: { open: true } }"));
    let busier = "behave: { on: indexer, at: 1s, errand: { workers: 2 } }";
    check("fault_errand_needs_more_threads", 1, worked(busier));
    check("fault_restarts_nobody", 1, worked("restart: { on: indexr, at: 1s }"));
    check("fault_on_the_driver", 1, fault("kill: { on: driver, at: 1s }"));
    check("fault_beyond_the_storm", 1, fault("kill: { on: bravo, at: 5s }"));
    check("fault_without_for", 1, fault("stall: { on: bravo, at: 1s }"));
    check("fault_that_takes_no_time", 1, fault("stall: { on: bravo, at: 1s, for: 0s }"));
    check("fault_of_two_kinds", 1, fault("{ kill: { on: bravo, at: 1s }, restart: { on: bravo, at: 1s } }"));
    check("fault_unknown_kind", 1, fault("stal: { on: bravo, at: 1s, for: 1s }"));
    check("fault_that_changes_nothing", 1, fault("behave: { on: bravo, at: 1s, set: { cache: off } }"));
    check("fault_path_outside", 1, fault("deny: { on: bravo, at: 1s, for: 1s, path: /etc }"));
    check("restart_is_a_span", 1, with("{ id: bravo }", "{ id: bravo, restart: true }"));
}

#[test]
fn products() {
    let product = |fields: &str| with("phases:", &format!("external:\n  - {{ {fields} }}\nphases:"));
    check("external_relative_program", 1, product("id: p, start: [fapolicyd]"));
    check("external_no_program", 1, product("id: p, start: []"));
    check("external_no_start", 1, product("id: p"));
    check("external_taken_id", 1, product("id: alpha, start: [/bin/true]"));
    check("external_ready_word", 1, product("id: p, start: [/bin/true], ready: marked"));
    check("external_ready_two_signs", 1, product("id: p, start: [/bin/true], ready: { file: /x, line: x }"));
    check("external_ready_too_long", 1, product("id: p, start: [/bin/true], ready_within: 1h"));
    check("external_arena", 1, product("id: p, start: [/bin/true], arena: ramsf"));
    check(
        "external_private_leaves",
        1,
        product("id: p, start: [/bin/true], private: [{ path: /etc/p, files: { ../x: y } }]"),
    );
    check("external_environment", 1, product("id: p, start: [/bin/true], environment: { A: 1 }"));
    check("external_phase_without_product", 1, with("baseline: 1s,", "baseline: 1s, external: 1s,"));
    let two = "external:\n  - { id: p, start: [/bin/true], arena: ramfs }\n  - { id: p, start: [/bin/true], arena: tmpfs }\nphases:";
    check("external_two_alike", 2, with("phases:", two));
}

#[test]
fn being_told() {
    let told = |fields: &str| with("behavior: scanner", &format!("behavior: {{ preset: noop, {fields} }}"));
    check("told_unknown_event", 1, told("notify: [opne]"));
    check("told_reaction_has_no_when", 1, told("notify: [open], on_notify: { reopen: true, when: after }"));
    check("told_reaction_never_set_off", 1, told("on_notify: { reopen: true }"));
    check("told_nothing_and_asked_nothing", 1, told("subscribe: none"));
    check("about_no_event", 1, told("verdict: { deny: [{ path: files, on: none }] }"));
}
