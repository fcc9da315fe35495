//! Denials that no client of the lab made: which, about what, and why as far as a run tells.

use lab_model::{
    Bounded, Total,
    units::{count, counted},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Denials;

/// Events that the kernel could not hand over to a client, and so denied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KernelDenial {
    /// The client.
    pub client: String,
    /// What its read failed with, such as `EMFILE` (no descriptor left), `ECONNABORTED` (a FUSE daemon is gone), `EAGAIN` (a
    /// lease) or `EACCES`.
    pub error: String,
    /// How many, at least.
    pub operations: u64,
}

/// Operations of one kind that were denied, and not by a client of the lab.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeniedKind {
    /// `open` or `exec`.
    pub kind: String,
    /// The error that they failed with.
    pub error: String,
    /// How many questions about each of them some client had read. An exec has several: the program's exec, its open, and the
    /// opens of its interpreter and libraries; so this tells at which step it was denied.
    pub questions_read: u64,
    /// How many.
    pub operations: u64,
    /// Of so many operations of this kind in storm and drain.
    pub of: u64,
}

/// A file of which operations were denied, and not by a client of the lab.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeniedFile {
    /// Its path.
    pub path: String,
    /// How many were denied.
    pub operations: u64,
    /// Of so many on it in storm and drain.
    pub of: u64,
}

/// How many operations of the lab were under way at once, the one in question among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeniedCrowd {
    /// The fewest.
    pub least: u64,
    /// The most.
    pub most: u64,
}

impl Denials {
    /// Those that the kernel is known to have made itself.
    #[must_use]
    pub fn of_kernel(&self) -> u64 {
        self.by_kernel.iter().map(|denial| denial.operations).total().min(self.operations)
    }

    /// Who denied what, and why, as far as the run tells, a sentence each; none when nobody did.
    #[must_use]
    pub fn reasons(&self, products: &str) -> Vec<String> {
        let mut said = Vec::new();
        for KernelDenial { client, error, operations } in &self.by_kernel {
            let operations = counted(*operations, "operation");
            said.push(format!(
                "The kernel denied at least {operations} itself: it could not hand the event over to {client} ({error})."
            ));
        }
        let by_products = self.operations.saturating_sub(self.of_kernel());
        let Some(waiting) = self.waiting.filter(|_| by_products > 0) else { return said };
        let why = if self.queue_was_full {
            format!(", none while fewer than {} waited: a full queue, not a rule", count(waiting.least))
        } else if !self.files.is_empty() && self.files.iter().all(|file| file.operations == file.of) {
            ", each on a file of which nothing passed: a rule".to_owned()
        } else {
            String::new()
        };
        // What the kernel denied is among them, and nobody can say which.
        let about = if self.of_kernel() == 0 { "" } else { "up to " };
        said.push(format!("{products} denied {about}{}{why}.", self.by_kind().join(" and ")));
        said
    }

    /// How many of all opens and of all execs.
    fn by_kind(&self) -> Vec<String> {
        let mut sums: Vec<(&str, u64, u64)> = Vec::new();
        for kind in &self.kinds {
            match sums.iter_mut().find(|(name, ..)| *name == kind.kind) {
                Some((_, operations, _)) => operations.raise(kind.operations),
                None => sums.push((&kind.kind, kind.operations, kind.of)),
            }
        }
        sums.iter()
            .map(|(kind, operations, of)| format!("{} of {}", count(*operations), counted(*of, kind)))
            .collect()
    }
}
