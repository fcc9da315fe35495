//! Numbers for people: times with three significant digits, thousands apart, shares in percent, and nouns that agree
//! with their count. Every sentence, table and picture that has a number takes it from here.

/// Shows what is not known.
pub const UNKNOWN: &str = "–";

/// Writes nanoseconds in the unit that suits them: `812 ns`, `12.3 µs`, `1.20 ms`, `3.20 s`, `2 min 5 s`.
#[must_use]
pub fn time(nanoseconds: u64) -> String {
    // A value that would round up to 1000 of a unit is written as 1.00 of the next one.
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..999_500 => three_digits(nanoseconds, 1_000, "µs"),
        999_500..999_500_000 => three_digits(nanoseconds, 1_000_000, "ms"),
        999_500_000..59_950_000_000 => three_digits(nanoseconds, 1_000_000_000, "s"),
        _ => {
            let seconds = nanoseconds.saturating_add(500_000_000) / 1_000_000_000;
            if seconds < 3600 {
                format!("{} min {} s", seconds / 60, seconds % 60)
            } else {
                format!("{} h {} min", count(seconds / 3600), seconds % 3600 / 60)
            }
        }
    }
}

fn three_digits(value: u64, unit: u64, name: &str) -> String {
    let number = ratio(value, unit);
    if number < 9.995 {
        format!("{number:.2} {name}")
    } else if number < 99.95 {
        format!("{number:.1} {name}")
    } else {
        format!("{number:.0} {name}")
    }
}

/// Writes a difference of times, which may be below zero.
#[must_use]
pub fn signed_time(nanoseconds: i64) -> String {
    let size = time(nanoseconds.unsigned_abs());
    if nanoseconds < 0 { format!("-{size}") } else { size }
}

/// Writes a count with its thousands apart: `1,234,567`.
#[must_use]
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len().saturating_add(digits.len() / 3));
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && digits.len().saturating_sub(place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a count with its noun: `1 open`, `2 opens`.
#[must_use]
pub fn counted(value: u64, noun: &str) -> String {
    if value == 1 { format!("1 {noun}") } else { format!("{} {noun}s", count(value)) }
}

/// Writes a count with the words that go with one and with any other number: `1 event was dropped`, `2,000 events were
/// dropped`.
#[must_use]
pub fn agreeing(value: u64, one: &str, more: &str) -> String {
    if value == 1 { format!("1 {one}") } else { format!("{} {more}", count(value)) }
}

/// Writes how often: `once`, `1,204 times`.
#[must_use]
pub fn times(value: u64) -> String {
    if value == 1 { "once".to_owned() } else { format!("{} times", count(value)) }
}

/// Writes a share from 0 to 1 in percent. Only nothing is `0%`, and only everything is `100%`.
#[must_use]
pub fn share(share: f64) -> String {
    let percent = share * 100.0;
    if !percent.is_finite() {
        UNKNOWN.to_owned()
    } else if percent == 0.0 {
        "0%".to_owned()
    } else if percent > 0.0 && percent < 0.1 {
        "< 0.1%".to_owned()
    } else if percent > 99.9 && percent < 100.0 {
        "> 99.9%".to_owned()
    } else if (percent - percent.round()).abs() < 1e-9 {
        format!("{percent:.0}%")
    } else {
        format!("{percent:.1}%")
    }
}

/// A change as a share of what was there, in whole percent: `65% less`, `12% more`. What is left is never called nothing.
#[must_use]
pub fn more_or_less(share: f64) -> String {
    let percent = (share.abs() * 100.0).round();
    match share {
        _ if percent == 0.0 => "the same".to_owned(),
        share if share > -1.0 && share < 0.0 && percent >= 100.0 => "over 99% less".to_owned(),
        share if share < 0.0 => format!("{percent}% less"),
        _ => format!("{percent}% more"),
    }
}

/// Writes a lower bound: of what was not over when it was last seen.
#[must_use]
pub fn at_least(text: &str) -> String {
    format!("at least {text}")
}

/// Writes a share of which only an upper bound is known, such as what was left of a deadline when nobody had answered:
/// `at most 0%`.
#[must_use]
pub fn share_at_most(bound: f64) -> String {
    match bound * 100.0 {
        percent if !percent.is_finite() => UNKNOWN.to_owned(),
        // Rounded up, so that it is a bound still.
        percent if percent > 0.0 && percent < 0.1 => "at most 0.1%".to_owned(),
        percent if percent > 99.9 && percent < 100.0 => "at most 100%".to_owned(),
        _ => format!("at most {}", share(bound)),
    }
}

/// Writes a share or what stands for *not known*.
#[must_use]
pub fn maybe_share(value: Option<f64>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), share)
}

/// Writes a plain number with two decimals where it has any, and with as many more as two digits that say something take:
/// `0`, `0.25`, `0.0030`, `12`, `1,204`.
#[must_use]
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return UNKNOWN.to_owned();
    }
    let whole = value.round();
    if (value - whole).abs() < 1e-9 || value.abs() >= 1000.0 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, sign apart")]
        let magnitude = whole.abs() as u64;
        return format!("{}{}", if whole < 0.0 { "-" } else { "" }, count(magnitude));
    }
    match value.abs() {
        100.0.. => format!("{value:.1}"),
        FRACTION_MIN.. => format!("{value:.2}"),
        // Two digits that say something, wherever they begin: what is small is not nothing.
        NUMBER_MIN.. => {
            let digits = if value.abs() < FRACTION_MIN / 10.0 { 4 } else { 3 };
            format!("{value:.digits$}")
        }
        _ if value < 0.0 => format!("> -{NUMBER_MIN}"),
        _ => format!("< {NUMBER_MIN}"),
    }
}

