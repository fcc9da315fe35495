//! What happens to a lab while it is controlled.

use lab_bundle::Death;
use lab_model::Actor;
use lab_protocol::Reply;

/// Something that has happened. The event loop takes all of it in, in order.
#[derive(Debug)]
pub(super) enum Event {
    /// A process replied.
    Reply(Actor, Reply),
    /// A process ended with this wait status.
    Ended(Actor, i32),
    /// The system has said why a process was ended, or never will.
    Explained(Actor, Option<Death>),
    /// The user wants it to end.
    Interrupted,
    /// An expectation that ends the run no longer holds.
    Aborted,
}
