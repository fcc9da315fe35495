//! How an event is called between the backend and the client.

use crate::places::Seat;

/// The most events handed over as one batch.
pub(crate) const BATCH_MAX: usize = 1_024;

/// Stands for one pending answer, or for something that the client was told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub(crate) Stub);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stub {
    Question(Seat),
    Notice(Seat),
}
