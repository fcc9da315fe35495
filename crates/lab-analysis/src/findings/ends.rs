//! How processes ended, and which of them before the run did.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Vocabulary, Word};

/// The end of a client, a helper, a daemon or a product while the run still went on, which neither the lab file's faults
/// nor a client's missed deadline (that counts as a miss) account for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnplannedEnd {
    /// Whose.
    pub name: String,
    /// When, in nanoseconds from the run's origin.
    pub at_ns: u64,
    /// How.
    pub end: Word<ProcessEnd>,
}

/// What a wait status comes to.
enum Status {
    Exit(u8),
    Signal(u8),
}

impl Status {
    /// Reads the bits of a wait status (`wait(2)`): the signal in the lowest seven, the exit code in the second byte.
    const fn of(status: i32) -> Status {
        let [low, code, ..] = status.to_le_bytes();
        match low & 0x7f {
            0 => Status::Exit(code),
            signal => Status::Signal(signal),
        }
    }
}

/// The number that stands between two parts of a word.
fn number(word: &str, before: &str, after: &str) -> Option<u8> {
    word.strip_prefix(before)?.strip_suffix(after)?.parse().ok()
}

/// How the process of a client ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProcessEnd {
    /// By itself, with exit code 0.
    Clean,
    /// The warden, or the kernel, killed it for an answer that did not come.
    DeadlineKill,
    /// By itself, with this exit code: 1 to 255.
    Exit(u8),
    /// By this signal: 1 to 127.
    Signal(u8),
    /// Nobody saw it.
    #[default]
    Unknown,
}

impl ProcessEnd {
    /// The end with this wait status.
    #[must_use]
    pub const fn of_status(status: i32) -> ProcessEnd {
        match Status::of(status) {
            Status::Exit(0) => ProcessEnd::Clean,
            Status::Exit(code) => ProcessEnd::Exit(code),
            Status::Signal(signal) => ProcessEnd::Signal(signal),
        }
    }
}

impl Vocabulary for ProcessEnd {
    const NAME: &'static str = "ProcessEnd";
    const ABOUT: &'static str = "How the process of a client ended.";
    const PATTERNS: &'static [&'static str] = &["^exit [0-9]+$", r"^killed \(signal [0-9]+\)$"];

    fn all() -> Vec<ProcessEnd> {
        vec![ProcessEnd::Clean, ProcessEnd::DeadlineKill, ProcessEnd::Unknown]
    }

    fn word(&self) -> Cow<'static, str> {
        match self {
            ProcessEnd::Clean => "clean".into(),
            ProcessEnd::DeadlineKill => "deadline kill".into(),
            ProcessEnd::Exit(code) => format!("exit {code}").into(),
            ProcessEnd::Signal(signal) => format!("killed (signal {signal})").into(),
            ProcessEnd::Unknown => "unknown".into(),
        }
    }

    fn of_word(word: &str) -> Option<ProcessEnd> {
        let known = ProcessEnd::all().into_iter().find(|end| end.word() == word);
        known
            .or_else(|| number(word, "exit ", "").map(ProcessEnd::Exit))
            .or_else(|| number(word, "killed (signal ", ")").map(ProcessEnd::Signal))
    }
}

/// How a product under test ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProductEnd {
    /// By itself, with exit code 0.
    Clean,
    /// The warden killed it for an answer that did not come.
    DeadlineKill,
    /// By itself, with this exit code: 1 to 255.
    Exit(u8),
    /// By this signal: 1 to 127.
    Signal(u8),
    /// It was never started.
    NeverStarted,
    /// It was started, and nobody saw its end.
    #[default]
    NotKnown,
}

impl ProductEnd {
    /// The end with this wait status.
    #[must_use]
    pub const fn of_status(status: i32) -> ProductEnd {
        match Status::of(status) {
            Status::Exit(0) => ProductEnd::Clean,
            Status::Exit(code) => ProductEnd::Exit(code),
            Status::Signal(signal) => ProductEnd::Signal(signal),
        }
    }
}

impl Vocabulary for ProductEnd {
    const NAME: &'static str = "ProductEnd";
    const ABOUT: &'static str = "How a product under test ended.";
    const PATTERNS: &'static [&'static str] = &["^exit [0-9]+$", "^signal [0-9]+$"];

    fn all() -> Vec<ProductEnd> {
        vec![ProductEnd::Clean, ProductEnd::DeadlineKill, ProductEnd::NeverStarted, ProductEnd::NotKnown]
    }

    fn word(&self) -> Cow<'static, str> {
        match self {
            ProductEnd::Clean => "clean".into(),
            ProductEnd::DeadlineKill => "deadline kill".into(),
            ProductEnd::Exit(code) => format!("exit {code}").into(),
            ProductEnd::Signal(signal) => format!("signal {signal}").into(),
            ProductEnd::NeverStarted => "never started".into(),
            ProductEnd::NotKnown => "not known".into(),
        }
    }

    fn of_word(word: &str) -> Option<ProductEnd> {
        let known = ProductEnd::all().into_iter().find(|end| end.word() == word);
        known
            .or_else(|| number(word, "exit ", "").map(ProductEnd::Exit))
            .or_else(|| number(word, "signal ", "").map(ProductEnd::Signal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_status_says_exit_code_or_signal() {
        let check = |status, client: &str, product: &str| {
            assert_eq!(ProcessEnd::of_status(status).word(), client, "{status:#x}");
            assert_eq!(ProductEnd::of_status(status).word(), product, "{status:#x}");
        };
        check(0, "clean", "clean");
        check(0x300, "exit 3", "exit 3");
        check(0xff00, "exit 255", "exit 255");
        check(9, "killed (signal 9)", "signal 9");
        check(0x80 | 6, "killed (signal 6)", "signal 6");
    }
}
