//! Findings in, reports out.
//!
//! The same findings as text for a terminal, as JSON for machines and as one self-contained HTML file each.
//! Text and HTML walk one and the same [`page`], so that neither shows a number which the other does not.
//! Pure: nothing is read, no clock, no environment; a report of the same findings is the same bytes.
#![forbid(unsafe_code)]
// What is summed here was read from a file, and a file may say anything: see `lab_model::Bounded`.
#![warn(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails"))]

pub mod export;
pub mod html;
pub mod json;
mod page;
pub mod sweep;
pub mod text;
mod visible;
