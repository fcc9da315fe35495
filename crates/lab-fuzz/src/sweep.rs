//! The files of a sweep, and the page that is made of them.

use lab_report::sweep::{Cell, Figure, Sweep, page};
use lab_sim::{Manifest, Outcome, Row, Trials};

/// The most bytes of a page for each byte of the files, beside what every page has.
const PAGE_BYTES_FOR_ONE: usize = 2_000;

/// The manifest in the first line, the results in the others; then the table's figures and the page.
pub fn sweep_files(data: &[u8]) {
    let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let (first, rest) = data.split_at(end);
    let results: Vec<Row> = lab_sim::rows(&String::from_utf8_lossy(rest)).collect();
    for row in &results {
        let line = serde_json::to_string(row).expect("what was read can be written");
        assert_eq!(lab_sim::rows(&line).count(), 1, "and read again");
    }
    match Manifest::parse(first) {
        Ok(manifest) => {
            let text = serde_json::to_vec(&manifest).expect("what was read can be written");
            assert_eq!(Manifest::parse(&text).expect("and read again"), manifest);
            let mut cells = manifest.rows();
            for cell in &mut cells {
                assert_eq!(cell.settings.len(), manifest.axes.len());
                let runs = results.iter().filter(|row| row.key == cell.key);
                cell.runs = runs.flat_map(|row| row.runs.clone()).collect();
            }
            show(&manifest.lab, &manifest.backend.to_string(), manifest.axes, &cells, data.len());
        }
        Err(error) => assert!(!error.to_string().contains('\n')),
    }
    // A file of results may say anything of its cells' settings.
    let names = |row: &Row| row.settings.iter().map(|(name, _)| name.clone()).collect();
    let axes = results.first().map_or_else(Vec::new, names);
    if results.len() <= 100 {
        show("x", "fanotify", axes, &results, data.len());
    }
}

/// Makes the page. No name becomes markup, whatever it is called.
fn show(lab: &str, ground: &str, axes: Vec<String>, rows: &[Row], bytes: usize) {
    let cells = rows.iter().map(|row| {
        let trials = Trials::of(row.runs.clone());
        let figure = |range: Option<lab_sim::Range>| {
            range.map(|range| Figure { low: range.low, median: range.median, high: range.high })
        };
        Cell {
            settings: row.settings.iter().map(|(_, value)| value.clone()).collect(),
            outcome: trials.worst().map_or("unknown", Outcome::name).to_owned(),
            open_p50_ns: figure(trials.open_p50),
            open_p99_ns: figure(trials.open_p99),
            amplification: figure(trials.amplification),
        }
    });
    let sweep = Sweep { lab: lab.to_owned(), ground: ground.to_owned(), axes, cells: cells.collect() };
    let page = page(&sweep);
    assert!(page.len() <= 100_000 + bytes * PAGE_BYTES_FOR_ONE, "{} bytes", page.len());
    assert!(!page.contains("<script"), "a name has become markup");
    assert_eq!(page.matches("<table").count(), 1);
    assert!(!page.contains(|sign: char| sign.is_control() && sign != '\n'), "a name speaks to a terminal");
}
