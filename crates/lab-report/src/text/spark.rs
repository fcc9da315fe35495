//! Spark lines: a series in one line of text.

use super::Style;
use lab_model::units;

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const LETTERS: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];

/// Draws values as at most `width` characters; a character stands for the largest of its values. Zero is a space.
pub(super) fn spark(values: &[u64], width: usize, style: &Style) -> String {
    let steps = if style.unicode { BLOCKS } else { LETTERS };
    let largest = values.iter().copied().max().unwrap_or(0);
    let chunk = values.len().div_ceil(width.max(1)).max(1);
    values
        .chunks(chunk)
        .map(|chunk| match chunk.iter().copied().max().unwrap_or(0) {
            0 => ' ',
            value => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "between 0 and 7"
                )]
                let step = (units::ratio(value, largest) * 7.0).round() as usize;
                steps[step.min(7)]
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_value_stands_highest_and_peaks_survive() {
        let unicode = Style { color: false, width: 80, unicode: true };
        assert_eq!(spark(&[0, 1, 7], 10, &unicode), " ▂█");
        assert_eq!(spark(&[0, 0, 9, 0, 0, 0], 3, &Style::plain()), " # ");
        assert_eq!(spark(&[], 3, &unicode), "");
    }
}
