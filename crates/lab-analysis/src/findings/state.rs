//! Whether a run was whole, and what it comes to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Findings, Outcome, words::words};

words! {
    /// Whether what is known of a run is that of a whole run: the word that leads headlines when it is not. In the order
    /// of precedence.
    RunWord {
        /// The lab still ran while its traces were read.
        Running = "still running",
        /// The user interrupted it.
        Interrupted = "interrupted",
        /// It ended before its last phase had: it took too long, an expectation ended it, or its controller died.
        CutShort = "cut short",
        /// Traces, or parts of them, are missing.
        Incomplete = "incomplete",
        /// Nothing is missing, but something outside the lab disturbed it.
        Disturbed = "disturbed",
        /// Nothing is missing.
        Whole = "whole",
    }
}

/// One reason why a run is not whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateReason {
    /// What it makes of the run.
    pub word: RunWord,
    /// The reason in one sentence.
    pub text: String,
}

/// Whether a run was whole. It is decided once, when the traces are read; headlines, exit codes and expectations ask
/// here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunState {
    /// The first of the reasons' words, or `whole` when there is none.
    pub word: RunWord,
    /// Why it is not whole, or what disturbed it, in the order of the words.
    pub reasons: Vec<StateReason>,
    /// Why it was simulated although its lab would have run live; `null` when that was asked for, and of live runs.
    #[serde(default)]
    pub simulated_because: Option<String>,
}

impl RunState {
    /// The state with these reasons, in any order.
    #[must_use]
    pub fn of(mut reasons: Vec<StateReason>) -> RunState {
        reasons.sort_by_key(|reason| reason.word);
        let word = reasons.first().map_or(RunWord::Whole, |reason| reason.word);
        RunState { word, reasons, simulated_because: None }
    }

    /// True when nothing is missing; whether something disturbed the run or not.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        matches!(self.word, RunWord::Whole | RunWord::Disturbed)
    }
}

impl Default for RunState {
    fn default() -> RunState {
        RunState::of(Vec::new())
    }
}

words! {
    /// What a run comes to: its exit code, and the colour of its headline.
    Judgement {
        /// Whole, with a known outcome, and all that was expected held.
        Good = "good",
        /// It cannot be told.
        Unknown = "unknown",
        /// Something that was expected did not hold.
        Failed = "failed",
    }
}

impl Findings {
    /// What the run comes to. A run that still goes on has come to nothing yet.
    #[must_use]
    pub fn judgement(&self) -> Judgement {
        let open = self.expectations.iter().any(|expectation| expectation.held.is_none());
        if self.state.word == RunWord::Running {
            Judgement::Unknown
        } else if self.expectations.iter().any(|expectation| expectation.held == Some(false)) {
            Judgement::Failed
        } else if open || !self.state.is_whole() || self.outcome == Outcome::Unknown {
            Judgement::Unknown
        } else {
            Judgement::Good
        }
    }

    /// The same findings of a lab that still ran while its traces were read.
    #[must_use]
    pub fn while_running(mut self) -> Findings {
        self.still_running = true;
        let text = "The lab still runs, and this is what it had recorded when it was looked at.".to_owned();
        // What is not there yet is not missing.
        self.state = RunState::of(vec![StateReason { word: RunWord::Running, text }]);
        self
    }
}
