use serde::{Deserialize, Serialize};

use crate::{ClientId, Span};

/// An indirect worker: a daemon that several clients ask, and that cannot say for whom it acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    /// Its name in this lab; distinct from every client's.
    pub id: ClientId,
}

/// A disturbance at a planned time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFault {
    /// How long into the storm.
    pub at: Span,
}
