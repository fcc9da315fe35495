//! What the warden makes of a lab that stands still while it runs: who everybody is, handed to the judgement that
//! [`lab_analysis::live`] makes of it.

use std::collections::BTreeMap;

use lab_analysis::live::{Group, Moment, Standing, Standstill, judge};
use lab_model::{Role, Span, Ticks};
use lab_process::clock;

use super::{
    controller::Controller,
    helpers::daemon_actors,
    warden::{ClientStatus, Roster},
};

/// What has waited for less is not asked after.
const WAITING: Span = Span::from_millis(100);

impl Controller {
    /// Looks who waits for whom, and shows what stands still. Two looks in a row must agree before anything is said:
    /// a thread that has answered may not have come to say so.
    pub(super) fn look_for_standstill(&mut self, now: Ticks) {
        let ticks = clock::timebase().ticks(WAITING.nanos());
        let seen =
            if self.warden.something_waits(now, ticks) { judge(&self.moment(now, ticks)) } else { None };
        let key = seen.as_ref().map(Standstill::key);
        self.standstill = seen.filter(|_| key == self.suspected);
        self.suspected = key;
        self.progress.stands(self.standstill.as_ref());
    }

    fn moment(&self, now: Ticks, ticks: u64) -> Moment {
        let lab = &self.plan.lab;
        let place_of = |name: &str| lab.clients.iter().position(|client| client.id.as_str() == name);
        let living =
            self.processes.values().filter(|process| process.role == Role::Client && process.alive());
        let clients: BTreeMap<_, _> = living
            .filter_map(|process| Some((process.actor, u16::try_from(place_of(&process.name)?).ok()?)))
            .collect();
        let helpers: Vec<_> = self
            .helpers
            .living()
            .filter_map(|(actor, helper)| Some((actor, clients.get(&helper.client).copied()?)))
            .collect();
        let first_daemon = u16::try_from(lab.clients.len()).unwrap_or(u16::MAX);
        // Clients go on calling a daemon that has come back by its first number.
        let first = daemon_actors(lab).zip(first_daemon..).map(|((_, actor), group)| (actor, group));
        let living =
            self.processes.values().filter(|process| process.role == Role::Daemon && process.alive());
        let daemons = living.filter_map(|process| {
            let place = lab.daemons.iter().position(|daemon| daemon.id.as_str() == process.name)?;
            Some((process.actor, first_daemon + u16::try_from(place).ok()?))
        });
        let groups = helpers.iter().copied().chain(first).chain(daemons).collect();
        let roster = Roster { clients, groups };
        let helped = (0_u16..).take(lab.clients.len()).map(|client| Group {
            name: "its helper".to_owned(),
            servers: helpers.iter().filter(|(_, place)| *place == client).count(),
        });
        let named = |id: &str| {
            let mut processes = self.processes.values().rev();
            processes.find(|process| process.name == id && process.alive()).map(|process| process.actor)
        };
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
            own_events: cfg!(target_os = "linux"),
            operations: self.warden.under_way(now, ticks, &roster, &decisions),
            decisions,
        }
    }

    fn standing(&self, place: usize, roster: &Roster) -> Standing {
        let client = &self.plan.lab.clients[place];
        let process = roster.clients.iter().find(|(_, at)| usize::from(**at) == place);
        let client_status =
            process.map_or_else(ClientStatus::default, |(&actor, _)| self.warden.client_status(actor));
        let percent = u64::from(self.behavior_due(place).answer_by_percent.unwrap_or(100));
        Standing {
            name: client.id.to_string(),
            workers: process
                .and_then(|(&actor, _)| self.warden.workers_now(actor))
                .unwrap_or_else(|| usize::from(self.plan.lab.workers_max(client))),
            limit_ns: self.plan.lab.deadline.nanos() / 100 * percent,
            unread: client_status.unread,
            stopped: client_status.stopped,
        }
    }
}
