use serde::{Deserialize, Serialize};

use crate::ClientId;

/// An indirect worker: a daemon that several clients ask, and that cannot say for whom it acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    /// Its name in this lab; distinct from every client's.
    pub id: ClientId,
}
