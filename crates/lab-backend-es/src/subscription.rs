//! What a connection is subscribed to, and what its refusals are called.

use lab_model::EventKind;

use crate::{MessageHandler, Observer, Responder, StepFailed};

/// `ENOTCONN` as macOS numbers it.
pub(crate) const NOT_CONNECTED: u32 = 57;
/// `EIO`: the framework says no more than that it refused.
const REFUSED: u32 = 5;

/// A refusal as an error number.
pub(crate) fn refused(result: Result<(), StepFailed>) -> Result<(), u32> {
    result.map_err(|_| REFUSED)
}

/// Changes what a connection is subscribed to. What is new comes first: for a moment too much is seen, never too little.
pub(crate) fn resubscribe<R: Responder, O: Observer>(
    handler: &MessageHandler<R, O>,
    before: &[EventKind],
    after: &[EventKind],
) -> Result<(), u32> {
    let only = |of: &[EventKind], not: &[EventKind]| -> Vec<EventKind> {
        of.iter().filter(|kind| !not.contains(kind)).copied().collect()
    };
    let (new, gone) = (only(after, before), only(before, after));
    if new.is_empty() && gone.is_empty() {
        return Ok(());
    }
    let changed = handler.with(|responder| {
        if !new.is_empty() {
            responder.subscribe(&new)?;
        }
        if gone.is_empty() { Ok(()) } else { responder.unsubscribe(&gone) }
    });
    changed.ok_or(NOT_CONNECTED).and_then(refused)
}
