//! The text reports and `report.json`, as a person and a program get them.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use lab_analysis::findings::{
    Interval, Lifetimes, Outcome, PlannedOps, Program, RunState, RunWord, StateReason,
};
use lab_report::{json, text, text::Style};
use lab_testing::reports;

fn unicode() -> Style {
    Style { color: false, width: 110, unicode: true }
}

#[test]
fn run_reports_read_well() {
    for (name, findings) in reports::all().into_iter().filter(|(name, _)| *name != "hostile") {
        insta::assert_snapshot!(format!("run-{name}"), text::run(&findings, &unicode()));
    }
}

#[test]
fn a_plain_report_is_ascii() {
    let report = text::run(&reports::stable(), &Style::plain());
    assert!(report.is_ascii());
    insta::assert_snapshot!("run-stable-plain", report);
    for (name, findings) in reports::all() {
        assert!(text::run(&findings, &Style::plain()).is_ascii(), "{name}");
    }
}

/// Whatever a whole run of the same numbers would be praised for, one that was cut off is not.
#[test]
fn nothing_is_good_of_a_run_that_was_not_whole() {
    for word in [RunWord::Running, RunWord::Interrupted, RunWord::CutShort, RunWord::Incomplete] {
        let mut findings = reports::stable();
        let why = "Somebody pulled the plug.";
        findings.state = RunState::of(vec![StateReason { word, text: why.to_owned() }]);
        let report = text::run(&findings, &Style::plain());
        let verdict = report.split("Findings").next().unwrap();
        let line = |label: &str| verdict.lines().find(|line| line.trim_start().starts_with(label)).unwrap();
        assert!(verdict.starts_with("??"), "{verdict}");
        for label in ["Run", "Outcome", "Deadlines"] {
            assert!(line(label).contains(" ?? "), "{label}: {verdict}");
        }
        assert!(line("Run").contains(word.name()) && verdict.contains(why), "{verdict}");
        let html = lab_report::html::run(&findings);
        assert!(html.contains(why), "the page says it, too");
    }
}

#[test]
fn a_cascade_that_outlasts_the_drain_is_not_said_to_end() {
    let mut findings = reports::divergent();
    findings.loop_gain = Some(Interval { value: 0.99, low: 0.99, high: 0.99 });
    let divergent = text::run(&findings, &Style::plain());
    assert!(divergent.contains("below 1 by so little"), "{divergent}");
    assert!(!divergent.contains("every cascade ends"), "{divergent}");
    findings.outcome = Outcome::Stable;
    assert!(text::run(&findings, &Style::plain()).contains("every cascade ends"));
}

#[test]
fn what_the_workload_did_beside_opens_is_told_apart() {
    let before = text::run(&reports::stable(), &Style::plain());
    for absent in ["never began", "Process trees"] {
        assert!(!before.contains(absent), "{absent}");
    }
    let disturbed = reports::disturbed();
    let told = text::run(&disturbed, &Style::plain());
    for expected in ["process trees of", "The slowest tree"] {
        assert!(told.contains(expected), "{expected}:\n{}", &*told);
    }
    let html = lab_report::html::run(&disturbed);
    assert!(html.contains("The slowest tree") && html.contains("by level"));
}

/// Only a command that is run (`run`) counts the lives of processes, and the simulator runs none, nor does it halt a
/// phase with operations left to begin.
#[test]
fn the_lives_of_processes_and_what_never_began_are_told() {
    let mut findings = reports::stable();
    let before = text::run(&findings, &Style::plain());
    assert!(!before.contains("from birth to end") && !before.contains("never began"));
    let storm = findings.phases.iter_mut().find(|phase| phase.kind == lab_model::PhaseKind::Storm).unwrap();
    let lasted = storm.op_latency_ns.clone();
    storm.processes =
        Some(Lifetimes { ended: 12, unfinished: 1, lifetime_ns: lasted, ..Lifetimes::default() });
    storm.planned = Some(PlannedOps { planned: 1000, begun: 950, not_begun_late: 0, not_begun_halted: 50 });
    let told = text::run(&findings, &Style::plain());
    assert!(told.contains("from birth to end"));
    assert!(told.contains(
        "Of 1,000 operations that were planned for storm, 50 never began: 50 because the phase was"
    ));
}

