//! What the orchestrator and the lab's processes say to each other.
//!
//! A frame is a length of four bytes (little-endian) and that many bytes of JSON. Every order of the
//! orchestrator is answered by exactly one reply, so that nobody has to guess whether it took effect.
//! This crate holds messages and framing over any reader or writer; it opens no socket.
#![forbid(unsafe_code)]

mod frame;
mod message;

pub use frame::{FRAME_BYTES_MAX, FrameError, decode, encode, receive, send};
pub use message::{
    Assignment, ClientAssignment, DriverAssignment, Order, PhaseOrder, Reply, TraceAssignment, Welcome,
};

/// The version both sides must speak.
pub const PROTOCOL: u32 = 1;
