//! The version of the running macOS, which decides which fields of a message exist.

use std::{fmt, str::FromStr};

/// The version of the running macOS.
///
/// It has to be told to the bindings before any other call: they assume 10.15.0, refuse newer calls and
/// manage the memory of messages in the old way until they know better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SystemVersion {
    /// The first number, such as 15.
    pub major: u64,
    /// The second number.
    pub minor: u64,
    /// The third number, 0 when absent.
    pub patch: u64,
}

/// A text that is no macOS version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no macOS version: one to three numbers joined by dots, such as 15.4.1")]
pub struct InvalidVersion(pub String);

impl SystemVersion {
    /// The oldest version the lab runs on: the first with inverted target-path muting.
    pub const OLDEST: SystemVersion = SystemVersion { major: 13, minor: 0, patch: 0 };
}

impl FromStr for SystemVersion {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<SystemVersion, InvalidVersion> {
        let invalid = || InvalidVersion(text.to_owned());
        let mut numbers = [0; 3];
        let mut parts = text.trim().split('.');
        let first = parts.next().ok_or_else(invalid)?;
        numbers[0] = first.parse().map_err(|_| invalid())?;
        for number in &mut numbers[1..] {
            if let Some(part) = parts.next() {
                *number = part.parse().map_err(|_| invalid())?;
            }
        }
        if parts.next().is_some() {
            return Err(invalid());
        }
        let [major, minor, patch] = numbers;
        Ok(SystemVersion { major, minor, patch })
    }
}

impl fmt::Display for SystemVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_order_as_systems_do() {
        let parse = |text: &str| text.parse::<SystemVersion>().unwrap();
        assert!(parse("12.7.6") < SystemVersion::OLDEST);
        assert!(parse("13.0") >= SystemVersion::OLDEST);
        assert!(parse("15.4.1\n") < parse("26.1"));
        assert_eq!(parse("27"), SystemVersion { major: 27, minor: 0, patch: 0 });
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", ".", "13.", "13.x", "13.0.0.1", "-1.2", "macOS 13"] {
            assert!(text.parse::<SystemVersion>().is_err(), "{text}");
        }
    }
}
