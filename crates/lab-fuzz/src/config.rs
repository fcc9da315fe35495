//! Files of YAML that a person writes: labs and how they are signed.

use lab_bundle::Signing;
use lab_config::{Color, Limits, SOURCE_BYTES_MAX};

/// The most that a report may print: 50 mistakes with their excerpts.
const REPORT_BYTES_MAX: usize = 512 << 10;

/// A lab file: what is wrong with it is shown, and what is good means the same when it is written and read again.
pub fn lab_file(data: &[u8]) {
    assert!(
        data.len() <= SOURCE_BYTES_MAX || lab_config::parse("fuzz.yaml", data, &Limits::default()).is_err()
    );
    match lab_config::parse("fuzz.yaml", data, &Limits::default()) {
        Ok(lab) => {
            let written = lab_config::to_yaml(&lab);
            let again = lab_config::parse("again.yaml", &written, &Limits::default());
            assert_eq!(again.map_err(|report| report.to_string()), Ok(lab), "{written}");
        }
        Err(report) => {
            assert!(!report.diagnostics.is_empty(), "a report without a mistake");
            for found in &report.diagnostics {
                assert!(found.line >= 1 && found.column >= 1);
                let place = report.source.get(found.place.clone()).expect("a place is in the source");
                assert!(!place.contains(['\n', '\r']), "a place is in one line");
            }
            let text = report.render(Color::Never);
            assert!(text.len() <= REPORT_BYTES_MAX, "{} bytes", text.len());
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
            assert!(report.render(Color::Always).len() >= text.len());
        }
    }
    let text = String::from_utf8_lossy(data);
    let heading = lab_config::heading(&text);
    assert!(heading.what.len() + heading.why.len() + heading.expect.len() <= text.len());
}

/// A condition in a lab that is good otherwise: most of what the expectations' reader does lies behind a whole lab.
pub fn condition(data: &[u8]) {
    const LAB: &str = "schema: 1\nname: x\nclients: { count: 3 }\nworkload: [open_storm: {}]\nexpect:\n  - ";
    lab_file(&[LAB.as_bytes(), data].concat());
}

/// A signing file: a signing, or one sentence.
pub fn signing_yaml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = Signing::parse(text) {
        let sentence = error.to_string();
        assert!(!sentence.contains(char::is_control), "{sentence:?}");
    }
}
