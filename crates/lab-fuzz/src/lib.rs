//! What every decoder of the lab holds for any bytes at all.
//!
//! Each target is a function of bytes that ends without a panic whatever they are. Two programs call them: the
//! fuzz targets in `fuzz/`, which need a nightly toolchain, and this crate's test `replay`, which gives every
//! target its corpus and every input that once broke it, with the toolchain of the lab.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a target that cannot go on has found something")]

mod trace;

pub use trace::trace;

/// A target: the name of its corpus, its regressions and its fuzz program, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, in the order of their names.
pub const TARGETS: &[Target] = &[("trace", trace)];
