//! `/proc/PID/environ`: the environment that a process was started with.

/// The value of a variable in the content of `/proc/PID/environ`; `None` when it is absent or no text.
#[must_use]
pub fn environment_value<'a>(content: &'a [u8], name: &str) -> Option<&'a str> {
    let mut variables = content.split(|&byte| byte == 0);
    let value = variables.find_map(|one| one.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    std::str::from_utf8(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_found_by_its_whole_name() {
        let content = b"A=1\0LAB=\xff\0LAB_B=two\0LAB_B=three\0=x\0";
        assert_eq!(environment_value(content, "LAB_B"), Some("two"));
        assert_eq!(environment_value(content, "LAB"), None, "it is no text");
        assert_eq!(environment_value(content, "B"), None);
    }
}
