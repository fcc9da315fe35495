//! `/proc/PID/status`: a field a line, by name.

/// Finds one field in the content of `/proc/PID/status` (proc_pid_status(5)); `None` when it is absent or no text.
#[must_use]
pub fn status_field<'a>(content: &'a [u8], name: &str) -> Option<&'a str> {
    let mut lines = content.split(|&byte| byte == b'\n');
    let value = lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b":"))?;
    std::str::from_utf8(value).ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name_below_any_name_of_the_process() {
        let content = b"Name:\t\xff\xfe\nCapInh:\t0\nCapEff:\t1ff\nCap:\t\xff\n";
        assert_eq!(status_field(content, "CapEff"), Some("1ff"));
        assert_eq!(status_field(content, "Eff"), None);
        assert_eq!(status_field(content, "Cap"), None, "it is no text");
        assert_eq!(status_field(b"", "CapEff"), None);
    }
}
