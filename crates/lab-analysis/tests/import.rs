//! Lines of `eslogger`, in all the shapes it has had, whole and damaged.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test reads what it has written; a failed unwrap is a failed test"
)]

use lab_analysis::{
    findings::{Findings, Outcome},
    import::{APPLE_SILICON, Import, Importer, Options, Recorder, findings},
};
use lab_model::{EventKind, NotifyEvent, SubjectClass, Ticks, Timebase};
use lab_testing::synthetic::{analyse_bytes, lab};
use lab_trace::{
    Decision, Entry, LossKind, MemoryTrace, Record, RecordPart, Trace, TraceWriter, WriterOptions,
};
use proptest::prelude::*;

const VERSION_9: &str = include_str!("eslogger/version-9.jsonl");
const VERSION_10: &str = include_str!("eslogger/version-10.jsonl");
const VERSION_11: &str = include_str!("eslogger/version-11.jsonl");

fn options() -> Options {
    Options { name: "recording.jsonl".into(), version: "1.2.3".into(), salt: 7, timebase: None }
}

fn import_with(text: &[u8], options: &Options) -> (Import, Vec<u8>) {
    let importer = Importer::begin(text, options).unwrap();
    let mut trace = MemoryTrace::new(&importer.header(), WriterOptions::default()).unwrap();
    let import = importer.finish(&mut trace).unwrap();
    let last = import.ticks.map_or(0, |(_, last)| last);
    (import, trace.close(Ticks(last)))
}

fn import(text: &[u8]) -> (Import, Vec<u8>) {
    import_with(text, &options())
}

fn decisions(trace: &[u8]) -> Vec<Decision> {
    let trace = Trace::parse(trace).unwrap();
    let decisions = trace.entries().filter_map(|entry| match entry {
        Entry::Record { record: Record::Decision(decision), .. } => Some(decision),
        Entry::Record { .. } => None,
        Entry::Damaged { index, damage } => panic!("record {index} is damaged: {damage:?}"),
    });
    decisions.collect()
}

/// Every event is in the trace, and the counts of the findings add up.
fn add_up(import: &Import, trace: &[u8]) -> Findings {
    assert_eq!(import.lines, import.events + import.damaged + import.blank);
    assert_eq!(import.damaged, import.damaged_by_reason.values().sum::<u64>());
    assert_eq!(decisions(trace).len() as u64, import.events);
    let findings = findings(import, "a run", "lab import recording.jsonl");
    let (totals, client) = (&findings.totals, &findings.clients[0]);
    assert_eq!(totals.decisions, import.events);
    assert_eq!(totals.decisions, totals.explained + totals.unexplained);
    assert_eq!(totals.decisions, totals.unanswered + totals.by_approval.values().sum::<u64>());
    assert_eq!(findings.causes.decisions[0].iter().sum::<u64>(), client.decisions);
    assert_eq!(findings.causes.observed[0].iter().sum::<u64>(), client.decisions);
    let series: u64 = findings.series.decisions_by_cause.iter().flatten().sum();
    assert_eq!(series, totals.decisions);
    assert!(findings.findings.len() <= 3 && findings.outcome == Outcome::Unknown);
    findings
}

