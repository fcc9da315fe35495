//! Processes that ended before the run did.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The end of a client, a helper, a daemon or a product while the run still went on, which neither the lab file's faults
/// nor a client's missed deadline (that counts as a miss) account for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnplannedEnd {
    /// Whose.
    pub name: String,
    /// When, in nanoseconds from the run's origin.
    pub at_ns: u64,
    /// How: `clean`, `exit 3`, `killed (signal 9)`, `deadline kill` of a product.
    pub end: String,
}
