//! The HTML reports: whole, escaped, small, and asking nothing of any network.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::OnceLock;

use lab_report::html;
use lab_testing::reports;

const VOID: [&str; 3] = ["meta", "line", "br"];

/// All pages of all fixtures by name, written once.
fn pages() -> &'static [(String, String)] {
    static PAGES: OnceLock<Vec<(String, String)>> = OnceLock::new();
    PAGES.get_or_init(|| {
        let mut pages = Vec::new();
        for (name, findings) in reports::all() {
            pages.push((name.to_owned(), html::run(&findings)));
            for client in findings.clients.iter().take(8) {
                pages.push((
                    format!("{name}, client {}", client.id),
                    html::client(&findings, &client.id).unwrap(),
                ));
            }
        }
        pages
    })
}

/// The run report of a fixture.
fn run_of(name: &str) -> &'static str {
    &pages().iter().find(|(known, _)| known == name).unwrap().1
}

/// Walks the tags; fails on an element that is never closed, closed twice or crossed, and returns all attributes.
fn tags(name: &str, page: &str) -> Vec<(String, String)> {
    let mut open: Vec<String> = Vec::new();
    let mut attributes = Vec::new();
    let mut rest = page.strip_prefix("<!doctype html>").expect("a page begins with its type");
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let end = rest.find('>').expect("a tag ends");
        let tag = &rest[..end];
        rest = &rest[end + 1..];
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(closed), "{name}: </{closed}> closes the wrong element");
            continue;
        }
        let element = tag.split([' ', '\n', '/']).next().unwrap().to_owned();
        assert!(element.chars().all(|sign| sign.is_ascii_alphanumeric()), "{name}: <{tag}>");
        attributes.extend(attributes_of(tag).into_iter().map(|attribute| (element.clone(), attribute)));
        if element == "style" || element == "script" {
            let closed = rest.find(&format!("</{element}>")).expect("it is closed");
            rest = &rest[closed + element.len() + 3..];
        } else if !VOID.contains(&element.as_str()) && !tag.ends_with('/') {
            open.push(element);
        }
    }
    assert!(open.is_empty(), "{name}: never closed: {open:?}");
    attributes
}

fn attributes_of(tag: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = tag.split_once(' ').map_or("", |(_, rest)| rest);
    loop {
        rest = rest.trim_start_matches([' ', '\n', '/']);
        if rest.is_empty() {
            return names;
        }
        let end = rest.find(['=', ' ']).unwrap_or(rest.len());
        names.push(rest[..end].to_owned());
        rest = &rest[end..];
        if let Some(value) = rest.strip_prefix("=\"") {
            rest = &value[value.find('"').expect("a quoted value ends") + 1..];
        }
    }
}

#[test]
fn every_page_is_well_formed_whatever_the_names() {
    for (name, page) in pages() {
        for (element, attribute) in tags(name, page) {
            let known = attribute.chars().all(|sign| sign.is_ascii_alphanumeric() || "-:".contains(sign));
            assert!(known && !attribute.starts_with("on"), "{name}: attribute {attribute} of {element}");
            assert_ne!(attribute, "style", "{name}: the policy forbids inline styles");
            assert_ne!(attribute, "src", "{name}: nothing is loaded");
        }
    }
}

#[test]
fn hostile_names_are_text() {
    let page = run_of("hostile");
    assert!(
        page.contains("&#60;script&#62;alert(1)&#60;/script&#62;") || page.contains("&lt;script&gt;alert(1)")
    );
    assert_eq!(page.matches("<script").count(), 1, "only the report's own script");
    assert!(!page.contains("<img") && !page.contains("<!--") && !page.contains("<b>"));
    let steering = page.chars().find(|&sign| (sign.is_control() && sign != '\n') || sign == '\u{202e}');
    assert_eq!(steering, None);
}

#[test]
fn no_page_is_larger_than_its_bound() {
    for (name, page) in pages() {
        assert!(page.len() <= html::BYTES_MAX, "{name}: {} bytes", page.len());
        assert!(page.ends_with("</html>"), "{name}");
    }
}

#[test]
fn nothing_comes_from_a_network() {
    for (name, page) in pages().iter().filter(|(name, _)| !name.starts_with("hostile")) {
        assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("url("), "{name}");
        assert!(!page.contains("@import") && !page.contains("<link"), "{name}");
    }
    let page = run_of("hostile");
    for (at, _) in page.match_indices("href=\"") {
        let target = &page[at + 6..];
        assert!(target.starts_with('#') || target.starts_with("clients/"), "{}", &target[..40]);
    }
}

