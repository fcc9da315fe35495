//! The nearest valid word to a misspelt one.

/// A word longer than this gets no suggestion: the distance costs the square of the length.
const WORD_CHARS_MAX: usize = 64;

/// The candidate that a reader most likely meant, when one is near enough.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    if length == 0 || length > WORD_CHARS_MAX {
        return None;
    }
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= WORD_CHARS_MAX)
        .filter_map(|candidate| {
            let other = candidate.chars().count();
            let allowed = length.max(other).div_ceil(3);
            // The difference in length is the least that the distance can be, and costs nothing to know.
            let distance = if length.abs_diff(other) > allowed {
                None
            } else {
                Some(distance(&lower, &candidate.to_lowercase()))
            };
            distance.filter(|distance| *distance <= allowed).map(|distance| (distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Counts the letters to insert, remove, replace, or swap with a neighbour (optimal string alignment).
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let replace = last[j] + usize::from(a != b);
            let mut best = replace.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (left, right, expect) in
            [("", "", 0), ("a", "", 1), ("scaner", "scanner", 1), ("strom", "storm", 1), ("abc", "xyz", 3)]
        {
            assert_eq!(distance(left, right), expect, "{left} {right}");
            assert_eq!(distance(right, left), expect, "{right} {left}");
        }
    }

    #[test]
    fn only_near_words_are_offered() {
        let words = ["scanner", "noop", "pathological"];
        assert_eq!(nearest("Scaner", words), Some("scanner"));
        assert_eq!(nearest("no-op", words), Some("noop"));
        assert_eq!(nearest("elephant", words), None);
        assert_eq!(nearest("", words), None);
        assert_eq!(nearest(&"x".repeat(10_000), words), None);
    }
}
