//! One client's part of the findings, and the cause matrix.

use std::{cmp::Reverse, collections::BTreeMap};

use lab_model::{Bounded, Total};

use super::{
    Ledger,
    account::{Account, Ranking, Share, populations},
};
use crate::{
    findings::{Avoidable, Blame, BlameKind, Call, Causes, Client, Inflicted, Life, Mitigation, Peer, Word},
    measure::Closing,
    measures::totals::by_approval,
    participants::roster::Roster,
    pass::facts::Scope,
    show::Show,
};

/// The lines of a ranking of subjects or files.
const LINES_MAX: usize = 20;

/// The lines of a ranking of extensions.
const EXTENSIONS_MAX: usize = 10;

impl Ledger {
    pub(super) fn clients(&self, closing: &Closing<'_>) -> Vec<Client> {
        (0..self.accounts.len()).map(|place| self.client(place, closing)).collect()
    }

    /// The cause matrix, with the columns that a report keeps: workload and clients always, others when any decision
    /// falls into them.
    pub(super) fn causes(&self, closing: &Closing<'_>) -> Causes {
        let roster = closing.scope.roster;
        let (external, unexplained) = (roster.external(), roster.unexplained());
        let count = |share: &Share| share.decisions;
        let mut rows: Vec<Vec<u64>> =
            self.accounts.iter().map(|account| account.causes.iter().map(count).collect()).collect();
        let mut seen = self.seen.clone();
        if closing.losses.lost > 0 {
            // With records missing, an unknown thread may well be one of the lab's.
            for row in &mut rows {
                let unknown = std::mem::take(&mut row[external]);
                row[unexplained].raise(unknown);
            }
            seen[unexplained] |= std::mem::take(&mut seen[external]);
        }
        let clients = roster.clients.len();
        let keep: Vec<bool> =
            seen.iter().enumerate().map(|(column, seen)| column <= clients || *seen).collect();
        let kept = |row: Vec<u64>| row.into_iter().zip(&keep).filter(|&(_, &keep)| keep);
        let decisions: Vec<Vec<u64>> =
            rows.into_iter().map(|row| kept(row).map(|(count, _)| count).collect()).collect();
        let columns = roster.columns.iter().zip(&keep).filter(|&(_, &keep)| keep);
        let mut brought_about = vec![[0_u64; 4]; clients];
        for account in &self.accounts {
            for (sums, looks) in brought_about.iter_mut().zip(&account.brought_about) {
                sums.iter_mut().zip(looks).for_each(|(sum, decisions)| sum.raise(*decisions));
            }
        }
        Causes {
            rows: roster.clients.iter().map(|member| member.id.clone()).collect(),
            columns: columns.map(|(column, _)| column.clone()).collect(),
            total: decisions.iter().flatten().total(),
            decisions,
            observed: self.accounts.iter().map(|account| account.observed).collect(),
            misattributed: brought_about.iter().map(|looks| looks[3]).total(),
            brought_about,
        }
    }

    fn client(&self, place: usize, closing: &Closing<'_>) -> Client {
        let member = &closing.scope.roster.clients[place];
        let account = &self.accounts[place];
        let (top_paths, top_extensions) = files(account, closing.show);
        let lives = lives(place, closing);
        let (spectrum, control) = (account.others.spectrum(), account.control.spectrum());
        Client {
            id: member.id.clone(),
            bundle_id: bundle_id(place, closing),
            behavior: member.behavior.clone(),
            decisions: account.decisions,
            own_process: account.own,
            unanswered: account.unanswered,
            by_approval: by_approval(&account.by_approval),
            operations: account.operations,
            latency_ns: account.latency.summary(),
            populations: populations(&account.populations),
            latency_others_ns: account.others.summary(),
            latency_by_event_ns: account
                .by_event
                .iter()
                .map(|(event, times)| (event.name().into(), times.summary()))
                .collect(),
            spectrum: spectrum.points,
            spectrum_at_least_from: spectrum.at_least_from,
            control_spectrum: control.points,
            control_spectrum_at_least_from: control.at_least_from,
            queue_ns: account.queue.summary(),
            work_ns: account.work.summary(),
            blocked_ns: account.blocked.summary(),
            untold_ns: account.untold.summary(),
            headroom: account.used.headroom(),
            deadline_misses: account.misses,
            closest_calls: calls(&account.closest, closing.show),
            blame_in: blame_in(place, account, closing.scope.roster),
            top_paths,
            top_extensions,
            blame_out: blame_out(account, closing.scope.roster),
            costliest: calls(&account.costliest, closing.show),
            own_operations: account.own_operations,
            peers: self.peers(place, closing.scope.roster),
            avoidable: avoidable(account),
            lost: closing.losses.by_client[place],
            end: lives.last().map_or_else(Word::default, |life| life.end.clone()),
            lives,
            // The measures that come after this one fill the other parts.
            ..Client::default()
        }
    }

    fn peers(&self, place: usize, roster: &Roster) -> Vec<Peer> {
        let accounts = &self.accounts;
        let others = (0..accounts.len()).filter(|&other| other != place);
        others
            .map(|other| Peer {
                client: roster.clients[other].id.clone(),
                received: accounts[other].exclusive[place],
                inflicted: accounts[place].exclusive[other],
                waited_ns: accounts[place].waited_ns[other],
                made_wait_ns: accounts[other].waited_ns[place],
            })
            .collect()
    }
}

