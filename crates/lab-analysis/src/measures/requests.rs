//! What clients asked of workers outside themselves, and what became of it.

use crate::{
    findings::Findings,
    measure::{Closing, Measure},
    pass::{facts::Scope, requests::rows},
};

/// What clients asked of workers outside themselves. A request is joined to nothing, so each trace's are counted while it
/// is read ([`crate::pass::merge::Side::requests`]) and put together here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked;

impl Measure for Asked {
    fn of(_: &Scope<'_>) -> Self {
        Asked
    }

    fn finish(&self, closing: &Closing<'_>, findings: &mut Findings) {
        let (roster, show) = (closing.scope.roster, closing.show);
        let of_trace = |trace: usize| {
            let own = show.traces[trace].header.actor.0;
            let requests = show.merge.side(u16::try_from(trace).unwrap_or(u16::MAX)).requests.iter();
            requests.map(move |(&whom, tally)| ((whom != own).then(|| roster.name_of(whom)), tally))
        };
        for (place, client) in findings.clients.iter_mut().enumerate() {
            client.requests = rows(roster.traces_of(place).flat_map(of_trace));
        }
    }
}
