//! The trees below the root operations.

use lab_analysis::findings::{CascadeNodeKind, CascadeTree, Findings, Word};

use super::storm_after_death;
use crate::{
    page::{Block, Drawing, Section, Tree, picture, shown_path},
    visible::visible,
};
use lab_model::units::{agreeing, count, counted, time};

pub(super) fn cascades(findings: &Findings) -> Section {
    let cascades = &findings.cascades;
    let mut lead = Vec::new();
    let died = storm_after_death(findings).is_some();
    let lived = if died { " that began while all clients lived" } else { "" };
    if cascades.count == 0 {
        lead.push(format!("No cascade{lived} was completed."));
    } else {
        lead.push(format!(
            "{}{lived} completed: {} at the median (largest {}), {} deep (deepest {}), {} long (longest {}).",
            counted(cascades.count, "cascade"),
            counted(cascades.size.p50, "decision"),
            count(cascades.size.max),
            counted(cascades.depth.p50, "level"),
            count(cascades.depth.max),
            time(cascades.duration_ns.p50),
            time(cascades.duration_ns.max)
        ));
    }
    if cascades.after_death > 0 {
        lead.push(format!(
            "{} completed that began while a client was dead; no figure here has {}.",
            counted(cascades.after_death, "further cascade"),
            if cascades.after_death == 1 { "it" } else { "them" }
        ));
    }
    if cascades.unfinished > 0 {
        let still = agreeing(cascades.unfinished, "cascade was", "cascades were");
        lead.push(format!("{still} not seen to end, and no figure here has what became of that."));
    }
    let mut blocks = Vec::new();
    if cascades.count > 0 {
        blocks.push(picture(Drawing::CascadeSize, "Decisions in a cascade", false));
        blocks.push(picture(
            Drawing::CascadeDepth,
            "Levels of operations in a cascade; the root is 1",
            false,
        ));
    }
    if !cascades.flame.is_empty() {
        blocks.push(picture(
            Drawing::Flame,
            "Cause chains of all cascades; width is decisions at or below",
            true,
        ));
    }
    blocks.extend(cascades.worst.iter().map(tree));
    Section { id: "cascades", title: "Cascades", lead, blocks }
}

fn tree(cascade: &CascadeTree) -> Block {
    let lines = cascade
        .nodes
        .iter()
        .map(|node| {
            let what = match &node.kind {
                Word::Known(CascadeNodeKind::Decision) => {
                    format!("{} decides: {}", visible(&node.actor), visible(&node.note))
                }
                kind => {
                    let path = shown_path(node.path.as_deref());
                    let note = if node.note.is_empty() { String::new() } else { format!(" ({})", node.note) };
                    visible(&format!("{} {kind} {path}{note}", node.actor))
                }
            };
            let took = node.took_ns.map_or_else(|| "never ended".to_owned(), time);
            (node.level, what, format!("+{} {took}", time(node.began_ns)))
        })
        .collect();
    let note = (cascade.omitted > 0).then(|| format!("{} more left out", count(cascade.omitted)));
    Block::Tree(Tree {
        caption: format!(
            "The {} cascade: {}, {} deep, {}",
            visible(&cascade.why.text()),
            counted(cascade.size, "decision"),
            counted(cascade.depth, "level"),
            time(cascade.duration_ns)
        ),
        lines,
        note,
    })
}
