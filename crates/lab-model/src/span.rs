//! Lengths of time as people write them.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time as people write it: a whole number and one unit (`250us`, `3s`, `2m`).
///
/// Units: `ns`, `us`, `ms`, `s`, `m`, `h`. Range: 0 to about 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Duration);

/// Why a text is no [`Span`]; the message says what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSpan {
    /// The unit is absent or not one of the six.
    #[error(
        "\"{0}\" is not a length of time: write a whole number and a unit, such as 250us, 500ms, 3s or 2m"
    )]
    Form(String),
    /// The number does not fit.
    #[error("\"{0}\" is too long a time")]
    Range(String),
}

const UNITS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl Span {
    /// A span of whole nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanoseconds: u64) -> Span {
        Span(Duration::from_nanos(nanoseconds))
    }

    /// A span of whole milliseconds.
    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Span {
        Span(Duration::from_millis(milliseconds))
    }

    /// A span of whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Span {
        Span(Duration::from_secs(seconds))
    }

    /// The span as the standard library's type.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// The span in nanoseconds, at most `u64::MAX`.
    #[must_use]
    pub fn nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }

    /// True for a span of length zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Span, InvalidSpan> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
        let (Some(scale), false) = (scale, number.is_empty()) else {
            return Err(InvalidSpan::Form(text.to_owned()));
        };
        let nanoseconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(scale));
        nanoseconds.map(Span::from_nanos).ok_or_else(|| InvalidSpan::Range(text.to_owned()))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.nanos();
        if nanoseconds == 0 {
            return f.write_str("0s");
        }
        let (unit, scale) =
            UNITS.iter().find(|(_, scale)| nanoseconds.is_multiple_of(*scale)).unwrap_or(&("ns", 1));
        write!(f, "{}{unit}", nanoseconds / scale)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A length of time: a whole number and a unit (ns, us, ms, s, m, h).",
            "pattern": "^[0-9]+(ns|us|ms|s|m|h)$",
            "examples": ["250us", "500ms", "3s", "2m"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_back_as_written() {
        for text in ["0s", "1ns", "250us", "500ms", "3s", "90s", "2m", "1h"] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.to_string().parse::<Span>().unwrap(), span, "{text}");
        }
        assert_eq!("90s".parse::<Span>().unwrap().to_string(), "90s");
        assert_eq!("120s".parse::<Span>().unwrap().to_string(), "2m");
    }

    #[test]
    fn a_number_without_a_unit_is_refused() {
        for text in ["", "3", "s", "3 s", "-3s", "1.5s", "3sec", "99999999999999999999s"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
