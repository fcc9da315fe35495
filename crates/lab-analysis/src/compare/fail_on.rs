//! When a comparison fails a pipeline: which changes count, and what it comes to.

use std::{fmt, str::FromStr};

use super::{Change, Comparison, NumberChange};
use crate::findings::RunWord;

/// A change that fails a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailOn {
    /// Any number that became worse.
    Worse,
    /// Any number that became another, for better or worse.
    Any,
    /// This number, when it became worse.
    Number(String),
}

impl FromStr for FailOn {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<FailOn, Self::Err> {
        Ok(match text {
            "worse" => FailOn::Worse,
            "any" => FailOn::Any,
            number => FailOn::Number(number.to_owned()),
        })
    }
}

impl fmt::Display for FailOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FailOn::Worse => "worse",
            FailOn::Any => "any",
            FailOn::Number(name) => name,
        })
    }
}

/// What a comparison comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Nothing that counts has changed.
    Passed,
    /// These numbers have changed so that it counts.
    Failed(Vec<String>),
    /// It cannot be told, for these reasons.
    Unknown(Vec<String>),
}

impl FailOn {
    fn concerns(&self, number: &NumberChange) -> bool {
        match self {
            FailOn::Worse | FailOn::Any => true,
            FailOn::Number(name) => *name == number.name,
        }
    }

    fn fails(&self, number: &NumberChange) -> bool {
        match self {
            FailOn::Any => matches!(number.change, Change::Higher | Change::Lower),
            FailOn::Worse | FailOn::Number(_) => number.is_worse(),
        }
    }
}

impl Comparison {
    /// What the comparison comes to where these changes count. A number that no run knows has not changed; one that some
    /// know leaves it open, and so does a run that was not whole.
    #[must_use]
    pub fn gate(&self, fail_on: &[FailOn]) -> Gate {
        let concerned = |number: &&NumberChange| fail_on.iter().any(|one| one.concerns(number));
        let failed: Vec<String> = self
            .numbers
            .iter()
            .filter(|number| fail_on.iter().any(|one| one.concerns(number) && one.fails(number)))
            .map(|number| number.name.clone())
            .collect();
        if !failed.is_empty() {
            return Gate::Failed(failed);
        }
        let mut reasons: Vec<String> = Vec::new();
        for (run, word) in self.not_whole.iter().filter(|(_, word)| leaves_open(*word)) {
            reasons.push(format!("{run} is {}", word.name()));
        }
        let open = self.numbers.iter().filter(concerned).filter(|number| {
            let is_known = number.known != [0, 0] || fail_on.contains(&FailOn::Number(number.name.clone()));
            number.change == Change::Unknown && is_known
        });
        let open: Vec<&str> = open.map(|number| number.name.as_str()).collect();
        match (open.as_slice(), self.enough) {
            ([], _) => {}
            (_, false) => reasons.push(self.too_few()),
            (open, true) if !self.machine.is_empty() => {
                reasons.push(format!(
                    "the machine was busier with other things on one side: {}",
                    open.join(", ")
                ));
            }
            (open, true) => {
                reasons.push(format!("not all runs know: {}", open.join(", ")));
            }
        }
        if reasons.is_empty() { Gate::Passed } else { Gate::Unknown(reasons) }
    }

    /// Why these runs cannot tell a change from chance.
    #[must_use]
    pub fn too_few(&self) -> String {
        let [before, after] = self.runs;
        format!("{before} against {after} cannot tell a change from chance, from 4 runs a side on they can")
    }
}

/// True where what is known of a run is not that of a whole one.
const fn leaves_open(word: RunWord) -> bool {
    !matches!(word, RunWord::Whole | RunWord::Disturbed)
}
