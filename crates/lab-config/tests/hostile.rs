//! Whatever is fed in, a lab or a report comes out: no panic, no endless work, no endless report.

use lab_config::{Limits, Report, SOURCE_BYTES_MAX, parse};
use proptest::{prelude::*, sample::Index};

const LABS: [&str; 3] = [
    include_str!("../../../lab-configs/three-clients.yaml"),
    include_str!("../../../lab-configs/many-clients.yaml"),
    include_str!("../../../lab-configs/echo-chamber.yaml"),
];

/// The most that a report may print: 50 mistakes with their excerpts.
const REPORT_BYTES_MAX: usize = 256 * 1024;

/// Reads hostile input and renders what is wrong with it, if anything is.
fn survive(source: &[u8]) -> Option<Report> {
    let report = parse("hostile.yaml", source, &Limits::default()).err()?;
    assert!(!report.diagnostics.is_empty(), "a report without a mistake");
    for diagnostic in &report.diagnostics {
        assert!(diagnostic.line >= 1 && diagnostic.column >= 1);
        assert!(diagnostic.place.end <= report.source.len());
    }
    let text = report.to_string();
    assert!(text.len() <= REPORT_BYTES_MAX, "{} bytes", text.len());
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    Some(report)
}

fn refused(source: impl AsRef<[u8]>) -> String {
    survive(source.as_ref()).expect("the input was accepted").to_string()
}

#[test]
fn alias_bombs_are_refused() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let before = vec![format!("*a{}", level - 1); 10].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    assert!(refused(&laughs).contains("alias"), "{}", refused(&laughs));
    refused("a: &a [*a]\n");
    refused("&a a: *a\n");
}

#[test]
fn deep_nesting_is_refused() {
    for opening in ["[", "{a: ", "- ", "? "] {
        refused(opening.repeat(100_000));
    }
    let steps: String = (0..2_000).map(|depth| format!("{}a:\n", " ".repeat(depth % 400))).collect();
    refused(steps);
}

#[test]
fn large_files_are_refused_and_large_mistakes_are_cut() {
    assert!(refused(" ".repeat(SOURCE_BYTES_MAX + 1)).contains("at most 1048576"));
    let keys: String = (0..20_000).map(|number| format!("key{number}: 1\n")).collect();
    let report = survive(keys.as_bytes()).unwrap();
    assert!(report.to_string().contains("mistakes (the first 50 are shown)"), "{}", report.diagnostics.len());
    let clients: String = (0..9_000).map(|_| "  - { id: a }\n").collect();
    refused(format!("schema: 1\nname: x\nclients:\n{clients}workload: [{{ open_storm: {{}} }}]\n"));
    let conditions: String = (0..20_000).map(|n| format!("  - gain.client-{n}.client-x.zzz > 1\n")).collect();
    let workload = "clients: { count: 128 }\nworkload: [open_storm: {}]";
    let report = refused(format!("schema: 1\nname: x\n{workload}\nexpect:\n{conditions}"));
    assert!(report.contains("the first 50 are shown"), "{report}");
    refused(format!("schema: 1\nname: {}\n", "é".repeat(400_000)));
    refused(format!("name: [{}]", "1,".repeat(400_000)));
    refused("\n".repeat(SOURCE_BYTES_MAX));
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    for source in
        [&b"\xff\xfes\0c\0"[..], b"\0\0\0\0", b"schema: 1\n\x80", b"\xef\xbb\xbf\xff", b"\xef\xbb\xbf"]
    {
        refused(source);
    }
}

