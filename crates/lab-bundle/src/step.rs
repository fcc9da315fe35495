//! What signing and installing do, as values that can be shown before they are done.

use std::{fmt, path::PathBuf};

/// One thing that signing or installing does, as a value: planned anywhere, shown in a dry run, done on a Mac.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Starts one of the system's tools and waits for its end.
    Run(ToolCall),
    /// Makes a folder, and those above it, if absent.
    MakeFolder(PathBuf),
    /// Copies a file, or a folder with all that is in it, in place of what is there.
    Copy {
        /// What.
        from: PathBuf,
        /// The new name, not the folder above it.
        to: PathBuf,
    },
    /// Writes a file in place of what is there, readable by all and writable by its owner.
    Write {
        /// Where.
        path: PathBuf,
        /// What.
        bytes: Vec<u8>,
    },
    /// Removes a file, or a folder with all that is in it; nothing happens when it is absent.
    Remove(PathBuf),
}

/// A command line of one of the system's tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// Absolute path of the tool, so that nobody's `PATH` decides what runs as root.
    pub program: &'static str,
    /// Its arguments; no shell reads them.
    pub arguments: Vec<String>,
    /// Exit codes besides 0 that mean the goal is reached, such as a job that is already gone.
    pub also_fine: &'static [i32],
}

impl ToolCall {
    pub(crate) fn new(
        program: &'static str,
        arguments: impl IntoIterator<Item = impl Into<String>>,
    ) -> ToolCall {
        ToolCall { program, arguments: arguments.into_iter().map(Into::into).collect(), also_fine: &[] }
    }

    pub(crate) fn also_fine(self, codes: &'static [i32]) -> ToolCall {
        ToolCall { also_fine: codes, ..self }
    }
}

impl fmt::Display for ToolCall {
    /// Writes the line that does the same in a shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program)?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {}", quoted(argument)))?;
        if !self.also_fine.is_empty() {
            let codes: Vec<_> = self.also_fine.iter().map(ToString::to_string).collect();
            write!(f, "  # {} is fine too", codes.join(" or "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    /// Writes the line that does the same in a shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |path: &PathBuf| quoted(&path.to_string_lossy());
        match self {
            Step::Run(call) => write!(f, "{call}"),
            Step::MakeFolder(folder) => write!(f, "/bin/mkdir -p {}", path(folder)),
            Step::Copy { from, to } => {
                write!(f, "/bin/rm -rf {1} && /bin/cp -R {0} {1}", path(from), path(to))
            }
            Step::Write { path: to, bytes } => {
                write!(f, "/usr/bin/install -m 0644 /dev/stdin {}  # {} bytes", path(to), bytes.len())
            }
            Step::Remove(what) => write!(f, "/bin/rm -rf {}", path(what)),
        }
    }
}

/// The argument as a shell reads it back: bare when no character of it means anything to a shell.
#[must_use]
pub fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_prints_lines_for_a_shell() {
        let call = ToolCall::new("/bin/launchctl", ["bootout", "system/a.b"]).also_fine(&[3, 113]);
        assert_eq!(call.to_string(), "/bin/launchctl bootout system/a.b  # 3 or 113 is fine too");
        let call = ToolCall::new("/usr/bin/codesign", ["--sign", "Developer ID: O'Neil (A)", ""]);
        assert_eq!(call.to_string(), r"/usr/bin/codesign --sign 'Developer ID: O'\''Neil (A)' ''");
        let copy = Step::Copy { from: "/a b".into(), to: "/c".into() };
        assert_eq!(copy.to_string(), "/bin/rm -rf /c && /bin/cp -R '/a b' /c");
        assert_eq!(Step::Remove("/a$b".into()).to_string(), "/bin/rm -rf '/a$b'");
    }
}