#[test]
fn all_three_versions_are_read_with_both_shapes_of_the_token() {
    let check = |text: &str, version: &str, events: u64, arrays: u64| {
        let (import, trace) = import(text.as_bytes());
        add_up(&import, &trace);
        assert_eq!((import.events, import.damaged, import.missing()), (events, 0, 0), "version {version}");
        assert_eq!(import.versions.get(version), Some(&events));
        assert_eq!((import.tokens.arrays, import.tokens.objects), (arrays, events - arrays));
        assert_eq!(import.schema_unknown, 0);
        // The processes of the test lines take turns.
        let pids: Vec<u32> = decisions(&trace).iter().map(|decision| decision.begin.subject.pid).collect();
        assert_eq!(pids[..2], [611, 702], "version {version}");
        assert_eq!(decisions(&trace)[0].begin.subject.generation, 1201);
        let all = &import.programs;
        assert_eq!(all.iter().map(|program| program.events).sum::<u64>(), events);
        let guard = all.iter().find(|program| program.pid == 611).unwrap();
        assert_eq!(guard.signing_id.as_deref(), Some("com.example.guard"));
        assert_eq!((guard.is_es_client, guard.is_platform_binary), (Some(true), Some(false)));
        assert_eq!(import.by_es_clients, guard.events);
        let shell = all.iter().find(|program| program.path.as_deref() == Some("/bin/zsh")).unwrap();
        assert_eq!((shell.team_id.as_deref(), shell.is_platform_binary), (None, Some(true)));
    };
    check(VERSION_9, "9", 12, 0);
    check(VERSION_10, "10", 10, 10);
    check(VERSION_11, "11", 12, 0);
}

#[test]
fn the_trace_holds_what_was_told_and_no_answer() {
    let (import, bytes) = import(VERSION_9.as_bytes());
    let trace = Trace::parse(&bytes).unwrap();
    assert_eq!(trace.header.identity.name, "eslogger");
    assert_eq!((trace.header.timebase, trace.closed.is_some()), (APPLE_SILICON, true));
    assert_eq!(trace.header.created_unix_ns, 1_770_112_800_000_000_000);
    let decisions = decisions(&bytes);
    assert!(
        decisions
            .iter()
            .all(|decision| decision.end == RecordPart::Absent && decision.begin.deadline.is_none())
    );
    let first = &decisions[0];
    assert_eq!(
        (first.begin.event, first.begin.class),
        (EventKind::Notify(NotifyEvent::Open), SubjectClass::Peer)
    );
    assert_eq!((first.begin.kernel, first.begin.subject.tid), (Some(Ticks(812_345_678_901)), 40_000));
    let target = first.target.present().unwrap();
    assert_eq!((target.inode, target.device), (9000, 16_777_232));
    // An event type that has no name here keeps its number; a null thread is not known.
    assert!(decisions.iter().any(|decision| decision.begin.event == EventKind::Other(136)));
    assert_eq!(
        (import.missing_fields.thread, import.missing_fields.file),
        (1, 3),
        "exit; fork, exit and xpc_connect"
    );
    let rename = import.types.iter().find(|kind| kind.code == 25).unwrap();
    assert_eq!((rename.name.as_str(), rename.events), ("rename", 1));
    assert_eq!(import.files[0], ("/Users/tester/Documents/notes-0.txt".to_owned(), 3));
    assert_eq!(import.ticks.unwrap().0, 812_345_678_901);
    // The same analysis as for a run reads the trace, and makes nothing up.
    let findings = analyse_bytes(&lab(1), &[&bytes]);
    assert_eq!((findings.totals.decisions, findings.totals.unanswered), (12, 12));
    assert_eq!(findings.outcome, Outcome::Unknown);
}

#[test]
fn denials_are_the_combined_verdict() {
    assert_eq!(import(VERSION_10.as_bytes()).0.denied, 1);
    assert_eq!(import(VERSION_11.as_bytes()).0.denied, 0);
    let no_flags = VERSION_9.replace("\"flags\":4294967295", "\"flags\":0");
    assert_eq!(import(no_flags.as_bytes()).0.denied, 5, "an open with no flag left was denied");
}

