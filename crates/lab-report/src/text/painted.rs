//! Text with colours of its own.

use std::{fmt, ops::Deref};

/// A text for a terminal. The only sequences in it that steer one are the colours of this crate: every part of it went
/// through [`Style::signs`](super::Style::signs) before it was painted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Painted(String);

impl Painted {
    pub(super) fn new(text: String) -> Painted {
        Painted(text)
    }
}

impl Deref for Painted {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Painted {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Painted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
