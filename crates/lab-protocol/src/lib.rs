//! What the orchestrator and the lab's processes say to each other.
//!
//! A frame is a length of four bytes (little-endian) and that many bytes of JSON. Every order of the
//! orchestrator is answered by exactly one reply, so that nobody has to guess whether it took effect.
//! What a client asks of helpers and daemons is binary, small, and one request at a time on each connection.
//! This crate holds messages and framing over any reader or writer; it opens no socket.
#![forbid(unsafe_code)]

mod errand;
mod frame;
mod message;

pub use errand::{
    Asked, Carried, PATH_BYTES_MAX, Request, receive_asked, receive_reply, send_reply, send_request,
    send_service,
};
pub use frame::{FRAME_BYTES_MAX, FrameError, decode, encode, receive, send};
pub use message::{
    Assignment, ClientAssignment, DaemonAddress, DriverAssignment, HelperReady, HelpersAssignment, Order,
    PhaseOrder, Reply, TraceAssignment, Welcome, WorkerAssignment,
};

/// The version both sides must speak.
pub const PROTOCOL: u32 = 4;
