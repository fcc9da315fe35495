//! One check's result: what was looked at, how it stands, and what fixes it.

use std::fmt;

/// What the doctor found in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check's name: lower-case words with hyphens.
    pub check: &'static str,
    /// Whether it is as it should be.
    pub outcome: Outcome,
    /// Whether the lab can run without it.
    pub weight: Weight,
    /// What was found, in one sentence without a full stop.
    pub found: String,
    /// The one thing that mends it: a command or a click; only where something is to be mended.
    pub mend: Option<String>,
}

/// Whether something is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It is.
    Ok,
    /// It is not.
    Failed,
    /// It could not be found out.
    Unknown,
}

/// Whether the lab can run without something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// It cannot.
    Required,
    /// It can, and its numbers suffer, or its machine.
    Advised,
}

impl Finding {
    pub(crate) fn ok(check: &'static str, weight: Weight, found: impl Into<String>) -> Finding {
        Finding { check, outcome: Outcome::Ok, weight, found: found.into(), mend: None }
    }

    pub(crate) fn failed(
        check: &'static str,
        weight: Weight,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Finding {
        Finding { check, outcome: Outcome::Failed, weight, found: found.into(), mend: Some(mend.into()) }
    }

    pub(crate) fn unknown(check: &'static str, weight: Weight, found: impl Into<String>) -> Finding {
        Finding { check, outcome: Outcome::Unknown, weight, found: found.into(), mend: None }
    }
}

impl Outcome {
    /// The word at the start of a finding's line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Failed => "failed",
            Outcome::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Finding {
    /// Writes the finding as one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<9}{:<20}{}", self.outcome.name(), self.check, self.found)?;
        match &self.mend {
            Some(mend) => write!(f, "; to mend it: {mend}"),
            None => Ok(()),
        }
    }
}

/// True when the lab cannot run: something required is known to be missing.
#[must_use]
pub fn blocks(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.outcome == Outcome::Failed && finding.weight == Weight::Required)
}

/// What a lab asks of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Client processes.
    pub clients: u32,
    /// Queues of the kernel (fanotify groups, connections to Endpoint Security): one for each client, and one more for
    /// each that is told of what has happened.
    pub queues: u32,
}

/// So many clients, none of which is told of anything.
impl From<u32> for Wanted {
    fn from(clients: u32) -> Wanted {
        Wanted { clients, queues: clients }
    }
}
