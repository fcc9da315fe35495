//! Fills the templates and keeps the file within its bound.

use askama::Template;
use lab_analysis::findings::Findings;
use lab_model::Visible;

use super::{BYTES_MAX, assets, filters, picture};
use crate::page::{Block, Code, Drawing, Page, Section, Table, Tree};

const CHECKS_MAX: usize = 24;
const LIST_MAX: usize = 24;
const TREE_LINES_MAX: usize = 120;
/// A longer tree stands folded.
const OPEN_LINES_MAX: usize = 40;
/// How much is shown, from all to what is left when the file would be too large.
const BOUNDS: [Bounds; 3] = [
    // A sentence that names somebody in its middle must not lose it.
    Bounds { rows_max: 100, sentence_max: 2000 },
    Bounds { rows_max: 100, sentence_max: 400 },
    Bounds { rows_max: 12, sentence_max: 400 },
];

/// The most rows of a table, and the most letters of a sentence.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    rows_max: usize,
    sentence_max: usize,
}

/// A picture of which no more is left than a sentence.
const LEFT_OUT: &str =
    "<p class=\"note\">Left out, because the report would be too large; report.json has its numbers.</p>";

#[derive(Template)]
#[template(path = "report.html")]
struct Report<'a> {
    page: &'a Page,
    sections: &'a [SectionView<'a>],
    policy: &'static str,
    style: &'static str,
    script: &'static str,
    clients: &'static str,
    rows_max: usize,
    sentence_max: usize,
}

struct SectionView<'a> {
    section: &'a Section,
    blocks: Vec<Shown<'a>>,
}

enum Shown<'a> {
    Table(&'a Table),
    Picture { id: String, svg: String, caption: &'a str, wide: bool, tall: bool },
    Tree { tree: &'a Tree, open: bool },
    List(&'a [String]),
    Code(&'a Code),
}

/// Writes a page.
pub(super) fn render(page: &Page, findings: &Findings) -> String {
    let mut sections: Vec<SectionView<'_>> =
        page.sections.iter().map(|section| view(section, page, findings)).collect();
    let mut html = String::new();
    for bounds in BOUNDS {
        html = filled(page, &sections, bounds);
        if html.len() <= BYTES_MAX {
            return html;
        }
    }
    while html.len() > BYTES_MAX && leave_largest_out(&mut sections) {
        html = filled(page, &sections, BOUNDS[2]);
    }
    html
}

fn filled(page: &Page, sections: &[SectionView<'_>], Bounds { rows_max, sentence_max }: Bounds) -> String {
    let report = Report {
        page,
        sections,
        policy: assets::POLICY,
        style: assets::STYLE,
        script: assets::SCRIPT,
        clients: if page.client.is_some() { "" } else { "clients/" },
        rows_max,
        sentence_max,
    };
    // Writing into memory has no way to fail, and no filter of ours returns an error.
    let html = report.render().unwrap_or_default();
    // The templates have no such letters of their own, and not every text has come through `visible`.
    Visible::lines(&html).to_string()
}

fn view<'a>(section: &'a Section, page: &Page, findings: &Findings) -> SectionView<'a> {
    let mut first_tree = true;
    let blocks = section
        .blocks
        .iter()
        .map(|block| match block {
            Block::Table(table) => Shown::Table(table),
            Block::List(items) => Shown::List(items),
            Block::Code(code) => Shown::Code(code),
            Block::Tree(tree) => Shown::Tree {
                tree,
                open: std::mem::take(&mut first_tree) && tree.lines.len() <= OPEN_LINES_MAX,
            },
            Block::Picture(picture) => Shown::Picture {
                id: picture::id(picture.drawing),
                svg: picture::draw(picture.drawing, findings, page.client),
                caption: &picture.caption,
                wide: picture.wide,
                tall: matches!(picture.drawing, Drawing::GainGraph | Drawing::Waterfall),
            },
        })
        .collect();
    SectionView { section, blocks }
}

/// Replaces the largest picture that is left by a sentence; false when there is none.
fn leave_largest_out(sections: &mut [SectionView<'_>]) -> bool {
    let largest = sections
        .iter_mut()
        .flat_map(|section| &mut section.blocks)
        .filter_map(|block| match block {
            Shown::Picture { svg, .. } if svg.len() > LEFT_OUT.len() => Some(svg),
            _ => None,
        })
        .max_by_key(|svg| svg.len());
    match largest {
        Some(svg) => {
            LEFT_OUT.clone_into(svg);
            true
        }
        None => false,
    }
}
