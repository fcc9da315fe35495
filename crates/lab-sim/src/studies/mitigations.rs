//! Changes that every client of a lab could make, and which of them would change a lab at all.

use lab_model::{Behavior, Cache, Concurrency, Kernel, Lab, Mute, ReactTo, Via, When};

use crate::{Counting, Options, simulate};

/// A change that every client of a lab could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mitigation {
    /// Answers first and reacts afterwards.
    AnswerFirst,
    /// Reads through the descriptor it was handed instead of opening the file again. Not on Endpoint Security,
    /// which hands none over.
    ReadThroughDescriptor,
    /// Answers other clients' events at once.
    PeerCheck,
    /// Mutes the clients about whose operations it is asked.
    PeerMute,
    /// Mutes its own helpers.
    HelperMute,
    /// Lets the kernel keep its answers.
    Cache,
    /// Works on four times as many decisions at once.
    MoreConcurrency,
    /// Answers at 80 % of the deadline, finished or not.
    AutoAnswer,
}

impl Mitigation {
    /// All of them, in the order of reports.
    pub const ALL: [Mitigation; 8] = [
        Mitigation::AnswerFirst,
        Mitigation::ReadThroughDescriptor,
        Mitigation::PeerCheck,
        Mitigation::PeerMute,
        Mitigation::HelperMute,
        Mitigation::Cache,
        Mitigation::MoreConcurrency,
        Mitigation::AutoAnswer,
    ];

    /// The change in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Mitigation::AnswerFirst => "answer first",
            Mitigation::ReadThroughDescriptor => "read through the descriptor",
            Mitigation::PeerCheck => "peer check",
            Mitigation::PeerMute => "mute set",
            Mitigation::HelperMute => "helper mute",
            Mitigation::Cache => "cache",
            Mitigation::MoreConcurrency => "more concurrency",
            Mitigation::AutoAnswer => "auto-answer",
        }
    }

    /// What it blinds a client to.
    #[must_use]
    pub const fn blind_spot(self) -> &'static str {
        match self {
            Mitigation::AnswerFirst => {
                "a file is used before it was looked at; nothing can be denied on what is found"
            }
            Mitigation::ReadThroughDescriptor => {
                "none: the same content is read, and no other client sees it being read"
            }
            Mitigation::PeerCheck => {
                "whatever a client does on behalf of somebody else, or once it is taken over"
            }
            Mitigation::PeerMute => {
                "whatever the muted clients do, for whomever they do it; a new client is not in the list"
            }
            Mitigation::HelperMute => "whatever a helper is made to do, by whomever",
            Mitigation::Cache => {
                "who opens a file that was allowed once, and what for, until it is written to"
            }
            Mitigation::MoreConcurrency => "none; costs threads",
            Mitigation::AutoAnswer => "whatever takes longer than the budget is allowed unseen",
        }
    }

    /// True where it lets something pass that a client looked at before.
    #[must_use]
    pub const fn has_blind_spot(self) -> bool {
        !matches!(self, Mitigation::ReadThroughDescriptor | Mitigation::MoreConcurrency)
    }

    /// True on a kernel that has what it needs.
    #[must_use]
    pub const fn is_there(self, kernel: Kernel) -> bool {
        !matches!(self, Mitigation::ReadThroughDescriptor) || kernel.hands_descriptors_over()
    }

    /// The lab with this change in every client.
    #[must_use]
    pub fn apply(self, lab: &Lab) -> Lab {
        let mut lab = lab.clone();
        for client in &mut lab.clients {
            self.change(&mut client.behavior);
        }
        lab
    }

    /// The same with the mutes that go with the lab.
    pub(crate) fn apply_with(self, lab: &Lab, mutes: &[Mute]) -> Lab {
        let mut lab = self.apply(lab);
        if self == Mitigation::PeerMute {
            for (client, mute) in lab.clients.iter_mut().zip(mutes) {
                client.behavior.mute = mute.clone();
            }
        }
        lab
    }

    fn change(self, behavior: &mut Behavior) {
        match self {
            Mitigation::AnswerFirst => {
                // A client without a reaction has nothing to put off.
                for (_, reaction) in behavior.reactions.iter_mut() {
                    if !reaction.is_none() {
                        reaction.when = When::After;
                    }
                }
            }
            Mitigation::ReadThroughDescriptor => {
                for reaction in behavior.all_reactions_mut() {
                    if std::mem::take(&mut reaction.reopen) {
                        reaction.via = Via::Descriptor;
                    }
                }
            }
            Mitigation::PeerCheck => {
                behavior.react_to = match behavior.react_to {
                    ReactTo::Peers | ReactTo::Workload => ReactTo::Workload,
                    ReactTo::All | ReactTo::Own => ReactTo::Own,
                };
            }
            // Whom to mute depends on the lab.
            Mitigation::PeerMute => {}
            Mitigation::HelperMute => behavior.mute.helpers |= behavior.helpers.is_some(),
            Mitigation::Cache => behavior.cache = Cache::On,
            Mitigation::MoreConcurrency => {
                behavior.concurrency = Concurrency::new(behavior.concurrency.get().saturating_mul(4));
            }
            Mitigation::AutoAnswer => {
                behavior.answer_by_percent = Some(behavior.answer_by_percent.map_or(80, |at| at.min(80)));
            }
        }
    }
}

