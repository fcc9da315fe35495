//! Every measure of the analysis has its section, its row in the reference, its part of the page and its metrics.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use lab_analysis::{MEASURES, Page, VERDICT};
use lab_model::METRICS;

const SCHEMA: &str = include_str!("../../../docs/reference/report.schema.json");
const REFERENCE: &str = include_str!("../../../docs/reference/report.md");

/// The fields of a type of the schema; those of the whole report for `None`.
fn fields(of: Option<&str>) -> Vec<String> {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let of = of.map_or(&schema, |of| &schema["$defs"][of]);
    of["properties"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn every_section_of_a_measure_is_a_field_of_the_report() {
    let (report, client) = (fields(None), fields(Some("Client")));
    for measure in MEASURES {
        assert!(!measure.sections.is_empty(), "{} has no section", measure.name);
        for section in measure.sections {
            let (of, field) = match section.strip_prefix("clients.") {
                Some(field) => (&client, field),
                None => (&report, *section),
            };
            assert!(of.iter().any(|one| one == field), "{}: report.json has no {section}", measure.name);
        }
    }
}

#[test]
fn no_section_belongs_to_two_measures() {
    let mut sections: Vec<&str> = MEASURES.iter().flat_map(|measure| measure.sections).copied().collect();
    let all = sections.len();
    sections.sort_unstable();
    sections.dedup();
    assert_eq!(sections.len(), all);
}

/// What no measure fills is what the run is, and what it comes to as a whole.
#[test]
fn every_field_of_the_report_is_a_measures_or_the_runs() {
    let of_the_run = [
        "schema",
        "lab",
        "about",
        "advice",
        "answers",
        "run",
        "still_running",
        "state",
        "replay",
        "backend",
        "seed",
        "deadline_ns",
        "machine",
        "outcome",
        "outcome_rule",
        "findings",
        "expectations",
        "unplanned_ends",
        "wait_cycles",
        "long_waits",
        "faults",
        "not_observed",
    ];
    let sections: Vec<&str> = MEASURES.iter().flat_map(|measure| measure.sections).copied().collect();
    for field in fields(None) {
        let of_measure = sections.contains(&field.as_str());
        assert!(of_measure != of_the_run.contains(&field.as_str()), "{field} is nobody's, or two's");
    }
}

/// A field of the report stands in the first column of "The parts", a client's field anywhere in the reference.
#[test]
fn every_section_has_a_row_in_the_reference() {
    let rows = REFERENCE.lines().filter_map(|line| line.strip_prefix("| `")?.split('|').next());
    let named: Vec<&str> =
        rows.flat_map(|cell| cell.split(", ")).map(|name| name.trim().trim_matches('`')).collect();
    for measure in MEASURES {
        for section in measure.sections {
            let there = match section.strip_prefix("clients.") {
                Some(field) => REFERENCE.contains(&format!("`{field}`")),
                None => named.contains(section),
            };
            assert!(there, "{}: docs/reference/report.md does not name `{section}`", measure.name);
        }
    }
}

#[test]
fn every_measure_has_a_part_of_the_page_by_its_name() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/page");
    for measure in MEASURES {
        let file = format!("{}.rs", measure.name);
        // What a client's own page shows too lies beside the run's parts.
        let there = pages.join("run").join(&file).is_file() || pages.join(&file).is_file();
        match measure.page {
            Page::Own => assert!(there, "there is no {file} in src/page/run or src/page"),
            Page::None(why) => assert!(!there && !why.is_empty(), "{file} is there, yet has no part: {why}"),
        }
    }
}

#[test]
fn every_metric_has_an_owner_in_the_list() {
    for metric in METRICS {
        let known = MEASURES.iter().any(|measure| measure.name == metric.measure);
        assert!(known || metric.measure == VERDICT, "{}: no measure {}", metric.pattern, metric.measure);
    }
}
