//! What the orchestrator and the lab's processes say to each other.
//!
//! A frame is a length of four bytes (little-endian) and that many bytes of JSON. Every order of the
//! orchestrator is answered by exactly one reply, so that nobody has to guess whether it took effect.
//! What a client asks of helpers and daemons is binary, small, and one request at a time on each channel. Channels have
//! no name: whoever starts a process hands it the ends of its channels, as descriptors beside an order.
//! This crate holds messages and framing over any reader or writer; it opens no socket.
#![forbid(unsafe_code)]

mod errand;
mod frame;
mod message;

pub use errand::{
    Carried, Incoming, PATH_BYTES_MAX, REPLY_BYTES, REQUEST_BYTES_MAX, Request, receive_reply, reply_bytes,
    send_request,
};
pub use frame::{FRAME_BYTES_MAX, FrameError, decode, encode, receive, send};
pub use message::{
    AskedDaemon, Assignment, ClientAssignment, DriverAssignment, HelperReady, HelpersAssignment, Order,
    PhaseOrder, Reply, TraceAssignment, Welcome, WorkerAssignment,
};

/// The version both sides must speak.
pub const PROTOCOL: u32 = 5;

/// The most channels that one order brings: as many as a daemon works on requests at once.
pub const CHANNELS_PER_ORDER_MAX: usize = lab_model::Daemon::WORKERS_MAX as usize;
/// The most channels that one worker reads.
pub const CHANNELS_MAX: usize = lab_model::Daemon::CHANNELS_MAX;
