//! Bars along time: the pipeline of one operation, the slowest operations, the cost, where a client's time went.

use lab_analysis::findings::Findings;

use super::{
    palette,
    plot::Plot,
    svg::{Anchor, Svg, fit, round_up, text_width},
};
use crate::page::spent_parts;
use lab_model::units::{at_least, count, counted, float, length, number, ratio, share, time};

/// In which order the clients are asked, in the median operation.
pub(super) fn pipeline(findings: &Findings, id: &str) -> String {
    let pipeline = &findings.pipeline;
    let (width, row) = (560.0, 26.0);
    let height = row * length(pipeline.stages.len().saturating_add(1)) + 34.0;
    let end = pipeline.stages.iter().map(|stage| stage.answered_ns).fold(pipeline.op_ns, u64::max).max(1);
    let mut svg = Svg::new(id, "Pipeline waterfall of a median root operation", width, height);
    let plot = Plot {
        x: 104.0,
        y: 4.0,
        width: width - 104.0 - 74.0,
        height: height - 30.0,
        from: 0.0,
        to: float(end),
        low: 0.0,
        high: 1.0,
    };
    plot.nanoseconds(&mut svg);
    let mut bar = |place: usize, name: &str, class: &str, from: u64, to: u64| {
        let y = plot.y + row * length(place) + 4.0;
        let (left, right) = (plot.across(float(from)), plot.across(float(to)));
        svg.text(plot.x - 8.0, y + 13.0, Anchor::End, "t", &fit(name, 92.0));
        let tip = format!("{name}: from {} to {}", time(from), time(to));
        svg.rect([left, y, (right - left).max(1.5), row - 8.0], class, &tip);
        svg.text(right + 6.0, y + 13.0, Anchor::Start, "s halo", &time(to.saturating_sub(from)));
    };
    bar(0, "operation", "f kw", 0, pipeline.op_ns);
    for (place, stage) in pipeline.stages.iter().enumerate() {
        let class = format!("f {}", palette::named(findings, &stage.client).unwrap_or(palette::OTHER));
        bar(place.saturating_add(1), &stage.client, &class, stage.read_ns, stage.answered_ns);
    }
    svg.finish()
}

/// Where the time of the slowest operations went.
pub(super) fn slowest(findings: &Findings, id: &str) -> String {
    let operations = &findings.pipeline.slowest;
    let (width, row) = (1120.0, 26.0);
    let height = row * length(operations.len()) + 32.0;
    let end = operations.iter().map(|operation| operation.took_ns).max().unwrap_or(1).max(1);
    let mut svg = Svg::new(id, "Critical path of the slowest root operations", width, height);
    let plot = Plot {
        x: 200.0,
        y: 2.0,
        width: width - 200.0 - 80.0,
        height: height - 28.0,
        from: 0.0,
        to: float(end),
        low: 0.0,
        high: 1.0,
    };
    plot.nanoseconds(&mut svg);
    for (place, operation) in operations.iter().enumerate() {
        let y = plot.y + row * length(place) + 3.0;
        let path = operation.path.as_deref().unwrap_or("(path unknown)");
        svg.text(plot.x - 8.0, y + 14.0, Anchor::End, "t", &fit(path, 188.0));
        let mut at = 0_u64;
        for (step, took) in &operation.steps {
            let (left, right) = (plot.across(float(at)), plot.across(float(at.saturating_add(*took))));
            at = at.saturating_add(*took);
            let (class, text) = kind_of(findings, step);
            let tip = format!("{step}: {}", time(*took));
            svg.rect([left, y, (right - left - 1.0).max(0.5), row - 7.0], &class, &tip);
            let on = if class.starts_with("bar") { "s on" } else { "s strong" };
            let text =
                [step.as_str(), text].into_iter().find(|text| text_width(text) * 0.92 < right - left - 8.0);
            if let Some(text) = text {
                svg.text(left + 5.0, y + 14.0, Anchor::Start, on, text);
            }
        }
        svg.text(
            plot.across(float(operation.took_ns)) + 6.0,
            y + 14.0,
            Anchor::Start,
            "v",
            &time(operation.took_ns),
        );
    }
    svg.finish()
}

/// The class of a step of a critical path, and the words that are left of it where room is scarce.
fn kind_of<'a>(findings: &Findings, step: &'a str) -> (String, &'a str) {
    let own = findings.clients.iter().enumerate().find_map(|(place, client)| {
        let what = step.strip_prefix(client.id.as_str())?.strip_prefix(": ")?;
        Some((palette::client(place), what))
    });
    match own {
        Some((class, "works")) => (format!("bar {class}"), "works"),
        Some((_, what)) if what.starts_with("waits") => ("bar waitc".to_owned(), "waits"),
        Some((class, what)) => (format!("soft {class}"), what),
        None => (format!("soft {}", palette::WORKLOAD), "kernel"),
    }
}

