//! The files that ship: every lab is read, fits the JSON Schema, and says what it has to; the committed
//! schema is the one that the types make.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test reads the files that ship")]

use std::{fs, path::PathBuf};

use lab_config::{Limits, explain, field_paths, nearest_field, parse, schema, schema_text, to_yaml};
use lab_model::{AuthEvent, Distribution, Lab, Preset, ReactTo, Span, When};
use serde_json::Value;

const HEADING: &str = "# yaml-language-server: $schema=../docs/reference/lab.schema.json\n#\n# What:   ";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn labs_in(folder: &str) -> Vec<(String, String)> {
    let mut labs: Vec<(String, String)> = fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| {
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect();
    labs.sort();
    labs
}

/// Labs that only show what a machine costs, in a folder of their own.
fn for_calibration() -> Vec<(String, String)> {
    labs_in("lab-configs/calibration")
}

fn shipped() -> Vec<(String, String)> {
    labs_in("lab-configs")
}

fn read(name: &str, text: &str) -> Lab {
    parse(&format!("lab-configs/{name}.yaml"), text, &Limits::default())
        .unwrap_or_else(|report| panic!("{report}"))
}

fn shipped_lab(name: &str) -> Lab {
    let (name, text) = shipped().into_iter().find(|(shipped, _)| shipped == name).unwrap();
    read(&name, &text)
}

/// The text as plain data, for the validator.
fn data(text: &str) -> Value {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).unwrap()
}

#[test]
fn every_shipped_lab_is_read_and_named_as_its_file() {
    let labs = shipped();
    assert!(labs.len() >= 8);
    for (name, text) in labs {
        let lab = read(&name, &text);
        assert_eq!(lab.name, name);
        assert!(!lab.about.is_empty(), "{name}");
        assert!(!lab.expect.is_empty(), "{name}");
        assert!(text.starts_with(HEADING), "{name} opens with its heading");
        assert!(text.contains("\n# Why:    ") && text.contains("\n# Expect: "), "{name}");
        assert_eq!(read(&name, &to_yaml(&lab)), lab, "{name}");
    }
}

#[test]
fn every_lab_for_calibration_is_read_and_says_what_it_shows() {
    let labs = for_calibration();
    assert!(labs.len() >= 5);
    for (name, text) in labs {
        let lab = read(&name, &text);
        assert_eq!(lab.name, format!("calibration-{name}"));
        assert!(lab.about.starts_with("For calibration. "), "{name}");
        assert!(text.starts_with(&HEADING.replace("=../", "=../../")), "{name} opens with its heading");
        assert!(text.contains("\n# Why:    calibration: ") && text.contains("\n# Expect: "), "{name}");
        assert_eq!(read(&name, &to_yaml(&lab)), lab, "{name}");
    }
}

#[test]
fn every_shipped_lab_fits_the_schema() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for (name, text) in shipped().into_iter().chain(for_calibration()) {
        for text in [&text, &to_yaml(&read(&name, &text))] {
            let errors: Vec<String> = validator
                .iter_errors(&data(text))
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{name}: {errors:#?}");
        }
    }
}

/// The schema and the reader refuse the same: neither is looser about what both can express.
#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let good = "schema: 1\nname: x\nclients: [{ id: a }]\nworkload: [open_storm: {}]\n";
    assert!(validator.is_valid(&data(good)));
    let changes = [
        ("schema: 1", "schema: 2"),
        ("name: x", "name: X y"),
        ("name: x", "nmae: x"),
        ("name: x", "name: x\nseed: -1"),
        ("name: x", "name: x\nphases: { storm: 5 }"),
        ("name: x", "name: x\nexpect: [{ text: lost == 0, sometimes: lost == 0 }]"),
        ("name: x", "name: x\nexpect: [{ abort: true }]"),
        ("name: x", "name: x\ndefaults: { behavior: scaner }"),
        ("name: x", "name: x\ndefaults: { behavior: { concurrency: 257 } }"),
        ("name: x", "name: x\ndefaults: { behavior: { answer_by_percent: 100 } }"),
        ("{ id: a }", "{ id: A }"),
        ("{ id: a }", "{ id: a, bundle_id: nodots }"),
        ("{ id: a }", "{ id: a, bundle_id: a..b }"),
        ("name: x", "name: x\ndefaults: { behavior: { delay: { uniform: [1ms] } } }"),
        ("name: x", "name: x\ndefaults: { behavior: { delay: { p50: 1ms } } }"),
        ("name: x", "name: x\ndefaults: { behavior: { cpu: { exponential: 1ms, uniform: [1ms, 2ms] } } }"),
        ("name: x", "name: x\ndefaults: { behavior: { on_open: { spawn: ls } } }"),
        ("{ id: a }", "{}"),
        ("[{ id: a }]", "[]"),
        ("[{ id: a }]", "{ count: 0 }"),
        ("[open_storm: {}]", "[]"),
        ("open_storm: {}", "{}"),
        ("[open_storm: {}]", "[{ open_storm: {}, exec_storm: {} }]"),
        ("open_storm: {}", "open_storm: { workers: 0 }"),
        ("open_storm: {}", "open_storm: { rate: fast }"),
        ("open_storm: {}", "open_storm: { rate: 0 }"),
        ("open_storm: {}", "open_storm: { rate: { burst: 5 } }"),
        ("open_storm: {}", "open_storm: { rate: { ramp: [5] } }"),
        ("open_storm: {}", "open_storm: { find_knee: { from: 5 } }"),
        ("open_storm: {}", "open_list: {}"),
        ("open_storm: {}", "open_list: { list: a.txt, paths: [a] }"),
        ("open_storm: {}", "exec_tree: { depth: 9 }"),
        ("open_storm: {}", "file_mix: { file_bytes: { p50: 5 } }"),
    ];
    for (part, by) in changes {
        let bad = good.replace(part, by);
        assert_ne!(bad, good);
        assert!(parse("x", &bad, &Limits::default()).is_err(), "the reader took\n{bad}");
        assert!(!validator.is_valid(&data(&bad)), "the schema took\n{bad}");
    }
}

