//! What comes out of a group's descriptor: how much at once, and how an event is called.

use std::os::fd::RawFd;

use crate::{event::EVENT_BYTES, sys::ANSWERS_MAX};

/// Bytes of one read: as many events as one `writev` can answer.
pub(crate) const READ_BYTES: usize = ANSWERS_MAX * EVENT_BYTES;

/// The descriptor that came with an event: stands for the pending answer, and is the file itself. Negative for a notice of
/// a name, which comes without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventFd(pub(crate) RawFd);
