//! What a lab file may say is either refused with the number that is too large, or simulated to its end.
#![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]

use lab_config::{Limits, parse};
use lab_sim::{Counting, Kernel, Options, simulate};
use proptest::prelude::*;

/// Sizes of which each alone is within its documented limits.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    clients: u16,
    concurrency: u16,
    helpers: u16,
    daemons: usize,
    daemon_workers: u16,
    loads: usize,
    workers: u16,
    files: u32,
    paths: usize,
}

/// A few small ones, and the largest.
fn sizes() -> impl Strategy<Value = Sizes> {
    let one_of = |sizes: &'static [u32]| prop::sample::select(sizes);
    let outside = (one_of(&[0, 1, 8, 64]), one_of(&[0, 1, 16]), one_of(&[1, 64]));
    let loads =
        (one_of(&[1, 2, 16]), one_of(&[1, 16, 256]), one_of(&[1, 1000, 1_000_000]), one_of(&[1, 1500, 9000]));
    (one_of(&[1, 3, 90, 128]), one_of(&[1, 8, 64]), outside, loads).prop_map(
        |(clients, concurrency, (helpers, daemons, daemon_workers), (loads, workers, files, paths))| {
            let small = |size: u32| u16::try_from(size).unwrap();
            Sizes {
                clients: small(clients),
                concurrency: small(concurrency),
                helpers: small(helpers),
                daemons: daemons as usize,
                daemon_workers: small(daemon_workers),
                loads: loads as usize,
                workers: small(workers),
                files,
                paths: paths as usize,
            }
        },
    )
}

impl Sizes {
    fn file(self) -> String {
        let Sizes { clients, concurrency, helpers, daemons, daemon_workers, loads, workers, files, paths } =
            self;
        let mut behavior = format!("preset: scanner, react_to: workload, concurrency: {concurrency}");
        if helpers > 0 {
            behavior.push_str(&format!(", helpers: {{ count: {helpers} }}"));
        }
        let mut text = "schema: 1\nname: sizes\nbackend: sim\ndeadline: 1s\n".to_owned();
        if daemons > 0 {
            let asked: Vec<String> = (0..daemons).map(|place| format!("{{ ask: d{place} }}")).collect();
            behavior.push_str(&format!(", daemons: [{}]", asked.join(", ")));
            let all: Vec<String> =
                (0..daemons).map(|place| format!("{{ id: d{place}, workers: {daemon_workers} }}")).collect();
            text.push_str(&format!("daemons: [{}]\n", all.join(", ")));
        }
        text.push_str(&format!("clients: {{ count: {clients}, behavior: {{ {behavior} }} }}\n"));
        text.push_str("phases: { baseline: 0s, control: 0s, storm: 1ms, drain: 1ms }\n");
        text.push_str("safety: { arena_bytes_max: 1099511627776 }\nworkload:\n");
        for load in 0..loads {
            text.push_str(&format!(
                "  - open_storm: {{ directory: f{load}, workers: {workers}, files: {files}, file_bytes: 0, \
                 operations_max: 2 }}\n"
            ));
        }
        let paths: Vec<String> = (0..paths).map(|place| format!("list/of/{place}")).collect();
        text.push_str(&format!("  - open_list: {{ paths: [{}], operations_max: 2 }}\n", paths.join(", ")));
        text
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn sizes_are_refused_with_the_number_or_simulated_to_the_end(sizes in sizes()) {
        match parse("sizes.yaml", sizes.file().as_bytes(), &Limits::default()) {
            Ok(lab) => {
                for kernel in [Kernel::Fanotify, Kernel::EndpointSecurity] {
                    let summary = simulate(&lab, &Options::new(&lab, kernel), &mut Counting::default());
                    prop_assert!(summary.ended_at > 0);
                }
            }
            Err(report) => {
                for one in &report.diagnostics {
                    let numbers = one.message.split(|letter: char| !letter.is_ascii_digit());
                    prop_assert!(numbers.filter(|number| !number.is_empty()).count() >= 2, "{}", one.message);
                }
            }
        }
    }
}
