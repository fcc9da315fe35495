//! Axes that several pictures share.

use lab_model::Bounded;

use super::svg::{Anchor, Svg, round_up, short};
use lab_model::units::{number, time};

/// A plot's frame within its drawing, and what its edges stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plot {
    /// Left edge.
    pub(super) x: f64,
    /// Upper edge.
    pub(super) y: f64,
    /// Width.
    pub(super) width: f64,
    /// Height.
    pub(super) height: f64,
    /// What the left edge stands for.
    pub(super) from: f64,
    /// What the right edge stands for.
    pub(super) to: f64,
    /// What the lower edge stands for.
    pub(super) low: f64,
    /// What the upper edge stands for.
    pub(super) high: f64,
}

impl Plot {
    /// The pixel of a value along the plot.
    pub(super) fn across(&self, value: f64) -> f64 {
        self.x + self.width * share(value, self.from, self.to)
    }

    /// The pixel of a value up the plot.
    pub(super) fn up(&self, value: f64) -> f64 {
        self.y + self.height * (1.0 - share(value, self.low, self.high))
    }

    /// Draws a horizontal grid line with its label.
    pub(super) fn grid(&self, svg: &mut Svg, value: f64, label: &str) {
        let y = self.up(value);
        svg.line([self.x, y, self.x + self.width, y], "grid");
        svg.text(self.x - 8.0, y + 4.0, Anchor::End, "s", label);
    }

    /// Draws the time axis in seconds, below the plot.
    pub(super) fn seconds(&self, svg: &mut Svg) {
        let step = round_up((self.to - self.from) / 8.0);
        let mut at = (self.from / step).ceil() * step;
        let mut ticks = 0_u8;
        while at <= self.to + step * 1e-6 && ticks < 20 {
            let x = self.across(at);
            svg.line([x, self.y + self.height, x, self.y + self.height + 4.0], "axis");
            svg.text(x, self.y + self.height + 17.0, Anchor::Middle, "s", &moment(at, self.to));
            at += step;
            ticks.raise(1);
        }
    }

    /// Draws a time axis from nothing to the plot's end, in nanoseconds.
    pub(super) fn nanoseconds(&self, svg: &mut Svg) {
        let step = round_up(self.to / 5.0);
        for tick in 0..=5_u8 {
            let at = f64::from(tick) * step;
            if at <= self.to * 1.000_001 {
                let x = self.across(at);
                svg.line([x, self.y, x, self.y + self.height], "grid");
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
                svg.text(x, self.y + self.height + 15.0, Anchor::Middle, "s", &time(at as u64));
            }
        }
    }
}

/// A moment in seconds, in the unit that suits the length of the axis.
fn moment(seconds: f64, end: f64) -> String {
    let (factor, unit) = match end {
        end if end >= 1.0 => (1.0, "s"),
        end if end >= 1e-3 => (1e3, "ms"),
        _ => (1e6, "µs"),
    };
    format!("{} {unit}", trimmed(seconds * factor))
}

/// A number without the zeros behind its point.
fn trimmed(value: f64) -> String {
    let text = number(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn share(value: f64, from: f64, to: f64) -> f64 {
    if to > from && value.is_finite() { ((value - from) / (to - from)).clamp(-0.2, 1.2) } else { 0.0 }
}

/// A path in steps through the values of equal buckets from `start` on; a gap where there is no value.
pub(super) fn steps(start: f64, bucket: f64, heights: impl IntoIterator<Item = Option<f64>>) -> String {
    let mut path = String::new();
    let mut x = start;
    let mut last: Option<String> = None;
    for height in heights {
        let height = height.map(short);
        if height != last {
            // The line runs on to here, and only then changes its height.
            if last.is_some() {
                path.push_str(&format!("H{}", short(x)));
            }
            match (&height, &last) {
                (Some(y), Some(_)) => path.push_str(&format!("V{y}")),
                (Some(y), None) => path.push_str(&format!("M{} {y}", short(x))),
                (None, _) => {}
            }
            last = height;
        }
        x += bucket;
    }
    if last.is_some() {
        path.push_str(&format!("H{}", short(x)));
    }
    path
}

/// A path through points; a gap where there is none.
pub(super) fn path(points: impl IntoIterator<Item = Option<(f64, f64)>>) -> String {
    let mut path = String::new();
    let mut drawing = false;
    for point in points {
        match point {
            Some((x, y)) => {
                path.push(if drawing { 'L' } else { 'M' });
                path.push_str(&format!("{} {}", short(x), short(y)));
                drawing = true;
            }
            None => drawing = false,
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_run_on_where_nothing_changes_and_end_where_nothing_is_known() {
        assert_eq!(steps(0.0, 10.0, [Some(5.0), Some(5.0), Some(7.0)]), "M0 5H20V7H30");
        assert_eq!(steps(0.0, 10.0, [None, Some(1.0), None, Some(2.0)]), "M10 1H20M30 2H40");
        assert_eq!(steps(0.0, 10.0, []), "");
    }

    #[test]
    fn paths_have_gaps() {
        assert_eq!(path([Some((0.0, 1.0)), Some((2.0, 3.0)), None, Some((4.0, 5.0))]), "M0 1L2 3M4 5");
    }
}
