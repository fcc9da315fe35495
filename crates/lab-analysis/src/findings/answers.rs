//! What a run comes to, as the answers to an engineer's five questions: was a deadline missed, how close was it, who made
//! the events, who waited for whom, and what to change.
//!
//! They are derived from the rest of the findings each time, so that neither a page nor `report.json` can say another thing
//! than its tables. What the run cannot tell is `null`.

use lab_model::{Total, units::ratio};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Advice, Client, ColumnKind, DeliveryOrder, Findings, HeadroomFigure, Judgement, Latency, Outcome,
    Outside, RunWord, TriedMitigation, Weight,
};

/// The answers of a run, in the order of the questions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answers {
    /// Whether the run was whole, how its storm ended up, and what became of the expectations.
    pub run: RunAnswer,
    /// Whether a deadline was missed; `null` when no decision was answered and none was missed.
    pub missed: Option<Missed>,
    /// How close it was; `null` when nothing was asked, or it is not known.
    pub closest: Option<Closest>,
    /// Who made the events that clients had to decide on, in storm and drain; `null` when there was none.
    pub events: Option<Events>,
    /// Who waited for whom, in storm and drain; `null` without a client.
    pub waiting: Option<Waiting>,
    /// The change of settings that helped most when it was tried; else what the weightiest finding that has an advice says to
    /// do; `null` where there is neither.
    pub change: Option<String>,
}

/// The state of the run beside its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunAnswer {
    /// What it comes to.
    pub judgement: Judgement,
    /// Whether it was whole.
    pub state: RunWord,
    /// How the storm ended up.
    pub outcome: Outcome,
    /// All expectations.
    pub expectations: usize,
    /// Those that failed.
    pub failed: usize,
    /// Those that the run cannot judge.
    pub open: usize,
}

/// Deadlines that were missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Missed {
    /// All of them.
    pub deadlines: u64,
    /// Who missed how many, products beside the clients among them, the most first; their sum is `deadlines`.
    pub by: Vec<(String, u64)>,
    /// Further misses that cannot be ruled out, because nobody watched.
    pub possible: u64,
    /// Decisions that were read and never answered, missed or not.
    pub unanswered: u64,
}

/// The lowest headroom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Closest {
    /// Whose it was.
    pub client: String,
    /// The share of the deadline that was left.
    pub headroom: f64,
    /// No more than that was left: it is of a decision that was never answered.
    #[serde(default)]
    pub at_most: bool,
}

/// Who made the events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Events {
    /// Decisions about each participant's operations: name and count, the most first, as in the cause matrix. Names without
    /// a decision are left out.
    pub by: Vec<(String, u64)>,
    /// All decisions: the sum of `by`.
    pub decisions: u64,
    /// Those about operations of clients, their helpers and daemons.
    pub by_clients: u64,
}

/// Who waited for whom.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Waiting {
    /// Clients of the lab.
    pub clients: usize,
    /// Who waited in its own operations for whose answers, and for how many nanoseconds, the longest first. At most 16.
    pub pairs: Vec<(String, String, u64)>,
    /// All that time, in nanoseconds.
    pub waited_ns: u64,
    /// The time that all clients' decisions took from read to answer, in nanoseconds.
    pub deciding_ns: u64,
    /// `waited_ns` as a share of `deciding_ns`, 0 to 1; `null` where it is no part of it or may count twice, because clients
    /// waited on after their own answers, or for several others at once.
    pub share: Option<f64>,
}

/// The most pairs that are kept.
const PAIRS_MAX: usize = 16;

impl Findings {
    /// What the run comes to.
    #[must_use]
    pub fn answers(&self) -> Answers {
        let expectations = |held| self.expectations.iter().filter(|one| one.held == held).count();
        Answers {
            run: RunAnswer {
                judgement: self.judgement(),
                state: self.state.word,
                outcome: self.outcome,
                expectations: self.expectations.len(),
                failed: expectations(Some(false)),
                open: expectations(None),
            },
            missed: self.missed(),
            closest: self.closest(),
            events: self.events(),
            waiting: self.waiting(),
            change: self.change(),
        }
    }

    /// The change that helped, unless its trial did not show what went wrong here.
    #[must_use]
    pub fn helped(&self) -> Option<(&Advice, &TriedMitigation)> {
        let advice = self.advice.as_ref()?;
        let best = advice.helps.first()?;
        let missed: u64 = self.clients.iter().map(|client| client.deadline_misses).total();
        let alike = advice.outcome == self.outcome && (advice.missed > 0.0) == (missed > 0);
        let bad =
            self.findings.iter().any(|finding| finding.weight == Weight::Bad && finding.advice.is_some());
        (alike || !bad).then_some((advice, best))
    }

