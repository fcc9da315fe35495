//! Moments as `eslogger` writes them: RFC 3339 with nanoseconds.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "digits of a fixed count; what they make is checked at the end"
)]

/// Reads `2026-11-23T17:30:12.123456789Z` (or with an offset) as nanoseconds since 1970; `None` when it is no such
/// moment or lies outside of what 64 bits can hold.
pub(super) fn unix_ns(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, length: usize| -> Option<i64> {
        let digits = bytes.get(from..from + length)?;
        digits
            .iter()
            .all(u8::is_ascii_digit)
            .then(|| digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
    };
    let sign = |at: usize, sign: u8| bytes.get(at).filter(|&&found| found.to_ascii_uppercase() == sign);
    sign(4, b'-').and(sign(7, b'-')).and(sign(10, b'T')).and(sign(13, b':')).and(sign(16, b':'))?;
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let sane =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    let (fraction, zone) = fraction(bytes.get(19..)?)?;
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset(zone)?;
    if !sane {
        return None;
    }
    seconds.checked_mul(1_000_000_000)?.checked_add(fraction)
}

/// The fraction of the second in nanoseconds, and what follows it.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = rest.strip_prefix(b".") else { return Some((0, rest)) };
    let length = digits.iter().take_while(|digit| digit.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let nanoseconds = (0..9).fold(0, |sum, place| {
        let digit = digits[..length].get(place).map_or(0, |digit| i64::from(digit - b'0'));
        sum * 10 + digit
    });
    Some((nanoseconds, &digits[length..]))
}

/// The zone's offset in seconds.
fn offset(zone: &[u8]) -> Option<i64> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    match *zone {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let seconds = (digit(h1)? * 10 + digit(h2)?) * 3600 + (digit(m1)? * 10 + digit(m2)?) * 60;
            Some(if sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar. Counts in eras of 400 years that begin with March, so that the
/// leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    era * 146_097 + year * 365 + year / 4 - year / 100 + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let check = |text: &str, expect: Option<i64>| assert_eq!(unix_ns(text), expect, "{text}");
        check("1970-01-01T00:00:00Z", Some(0));
        check("1970-01-01T00:00:00.000001099Z", Some(1099));
        check("1969-12-31T23:59:59.5Z", Some(-500_000_000));
        check("2024-02-29T12:00:00Z", Some(1_709_208_000_000_000_000));
        check("2026-03-01T01:30:00+01:30", Some(1_772_323_200_000_000_000));
        check("2026-03-01T00:00:00.1234567899Z", Some(1_772_323_200_123_456_789));
        for bad in ["", "2026", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z"] {
            check(bad, None);
        }
        check("9999-01-01T00:00:00Z", None);
        check("2026-01-0éT00:00:00Z", None);
    }
}
