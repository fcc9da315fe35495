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
        for label in ["Run", "Outcome"] {
            assert!(line(label).contains(" ?? "), "{label}: {verdict}");
        }
        for label in ["Verdict", "Missed"] {
            assert!(answer(&report, label).starts_with("?? "), "{label}: {report:?}");
        }
        assert!(answer(&report, "Verdict").contains(word.name()));
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
    let open = text::run(&findings, &Style::plain());
    assert!(!open.contains("every cascade ends") && open.contains("not every one was"), "{open}");
    findings.drain.as_mut().unwrap().in_flight = 0;
    findings.cascades.unfinished = 0;
    findings.state = RunState::default();
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

/// The answer of this label: its line, and those that go on with it.
fn answer(report: &str, label: &str) -> String {
    let is_it = |line: &str| line.split_whitespace().nth(1) == Some(label);
    let lines =
        || report.lines().rev().take_while(|line| !line.is_empty()).collect::<Vec<_>>().into_iter().rev();
    let at = lines().position(is_it).unwrap_or_else(|| panic!("no {label}:\n{report}"));
    let more = lines().skip(at + 1).take_while(|line| line.starts_with("     "));
    lines().nth(at).into_iter().chain(more).map(str::trim).collect::<Vec<_>>().join(" ")
}

const WIDTHS: [usize; 6] = [40, 60, 80, 100, 120, 140];

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in WIDTHS {
        let style = Style { color: false, width, unicode: true };
        for (name, findings) in reports::all().into_iter().filter(|(name, _)| *name != "hostile") {
            // The trees of the whole report stand in too far for 40 columns.
            let whole = (width >= 60).then(|| text::run(&findings, &style));
            for report in whole.into_iter().chain([text::screen(&findings, &style)]) {
                // What is to be typed is in one piece.
                for line in report.lines().filter(|line| !line.contains("Replay ")) {
                    assert!(line.chars().count() <= width, "{name} at {width}: {line}");
                }
            }
        }
    }
}

/// Every word of a table is a word of the table for the widest terminal, or what is left of one when it has lost its
/// middle.
#[test]
fn nothing_in_a_table_is_broken_in_mid_word() {
    let words = |report: &str| -> std::collections::BTreeSet<String> {
        report.split_whitespace().map(str::to_owned).collect()
    };
    for (name, findings) in reports::all().into_iter().filter(|(name, _)| *name != "hostile") {
        let whole = words(&text::run(&findings, &Style { color: false, width: 400, unicode: true }));
        for width in WIDTHS {
            let narrow = text::run(&findings, &Style { color: false, width, unicode: true });
            // How long a rule or a spark line is, is the width's own; a note says which width it is about.
            let drawn = |word: &str| word.chars().any(|sign| "─▁▂▃▄▅▆▇█".contains(sign));
            let noted = ["not", "shown", "at", "columns:", "and", "more"];
            for word in words(&narrow).iter().filter(|word| !drawn(word)) {
                let known = whole.contains(word)
                    || word.contains('…')
                    || noted.contains(&word.as_str())
                    || word.parse() == Ok(width)
                    || whole.contains(word.trim_end_matches(','));
                assert!(known, "{name} at {width}: {word}");
            }
        }
    }
}

/// The block that a run ends with: a question a line, whatever is known, and never more than eight with that of the file.
#[test]
fn a_screen_ends_with_the_answers_in_the_order_of_the_questions() {
    let labels = ["Verdict", "Missed", "Closest", "Events", "Waiting", "Change", "Replay", "Report"];
    for width in [100, 120] {
        for (name, findings) in reports::all().into_iter().filter(|(name, _)| *name != "hostile") {
            let style = Style { color: false, width, unicode: false };
            for report in [text::run(&findings, &style), text::screen(&findings, &style)] {
                let end =
                    text::whereabouts("runs/a-lab/2026/report.html", &["more: lab report --full"], &style);
                let all = format!("{report}{end}");
                let block: Vec<&str> = all.lines().rev().take_while(|line| !line.is_empty()).collect();
                let named: Vec<&str> =
                    block.iter().rev().filter_map(|line| line.get(5..12)).map(str::trim).collect();
                if width == 120 {
                    assert_eq!(named, labels, "{name} at {width}:\n{all}");
                }
                for label in labels {
                    answer(&all, label);
                }
            }
        }
    }
}

#[test]
fn a_screen_is_what_a_report_comes_to_and_no_more() {
    for (name, findings) in reports::all().into_iter().filter(|(name, _)| *name != "hostile") {
        let style = Style::plain();
        let (screen, whole) = (text::screen(&findings, &style), text::run(&findings, &style));
        assert_eq!(screen.lines().next(), whole.lines().next(), "{name}: one headline");
        let block = |text: &str| text[text.rfind("\n\n").unwrap()..].to_owned();
        assert_eq!(block(&screen), block(&whole), "{name}: one block of answers");
        assert!(screen.contains("\nClients\n"), "{name}");
        for section in ["Cascades", "Pipeline order", "Who made what each client had to approve"] {
            assert!(!screen.contains(&format!("\n{section}\n")), "{name}: {section}");
            assert!(whole.contains(&format!("\n{section}\n")), "{name}: {section}");
        }
        let held = findings.expectations.iter().filter(|one| one.held == Some(true));
        for expectation in held {
            assert!(!screen.contains(&format!("  ok   {}", expectation.text)), "{name}");
        }
    }
}

/// Nobody's deadline is met by an answer that never came.
#[test]
fn who_missed_is_not_close_and_who_is_unknown_is_not_good() {
    let deadlocked = reports::deadlocked();
    let screen = text::screen(&deadlocked, &Style::plain());
    assert!(answer(&screen, "Missed").starts_with("FAIL Missed"), "{}", &*screen);
    assert!(answer(&screen, "Closest").starts_with("FAIL Closest"), "{}", &*screen);
    assert!(answer(&screen, "Waiting").contains("in a circle"), "{}", &*screen);
    let empty = text::screen(&reports::empty(), &Style::plain());
    for label in ["Missed", "Closest", "Events"] {
        assert!(answer(&empty, label).contains("not known"), "{}", &*empty);
    }
    let mut alone = reports::stable();
    alone.clients.truncate(1);
    alone.clients[0].peers.clear();
    let screen = text::screen(&alone, &Style::plain());
    assert!(answer(&screen, "Waiting").contains("there was none"), "{}", &*screen);
}

#[test]
fn the_answers_of_json_are_those_of_the_page() {
    for (name, findings) in reports::all().into_iter().filter(|(name, _)| *name != "hostile") {
        let json: serde_json::Value = serde_json::from_str(&json::to_string(&findings)).unwrap();
        let answers: lab_analysis::findings::Answers =
            serde_json::from_value(json["answers"].clone()).unwrap();
        assert_eq!(answers, findings.answers(), "{name}");
        assert_eq!(answers.run.judgement, findings.judgement(), "{name}");
        let advice = findings.findings.iter().find_map(|finding| finding.advice.clone());
        assert_eq!(answers.change, advice, "{name}");
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
