//! Makes hostile text harmless to read, and long text short.

use lab_model::Visible;

/// Shows what would not show, or would steer a terminal, as itself.
pub(crate) fn visible(text: &str) -> String {
    Visible::new(text).to_string()
}

/// Cuts text to `length` characters by leaving out its middle: the ends of a path say most.
pub(crate) fn clip(text: &str, length: usize) -> String {
    let characters = text.chars().count();
    if characters <= length {
        return text.to_owned();
    }
    let kept = length.saturating_sub(1);
    let head = kept / 3;
    let tail = kept.saturating_sub(head);
    let mut clipped: String = text.chars().take(head).collect();
    clipped.push('…');
    clipped.extend(text.chars().skip(characters.saturating_sub(tail)));
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipping_keeps_both_ends() {
        assert_eq!(clip("short", 10), "short");
        assert_eq!(clip("abcdefghijklmnop", 7), "ab…mnop");
        assert_eq!(clip("abc", 1), "…");
    }
}
