//! A report that means ill: names that no lab file allows, numbers that no run has, every list at its cap. Only a
//! `report.json` that somebody has written by hand is like that, so this one is made by hand from a simulated one.

use lab_analysis::findings::*;

use super::stable;

/// Forty-eight clients, each with a name that means ill, and every list at its cap.
#[expect(clippy::too_many_lines, reason = "one report, written out")]
pub fn hostile() -> Findings {
    let evil = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "'; DROP TABLE clients; --",
        "line\nbreak\r\ttab\u{0}nul\u{1b}[31mred",
        "gpj.\u{202e}exe\u{200b}",
        "{{ 7*7 }}{% raw %}&amp;&lt;",
        "</title></style></svg></table><!--",
        "https://example.org/track.png",
    ];
    let ids: Vec<String> = (0..48).map(|place| format!("{}{place}", evil[place % evil.len()])).collect();
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    let long = format!("{}{}", "<b>&\"'\n".repeat(500), "x".repeat(1_000));
    let mut findings = stable();
    findings.lab = evil[0].to_owned();
    findings.about = evil[1].to_owned();
    findings.run = evil[3].to_owned();
    findings.replay = format!("lab up {}", evil[6]);
    findings.backend = evil[4].into();
    findings.machine.kernel = evil[5].to_owned();
    findings.outcome_rule = long.clone();
    findings.findings = vec![
        Finding {
            weight: Weight::Bad,
            section: ReportSection::Clients,
            text: evil[1].to_owned(),
            advice: Some(evil[6].to_owned())
        };
        9
    ];
    findings.expectations =
        vec![Expectation { text: evil[5].to_owned(), held: None, observed: long.clone() }; 40];
    findings.gain =
        (0..48).map(|row| (0..48).map(|column| f64::from((row * column) % 7) / 40.0).collect()).collect();
    findings.drive = findings.gain.clone();
    findings.causes.rows = ids.clone();
    findings.causes.columns = columns(&names);
    findings.causes.decisions =
        (0..48_u64).map(|row| (0..50_u64).map(|column| row * column * 977 % 100_003).collect()).collect();
    findings.causes.total = findings.causes.decisions.iter().flatten().sum();
    findings.cascades.worst = vec![hostile_tree(&long); 3];
    findings.cascades.flame = (0..5_000_usize)
        .map(|place| FlameFrame {
            stack: (0..=place % 12).map(|level| names[(place / 12 + level) % 48].to_owned()).collect(),
            decisions: u64::try_from(5_000 - place).unwrap(),
            own: 1,
        })
        .collect();
    findings.pipeline.stages = (0..48_u64)
        .map(|place| Stage {
            client: ids[usize::try_from(place).unwrap()].clone(),
            read_ns: place * 40_000,
            answered_ns: place * 40_000 + 39_000,
            last: place,
        })
        .collect();
    findings.pipeline.orders = vec![(ids.clone(), 7); 8];
    findings.pipeline.slowest = vec![
        SlowOperation {
            kind: evil[0].into(),
            path: Some(long.clone()),
            began_ns: u64::MAX,
            took_ns: u64::MAX,
            steps: vec![(long.clone(), u64::MAX); 48]
        };
        10
    ];
    findings.wait_cycles = vec![
        WaitCycle {
            members: ids.clone(),
            through: Vec::new(),
            began_ns: u64::MAX,
            lasted_ns: None,
            ended_by: CycleEnd::EndOfRun,
            evidence: vec![long.clone(); 48],
            seen: true
        };
        12
    ];
    findings.faults = vec![
        FaultMark {
            at_ns: 7_000_000_000,
            until_ns: Some(7_500_000_000),
            kind: evil[1].into(),
            actor: evil[6].to_owned(),
            detail: evil[1].to_owned(),
            planned: true
        };
        400
    ];
    findings.clients = names.iter().map(|id| hostile_client(id, &names, &long)).collect();
    findings.series = of_many(&findings.series, names.len());
    findings.outside = Some(super::outside(evil[0], [evil[3], evil[1], evil[6]]));
    findings.not_observed = vec![long; 40];
    findings.loop_gain = Some(Interval { value: f64::INFINITY, low: f64::NAN, high: f64::NEG_INFINITY });
    findings.amplification = Some(f64::NAN);
    findings
}

