//! What differs between the systems that a lab runs on, where more than one crate has to know.

use lab_model::Kernel;

/// The kernel of this system that asks clients. Elsewhere than on macOS it is fanotify: what such a system lacks is
/// said when a lab wants to run.
pub const KERNEL: Kernel =
    if cfg!(target_os = "macos") { Kernel::EndpointSecurity } else { Kernel::Fanotify };