fn bundle_id(place: usize, closing: &Closing<'_>) -> String {
    let Scope { roster, traces, .. } = closing.scope;
    let member = &roster.clients[place];
    if !member.bundle_id.is_empty() {
        return member.bundle_id.clone();
    }
    let mine = roster.traces_of(place).next();
    mine.and_then(|trace| traces[trace].header.identity.bundle_id.clone()).unwrap_or_default()
}

fn calls(ranking: &Ranking, show: &Show<'_>) -> Vec<Call> {
    ranking.entries.iter().filter_map(|ranked| show.call(ranked)).collect()
}

fn blame_in(place: usize, account: &Account, roster: &Roster) -> Vec<Blame> {
    let lines = roster.columns.iter().enumerate().zip(&account.causes);
    let lines = lines.filter(|(_, share)| share.decisions > 0);
    let lines = lines.map(|((column, heading), share)| Blame {
        name: heading.name.clone(),
        kind: if column == place.saturating_add(1) { BlameKind::Own } else { heading.kind.into() }.into(),
        decisions: share.decisions,
        total_ns: share.total_ns,
        at_least: share.open,
    });
    ranked(lines.collect(), LINES_MAX)
}

fn files(account: &Account, show: &Show<'_>) -> (Vec<Blame>, Vec<Blame>) {
    // The table's order is unknown: everything is sorted before it is shown.
    let mut files: Vec<_> = account.files.iter().map(|(&file, &tally)| (file, tally)).collect();
    files.sort_unstable_by_key(|&(file, tally)| {
        (std::cmp::Reverse(tally.share.decisions), std::cmp::Reverse(tally.share.total_ns), file)
    });
    let mut paths = Vec::new();
    let mut extensions: BTreeMap<String, Share> = BTreeMap::new();
    for (file, tally) in files {
        let path = show.file(tally.path.0, tally.path.1, file);
        let extension = path.as_deref().map_or("(unknown)", extension);
        extensions.entry(extension.to_owned()).or_default().add(tally.share);
        if paths.len() < LINES_MAX {
            paths.push(Blame {
                name: path.unwrap_or_else(|| format!("(inode {})", file.0)),
                kind: BlameKind::File.into(),
                decisions: tally.share.decisions,
                total_ns: tally.share.total_ns,
                at_least: tally.share.open,
            });
        }
    }
    let extensions = extensions.into_iter().map(|(name, share)| Blame {
        name,
        kind: BlameKind::Extension.into(),
        decisions: share.decisions,
        total_ns: share.total_ns,
        at_least: share.open,
    });
    (paths, ranked(extensions.collect(), EXTENSIONS_MAX))
}

fn blame_out(account: &Account, roster: &Roster) -> Vec<Inflicted> {
    let both = account.exclusive.iter().zip(&account.inclusive);
    roster
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

fn avoidable(account: &Account) -> Vec<Avoidable> {
    let asked_again: u64 = account.files.values().map(|tally| tally.allowed.saturating_sub(1)).total();
    let own = account.own;
    let peers = account.observed[2];
    let line = |change: Mitigation, decisions: u64, blind_spot: &str| Avoidable {
        change: change.into(),
        decisions,
        share: if account.decisions == 0 { 0.0 } else { decisions as f64 / account.decisions as f64 },
        blind_spot: blind_spot.into(),
    };
    vec![
        line(
            Mitigation::CacheAllows,
            asked_again,
            "A file that was allowed once is not looked at again until it is written to.",
        ),
        line(
            Mitigation::MuteOwnProcess,
            own,
            "Whatever runs inside the client's own process, a hijacked one included, is never looked at.",
        ),
        line(
            Mitigation::AllowOtherClients,
            peers,
            "A file that another client opens, or is made to open, passes unseen.",
        ),
    ]
}

/// The client's processes in the order of time. Where none left a trace, its ends are all that is known.
fn lives(place: usize, closing: &Closing<'_>) -> Vec<Life> {
    let Scope { roster, timeline, traces, .. } = closing.scope;
    let mut places: Vec<usize> = roster.traces_of(place).collect();
    places.sort_by_key(|&trace| traces[trace].header.created);
    let life = |trace: usize| {
        let header = &traces[trace].header;
        let ended = timeline.ends.iter().find(|end| end.actor == header.actor.0);
        Life {
            began_ns: closing.since(header.timebase.nanoseconds(header.created.0)),
            ended_ns: ended.map(|end| closing.since(end.at)),
            end: timeline.end_of(header.actor.0, ended.map(|end| end.status)).into(),
        }
    };
    places.into_iter().map(life).collect()
}

/// The extension of a path's last part.
fn extension(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && !extension.is_empty() => extension,
        _ => "(none)",
    }
}

/// The `most` largest by decisions, then time, then name.
fn ranked(mut lines: Vec<Blame>, most: usize) -> Vec<Blame> {
    lines.sort_by(|a, b| {
        (Reverse(a.decisions), Reverse(a.total_ns), &a.name).cmp(&(
            Reverse(b.decisions),
            Reverse(b.total_ns),
            &b.name,
        ))
    });
    lines.truncate(most);
    lines
}