/// From here on two decimals are two digits that say something.
const FRACTION_MIN: f64 = 0.1;

/// Nearer to zero than this no digits are written.
const NUMBER_MIN: f64 = 0.001;

/// True for a number of whole things, as far as a sum of fractions can be one.
#[must_use]
pub fn is_whole(value: f64) -> bool {
    (value - value.round()).abs() < 1e-6
}

/// Writes a plain number with its noun: `1 decision`, `2.50 decisions`.
#[must_use]
pub fn numbered(value: f64, noun: &str) -> String {
    let number = number(value);
    if number == "1" { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Writes a number with one decimal: `0.0`, `24.2`, `1,204.5`.
#[must_use]
pub fn tenths(value: f64) -> String {
    if !value.is_finite() {
        return UNKNOWN.to_owned();
    }
    let text = format!("{:.1}", value.abs());
    let (whole, tenth) = text.split_once('.').unwrap_or((&text, "0"));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), count);
    format!("{}{whole}.{tenth}", if value < 0.0 { "-" } else { "" })
}

/// Writes a large number in few signs: `950`, `73,910`, `1.20 M`.
#[must_use]
pub fn compact(value: f64) -> String {
    if value >= 1e9 {
        format!("{:.2} G", value / 1e9)
    } else if value >= 1e6 {
        format!("{:.2} M", value / 1e6)
    } else {
        number(value.round())
    }
}

/// A length as a count.
#[must_use]
pub fn count_of(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// One count over another; 0 over nothing.
#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
#[must_use]
pub fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A count as a floating number, for drawing.
#[expect(clippy::cast_precision_loss, reason = "for drawing")]
#[must_use]
pub fn float(value: u64) -> f64 {
    value as f64
}

/// A length as a floating number, for drawing.
#[expect(clippy::cast_precision_loss, reason = "for drawing")]
#[must_use]
pub fn length(value: usize) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_never_a_thousand_of_a_unit() {
        let cases = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (9_994, "9.99 µs"),
            (9_996, "10.0 µs"),
            (12_345, "12.3 µs"),
            (99_960, "100 µs"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (1_204_000, "1.20 ms"),
            (3_200_000_000, "3.20 s"),
            (59_949_999_999, "59.9 s"),
            (59_950_000_000, "1 min 0 s"),
            (125_000_000_000, "2 min 5 s"),
            (7_260_000_000_000, "2 h 1 min"),
        ];
        for (nanoseconds, expected) in cases {
            assert_eq!(time(nanoseconds), expected, "{nanoseconds}");
        }
        assert!(time(u64::MAX).contains(" h "));
    }

    #[test]
    fn counts_and_shares() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(12_345_678), "12,345,678");
        assert_eq!(share(0.25), "25%");
        assert_eq!(share(0.2534), "25.3%");
        assert_eq!(share(0.00001), "< 0.1%");
        assert_eq!(share(0.99999), "> 99.9%");
        assert_eq!(share(1.0), "100%");
        assert_eq!(share(-0.5), "-50%");
        assert_eq!(number(0.0), "0");
        assert_eq!(
            [0.25, 0.1, 0.05, 0.003, -0.003].map(number),
            ["0.25", "0.10", "0.050", "0.0030", "-0.0030"]
        );
        assert_eq!([0.0004, -0.0004, 1e-12].map(number), ["< 0.001", "> -0.001", "0"]);
        assert_eq!(number(1.004), "1.00");
        assert_eq!(number(-12.5), "-12.50");
        assert_eq!(number(12_345.6), "12,346");
        assert_eq!(number(f64::INFINITY), UNKNOWN);
        assert_eq!(
            (numbered(1.0, "open").as_str(), numbered(2.5, "open").as_str()),
            ("1 open", "2.50 opens")
        );
        assert_eq!((tenths(0.04).as_str(), tenths(24.16).as_str()), ("0.0", "24.2"));
        assert_eq!((tenths(-1_204.46).as_str(), tenths(f64::NAN).as_str()), ("-1,204.5", UNKNOWN));
        assert_eq!(compact(1_200_640.0), "1.20 M");
        assert_eq!(compact(73_910.4), "73,910");
        assert_eq!(counted(1, "open"), "1 open");
        assert_eq!(counted(2, "open"), "2 opens");
        assert_eq!(counted(2_000, "cascade"), "2,000 cascades");
        assert_eq!(counted(0, "open"), "0 opens");
        assert_eq!(agreeing(1, "event was lost", "events were lost"), "1 event was lost");
        assert_eq!(agreeing(1_767, "event was lost", "events were lost"), "1,767 events were lost");
        assert_eq!((times(1).as_str(), times(1_204).as_str()), ("once", "1,204 times"));
    }
}
