//! Figures in words: what was not over when it was last seen has lasted *at least* so long, and left *at most* so much.

use lab_analysis::findings::{Figure, Headroom, HeadroomFigure, Latency};
use lab_model::units::{UNKNOWN, at_least, share, share_at_most, time};

/// One figure of a distribution of times.
pub(crate) fn figure(latency: &Latency, figure: Figure) -> String {
    if latency.is_empty() {
        return UNKNOWN.to_owned();
    }
    let text = time(latency.value(figure));
    if latency.is_at_least(figure) { at_least(&text) } else { text }
}

/// A figure's value as it is kept.
pub(crate) fn left_value(headroom: &Headroom, figure: HeadroomFigure) -> Option<f64> {
    match figure {
        HeadroomFigure::Min => headroom.min,
        HeadroomFigure::P01 => headroom.p01,
        HeadroomFigure::P50 => headroom.p50,
    }
}

/// What was left of the deadline.
pub(crate) fn left(headroom: &Headroom, figure: HeadroomFigure) -> String {
    match left_value(headroom, figure) {
        Some(value) if headroom.is_at_most(figure) => share_at_most(value),
        Some(value) => share(value),
        None => UNKNOWN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_says_that_it_is_one() {
        let latency = Latency {
            p50: 360,
            max: 2_000_000_000,
            censored: 1,
            at_least: vec![Figure::Max],
            ..Latency::default()
        };
        assert_eq!(figure(&latency, Figure::P50), time(360));
        assert_eq!(figure(&latency, Figure::Max), "at least 2.00 s");
        assert_eq!(figure(&Latency::default(), Figure::Max), UNKNOWN);
        let headroom =
            Headroom { min: Some(0.0), p50: Some(0.5), at_most: vec![HeadroomFigure::Min], p01: None };
        assert_eq!(left(&headroom, HeadroomFigure::Min), "at most 0%");
        assert_eq!(left(&headroom, HeadroomFigure::P50), "50%");
        assert_eq!(left(&headroom, HeadroomFigure::P01), UNKNOWN);
    }
}
