//! Every number that a person reads has its thousands apart, on every page of every report.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;

use lab_analysis::findings::Findings;
use lab_report::{html, text, text::Style};
use lab_testing::reports;

/// Numbers of four digits and more without a separator. A part of a name, a path, a date or a fraction is none.
fn bare(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(at) = text[rest..].find(|sign: char| sign.is_ascii_digit()) {
        let from = rest + at;
        let long = text[from..].find(|sign: char| !sign.is_ascii_digit()).unwrap_or(text.len() - from);
        rest = from + long;
        let of_word = |sign: char| sign.is_alphanumeric() || "_-".contains(sign);
        let before = text[..from].chars().next_back();
        let mut after = text[rest..].chars();
        let (next, second) = (after.next(), after.next());
        let in_name = before.is_some_and(|sign| of_word(sign) || "./:…".contains(sign))
            || next.is_some_and(of_word)
            || (next == Some('.') && second.is_some_and(char::is_alphabetic));
        if long >= 4 && !in_name {
            found.push(&text[from..rest]);
        }
    }
    found
}

#[test]
fn a_number_is_told_from_a_name() {
    assert_eq!(
        bare("All 2000 cascades, 1767 operations, (4096), 1234.5 ms, 5000/s"),
        ["2000", "1767", "4096", "1234", "5000"]
    );
    let names = "2,000 f0012.dat files/0012 2026-11-23T17-30-12 0.12345 com.example.4711 c4711 999 v1234";
    assert_eq!(bare(names), Vec::<&str>::new());
}

/// The page as it is read: without its tags, and without what they say is code, script or style.
fn visible(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        text.push_str(&rest[..at]);
        text.push(' ');
        rest = &rest[at..];
        let hidden = ["code", "script", "style"].into_iter().find(|element| {
            rest[1..].strip_prefix(element).is_some_and(|behind| behind.starts_with(['>', ' ']))
        });
        let end = hidden.map_or_else(|| ">".to_owned(), |element| format!("</{element}>"));
        rest = &rest[rest.find(&end).unwrap() + end.len()..];
    }
    text + rest
}

/// What stands for itself and is no count: the numbers of records and processes, and what the lab file says.
fn names(findings: &Findings) -> (BTreeSet<String>, Vec<&str>) {
    let mut numbers = BTreeSet::new();
    for step in findings.trees.iter().flat_map(|trees| &trees.slowest) {
        numbers.extend([step.pid.to_string(), step.record.to_string()]);
    }
    for client in &findings.clients {
        let calls = client.closest_calls.iter().chain(&client.costliest);
        numbers.extend(calls.map(|call| call.record.to_string()));
    }
    let evidence = findings.wait_cycles.iter().flat_map(|cycle| &cycle.evidence);
    let words = evidence.flat_map(|line| line.split(|sign: char| !sign.is_ascii_digit()));
    numbers.extend(words.map(str::to_owned));
    (numbers, findings.expectations.iter().map(|expectation| expectation.text.as_str()).collect())
}

#[test]
fn every_number_of_every_report_has_its_thousands_apart() {
    let style = Style { color: false, width: 200, unicode: true };
    for (name, findings) in reports::all().into_iter().filter(|(name, _)| *name != "hostile") {
        let mut pages = vec![text::run(&findings, &style).to_string(), visible(&html::run(&findings))];
        for client in &findings.clients {
            pages.push(text::client(&findings, &client.id, &style).unwrap().to_string());
            pages.push(visible(&html::client(&findings, &client.id).unwrap()));
        }
        let (numbers, expectations) = names(&findings);
        for mut page in pages {
            for expectation in &expectations {
                page = page.replace(expectation, "");
                page = page.replace(&expectation.replace('<', "&#60;").replace('>', "&#62;"), "");
            }
            let counts: Vec<&str> =
                bare(&page).into_iter().filter(|number| !numbers.contains(*number)).collect();
            assert_eq!(counts, Vec::<&str>::new(), "{name}:\n{page}");
        }
    }
}
