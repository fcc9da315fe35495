//! The real kernel's rules, where there is that kernel; elsewhere there is nothing to test.

#[cfg(target_os = "linux")]
mod kernel;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    kernel::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {}
