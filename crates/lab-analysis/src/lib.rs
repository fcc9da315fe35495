//! Traces in, findings out.
//!
//! Streams the traces of one run and says what the clients did to each other. Memory is bounded by what is
//! open at one time, not by what was recorded. Pure: bytes come in as arguments, nothing is read or written.
#![forbid(unsafe_code)]

pub mod findings;