#[test]
fn every_picture_is_there_with_words_for_who_does_not_see_it() {
    let stable = run_of("stable");
    let names = [
        "cause-matrix",
        "gain-graph",
        "flame",
        "cascade-size",
        "cascade-depth",
        "rate",
        "queue",
        "headroom",
        "phase-spectrum",
        "clients-spectrum",
        "waterfall",
        "slow-operations",
        "cost",
    ];
    for name in names {
        assert!(stable.contains(&format!("<svg id=\"picture-{name}\" role=\"img\" aria-label=\"")), "{name}");
    }
    assert!(run_of("deadlocked").contains("<svg id=\"picture-wait-cycle-0\" role=\"img\""));
    let client = html::client(&reports::stable(), "bravo").unwrap();
    for name in ["client-spectrum", "time-spent", "client-queue", "client-headroom"] {
        assert!(client.contains(&format!("<svg id=\"picture-{name}\" role=\"img\"")), "{name}");
    }
}

#[test]
fn what_was_capped_says_so() {
    let page = run_of("hostile");
    for said in [
        "16 more left out",
        "more rows left out",
        "frames left out",
        "the 10 most involved of 48 clients",
        "worst 8 of 48",
    ] {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn links_between_reports_lead_to_files_that_exist() {
    let findings = reports::hostile();
    let page = run_of("hostile");
    let id = &findings.clients[0].id;
    let file = html::file_name(id);
    assert!(file.chars().all(|sign| sign.is_ascii_alphanumeric() || "_-.".contains(sign)), "{file}");
    assert!(page.contains(&format!("href=\"clients/{file}\"")));
    assert_eq!(html::file_name("alpha-2"), "alpha-2.html");
    assert_eq!(html::client(&findings, "nobody"), None);
}

/// A picture of a page.
fn picture<'a>(page: &'a str, name: &str) -> &'a str {
    let from = page.find(&format!("<svg id=\"picture-{name}\"")).unwrap_or_else(|| panic!("no {name}"));
    let svg = &page[from..];
    &svg[..svg.find("</svg>").unwrap()]
}

/// The values of an attribute, one for each element that has it.
fn values<'a>(svg: &'a str, attribute: &str) -> Vec<&'a str> {
    let lead = format!(" {attribute}=\"");
    svg.split(&lead).skip(1).map(|part| part.split('"').next().unwrap()).collect()
}

#[test]
fn no_arrow_of_a_gain_graph_leaves_the_picture() {
    for name in ["hostile", "stable", "divergent", "deadlocked"] {
        let svg = picture(run_of(name), "gain-graph");
        let edge = |attribute: &str| values(svg, attribute)[0].parse::<f64>().unwrap();
        let (width, height) = (edge("width"), edge("height"));
        for path in values(svg, "d") {
            let numbers: Vec<f64> = path
                .split(|sign: char| !(sign.is_ascii_digit() || "-.".contains(sign)))
                .filter(|number| !number.is_empty())
                .map(|number| number.parse().unwrap())
                .collect();
            for point in numbers.chunks(2) {
                let inside = (0.0..=width).contains(&point[0]) && (0.0..=height).contains(&point[1]);
                assert!(inside, "{name}: {point:?} of {path} in {width} x {height}");
            }
        }
    }
}

/// A number of the gain stands at an arrow of the gain: the own arrows of drive and gain are not the same line.
#[test]
fn own_arrows_of_drive_and_gain_are_two() {
    let mut findings = reports::stable();
    findings.gain.clone_from(&findings.drive);
    let page = html::run(&findings);
    let mut paths = values(picture(&page, "gain-graph"), "d");
    let all = paths.len();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), all, "two arrows lie upon each other");
}

#[test]
fn a_spectrum_of_nothing_has_no_axes() {
    let mut findings = reports::stable();
    for client in &mut findings.clients {
        client.spectrum.clear();
    }
    let page = html::run(&findings);
    let svg = picture(&page, "clients-spectrum");
    assert!(svg.contains("nothing was measured") && !svg.contains("percentile"), "{svg}");
}

#[test]
fn a_spectrum_goes_as_far_as_it_was_measured() {
    let mut findings = reports::stable();
    for client in &mut findings.clients {
        client.spectrum = vec![(0.0, 100), (50.0, 200), (80.0, 300), (100.0, 900)];
    }
    let page = html::run(&findings);
    let svg = picture(&page, "clients-spectrum");
    assert!(svg.contains(">50<") && svg.contains(">max<"), "{svg}");
    assert!(!svg.contains(">90<") && !svg.contains(">99"), "{svg}");
}

/// A page begins with the answers with which a terminal ends, and no sentence of it loses its middle.
#[test]
fn a_page_begins_with_the_answers() {
    let mut findings = reports::stable();
    let long =
        format!("{}, until charlie answers, {}", "so it goes ".repeat(30), "and so it goes".repeat(30));
    findings.findings[0].text.clone_from(&long);
    let page = html::run(&findings);
    let verdict = page.split("</section>").next().unwrap();
    for label in ["Verdict", "Missed", "Closest", "Events", "Waiting", "Change", "Replay"] {
        assert!(verdict.contains(&format!("<dt>{label}</dt>")), "{label}");
    }
    assert!(page.contains(&long));
}

#[test]
fn the_same_findings_give_the_same_bytes() {
    assert!(html::run(&reports::divergent()) == html::run(&reports::divergent()));
}