#[test]
fn the_committed_schema_is_current() {
    let path = "docs/reference/lab.schema.json";
    let committed = fs::read_to_string(root().join(path)).unwrap_or_default();
    let same = committed == schema_text();
    assert!(same, "{path} is not what the types make: run `lab schema > {path}` and commit it");
}

/// The defaults that the schema names are those that the reader fills in.
#[test]
fn the_schemas_defaults_are_the_readers() {
    let schema = schema();
    let defaults = |definition: &Value| -> Vec<String> {
        let properties = definition["properties"].as_object().unwrap();
        let written = properties.iter().filter_map(|(name, property)| {
            property.get("default").map(|default| format!("{name}: {default}"))
        });
        written.collect()
    };
    let of = |name: &str| defaults(&schema["$defs"][name]).join(", ");
    let minimal =
        "schema: 1\nname: x\nclients: { count: 2 }\nworkload: [{ open_storm: {} }, { exec_storm: {} }]\n";
    let full = format!(
        "schema: 1\nname: x\n{}\nclients: {{ count: 2, {} }}\nphases: {{ {} }}\nsafety: {{ {} }}\n\
         workload: [{{ open_storm: {{ {} }} }}, {{ exec_storm: {{ {} }} }}]\n",
        defaults(&schema).join("\n"),
        of("ClientCount"),
        of("Phases"),
        of("Safety"),
        of("OpenStorm"),
        of("ExecStorm"),
    );
    assert!(full.contains("storm: \"3s\"") && full.contains("seed: 42"), "{full}");
    assert_eq!(read("x", &full), read("x", minimal));
}

#[test]
fn three_clients_is_the_main_experiment() {
    let lab = shipped_lab("three-clients");
    let ids: Vec<&str> = lab.clients.iter().map(|client| client.id.as_str()).collect();
    assert_eq!(ids, ["alpha", "bravo", "charlie"]);
    for client in &lab.clients {
        assert_eq!(client.behavior, Preset::Scanner.behavior());
        assert_eq!(client.bundle_id.as_str(), format!("org.eslab.three-clients.{}", client.id));
    }
    let expect: Vec<(&str, bool)> = lab.expect.iter().map(|one| (one.text.as_str(), one.sometimes)).collect();
    assert_eq!(
        expect,
        [
            ("deadline.misses == 0", false),
            ("loop_gain < 1", false),
            ("cascade.depth >= 2", true),
            ("decisions.unexplained == 0", false),
            ("lost == 0", false),
        ]
    );
}

#[test]
fn the_pair_labs_differ_in_the_moment_of_the_reaction_only() {
    let [deadlock, echo] = ["deadlock-pair", "echo-chamber"].map(shipped_lab);
    for (lab, when) in [(&deadlock, When::Before), (&echo, When::After)] {
        assert_eq!(lab.deadline, Span::from_secs(2));
        assert_eq!(lab.clients.len(), 2);
        for client in &lab.clients {
            assert_eq!(client.behavior.concurrency.get(), 1);
            assert_eq!(client.behavior.react_to, ReactTo::Peers);
            assert_eq!(client.behavior.reactions[AuthEvent::Open].when, when);
            assert!(client.behavior.reactions[AuthEvent::Open].reopen);
        }
    }
}

