//! Builds inline SVG. Every text that goes in is escaped here; classes and numbers come from this crate only.
//!
//! No `style` attributes: the page's content security policy forbids them.

use crate::visible::{clip, visible};

/// Escapes text for HTML and SVG, in elements and in quoted attributes. What would not show is written out.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in visible(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Where a text is anchored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// At its start.
    Start,
    /// At its middle.
    Middle,
    /// At its end.
    End,
}

/// A drawing under construction.
#[derive(Debug)]
pub(crate) struct Svg {
    markup: String,
}

impl Svg {
    /// Begins a drawing of this size in pixels; `label` says to a reader who does not see it what it shows.
    pub(crate) fn new(id: &str, label: &str, width: f64, height: f64) -> Svg {
        let (id, label) = (escape(id), escape(&visible(label)));
        let (width, height) = (short(width), short(height));
        Svg {
            markup: format!(
                "<svg id=\"{id}\" role=\"img\" aria-label=\"{label}\" width=\"{width}\" height=\"{height}\" \
                 viewBox=\"0 0 {width} {height}\">"
            ),
        }
    }

    /// Ends the drawing.
    pub(crate) fn finish(mut self) -> String {
        self.markup.push_str("</svg>");
        self.markup
    }

    /// A rectangle; `tip` is what is shown when it is pointed at.
    pub(crate) fn rect(&mut self, [x, y, width, height]: [f64; 4], class: &str, tip: &str) {
        let [x, y, width, height] = [x, y, width.max(0.0), height.max(0.0)].map(short);
        let tip = title(tip);
        self.markup.push_str(&format!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" class=\"{class}\">{tip}</rect>"
        ));
    }

    /// A rectangle whose fill has this strength from 0 to 1.
    pub(crate) fn shade(&mut self, [x, y, width, height]: [f64; 4], class: &str, strength: f64, tip: &str) {
        let [x, y, width, height] = [x, y, width.max(0.0), height.max(0.0)].map(short);
        let strength = if strength.is_finite() { strength.clamp(0.0, 1.0) } else { 0.0 };
        let tip = title(tip);
        self.markup.push_str(&format!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" class=\"{class}\" \
             fill-opacity=\"{strength:.2}\">{tip}</rect>"
        ));
    }

    /// A line.
    pub(crate) fn line(&mut self, [x1, y1, x2, y2]: [f64; 4], class: &str) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(short);
        self.markup
            .push_str(&format!("<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" class=\"{class}\"/>"));
    }

    /// A circle.
    pub(crate) fn circle(&mut self, [x, y, radius]: [f64; 3], class: &str, tip: &str) {
        let [x, y, radius] = [x, y, radius].map(short);
        let tip = title(tip);
        self.markup.push_str(&format!(
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" class=\"{class}\">{tip}</circle>"
        ));
    }

    /// A path, with its width when it is not the class's.
    pub(crate) fn path(&mut self, path: &str, class: &str, width: Option<f64>, tip: &str) {
        let width = width.map_or_else(String::new, |width| format!(" stroke-width=\"{}\"", short(width)));
        let tip = title(tip);
        self.markup.push_str(&format!("<path d=\"{path}\" class=\"{class}\"{width}>{tip}</path>"));
    }

    /// A text.
    pub(crate) fn text(&mut self, x: f64, y: f64, anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let (x, y, text) = (short(x), short(y), escape(&visible(text)));
        self.markup.push_str(&format!("<text x=\"{x}\" y=\"{y}\"{anchor} class=\"{class}\">{text}</text>"));
    }

    /// A text that goes up at an angle, for headings of narrow columns.
    pub(crate) fn slanted(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let (x, y, text) = (short(x), short(y), escape(&visible(text)));
        self.markup.push_str(&format!(
            "<text x=\"{x}\" y=\"{y}\" transform=\"rotate(-50 {x} {y})\" class=\"{class}\">{text}</text>"
        ));
    }
}

fn title(tip: &str) -> String {
    if tip.is_empty() { String::new() } else { format!("<title>{}</title>", escape(&visible(tip))) }
}

/// A coordinate with at most one decimal. What is not finite would end the drawing, so it becomes 0.
pub(crate) fn short(value: f64) -> String {
    let value = if value.is_finite() { value.clamp(-1e6, 1e6) } else { 0.0 };
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// The pixels that a text of 12 pixels takes, roughly and rather too many.
pub(crate) fn text_width(text: &str) -> f64 {
    lab_model::units::length(visible(text).chars().count()) * 6.9
}

/// The signs below which a clipped text is no help: `d…in` is no word.
const CLIPPED_MIN: usize = 6;

/// The text clipped to fit into so many pixels; empty when so few signs fit that nobody could read it.
pub(crate) fn fit(text: &str, pixels: f64) -> String {
    let text = visible(text);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive count")]
    let signs = (pixels / 6.9).clamp(0.0, 400.0) as usize;
    if text.chars().count() <= signs {
        text
    } else if signs < CLIPPED_MIN {
        String::new()
    } else {
        clip(&text, signs)
    }
}

/// Moves places apart until neighbours are `gap` away from each other, keeping their order and staying above `end`.
pub(crate) fn spread(places: &[f64], gap: f64, end: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|&one, &other| places[one].total_cmp(&places[other]));
    let mut moved = places.to_vec();
    for pair in order.windows(2) {
        moved[pair[1]] = moved[pair[1]].max(moved[pair[0]] + gap);
    }
    let mut limit = end;
    for &place in order.iter().rev() {
        moved[place] = moved[place].min(limit);
        limit = moved[place] - gap;
    }
    moved
}

/// A round number at or above `value`: 1, 2 or 5 times a power of ten.
pub(crate) fn round_up(value: f64) -> f64 {
    if !value.is_finite() || value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|step| *step >= value * 0.999_999).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short_and_always_numbers() {
        assert_eq!(short(12.0), "12");
        assert_eq!(short(-0.04), "0");
        assert_eq!(short(3.149), "3.1");
        assert_eq!(short(f64::NAN), "0");
        assert_eq!(short(f64::INFINITY), "0");
    }

    #[test]
    fn text_is_escaped_wherever_it_goes() {
        let mut svg = Svg::new("x", "\"<a>\n", 1.0, 1.0);
        svg.text(0.0, 0.0, Anchor::Start, "t", "<script>&\"'");
        svg.rect([0.0; 4], "f", "</title><b>");
        let markup = svg.finish();
        assert!(
            !markup.contains("<script")
                && !markup.contains("<b>")
                && markup.contains("&quot;&lt;a&gt;\\u{a}")
        );
    }

    #[test]
    fn labels_move_apart_and_stay_inside() {
        assert_eq!(spread(&[10.0, 11.0, 50.0], 12.0, 100.0), [10.0, 22.0, 50.0]);
        assert_eq!(spread(&[99.0, 98.0], 12.0, 100.0), [100.0, 88.0]);
        assert_eq!(round_up(3.2), 5.0);
        assert_eq!(round_up(100.0), 100.0);
        assert_eq!(round_up(f64::NAN), 1.0);
    }
}
