//! The nearest valid word to a misspelt one.

/// A word longer than this many characters gets no suggestion: the distance costs the square of the length.
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
                Some(strsim::osa_distance(&lower, &candidate.to_lowercase()))
            };
            distance.filter(|distance| *distance <= allowed).map(|distance| (distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

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