#[test]
fn many_clients_are_numbered() {
    let lab = shipped_lab("many-clients");
    assert_eq!(lab.clients.len(), 48);
    assert_eq!(lab.clients[0].id.as_str(), "client-01");
    assert_eq!(lab.clients[47].bundle_id.as_str(), "org.eslab.many-clients.client-48");
    assert!(lab.clients.iter().all(|client| client.behavior == Preset::Noop.behavior()));
}

/// The blueprint's example, word for word.
#[test]
fn the_example_of_the_documentation_is_read() {
    let lab = read(
        "three-clients",
        "# yaml-language-server: $schema=../docs/reference/lab.schema.json
schema: 1
name: three-clients
about: Three copies of one scanner. Nine of twelve decisions are about the lab's own opens.
seed: 42
backend: auto
defaults:
  behavior: scanner              # a preset; any field below overrides it
clients:
  - { id: alpha }
  - { id: bravo }
  - { id: charlie, behavior: { preset: scanner, concurrency: 1 } }
phases: { baseline: 3s, control: 3s, storm: 10s, drain: 10s }
workload:
  - open_storm: { workers: 2, files: 500, rate: max }
expect:
  - deadline.misses == 0
  - headroom.p01 > 50%
  - loop_gain < 1
  - sometimes: cascade.depth >= 2     # else the lab proved nothing
",
    );
    assert_eq!(lab.clients[2].behavior.concurrency.get(), 1);
    assert_eq!(
        lab.clients[2].behavior.reactions[AuthEvent::Open],
        Preset::Scanner.behavior().reactions[AuthEvent::Open]
    );
    assert_eq!(lab.phases.storm, Span::from_secs(10));
}

#[test]
fn a_clients_behaviour_overrides_the_defaults_field_by_field() {
    let lab = read(
        "x",
        "schema: 1
name: x
defaults: { behavior: { preset: scanner, concurrency: 3, delay: 1ms } }
clients:
  - { id: same }
  - { id: one-field, behavior: { react_to: all } }
  - { id: one-part, behavior: { on_open: { extra_opens: 2 } } }
  - { id: no-open, behavior: { on_open: { reopen: false } } }
  - { id: other-preset, behavior: { preset: pathological, delay: 2ms } }
  - { id: patient, behavior: { answer_by_percent: 80 } }
  - id: drawn
    behavior: { on_open: { hash: true }, delay: { p50: 1ms, p99: 20ms }, cpu: { uniform: [0s, 3ms] } }
workload: [open_storm: {}]
",
    );
    let defaults = lab.clients[0].behavior.clone();
    assert_eq!((defaults.concurrency.get(), defaults.delay), (3, Span::from_millis(1).into()));
    let behaviors: Vec<_> = lab.clients.iter().map(|client| client.behavior.clone()).collect();
    assert_eq!(behaviors[1], lab_model::Behavior { react_to: ReactTo::All, ..defaults.clone() });
    let on_open = |place: usize| behaviors[place].reactions[AuthEvent::Open];
    let on_open_default = defaults.reactions[AuthEvent::Open];
    assert_eq!(on_open(2), lab_model::Reaction { extra_opens: 2, ..on_open_default });
    assert!(on_open(3).is_none() && !on_open(3).read);
    assert_eq!(
        behaviors[4],
        lab_model::Behavior { delay: Span::from_millis(2).into(), ..Preset::Pathological.behavior() }
    );
    assert_eq!(on_open(6), lab_model::Reaction { hash: true, spawn: None, ..on_open_default });
    assert_eq!(behaviors[6].delay, Distribution::HeavyTail(Span::from_millis(1), Span::from_millis(20)));
    assert_eq!(behaviors[6].cpu, Distribution::Uniform(Span::default(), Span::from_millis(3)));
    assert_eq!(behaviors[5], lab_model::Behavior { answer_by_percent: Some(80), ..defaults });
}

#[test]
fn every_field_is_explained() {
    for path in field_paths() {
        let text = explain(&path).unwrap_or_else(|| panic!("{path} has no explanation"));
        let about: Vec<&str> = text.lines().filter(|line| line.starts_with("  ")).collect();
        assert!(!about.is_empty(), "{path} says nothing:\n{text}");
    }
    assert_eq!(explain("behavior.concurency"), None);
    assert_eq!(nearest_field("behavior.concurency").as_deref(), Some("behavior.concurrency"));
    assert_eq!(nearest_field("strom").as_deref(), Some("phases.storm"));
    assert_eq!(explain("clients.behavior.concurrency"), explain("behavior.concurrency"));
    assert!(explain("").is_none());
}

#[test]
fn explanations_read_well() {
    for path in
        ["behavior.concurrency", "behavior.scanner", "phases.storm", "workload.open_storm.rate", "expect"]
    {
        insta::assert_snapshot!(format!("explain_{path}"), explain(path).unwrap());
    }
}
