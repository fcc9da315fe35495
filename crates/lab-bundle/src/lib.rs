//! Makes N bundles out of one executable, and checks what was made.
//!
//! Each client of a lab becomes `ID.app/Contents/{Info.plist,MacOS/ID}` with its own bundle ID and its own
//! copy of the executable: the same on Linux and on macOS, so that what is tested here is what a Mac runs.
//! This crate must not know what a client does, start one, or read a clock.
#![forbid(unsafe_code)]

mod architecture;
mod error;
mod package;
mod seal;
pub mod signature;
mod template;
mod verify;

pub use architecture::{Architecture, Container, Machine};
pub use error::{BundleError, TemplateError};
pub use package::{Bundle, package};
pub use seal::{ENTITLEMENT, ENTITLEMENTS, sign_ad_hoc, verify_signatures};
pub use template::{DaemonIdentity, Template};
pub use verify::{Check, Subject, verify};