/// The excerpt, its line and its column are those of YAML, whatever ends the lines.
#[test]
fn lines_end_as_yaml_ends_them() {
    refused(b"a: 1\rb\r\r");
    for end in ["\n", "\r\n", "\r"] {
        let lines = ["schema: 1", "# é\u{1f600}", "name: x", "\u{1f600}bogus: 1", ""];
        let report = survive(lines.join(end).as_bytes()).expect("it is no lab");
        let bogus = report.diagnostics.iter().find(|found| found.message.contains("bogus")).unwrap();
        assert_eq!((bogus.line, bogus.column), (4, 1), "{end:?}");
        let text = report.to_string();
        assert!(
            text.contains("--> hostile.yaml:4:1\n") && text.contains("4 | \u{1f600}bogus: 1\n"),
            "{text}"
        );
    }
    // Breaks, blanks, wide letters and what is no letter, in all orders of three.
    let signs =
        ["\r", "\n", "\r\n", "\t", " ", "é", "\u{1f600}", "\0", "\u{feff}", "\u{2028}", "a: ", "b", "- "];
    for a in signs {
        for b in signs {
            for c in signs {
                survive([a, b, c].concat().as_bytes());
                survive(["a: 1", a, "b", b, c].concat().as_bytes());
            }
        }
    }
}

#[test]
fn places_far_apart_cost_no_more_than_near_ones() {
    let between = "# nothing\r".repeat(80_000);
    let report = refused(format!("schema: 1\nname: x\n{between}\nname: y\n"));
    assert!(report.contains("80003 | name: y") && report.contains("first given here"), "{report}");
    // A line of almost all that a file may have, with a mistake at each of its ends.
    let line = format!("{{ schema: 1, name: {}, schema: 2 }}", "é".repeat(500_000));
    refused(line);
    refused(format!("{{ {} }}", "bogus: 1, ".repeat(10_000)));
}

#[test]
fn odd_documents_are_refused() {
    for source in [
        "",
        " ",
        "\n",
        "---",
        "...",
        "--- \n...\n---\n",
        "~",
        "null",
        "[]",
        "{}",
        "42",
        "text",
        "%YAML 9.9\n---\na",
        "? {a: b}\n: c",
        "schema: !!binary AAAA",
        "<<: *x",
        "<<: {schema: 1}",
        "schema: 1e999",
        "seed: .nan",
        "seed: 99999999999999999999999999999999999999999999",
        "\t",
        "a\t:\tb",
        "'",
        "\"\\x\"",
        "\"\\ud800\"",
        "|\n a",
        "clients: {count: 99999999999999999999}",
        "expect: ['\u{202e}lost == 0']",
        "expect: ['=', '<>', '!', '==']",
    ] {
        refused(source);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(source in proptest::collection::vec(any::<u8>(), 0..400)) {
        survive(&source);
    }

    #[test]
    fn any_signs_of_yaml(source in "[a-c \\n\\r\\t:{}\\[\\],&*!|>'\"%@`#?<=.0-9~é-]{0,200}") {
        survive(source.as_bytes());
    }

    /// A valid lab with bytes replaced, removed and doubled.
    #[test]
    fn mutated_labs(
        lab in 0..LABS.len(),
        changes in proptest::collection::vec((any::<Index>(), 0..4_u8, any::<u8>(), 1..40_usize), 1..6),
    ) {
        let mut source = LABS[lab].as_bytes().to_vec();
        for (at, kind, byte, length) in changes {
            let at = at.index(source.len());
            let end = (at + length).min(source.len());
            match kind {
                0 => source[at] = byte,
                1 => drop(source.drain(at..end)),
                2 => source.insert(at, b" \t:{}[]&*!\"'#-\n\r"[usize::from(byte) % 16]),
                _ => {
                    let copy = source[at..end].to_vec();
                    source.splice(at..at, copy);
                }
            }
            if source.is_empty() {
                break;
            }
        }
        survive(&source);
    }

    /// Any condition on a valid lab.
    #[test]
    fn any_condition(condition in "[a-z.<>=! %0-9é]{0,40}|[a-z_]{1,8}(\\.[a-z0-9]{1,5}){0,3} ?[<>=!]{1,2} ?[0-9.]{0,9}[a-z%]{0,2}") {
        let lab = LABS[0].replace("deadline.misses == 0", &format!("'{condition}'"));
        survive(lab.as_bytes());
    }
}
