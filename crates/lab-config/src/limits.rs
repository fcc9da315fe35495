//! What a lab file may be, what the machine allows, and what is read beside it: all of it comes from the caller.

/// The largest lab file that is read, in bytes.
pub const SOURCE_BYTES_MAX: usize = 1 << 20;

/// What the machine allows; measured by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most clients that one lab can have. On Linux this is `fs.fanotify.max_user_groups`.
    pub clients_max: u16,
}

impl Default for Limits {
    /// The limits of a Linux kernel that nobody has tuned: 128 fanotify groups a user.
    fn default() -> Limits {
        Limits { clients_max: 128 }
    }
}

/// Reads the text of a file that a lab file names, relative to it; or says why it cannot.
pub type Beside<'a> = dyn Fn(&str) -> Result<String, String> + 'a;
