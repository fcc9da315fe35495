//! Measures the lab's own cost against the leanest possible responder, side by side in one run.
//!
//! `cargo run --release -p lab-bench` (or `just bench`). Root on Linux only. Everything is pinned to one
//! processor; reference and lab take turns, round by round, so that a machine that gets slower does so for
//! both. Nothing is asserted here: a benchmark reports.
#![forbid(unsafe_code)]

// A program for one system, which compiles everywhere.
#[cfg(target_os = "linux")]
mod hot_path;

fn main() -> anyhow::Result<()> {
    #[cfg(target_os = "linux")]
    return hot_path::main();
    #[cfg(not(target_os = "linux"))]
    anyhow::bail!("the hot path is measured on Linux only");
}
