//! What the warden makes of a lab that stands still while it runs: who everybody is, handed to the judgement that
//! [`lab_analysis::live`] makes of it.

use std::collections::BTreeMap;

use lab_analysis::live::{Group, Moment, Standing, Standstill, judge};
use lab_model::{Lab, Span, Ticks};
use lab_process::clock;
use lab_waits::WaitReport;

use super::{
    actors::daemon_actors,
    faults::Faults,
    process::LabProcess,
    processes::Processes,
    warden::{ClientStatus, Roster, Warden},
};

/// What has waited for less is not asked after.
const WAITING: Span = Span::from_millis(100);

/// Why the lab stands still, as far as looks at it agree.
#[derive(Debug, Default)]
pub(super) struct StandstillWatch {
    /// Why it stands still now, as two looks agree.
    current: Option<Standstill>,
    /// What the last look has seen.
    suspected: Option<String>,
}

/// What is lent for a look at who waits for whom.
pub(super) struct Scene<'a> {
    pub(super) lab: &'a Lab,
    pub(super) processes: &'a Processes,
    pub(super) faults: &'a Faults,
    pub(super) warden: &'a Warden,
}

impl StandstillWatch {
    /// Looks who waits for whom. Two looks in a row must agree before anything is said: a thread that has answered may
    /// not have come to say so.
    ///
    /// What was `seen` of all threads counts where the clients alone are in no circle.
    pub(super) fn look(&mut self, scene: &Scene<'_>, now: Ticks, waits: bool, seen: Option<&WaitReport>) {
        let judged = if waits { judge(&scene.moment(now, waiting_ticks())) } else { None };
        let key = judged.as_ref().map(Standstill::key);
        let among_clients = matches!(judged, Some(Standstill::Deadlock { .. }));
        self.current = judged.filter(|_| key == self.suspected);
        self.suspected = key;
        if !among_clients
            && let Some(circle) = seen.and_then(|seen| seen.circles.iter().find(|circle| circle.sure))
        {
            self.current = Some(Standstill::Circle {
                members: circle.processes().into_iter().map(|process| process.name.clone()).collect(),
                sentence: circle.sentence.clone(),
                lasts: Span::from_millis(circle.lasted_ms),
            });
        }
    }

    /// Why the lab stands still now.
    pub(super) const fn current(&self) -> Option<&Standstill> {
        self.current.as_ref()
    }
}

/// From how many ticks on a wait is asked after.
fn waiting_ticks() -> u64 {
    clock::timebase().ticks(WAITING.nanos())
}

impl Scene<'_> {
    /// True when something has been waiting for a while, or seems to.
    pub(super) fn something_waits(&self, now: Ticks) -> bool {
        self.warden.something_waits(now, waiting_ticks())
    }

    fn moment(&self, now: Ticks, ticks: u64) -> Moment {
        let lab = self.lab;
        let place_of = |name: &str| lab.clients.iter().position(|client| client.id.as_str() == name);
        let living = self.processes.clients().filter(|process| process.alive());
        let clients: BTreeMap<_, _> = living
            .filter_map(|process| Some((process.actor(), u16::try_from(place_of(process.name())?).ok()?)))
            .collect();
        let helpers = self.processes.living_helpers();
        let helpers: Vec<_> = helpers
            .filter_map(|(actor, helper)| Some((actor, clients.get(&helper.client()).copied()?)))
            .collect();
        let first_daemon = u16::try_from(lab.clients.len()).unwrap_or(u16::MAX);
        // Clients go on calling a daemon that has come back by its first number.
        let first = daemon_actors(lab).zip(first_daemon..).map(|((_, actor), group)| (actor, group));
        let living = self.processes.iter().filter(|process| process.is_daemon() && process.alive());
        let daemons = living.filter_map(|process| {
            let place = lab.daemons.iter().position(|daemon| daemon.id.as_str() == process.name())?;
            Some((process.actor(), first_daemon + u16::try_from(place).ok()?))
        });
        let groups = helpers.iter().copied().chain(first).chain(daemons).collect();
        let roster = Roster { clients, groups };
        let helped = (0_u16..).take(lab.clients.len()).map(|client| Group {
            name: "its helper".to_owned(),
            servers: helpers.iter().filter(|(_, place)| *place == client).count(),
        });
        let named = |id: &str| self.processes.living(id).map(LabProcess::actor);
        let daemons = lab.daemons.iter().map(|daemon| {
            let servers = named(daemon.id.as_str()).and_then(|actor| self.warden.workers_now(actor));
            Group {
                name: daemon.id.to_string(),
                servers: servers.unwrap_or_else(|| usize::from(daemon.workers)),
            }
        });
        let decisions = self.warden.unanswered(now, &roster);
        Moment {
            now,
            timebase: clock::timebase(),
            clients: (0..lab.clients.len()).map(|place| self.standing(place, &roster)).collect(),
            groups: helped.chain(daemons).collect(),
            own_events: lab_process::platform::KERNEL.asks_about_own_events(),
            operations: self.warden.under_way(now, ticks, &roster, &decisions),
            decisions,
        }
    }

    fn standing(&self, place: usize, roster: &Roster) -> Standing {
        let client = &self.lab.clients[place];
        let process = roster.clients.iter().find(|(_, at)| usize::from(**at) == place);
        let client_status =
            process.map_or_else(ClientStatus::default, |(&actor, _)| self.warden.client_status(actor));
        let percent = u64::from(self.faults.behavior_due(self.lab, place).answer_by_percent.unwrap_or(100));
        Standing {
            name: client.id.to_string(),
            workers: process
                .and_then(|(&actor, _)| self.warden.workers_now(actor))
                .unwrap_or_else(|| usize::from(self.lab.workers_max(client))),
            limit_ns: self.lab.deadline.nanos() / 100 * percent,
            unread: client_status.unread,
            stopped: client_status.stopped,
        }
    }
}