#[test]
fn gaps_are_counted_by_kind_and_over_all() {
    let kept: Vec<&str> = VERSION_9
        .lines()
        .enumerate()
        .filter(|(place, _)| ![3, 6, 7].contains(place))
        .map(|(_, line)| line)
        .collect();
    let (import, trace) = import(kept.join("\n").as_bytes());
    let findings = add_up(&import, &trace);
    assert_eq!((import.of_all.missing, import.of_all.gaps, import.missing()), (3, 2, 3));
    let open = import.types.iter().find(|kind| kind.name == "open").unwrap();
    assert_eq!(
        (open.sequence.missing, open.sequence.gaps),
        (2, 1),
        "two opens in a row; the rename shows no gap"
    );
    let losses = Trace::parse(&trace).unwrap();
    let losses: u64 = losses
        .entries()
        .filter_map(|entry| match entry {
            Entry::Record { record: Record::Loss(loss), .. } if loss.kind == LossKind::Events => {
                Some(loss.count)
            }
            _ => None,
        })
        .sum();
    assert_eq!(losses, 3, "each missing event once, whichever number shows it");
    assert_eq!(findings.totals.lost, 3);
    assert!(findings.findings[0].text.starts_with("3 events are missing"), "{}", findings.findings[0].text);
    assert!(findings.not_observed.iter().any(|note| note.starts_with("3 events are missing")));
}

/// A line of the newest version with other parts.
fn changed(change: impl FnOnce(&mut serde_json::Value)) -> serde_json::Value {
    let mut line: serde_json::Value = serde_json::from_str(VERSION_11.lines().next().unwrap()).unwrap();
    change(&mut line);
    line
}

/// A file that is created is not there yet: it is named by its folder and its name.
#[test]
fn a_file_that_is_created_is_named() {
    let created = changed(|line| {
        line["event_type"] = 13.into();
        let dir = serde_json::json!({ "path": "/private/tmp", "path_truncated": false, "stat": { "st_ino": 5, "st_dev": 7 } });
        line["event"] = serde_json::json!({ "create": {
            "destination_type": 1,
            "destination": { "new_path": { "dir": dir, "filename": "fresh.txt", "mode": 420 } },
        } });
    });
    let (import, trace) = import(created.to_string().as_bytes());
    assert_eq!(import.files, [("/private/tmp/fresh.txt".to_owned(), 1)]);
    let target = decisions(&trace)[0].target.present().cloned().unwrap();
    assert_eq!((target.inode, target.device), (0, 7), "only its folder is there");
}

/// The number over all events has no gap, so nothing is missing, however the numbers of a kind jump.
#[test]
fn where_no_event_is_missing_none_of_a_kind_is() {
    let lines: Vec<String> = [(0, 40), (5, 41), (90, 42)]
        .map(|(of_kind, of_all)| {
            let line = changed(|line| {
                line["seq_num"] = of_kind.into();
                line["global_seq_num"] = of_all.into();
            });
            line.to_string()
        })
        .into();
    let (import, trace) = import(lines.join("\n").as_bytes());
    assert_eq!((import.missing(), import.types[0].sequence.gaps), (0, 0));
    assert_eq!(add_up(&import, &trace).totals.lost, 0);
}

/// A file without an event is told of before anything is written.
#[test]
fn a_file_without_events_says_so() {
    let nothing = |text: &str| Importer::begin(text.as_bytes(), &options()).unwrap().nothing();
    assert_eq!(nothing(VERSION_11), None);
    assert_eq!(nothing("").unwrap(), "recording.jsonl has 0 lines");
    let other = nothing("\n{\"level\":\"info\"}\nhello\n").unwrap();
    assert_eq!(
        other,
        "recording.jsonl has 3 lines, none of which is an event of eslogger; line 2 is damaged: no event_type"
    );
}

