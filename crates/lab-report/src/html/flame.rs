//! Cause chains as a flame graph, the root at the top: width is decisions at or below a frame.

use std::collections::BTreeMap;

use lab_analysis::findings::{Findings, FlameFrame};

use super::{
    palette,
    svg::{Anchor, Svg, fit},
};
use lab_model::units::{count, counted, float, length, ratio, share};

const WIDTH: f64 = 1120.0;
const ROW: f64 = 22.0;
/// The most frames that are drawn, and the most levels.
const FRAMES_MAX: usize = 900;
const LEVELS_MAX: usize = 32;
/// Frames narrower than this many pixels are left out.
const NARROWEST: f64 = 0.7;

#[derive(Default)]
struct Node<'a> {
    frame: Option<&'a FlameFrame>,
    children: BTreeMap<&'a str, Node<'a>>,
}

impl Node<'_> {
    fn decisions(&self) -> u64 {
        self.frame.map_or_else(
            || self.children.values().fold(0, |sum, child| child.decisions().saturating_add(sum)),
            |frame| frame.decisions,
        )
    }
}

struct Placed<'a> {
    name: &'a str,
    frame: &'a FlameFrame,
    level: usize,
    x: f64,
    width: f64,
}

/// Draws the frames, the widest first when there are too many.
pub(super) fn draw(findings: &Findings, id: &str) -> String {
    let mut root = Node::default();
    for frame in &findings.cascades.flame {
        let mut node = &mut root;
        for name in frame.stack.iter().take(LEVELS_MAX + 1) {
            node = node.children.entry(name.as_str()).or_default();
        }
        if !frame.stack.is_empty() && frame.stack.len() <= LEVELS_MAX {
            node.frame = Some(frame);
        }
    }
    let all = root.decisions();
    let mut placed = Vec::new();
    place(&root, 0, 0.0, WIDTH, all, &mut placed);
    let known = findings.cascades.flame.len();
    placed.sort_by(|one, other| one.level.cmp(&other.level).then(other.width.total_cmp(&one.width)));
    placed.truncate(FRAMES_MAX);
    let levels = placed.iter().map(|frame| frame.level.saturating_add(1)).max().unwrap_or(1);
    let left_out = known.saturating_sub(placed.len());
    let note = if left_out > 0 { 20.0 } else { 0.0 };
    let mut svg = Svg::new(id, "Flame graph of cause chains", WIDTH, ROW * length(levels) + note);
    for frame in &placed {
        let class = palette::named(findings, frame.name).unwrap_or(palette::WORKLOAD);
        let box_ = [frame.x, ROW * length(frame.level), (frame.width - 1.0).max(0.6), ROW - 2.0];
        let tip = format!(
            "{}: {} at or below ({}), {} here",
            frame.frame.stack.join(" › "),
            counted(frame.frame.decisions, "decision"),
            share(ratio(frame.frame.decisions, all)),
            count(frame.frame.own)
        );
        svg.rect(box_, &format!("soft {class}"), &tip);
        let text = fit(&format!("{} {}", frame.name, count(frame.frame.decisions)), frame.width - 10.0);
        if !text.is_empty() && frame.width > 34.0 {
            svg.text(frame.x + 6.0, ROW * length(frame.level) + 14.5, Anchor::Start, "t", &text);
        }
    }
    if left_out > 0 {
        let text =
            format!("{} narrow or deep frames left out", count(u64::try_from(left_out).unwrap_or(u64::MAX)));
        svg.text(0.0, ROW * length(levels) + 14.0, Anchor::Start, "s", &text);
    }
    svg.finish()
}

fn place<'a>(node: &Node<'a>, level: usize, x: f64, width: f64, whole: u64, placed: &mut Vec<Placed<'a>>) {
    // Children that claim more than their parent share its width, so that nothing is drawn outside of it.
    let claimed = node.children.values().fold(0_u64, |sum, child| sum.saturating_add(child.decisions()));
    let whole = whole.max(claimed);
    let mut at = x;
    for (name, child) in &node.children {
        let part = if whole == 0 { 0.0 } else { width * float(child.decisions()) / float(whole) };
        if part >= NARROWEST && level < LEVELS_MAX {
            if let Some(frame) = child.frame {
                placed.push(Placed { name, frame, level, x: at, width: part });
            }
            place(child, level.saturating_add(1), at, part, child.decisions(), placed);
        }
        at += part;
    }
}
