//! Files as a tool of root treats them: reached by descriptor, read within a limit.
#![forbid(unsafe_code)]

mod read;

pub use read::{ReadError, open_regular, read};
