//! One client's part of the findings.

use std::collections::BTreeMap;

use lab_model::{Bounded, NotifyEvent, Total};
use lab_trace::FaultKind;

use super::{Assembly, observed::Losses, ranked};
use crate::{
    findings::{Avoidable, Blame, Call, Client, Inflicted, Life, NotifySummary, Peer, Requests},
    measures::{
        ledger::{Account, Ranking},
        notify::Coverage,
        requests,
        totals::by_approval,
    },
    pass::merge::Side,
};

/// The lines of a ranking of subjects or files.
const LINES_MAX: usize = 20;

/// The lines of a ranking of extensions.
const EXTENSIONS_MAX: usize = 10;

impl Assembly<'_> {
    pub(super) fn clients(&self, losses: &Losses) -> Vec<Client> {
        (0..self.roster.clients.len()).map(|place| self.client(place, losses)).collect()
    }

    fn client(&self, place: usize, losses: &Losses) -> Client {
        let member = &self.roster.clients[place];
        let account = &self.engine.accounts[place];
        let (top_paths, top_extensions) = self.files(account);
        let lives = self.lives(place);
        Client {
            id: member.id.clone(),
            bundle_id: self.bundle_id(place),
            behavior: member.behavior.clone(),
            decisions: account.decisions,
            own_process: account.own,
            unanswered: account.unanswered,
            by_approval: by_approval(&account.by_approval),
            approvals: self.engine.sides.approvals(place, losses.by_client[place] > 0),
            operations: account.operations,
            told: self.notify_summary(place),
            requests: self.requests(place),
            latency_ns: account.latency.summary(),
            latency_others_ns: account.others.summary(),
            latency_by_event_ns: account
                .by_event
                .iter()
                .map(|(event, times)| (event.name().to_owned(), times.summary()))
                .collect(),
            spectrum: account.others.spectrum(),
            control_spectrum: account.control.spectrum(),
            queue_ns: account.queue.summary(),
            work_ns: account.work.summary(),
            blocked_ns: account.blocked.summary(),
            headroom: account.used.headroom(),
            deadline_misses: account.misses,
            deadline_misses_possible: account.doubtful,
            closest_calls: self.calls(&account.closest),
            blame_in: self.blame_in(place, account),
            top_paths,
            top_extensions,
            blame_out: self.blame_out(account),
            costliest: self.calls(&account.costliest),
            peers: self.peers(place),
            avoidable: self.avoidable(account),
            lost: losses.by_client[place],
            end: lives.last().map_or_else(|| "unknown".into(), |life| life.end.clone()),
            lives,
        }
    }

    fn notify_summary(&self, place: usize) -> Option<NotifySummary> {
        let tally = self.engine.notify.get(place).filter(|tally| tally.listens || tally.notices > 0)?;
        let sides = self.show.merge.sides();
        let sum = |count: fn(&Side) -> u64| self.of_client(place).map(|trace| count(sides[trace])).total();
        let wanted = |coverage: Coverage, count: u64| coverage.wanted.then_some(count);
        let (opens, execs) = (tally.opens, tally.execs);
        let events = NotifyEvent::ALL.iter().zip(tally.by_event).filter(|(_, count)| *count > 0);
        let authors = self.roster.columns.iter().zip(&tally.by_author).filter(|(_, count)| **count > 0);
        let mut by_author: Vec<(String, u64)> =
            authors.map(|(column, &count)| (column.name.clone(), count)).collect();
        by_author.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Some(NotifySummary {
            notices: tally.notices,
            by_event: events.map(|(event, count)| (event.name().to_owned(), count)).collect(),
            mixed: tally.mixed,
            by_author,
            opens: wanted(opens, opens.operations),
            opens_not_told_apart: wanted(opens, opens.operations.saturating_sub(opens.notified)),
            execs: wanted(execs, execs.operations),
            execs_not_told: wanted(execs, execs.operations.saturating_sub(execs.notified)),
            lag_ns: tally.lag.summary(),
            reacted: tally.reacted,
            reactions_dropped: sum(|side| side.reactions_dropped),
            operations: tally.operations,
            inflicted: tally.inflicted,
            lost: (sum(|side| side.notices_overflowed) == 0).then(|| sum(|side| side.notices_lost)),
            unread: sum(|side| side.notices_unread),
        })
    }

    fn bundle_id(&self, place: usize) -> String {
        let member = &self.roster.clients[place];
        if !member.bundle_id.is_empty() {
            return member.bundle_id.clone();
        }
        let mine = self.of_client(place).next();
        mine.and_then(|trace| self.show.traces[trace].header.identity.bundle_id.clone()).unwrap_or_default()
    }

    fn requests(&self, place: usize) -> Vec<Requests> {
        let of_trace = |trace: usize| {
            let own = self.show.traces[trace].header.actor.0;
            let requests = self.show.merge.side(u16::try_from(trace).unwrap_or(u16::MAX)).requests.iter();
            requests.map(move |(&whom, tally)| ((whom != own).then(|| self.roster.name_of(whom)), tally))
        };
        requests::rows(self.of_client(place).flat_map(of_trace))
    }

    /// The traces of a client.
    fn of_client(&self, place: usize) -> impl Iterator<Item = usize> {
        let participants = self.roster.participants.iter().enumerate();
        participants
            .filter(move |(_, participant)| participant.client.map(usize::from) == Some(place))
            .map(|(trace, _)| trace)
    }

    fn calls(&self, ranking: &Ranking) -> Vec<Call> {
        ranking.entries.iter().filter_map(|ranked| self.show.call(ranked)).collect()
    }

    fn blame_in(&self, place: usize, account: &Account) -> Vec<Blame> {
        let lines = self.roster.columns.iter().enumerate().zip(&account.causes);
        let lines = lines.filter(|(_, (decisions, _))| *decisions > 0);
        let lines = lines.map(|((column, heading), &(decisions, total_ns))| Blame {
            name: heading.name.clone(),
            kind: if column == place.saturating_add(1) { "own".into() } else { heading.kind.clone() },
            decisions,
            total_ns,
        });
        ranked(lines.collect(), LINES_MAX)
    }

    fn files(&self, account: &Account) -> (Vec<Blame>, Vec<Blame>) {
        // The table's order is unknown: everything is sorted before it is shown.
        let mut files: Vec<_> = account.files.iter().map(|(&file, &tally)| (file, tally)).collect();
        files.sort_unstable_by_key(|&(file, tally)| {
            (std::cmp::Reverse(tally.decisions), std::cmp::Reverse(tally.total_ns), file)
        });
        let mut paths = Vec::new();
        let mut extensions: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for (file, tally) in files {
            let path = self.show.file(tally.path.0, tally.path.1, file);
            let extension = path.as_deref().map_or("(unknown)", extension);
            let sums = extensions.entry(extension.to_owned()).or_default();
            sums.0.raise(tally.decisions);
            sums.1 = sums.1.saturating_add(tally.total_ns);
            if paths.len() < LINES_MAX {
                paths.push(Blame {
                    name: path.unwrap_or_else(|| format!("(inode {})", file.0)),
                    kind: "file".into(),
                    decisions: tally.decisions,
                    total_ns: tally.total_ns,
                });
            }
        }
        let extensions = extensions.into_iter().map(|(name, (decisions, total_ns))| Blame {
            name,
            kind: "extension".into(),
            decisions,
            total_ns,
        });
        (paths, ranked(extensions.collect(), EXTENSIONS_MAX))
    }

    fn blame_out(&self, account: &Account) -> Vec<Inflicted> {
        let both = account.exclusive.iter().zip(&account.inclusive);
        self.roster
            .clients
            .iter()
            .zip(both)
            .map(|(member, (&exclusive, &inclusive))| Inflicted {
                client: member.id.clone(),
                exclusive,
                inclusive,
            })
            .collect()
    }

    fn peers(&self, place: usize) -> Vec<Peer> {
        let accounts = &self.engine.accounts;
        let others = (0..accounts.len()).filter(|&other| other != place);
        others
            .map(|other| Peer {
                client: self.roster.clients[other].id.clone(),
                received: accounts[other].exclusive[place],
                inflicted: accounts[place].exclusive[other],
                waited_ns: accounts[place].waited_ns[other],
                made_wait_ns: accounts[other].waited_ns[place],
            })
            .collect()
    }

    fn avoidable(&self, account: &Account) -> Vec<Avoidable> {
        let asked_again: u64 = account.files.values().map(|tally| tally.allowed.saturating_sub(1)).total();
        let own = account.own;
        let peers = account.observed[2];
        let line = |change: &str, decisions: u64, blind_spot: &str| Avoidable {
            change: change.into(),
            decisions,
            share: if account.decisions == 0 { 0.0 } else { decisions as f64 / account.decisions as f64 },
            blind_spot: blind_spot.into(),
        };
        vec![
            line(
                "cache allows",
                asked_again,
                "A file that was allowed once is not looked at again until it is written to.",
            ),
            line(
                "mute own process",
                own,
                "Whatever runs inside the client's own process, a hijacked one included, is never looked at.",
            ),
            line(
                "allow other clients' events",
                peers,
                "A file that another client opens, or is made to open, passes unseen.",
            ),
        ]
    }

    /// The client's processes in the order of time. Where none left a trace, its ends are all that is known.
    fn lives(&self, place: usize) -> Vec<Life> {
        let mut traces: Vec<usize> = self.of_client(place).collect();
        traces.sort_by_key(|&trace| self.show.traces[trace].header.created);
        let life = |trace: usize| {
            let header = &self.show.traces[trace].header;
            let since = |at: u64| at.saturating_sub(self.timeline.origin);
            let ended = self.timeline.ends.iter().find(|end| end.actor == header.actor.0);
            Life {
                began_ns: since(header.timebase.nanoseconds(header.created.0)),
                ended_ns: ended.map(|end| since(end.at)),
                end: self.end(header.actor.0, ended.map(|end| end.status)),
            }
        };
        traces.into_iter().map(life).collect()
    }

    /// How a process ended.
    fn end(&self, actor: u16, status: Option<i32>) -> String {
        let of_mine = |kind: FaultKind| {
            self.timeline.faults.iter().any(|fault| fault.kind == kind && fault.actor == actor)
        };
        if of_mine(FaultKind::DeadlineKill) {
            return "deadline kill".into();
        }
        let Some(status) = status else { return "unknown".into() };
        let (signal, code) = (status & 0x7f, (status >> 8) & 0xff);
        match (signal, code) {
            (0, 0) => "clean".into(),
            (0, code) => format!("exit {code}"),
            (signal, _) => format!("killed (signal {signal})"),
        }
    }
}

/// The extension of a path's last part.
fn extension(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && !extension.is_empty() => extension,
        _ => "(none)",
    }
}