#[test]
fn damaged_lines_are_counted_with_number_and_reason_and_stop_nothing() {
    let mut lines: Vec<String> = VERSION_11.lines().map(str::to_owned).collect();
    let whole = lines.len() as u64;
    let broken = [
        ("{\"schema_version\":1,", "cut off"),
        ("eslogger: Not permitted to create an ES Client", "not JSON"),
        ("[1,2,3]", "not an object"),
        ("{}", "no event_type"),
        ("{\"event_type\":99999,\"mach_time\":1}", "no event_type"),
        ("{\"event_type\":10}", "no mach_time"),
        ("{\"event_type\":10,\"mach_time\":1,\"process\":[]}", "no process"),
        (
            "{\"event_type\":10,\"mach_time\":1,\"process\":{\"audit_token\":[1,2,3]}}",
            "audit_token is neither an object with a pid nor eight integers",
        ),
        (
            "{\"event_type\":10,\"mach_time\":1,\"process\":{\"audit_token\":{}}}",
            "audit_token is neither an object with a pid nor eight integers",
        ),
    ];
    for (place, (line, _)) in broken.iter().enumerate() {
        lines.insert(2 * place, (*line).to_owned());
    }
    lines.insert(1, "  ".into());
    let mut text = lines.join("\n").into_bytes();
    text.extend(b"\n\xff\xfe\n{\"half\":");
    let (import, trace) = import(&text);
    add_up(&import, &trace);
    assert_eq!((import.events, import.blank, import.damaged), (whole, 1, broken.len() as u64 + 2));
    let found: Vec<(u64, &str)> =
        import.damaged_first.iter().map(|line| (line.line, line.reason.as_str())).collect();
    let total = import.lines;
    let mut expected: Vec<(u64, &str)> = vec![(1, broken[0].1)];
    expected.extend(broken[1..].iter().zip(2_u64..).map(|((_, reason), place)| (2 * place, *reason)));
    expected.extend([(total - 1, "not UTF-8"), (total, "cut off")]);
    assert_eq!(found, expected);
}

#[test]
fn what_is_not_as_expected_costs_only_itself() {
    let line = "{\"event_type\":10,\"mach_time\":5,\"event\":{\"open\":{\"file\":7}},\"thread\":\"x\",\"time\":[],\
                \"seq_num\":-1,\"process\":{\"audit_token\":{\"pid\":3},\"is_es_client\":\"yes\",\"executable\":null}}";
    let (import, trace) = import(line.as_bytes());
    add_up(&import, &trace);
    assert_eq!(
        (
            import.events,
            import.missing_fields.file,
            import.missing_fields.thread,
            import.missing_fields.is_es_client
        ),
        (1, 1, 1, 1)
    );
    assert_eq!((import.schema_unknown, import.types[0].sequence.seen), (1, 0));
    assert_eq!(import.programs[0].pid, 3);
    assert_eq!(import.versions.get("none"), Some(&1));
}

#[test]
fn the_timebase_is_checked_by_the_lines_own_clock() {
    let noted = |import: &Import, what: &str| {
        findings(import, "", "").not_observed.iter().any(|note| note.contains(what))
    };
    let (assumed, _) = import(VERSION_9.as_bytes());
    assert_eq!(assumed.measured_timebase(), Some(APPLE_SILICON));
    assert!(noted(&assumed, "is assumed") && !noted(&assumed, "wall clock"));
    assert_eq!(assumed.span_ns(), 1_100_000_000);
    let intel = Options { timebase: Some(Timebase::NANOSECONDS), ..options() };
    let (wrong, _) = import_with(VERSION_9.as_bytes(), &intel);
    assert!(noted(&wrong, "import again with the timebase 125/3") && !noted(&wrong, "is assumed"));
    let (short, _) = import(VERSION_10.as_bytes());
    assert_eq!(short.measured_tick_ns(), None);
    assert!(noted(&short, "too little time"));
}

#[test]
fn an_empty_file_is_said_to_be_one() {
    let (import, trace) = import(b"");
    let findings = add_up(&import, &trace);
    assert!(findings.findings[0].text.contains("No line"), "{}", findings.findings[0].text);
}

