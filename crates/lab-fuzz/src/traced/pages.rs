//! What every surface of a report owes whatever findings it is given.

use std::collections::BTreeMap;

use lab_analysis::{compare, findings::Findings};
use lab_report::{
    html, json,
    text::{self, Style},
};

/// The surfaces, by number.
pub(crate) const SURFACES: u8 = 6;

/// Shows findings on one surface.
pub(crate) fn show(findings: &Findings, surface: u8) {
    let width = 40 + usize::from(surface / SURFACES) * 3;
    match surface % SURFACES {
        0 => plain(&text::run(findings, &Style { color: false, width, unicode: true })),
        1 => plain(&text::screen(findings, &Style { color: false, width, unicode: false })),
        2 => {
            for client in &findings.clients {
                let page = text::client(
                    findings,
                    &client.id,
                    &Style { color: false, width, unicode: surface & 8 != 0 },
                );
                plain(&page.expect("a client has its page"));
            }
        }
        3 => page(&html::run(findings)),
        4 => {
            for client in &findings.clients {
                page(&html::client(findings, &client.id).expect("a client has its page"));
            }
        }
        _ => reads_back(findings),
    }
}

/// Text without colours has no control character but the end of its lines, and no mark that turns the reading round.
fn plain(text: &str) {
    let lies = |sign: char| {
        sign.is_control() && sign != '\n' || matches!(sign, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if let Some(at) = text.find(lies) {
        let around: String = text[at..].chars().take(20).collect();
        panic!("a name speaks to the terminal: {around:?}");
    }
    assert!(text.len() < 4_000_000, "{} bytes", text.len());
}

/// A page has the one script of its own, and no name has become markup.
fn page(html: &str) {
    assert!(html.len() <= html::BYTES_MAX, "{} bytes", html.len());
    assert_eq!(html.matches("<script").count(), 1);
    assert!(!html.contains("<b>&"), "a name has become markup");
    assert!(!html.contains("\" onload=\""), "a name has become an attribute");
}

/// What is written reads back, and writes the same again.
fn reads_back(findings: &Findings) {
    let written = json::to_string(findings);
    let read: Findings = serde_json::from_str(&written).expect("a report reads back");
    assert_eq!(json::to_string(&read), written);
    let settings = BTreeMap::new();
    let run = |findings| compare::Run { findings, settings: &settings };
    let comparison = compare::compare(&[run(findings)], &[run(&read)]);
    plain(&text::comparison(&comparison, ["before", "after"], &Style::plain()));
}