/// A lab and what its clients could mute: what mitigations are applied to.
#[derive(Debug)]
pub(crate) struct Mended<'a> {
    lab: &'a Lab,
    kernel: Kernel,
    /// For each client what it could mute.
    pub(crate) mutes: Vec<Mute>,
    /// For each client its decisions, and those of them that the mutes would answer without a look.
    pub(crate) muted: Vec<(u64, u64)>,
}

impl<'a> Mended<'a> {
    /// Looks in one run of the lab as it is for whom its clients could mute.
    pub(crate) fn of(lab: &'a Lab, options: &Options, seed: u64) -> Mended<'a> {
        let (mutes, muted) = mute_set(lab, options, seed);
        Mended { lab, kernel: options.kernel, mutes, muted }
    }

    /// The lab with some mitigations.
    pub(crate) fn with(&self, with: &[Mitigation]) -> Lab {
        with.iter().fold(self.lab.clone(), |lab, mitigation| mitigation.apply_with(&lab, &self.mutes))
    }

    /// The mitigations that this kernel has and that change something here.
    pub(crate) fn useful(&self) -> Vec<Mitigation> {
        let there = |mitigation: &Mitigation| {
            mitigation.is_there(self.kernel) && self.with(&[*mitigation]) != *self.lab
        };
        Mitigation::ALL.into_iter().filter(there).collect()
    }
}

/// Whom each client could mute, from one run of the lab as it is, and what that takes away.
fn mute_set(lab: &Lab, options: &Options, seed: u64) -> (Vec<Mute>, Vec<(u64, u64)>) {
    let seen = simulate(lab, &Options { seed, ..*options }, &mut Counting::default()).seen;
    let of_client = |(place, client): (usize, &lab_model::Client)| {
        let row: &[u64] = seen.get(place).map_or(&[], Vec::as_slice);
        let mut peers: Vec<(u64, usize)> =
            (0..lab.clients.len()).filter(|&peer| peer != place).map(|peer| (row[peer], peer)).collect();
        peers.retain(|(asked, _)| *asked > 0);
        peers.sort_by_key(|(asked, peer)| (std::cmp::Reverse(*asked), *peer));
        let mut mute = client.behavior.mute.clone();
        mute.helpers |= client.behavior.helpers.is_some();
        for (_, peer) in &peers {
            let name = lab.clients[*peer].id.to_string();
            if !mute.processes.contains(&name) {
                mute.processes.push(name);
            }
        }
        (mute, (row.iter().sum(), peers.iter().map(|(asked, _)| asked).sum()))
    };
    lab.clients.iter().enumerate().map(of_client).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_blind_spot_says_none() {
        for mitigation in Mitigation::ALL {
            let none = mitigation.blind_spot().starts_with("none");
            assert_eq!(none, !mitigation.has_blind_spot(), "{}", mitigation.name());
        }
    }
}
