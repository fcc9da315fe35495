//! Makes hostile text harmless to read: what would not show, or would steer a terminal, is shown as itself.

/// Shows control characters as pictures (`␊`, `␛`) and invisible or reordering characters by number.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match u32::from(character) {
            code @ 0..0x20 => shown.push(char::from_u32(code.saturating_add(0x2400)).unwrap_or('\u{fffd}')),
            0x7f => shown.push('\u{2421}'),
            code if steers(code) => shown.push_str(&format!("<U+{code:04X}>")),
            _ => shown.push(character),
        }
    }
    shown
}

/// C1 controls, and characters that are invisible or change the direction of what follows.
const fn steers(code: u32) -> bool {
    matches!(
        code,
        0x80..=0x9f
            | 0xad
            | 0x061c
            | 0x200b..=0x200f
            | 0x2028..=0x202e
            | 0x2060..=0x206f
            | 0xfe00..=0xfe0f
            | 0xfeff
            | 0xfff9..=0xfffb
            | 0xe0000..=0xe0fff
    )
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
    fn what_would_not_show_is_shown() {
        assert_eq!(visible("a\nb\tc\0"), "a␊b␉c␀");
        assert_eq!(visible("\u{1b}[31m\u{7f}\u{9b}"), "␛[31m␡<U+009B>");
        assert_eq!(visible("gpj.\u{202e}exe"), "gpj.<U+202E>exe");
        assert_eq!(visible("Grüße \u{fffd} <b>"), "Grüße \u{fffd} <b>");
    }

    #[test]
    fn clipping_keeps_both_ends() {
        assert_eq!(clip("short", 10), "short");
        assert_eq!(clip("abcdefghijklmnop", 7), "ab…mnop");
        assert_eq!(clip("abc", 1), "…");
    }
}
