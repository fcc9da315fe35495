//! Files as a tool of root treats them: reached by descriptor, read within a limit, and taken only from where nobody
//! else may write.
//!
//! The rules are those of OpenSSH's `StrictModes`, of sudo and of git's `safe.directory`. [`Trusted`] says who may have
//! prepared what this process is to use; [`Folder`] is a folder that was checked on its whole way and is held open, so
//! that nothing below it can be exchanged between the check and the use.
#![forbid(unsafe_code)]

mod beneath;
mod folder;
mod pass;
mod read;
mod trusted;
mod walk;

pub use beneath::read_beneath;
pub use folder::{Entry, Facts, Folder, Kind};
pub use pass::{PassError, receive, sealed};
pub use read::{ReadError, is_own_lack, open_regular, read, read_file, read_if_any};
pub use trusted::{Distrust, Trusted, mask_modes};