/// The median operation in baseline, control, beside products if there are any, and storm.
pub(super) fn cost(findings: &Findings, id: &str) -> String {
    let cost = &findings.cost;
    let mut bars = vec![
        ("no clients", "soft kw", cost.baseline_ns),
        ("clients that answer", "f kw", cost.control_ns),
        ("storm", "f k1", cost.storm_ns),
    ];
    if findings.outside.is_some() {
        bars.insert(2, ("and products", "f kx", cost.external_ns));
    }
    let most = bars.iter().filter_map(|bar| bar.2).max().unwrap_or(1).max(1);
    let (width, row) = (560.0, 40.0);
    let mut svg = Svg::new(
        id,
        "Median root operation without clients, with clients that answer at once, and in the storm",
        width,
        row * length(bars.len()) + 8.0,
    );
    for (place, (name, class, value)) in bars.into_iter().enumerate() {
        let y = row * length(place) + 6.0;
        svg.text(0.0, y + 17.0, Anchor::Start, "t", name);
        let Some(value) = value else {
            svg.text(146.0, y + 17.0, Anchor::Start, "s", "not measured");
            continue;
        };
        let long = (width - 146.0 - 130.0) * ratio(value, most);
        svg.rect([146.0, y, long.max(1.5), row - 14.0], class, &format!("{name}: {}", time(value)));
        let times = cost
            .baseline_ns
            .filter(|base| *base > 0 && place > 0)
            .map_or_else(String::new, |base| format!("  ×{}", number(ratio(value, base))));
        svg.text(146.0 + long + 8.0, y + 17.0, Anchor::Start, "v", &format!("{}{times}", time(value)));
    }
    svg.finish()
}

/// Where one client's time went: queue, work, waiting for peers.
pub(super) fn spent(findings: &Findings, id: &str, place: usize) -> String {
    let Some(client) = findings.clients.get(place) else { return String::new() };
    let class = palette::client(place);
    let classes =
        ["soft kw".to_owned(), format!("bar {class}"), "bar waitc".to_owned(), "soft kx".to_owned()];
    let parts = spent_parts(client);
    let all = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.latency.total()));
    let (width, height) = (1120.0, 62.0);
    let mut svg = Svg::new(id, "Where this client's time between read and answer went", width, height);
    let mut at = 0.0;
    for (part, class) in parts.iter().zip(&classes).filter(|(part, _)| !part.latency.is_empty()) {
        let value = part.latency.total();
        let long = width * ratio(value, all);
        let text = format!("{} {}", part.name, share(ratio(value, all)));
        let lasted = if part.latency.censored > 0 { at_least(&time(value)) } else { time(value) };
        svg.rect([at, 4.0, (long - 2.0).max(0.0), 30.0], class, &format!("{text}: {lasted}"));
        if long > text_width(&text) {
            svg.text(at + 2.0, 52.0, Anchor::Start, "t", &text);
        }
        at += long;
    }
    svg.finish()
}

/// How often each value of a distribution occurred.
pub(super) fn histogram(histogram: &[(u64, u64)], id: &str, label: &str, unit: &str) -> String {
    let (width, height) = (560.0, 190.0);
    let mut svg = Svg::new(id, label, width, height);
    let most = histogram.iter().map(|entry| entry.1).max().unwrap_or(1).max(1);
    let plot = Plot {
        x: 60.0,
        y: 20.0,
        width: width - 76.0,
        height: height - 60.0,
        from: 0.0,
        to: 1.0,
        low: 0.0,
        high: round_up(float(most)),
    };
    for part in [0.0, 0.5, 1.0] {
        let value = plot.high * part;
        if value.fract() == 0.0 {
            plot.grid(&mut svg, value, &number(value));
        }
    }
    let step = plot.width / length(histogram.len().max(1));
    let every = histogram.len().div_ceil(10).max(1);
    for (place, (value, times)) in histogram.iter().enumerate() {
        let bar = (step * 0.8).min(56.0);
        let x = plot.x + step * (length(place) + 0.5);
        let y = plot.up(float(*times));
        let high = (plot.y + plot.height - y).max(if *times > 0 { 1.5 } else { 0.0 });
        let last = place.saturating_add(1) == histogram.len() && histogram.len() >= 64;
        let more = if last { " or more" } else { "" };
        let tip = format!("{}{more} {unit}: {}", count(*value), counted(*times, "cascade"));
        svg.rect([x - bar / 2.0, plot.y + plot.height - high, bar, high], "f heatc", &tip);
        if place.checked_rem(every).unwrap_or(0) == 0 {
            svg.text(x, plot.y + plot.height + 16.0, Anchor::Middle, "s", &count(*value));
        }
        if histogram.len() <= 12 {
            svg.text(x, y - 5.0, Anchor::Middle, "v", &count(*times));
        }
    }
    svg.line([plot.x, plot.y + plot.height, plot.x + plot.width, plot.y + plot.height], "axis");
    svg.text(
        plot.x + plot.width / 2.0,
        height - 4.0,
        Anchor::Middle,
        "s",
        &format!("{unit} → how many cascades"),
    );
    svg.finish()
}