#[test]
fn client_reports_read_well() {
    insta::assert_snapshot!("client-stable", text::client(&reports::stable(), "bravo", &unicode()).unwrap());
    insta::assert_snapshot!(
        "client-deadlocked",
        text::client(&reports::deadlocked(), "alpha", &unicode()).unwrap()
    );
    assert_eq!(text::client(&reports::stable(), "nobody", &unicode()), None);
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in [80, 100, 140] {
        let style = Style { color: false, width, unicode: true };
        for (name, findings) in reports::all().into_iter().filter(|(name, _)| *name != "hostile") {
            for line in text::run(&findings, &style).lines() {
                assert!(line.chars().count() <= width, "{name} at {width}: {line}");
            }
        }
    }
}

#[test]
fn hostile_names_steer_no_terminal() {
    let findings = reports::hostile();
    let reports = [
        text::run(&findings, &unicode()),
        text::client(&findings, &findings.clients[3].id, &unicode()).unwrap(),
    ];
    for report in reports {
        let bad = report.chars().find(|&sign| (sign.is_control() && sign != '\n') || sign == '\u{202e}');
        assert_eq!(bad, None);
    }
}

#[test]
fn colour_only_where_it_was_asked_for() {
    let colored = text::run(&reports::deadlocked(), &Style { color: true, width: 100, unicode: true });
    assert!(colored.contains("\u{1b}[31;1m✗\u{1b}[0m"));
    assert!(!text::run(&reports::deadlocked(), &unicode()).contains('\u{1b}'));
}

#[test]
fn json_keeps_its_keys_in_order_and_reads_back() {
    let findings = reports::deadlocked();
    let written = json::to_string(&findings);
    let read: lab_analysis::findings::Findings = serde_json::from_str(&written).unwrap();
    assert!(read == findings, "something was lost on the way there and back");
    assert_eq!(written, json::to_string(&findings));
    insta::assert_snapshot!("json-empty", json::to_string(&reports::empty()));
}

#[test]
fn the_committed_schema_is_that_of_the_structure() {
    let committed = include_str!("../../../docs/reference/report.schema.json");
    assert_eq!(
        json::schema(),
        committed,
        "run: cargo run -p lab-report --example schema > docs/reference/report.schema.json"
    );
}

/// The simulator's programs are signed by nobody, so these are by hand.
#[test]
fn programs_are_shown_where_the_kernel_tells_of_them() {
    let without = reports::stable();
    assert!(!text::run(&without, &Style::plain()).contains("Whose programs asked"));
    let mut findings = without;
    let program = |id: Option<&str>, team: Option<&str>, entitled, decisions, started_by: &[&str]| Program {
        signing_id: id.map(str::to_owned),
        team_id: team.map(str::to_owned),
        cdhash: "0b".repeat(20),
        is_es_client: entitled,
        processes: 2,
        decisions,
        under: vec![("workload".into(), decisions - 1), ("external".into(), 1)],
        started_by: started_by.iter().map(|&id| id.to_owned()).collect(),
    };
    findings.programs = vec![
        program(Some("com.example.driver"), None, false, 40, &[]),
        program(Some("com.example.guard"), Some("ABCDE12345"), true, 12, &["com.example.driver"]),
        program(None, None, false, 3, &["com.example.driver", "com.example.guard"]),
    ];
    let report = text::run(&findings, &Style { width: 140, ..unicode() });
    let from = report.find("Whose programs asked").unwrap();
    insta::assert_snapshot!("programs", report[from..].lines().take(12).collect::<Vec<_>>().join("\n"));
    assert!(lab_report::html::run(&findings).contains("com.example.guard"));
}
