//! What files of `/sys` and `/boot` say of the machine, as functions of their text.

use std::collections::BTreeMap;

use crate::Limit;

/// Reads a kernel's configuration file.
#[must_use]
pub fn parse_options(text: &str) -> BTreeMap<String, String> {
    let options = text.lines().filter(|line| line.starts_with("CONFIG_"));
    options.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect()
}

/// Counts the processors of a list such as `0-3,8`.
#[must_use]
pub fn count_cpus(list: &str) -> Option<u32> {
    list.trim().split(',').try_fold(0_u32, |sum, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

/// Turns a quota and a period into thousandths of a processor.
#[must_use]
pub fn milli_cpus(quota: &str, period: &str) -> Limit {
    match (Limit::parse(quota), period.trim().parse::<u64>()) {
        (Limit::At(quota), Ok(period)) if period > 0 => Limit::At(quota.saturating_mul(1_000) / period),
        (Limit::Unlimited, _) => Limit::Unlimited,
        _ => Limit::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_counted_by_ranges() {
        let table =
            [("0-1", Some(2)), ("0-3,8", Some(5)), ("5\n", Some(1)), ("", None), ("3-1", None), ("x", None)];
        for (list, count) in table {
            assert_eq!(count_cpus(list), count, "{list}");
        }
    }

    #[test]
    fn options_are_read_by_name() {
        let options = parse_options("# CONFIG_OFF is not set\nCONFIG_FANOTIFY=y\nCONFIG_X=\"a=b\"\n");
        assert_eq!(options.get("CONFIG_FANOTIFY").map(String::as_str), Some("y"));
        assert_eq!(options.get("CONFIG_X").map(String::as_str), Some("\"a=b\""));
        assert!(!options.contains_key("CONFIG_OFF"));
    }
}
