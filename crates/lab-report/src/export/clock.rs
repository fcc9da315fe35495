//! Moments as RFC 3339 writes them.

use jiff::Timestamp;

/// Writes nanoseconds since 1970 as `2026-11-23T17:30:12.123456789Z`. A moment outside the years -9999 to 9999, which
/// only a damaged or forged trace has, is written as the nearest one inside.
pub(super) fn rfc3339(unix_ns: i128) -> String {
    let nearest = if unix_ns < 0 { Timestamp::MIN } else { Timestamp::MAX };
    format!("{:.9}", Timestamp::from_nanosecond(unix_ns).unwrap_or(nearest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc3339(951_782_400_000_000_001), "2000-02-29T00:00:00.000000001Z");
        assert_eq!(rfc3339(1_795_455_012_500_000_000), "2026-11-23T17:30:12.500000000Z");
        assert_eq!(rfc3339(i128::MAX), "9999-12-30T22:00:00.999999999Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999999999Z");
    }
}