fn hostile_tree(long: &str) -> CascadeTree {
    CascadeTree {
        why: "<i>largest".into(),
        size: u64::MAX,
        depth: u64::MAX,
        duration_ns: u64::MAX,
        nodes: (0..200)
            .map(|level| CascadeNode {
                level: level * 1_000_000,
                kind: "<u>open".into(),
                actor: "<b>".to_owned(),
                path: Some(long.to_owned()),
                began_ns: 1,
                took_ns: None,
                note: long.to_owned(),
            })
            .collect(),
        omitted: u64::MAX,
    }
}

fn hostile_client(id: &str, ids: &[&str], long: &str) -> Client {
    let mut one = stable().clients.swap_remove(0);
    one.id = id.to_owned();
    one.decisions = u64::MAX / 64;
    let blame = |kind: &str| Blame {
        name: long.to_owned(),
        kind: kind.into(),
        decisions: 5,
        total_ns: 25,
        at_least: true,
    };
    let inflicted = |client: &str| Inflicted { client: client.to_owned(), exclusive: 1, inclusive: 2 };
    one.bundle_id = long.to_owned();
    one.end = long.into();
    one.latency_ns = Latency {
        count: u64::MAX,
        mean: u64::MAX,
        min: 0,
        p50: u64::MAX,
        p90: u64::MAX,
        p99: u64::MAX,
        p999: u64::MAX,
        max: u64::MAX,
        censored: u64::MAX,
        at_least: vec![Figure::Mean, Figure::P50, Figure::P99, Figure::Max],
    };
    one.queue_ns = one.latency_ns.clone();
    one.spectrum = vec![(0.0, 0), (f64::NAN, 5), (50.0, u64::MAX), (100.0, u64::MAX)];
    one.spectrum_at_least_from = Some(f64::NAN);
    one.control_spectrum_at_least_from = Some(-1.0);
    one.headroom = Headroom {
        min: Some(f64::NAN),
        p01: Some(-3.0),
        p50: Some(f64::INFINITY),
        at_most: vec![HeadroomFigure::Min; 3],
    };
    one.closest_calls = vec![
        Call {
            chain: vec![long.to_owned(); 60],
            path: Some(long.to_owned()),
            ..one.closest_calls[0].clone()
        };
        10
    ];
    one.costliest = one.closest_calls.clone();
    one.blame_in = vec![blame(long); 20];
    one.top_paths = one.blame_in.clone();
    one.top_extensions = vec![blame("extension"); 10];
    one.blame_out = ids.iter().map(|other| inflicted(other)).collect();
    one.peers = ids
        .iter()
        .map(|other| Peer {
            client: (*other).to_owned(),
            received: 1,
            inflicted: 2,
            waited_ns: 3,
            made_wait_ns: 4,
        })
        .collect();
    one.avoidable =
        vec![Avoidable { change: long.into(), decisions: 7, share: 2.5, blind_spot: long.to_owned() }; 9];
    one.behavior = ids.iter().map(|name| ((*name).to_owned(), long.to_owned())).collect();
    one
}

fn columns(ids: &[&str]) -> Vec<CauseColumn> {
    let client = |id: &&str| CauseColumn {
        client: Some((*id).to_owned()),
        ..CauseColumn::new(id, ColumnKind::Client)
    };
    let mut columns = vec![CauseColumn::new("workload", ColumnKind::Workload)];
    columns.extend(ids.iter().map(client));
    columns.push(CauseColumn::new("unexplained", ColumnKind::Unexplained));
    columns
}

/// The series of so many clients, repeated from those that there are; with queues and headrooms that cannot be.
fn of_many(series: &Series, clients: usize) -> Series {
    let again = |rows: &[Vec<u64>], count| rows.iter().cycle().take(count).cloned().collect::<Vec<_>>();
    let mut many = Series {
        decisions_by_cause: again(&series.decisions_by_cause, clients + 2),
        pending_max: again(&series.pending_max, clients),
        headroom_min: series.headroom_min.iter().cycle().take(clients).cloned().collect(),
        ..series.clone()
    };
    many.pending_max[0].fill(u64::MAX / 4);
    many.headroom_min[0].fill(Some(-0.5));
    many
}