#[test]
fn a_file_on_the_disk_holds_the_same_as_memory() {
    let text = VERSION_11.repeat(2000);
    let importer = Importer::begin(text.as_bytes(), &options()).unwrap();
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("import-{}.trace", std::process::id()));
    let mut writer = TraceWriter::create(&path, &importer.header(), WriterOptions::default()).unwrap();
    let on_disk = importer.finish(&mut writer).unwrap();
    writer.close(Ticks(on_disk.ticks.unwrap().1)).unwrap();
    let from_disk = std::fs::read(&path).unwrap();
    let (in_memory, bytes) = import(text.as_bytes());
    std::fs::remove_file(&path).unwrap();
    assert_eq!(on_disk, in_memory);
    assert_eq!((on_disk.events, on_disk.records_lost), (24_000, 0));
    let from_disk = decisions(&from_disk);
    assert!(from_disk == decisions(&bytes), "the same records");
    assert_eq!(on_disk.of_all.went_back, 1999, "a file of many recordings says so");
}

/// A recorder with little room.
struct Small(MemoryTrace, u64);

impl Recorder for Small {
    fn event(&mut self, begin: &lab_trace::DecisionBegin, target: Option<&lab_trace::Target>) {
        Recorder::event(&mut self.0, begin, target);
    }
    fn path(&mut self, _: &[u8]) -> u32 {
        self.1 += 1;
        0
    }
    fn loss(&mut self, loss: &lab_trace::Loss) {
        Recorder::loss(&mut self.0, loss);
    }
    fn make_room(&mut self) -> std::io::Result<()> {
        Ok(())
    }
    fn lost(&self) -> u64 {
        self.1
    }
}

#[test]
fn records_that_do_not_fit_are_told() {
    let importer = Importer::begin(VERSION_9.as_bytes(), &options()).unwrap();
    let trace = MemoryTrace::new(&importer.header(), WriterOptions::default()).unwrap();
    let import = importer.finish(&mut Small(trace, 0)).unwrap();
    assert_eq!(import.records_lost, 9, "a path for each event that names a file");
    assert!(findings(&import, "", "").not_observed.iter().any(|note| note.contains("did not fit")));
}

#[test]
fn the_summary_survives_the_way_through_json() {
    let (import, _) = import(VERSION_10.as_bytes());
    let text = serde_json::to_string(&import).unwrap();
    let back: Import = serde_json::from_str(&text).unwrap();
    assert_eq!(back, import);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens to the bytes, every line is an event, blank or damaged, and nothing panics.
    #[test]
    fn mutated_lines(
        version in 0_usize..3,
        changes in prop::collection::vec((0_usize..30_000, any::<u8>(), 0_u8..4), 1..12),
    ) {
        let mut text = [VERSION_9, VERSION_10, VERSION_11][version].as_bytes().to_vec();
        for (place, byte, how) in changes {
            let place = place % text.len().max(1);
            match how {
                0 => text[place] = byte,
                1 => text.truncate(place.max(1)),
                2 => text.insert(place, byte),
                // Digits are where a changed value is still a line.
                _ => if text[place].is_ascii_digit() { text[place] = b'0' + byte % 10 },
            }
        }
        let (found, trace) = import(&text);
        add_up(&found, &trace);
        prop_assert_eq!(import(&text), (found, trace), "the same bytes give the same");
    }

    /// Any JSON in any of the fields.
    #[test]
    fn hostile_values(
        field in prop::sample::select(vec!["event", "action", "process", "thread", "time", "mach_time", "seq_num", "global_seq_num", "version", "event_type"]),
        value in prop::sample::select(vec!["null", "[]", "{}", "-1", "1e400", "18446744073709551615", "18446744073709551616", "\"\\ud800\"", "\"\"", "{\"a\":{\"b\":[[]]}}", "{\"result\":{\"result\":{\"auth\":1}}}", "true"]),
        line in 0_usize..12,
    ) {
        let mut object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(VERSION_9.lines().nth(line).unwrap()).unwrap();
        object.remove(field);
        let rest = serde_json::to_string(&object).unwrap();
        let text = format!("{VERSION_11}{{\"{field}\":{value},{}\n{VERSION_10}", &rest[1..]);
        let (found, trace) = import(text.as_bytes());
        add_up(&found, &trace);
        prop_assert!(found.events >= 22, "the lines around it are read");
    }
}