    fn change(&self) -> Option<String> {
        if let Some((advice, _)) = self.helped() {
            return Some(advice.sentence());
        }
        let said = self.findings.iter().find_map(|finding| finding.advice.clone());
        said.or_else(|| self.advice.as_ref().map(Advice::sentence))
    }

    fn missed(&self) -> Option<Missed> {
        let sum = |of: fn(&Client) -> u64| self.clients.iter().map(of).total();
        let of_products = self.outside.as_ref().map(Outside::missed_by).unwrap_or_default();
        let by_products = of_products.iter().map(|(_, misses)| *misses).total();
        let deadlines = sum(|client| client.deadline_misses).saturating_add(by_products);
        let possible = sum(|client| client.deadline_misses_possible);
        let unanswered = sum(|client| client.unanswered);
        let any_answer = self.clients.iter().any(|client| client.decisions > client.unanswered);
        if deadlines == 0 && possible == 0 && !any_answer {
            return None;
        }
        let mut by: Vec<(String, u64)> = self
            .clients
            .iter()
            .filter(|client| client.deadline_misses > 0)
            .map(|client| (client.id.clone(), client.deadline_misses))
            .chain(of_products)
            .collect();
        by.sort_by_key(|(_, misses)| std::cmp::Reverse(*misses));
        Some(Missed { deadlines, by, possible, unanswered })
    }

    fn closest(&self) -> Option<Closest> {
        let lowest = |client: &Client| {
            let headroom = client.headroom.min.filter(|least| least.is_finite())?;
            let at_most = client.headroom.is_at_most(HeadroomFigure::Min);
            Some(Closest { client: client.id.clone(), headroom, at_most })
        };
        // Whoever has taken an event that the kernel cannot hand over has not begun to decide, and holds it up all the same.
        let handed_over = self.long_waits.iter().filter(|wait| wait.hand_over && self.deadline_ns > 0);
        let handed_over = handed_over.filter(|wait| self.clients.iter().any(|client| client.id == wait.who));
        let held = handed_over.map(|wait| Closest {
            client: wait.who.clone(),
            headroom: (1.0 - ratio(wait.lasted_ns, self.deadline_ns)).max(0.0),
            at_most: true,
        });
        let all = self.clients.iter().filter_map(lowest).chain(held);
        all.min_by(|one, other| one.headroom.total_cmp(&other.headroom))
    }

    fn events(&self) -> Option<Events> {
        let causes = &self.causes;
        let of =
            |place: usize| causes.decisions.iter().map(|row| row.get(place).copied().unwrap_or(0)).total();
        let columns = || causes.columns.iter().enumerate().map(|(place, column)| (column, of(place)));
        let mut by: Vec<(String, u64)> = columns()
            .filter(|(_, decisions)| *decisions > 0)
            .map(|(column, decisions)| (column.name.clone(), decisions))
            .collect();
        by.sort_by_key(|(_, decisions)| std::cmp::Reverse(*decisions));
        let decisions = by.iter().map(|(_, decisions)| *decisions).total();
        let by_clients = columns()
            .filter(|(column, _)| {
                matches!(column.kind, ColumnKind::Client | ColumnKind::Helper | ColumnKind::Daemon)
            })
            .map(|(_, decisions)| decisions)
            .total();
        (decisions > 0).then_some(Events { by, decisions, by_clients })
    }

    fn waiting(&self) -> Option<Waiting> {
        if self.clients.is_empty() {
            return None;
        }
        let waits = self.clients.iter().flat_map(|client| {
            let peers = client.peers.iter().filter(|peer| peer.waited_ns > 0);
            peers.map(|peer| (client.id.clone(), peer.client.clone(), peer.waited_ns))
        });
        let mut pairs: Vec<(String, String, u64)> = waits.collect();
        pairs.sort_by_key(|(.., waited)| std::cmp::Reverse(*waited));
        let waited_ns = pairs.iter().map(|(.., waited)| *waited).total();
        pairs.truncate(PAIRS_MAX);
        let sum = |of: fn(&Client) -> &Latency| self.clients.iter().map(of).map(Latency::total).total();
        let deciding_ns = sum(|client| &client.latency_ns);
        let one_by_one = self.clients.len() <= 2 || self.rules.delivery == Some(DeliveryOrder::Serial);
        let before_answers = waited_ns <= sum(|client| &client.blocked_ns).min(deciding_ns);
        let share = (one_by_one && before_answers && deciding_ns > 0).then(|| ratio(waited_ns, deciding_ns));
        Some(Waiting { clients: self.clients.len(), pairs, waited_ns, deciding_ns, share })
    }
}
