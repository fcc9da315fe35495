//! A matrix of labs: one lab with some of its settings varied, every combination a cell.
//!
//! Cells are values. Who runs them, on how many threads and on which kernel is the caller's business.

use lab_model::{AuthEvent, Client, Concurrency, Lab, Mute, ReactTo, Span, When};

use crate::{Options, Trials, scenario::strangers::drop_strangers, trials};

/// A setting and the values it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Axis {
    /// How many clients: the first ones, and copies of them in turn beyond.
    Clients(Vec<u16>),
    /// Decisions every client works on at once.
    Concurrency(Vec<u16>),
    /// Files every client opens beside the target, on an open.
    ExtraOpens(Vec<u32>),
    /// Whose events set every client off.
    ReactTo(Vec<ReactTo>),
    /// Whether every client reacts before or after its answer.
    When(Vec<When>),
    /// Threads of every load.
    Workers(Vec<u16>),
    /// The lab's deadline.
    Deadline(Vec<Span>),
}

/// One combination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The settings by name, in the order of the axes, as text.
    pub settings: Vec<(&'static str, String)>,
    /// The lab with these settings.
    pub lab: Lab,
}

impl Axis {
    /// The setting's name, as in a lab file.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Axis::Clients(_) => "clients",
            Axis::Concurrency(_) => "concurrency",
            Axis::ExtraOpens(_) => "extra_opens",
            Axis::ReactTo(_) => "react_to",
            Axis::When(_) => "when",
            Axis::Workers(_) => "workers",
            Axis::Deadline(_) => "deadline",
        }
    }

    /// How many values it takes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Axis::Clients(values) | Axis::Concurrency(values) | Axis::Workers(values) => values.len(),
            Axis::ExtraOpens(values) => values.len(),
            Axis::ReactTo(values) => values.len(),
            Axis::When(values) => values.len(),
            Axis::Deadline(values) => values.len(),
        }
    }

    /// True for an axis without a value, which leaves no cell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives the lab the `place`-th value and says which that is.
    fn set(&self, place: usize, lab: &mut Lab) -> String {
        match self {
            Axis::Clients(values) => {
                set_clients(lab, usize::from(values[place]));
                values[place].to_string()
            }
            Axis::Concurrency(values) => {
                for client in &mut lab.clients {
                    client.behavior.concurrency = Concurrency::new(values[place]);
                }
                values[place].to_string()
            }
            Axis::ExtraOpens(values) => {
                for client in &mut lab.clients {
                    client.behavior.reactions[AuthEvent::Open].extra_opens = values[place];
                }
                values[place].to_string()
            }
            Axis::ReactTo(values) => {
                for client in &mut lab.clients {
                    client.behavior.react_to = values[place];
                }
                word(&values[place])
            }
            Axis::When(values) => {
                for client in &mut lab.clients {
                    client.behavior.reactions[AuthEvent::Open].when = values[place];
                    client.behavior.reactions[AuthEvent::Exec].when = values[place];
                }
                word(&values[place])
            }
            Axis::Workers(values) => {
                for load in &mut lab.workload {
                    load.workers = values[place].max(1);
                }
                values[place].to_string()
            }
            Axis::Deadline(values) => {
                lab.deadline = values[place];
                values[place].to_string()
            }
        }
    }
}

/// A setting's value as a lab file writes it.
fn word(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_value(value).ok();
    text.and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
}

/// All combinations; the last axis varies fastest.
#[must_use]
pub fn cells(lab: &Lab, axes: &[Axis]) -> Vec<Cell> {
    let mut cells = vec![Cell { settings: Vec::new(), lab: lab.clone() }];
    for axis in axes {
        let with = |cell: &Cell, place| {
            let mut cell = cell.clone();
            let value = axis.set(place, &mut cell.lab);
            cell.settings.push((axis.name(), value));
            cell
        };
        cells = cells.iter().flat_map(|cell| (0..axis.len()).map(move |place| with(cell, place))).collect();
    }
    cells
}

/// Runs one cell once for each seed. `options.seed` is not used.
#[must_use]
pub fn run_cell(cell: &Cell, options: &Options, seeds: &[u64]) -> Trials {
    trials(&cell.lab, options, seeds)
}

/// Gives the lab this many clients, at least one.
fn set_clients(lab: &mut Lab, count: usize) {
    let given = lab.clients.len();
    lab.clients.truncate(count.max(1));
    for number in given..count {
        let copied = &lab.clients[number % given];
        let taken = |client: &Client| lab.clients.iter().any(|other| other.id == client.id);
        let copy = (number / given + 1..).map(|copy| copy_of(copied, copy)).find(|copy| !taken(copy));
        lab.clients.extend(copy);
    }
    // Mutes, rules and faults that name a client that has gone name nobody.
    let ids: Vec<String> = lab.clients.iter().map(|client| client.id.to_string()).collect();
    drop_strangers(lab);
    let there = |name: &String| name == Mute::WORKLOAD || ids.contains(name);
    for client in &mut lab.clients {
        client.behavior.mute.processes.retain(there);
        client.behavior.deny.retain(|rule| rule.process.as_ref().is_none_or(there));
    }
}

/// A client like another under a name of its own.
fn copy_of(client: &Client, copy: usize) -> Client {
    // A client ID has at most 32 bytes, all of them ASCII.
    let stem = &client.id.as_str()[..client.id.as_str().len().min(24)];
    let id = format!("{}-{copy}", stem.trim_end_matches('-'));
    let bundle_id = format!("{}-{copy}", client.bundle_id);
    Client {
        id: id.parse().unwrap_or_else(|_| client.id.clone()),
        bundle_id: bundle_id.parse().unwrap_or_else(|_| client.bundle_id.clone()),
        behavior: client.behavior.clone(),
        restart: client.restart,
    }
}
