//! What a run needs beside its lab, and whose rules the simulated kernel follows.

use lab_model::{Kernel, Lab};

use crate::{calibration::costs::Costs, kernel::hiding::EsCache};

/// What a run needs beside its lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whose rules.
    pub kernel: Kernel,
    /// What things cost.
    pub costs: Costs,
    /// The seed of everything that is drawn; a lab has one of its own.
    pub seed: u64,
    /// The run ends after this many decisions; the summary then says so.
    pub decisions_max: u64,
    /// Whom a kept answer serves. Endpoint Security only: on fanotify it serves the client that had it kept.
    pub es_cache: EsCache,
}

impl Options {
    /// The lab's own seed on the default machine, without a limit.
    #[must_use]
    pub fn new(lab: &Lab, kernel: Kernel) -> Options {
        let (costs, es_cache) = (Costs::default(), EsCache::default());
        Options { kernel, costs, seed: lab.seed, decisions_max: u64::MAX, es_cache }
    }
}
