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

#[test]
fn the_same_findings_give_the_same_bytes() {
    assert!(html::run(&reports::divergent()) == html::run(&reports::divergent()));
}
