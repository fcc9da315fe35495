//! What the templates do with a value before it is escaped.
#![expect(unreachable_pub, reason = "the filter macro makes more of a function than its text says")]

use std::fmt;

use super::svg::short;
use crate::visible::clip;

/// The width of a full bar, as in the template.
const BAR: f64 = 44.0;
/// The deepest level that the style sheet knows.
const DEEPEST: u32 = 24;

/// What stands for a sign in a file's name: itself when it is harmless everywhere.
pub(super) fn file_sign(sign: char) -> String {
    if sign.is_ascii_alphanumeric() || matches!(sign, '-' | '_' | '.') {
        return sign.to_string();
    }
    let mut bytes = [0; 4];
    sign.encode_utf8(&mut bytes).bytes().map(|byte| format!("_{byte:02x}")).collect()
}

/// Cuts a text to so many signs.
#[askama::filter_fn]
pub(super) fn cut(text: impl fmt::Display, _: &dyn askama::Values, length: usize) -> askama::Result<String> {
    Ok(together(&clip(&text.to_string(), length)))
}

/// The text with numbers that are never parted from their units at the end of a line.
fn together(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    let mut words = text.split(' ').peekable();
    while let Some(word) = words.next() {
        joined.push_str(word);
        let Some(next) = words.peek() else { break };
        let unit = next.trim_end_matches([',', '.', ';', ')']);
        let number = word.ends_with(|sign: char| sign.is_ascii_digit());
        joined.push(if number && matches!(unit, "ns" | "µs" | "ms" | "s" | "min" | "h") {
            '\u{a0}'
        } else {
            ' '
        });
    }
    joined
}

/// The width of a bar in pixels, for a share from 0 to 1.
#[askama::filter_fn]
pub(super) fn bar_width(share: &f64, _: &dyn askama::Values) -> askama::Result<String> {
    Ok(short(BAR * *share))
}

/// How far a line of a tree stands in; deeper levels stand no further.
#[askama::filter_fn]
pub(super) fn depth(level: &u32, _: &dyn askama::Values) -> askama::Result<u32> {
    Ok((*level).min(DEEPEST))
}

/// A client's ID as its file is named.
#[askama::filter_fn]
pub(super) fn encoded(id: impl fmt::Display, _: &dyn askama::Values) -> askama::Result<String> {
    Ok(id.to_string().chars().map(file_sign).collect())
}
