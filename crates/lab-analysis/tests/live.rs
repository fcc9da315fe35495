//! Moments of labs that still run, and what is said of them.

use lab_analysis::live::{Group, Moment, Originator, Standing, Unanswered, UnderWay, judge};
use lab_model::{Ticks, Timebase};

const SECOND: u64 = 1_000_000_000;
/// When the looks are.
const NOW: u64 = 10 * SECOND;

fn client(name: &str, workers: usize) -> Standing {
    Standing { name: name.to_owned(), workers, limit_ns: 2 * SECOND, unread: None, stopped: false }
}

/// A lab of these clients with one helper each and a daemon for all, in which nothing goes on.
fn moment(clients: &[(&str, usize)]) -> Moment {
    let helper = Group { name: "its helper".to_owned(), servers: 1 };
    let mut groups = vec![helper; clients.len()];
    groups.push(Group { name: "indexer".to_owned(), servers: 1 });
    Moment {
        now: Ticks(NOW),
        timebase: Timebase::NANOSECONDS,
        clients: clients.iter().map(|&(name, workers)| client(name, workers)).collect(),
        groups,
        own_events: true,
        operations: Vec::new(),
        decisions: Vec::new(),
    }
}

/// So many milliseconds before the look.
fn ago(ms: u64) -> Ticks {
    Ticks(NOW - ms * 1_000_000)
}

impl Scene for Moment {}

/// What puts things into a moment.
trait Scene: Sized + Into<Moment> {
    /// The workload's thread `tid` opens something.
    fn root(self, tid: u64, ms: u64) -> Moment {
        self.opens(Originator::Workload, tid, None, ms)
    }

    /// The thread `tid` opens something for a decision.
    fn opens(self, maker: Originator, tid: u64, cause: Option<(u16, u64)>, ms: u64) -> Moment {
        let mut moment = self.into();
        let record = moment.operations.len() as u64;
        moment.operations.push(UnderWay { actor: 1, record, since: ago(ms), tid, maker, cause, held: false });
        moment
    }

    /// A client has read an event about the thread `tid`, as its record of this number.
    fn reads(self, client: u16, record: u64, tid: u64, ms: u64) -> Moment {
        self.asks(client, record, tid, None, ms)
    }

    /// The same, and its worker waits for a group's reply.
    fn asks(self, client: u16, record: u64, tid: u64, asks: Option<u16>, ms: u64) -> Moment {
        let mut moment = self.into();
        moment.decisions.push(Unanswered { client, record, since: ago(ms), tid, asks });
        moment
    }
}

fn check(moment: &Moment, expected: Option<&str>) {
    assert_eq!(judge(moment).map(|standstill| standstill.to_string()).as_deref(), expected);
}

/// alpha works on an open of the workload's, and its own open waits for bravo.
fn half(ms: u64) -> Moment {
    let pair = moment(&[("alpha", 1), ("bravo", 1)]).root(100, ms);
    pair.reads(0, 7, 100, ms).opens(Originator::Client(0), 200, Some((0, 7)), ms - 1).reads(1, 3, 200, ms - 1)
}

#[test]
fn who_waits_for_each_other_is_told_from_who_is_slow() {
    check(&half(1200), Some("slow: bravo has not answered for 1.1 s (deadline 2s)"));
    let back = half(1200).opens(Originator::Client(1), 300, Some((1, 3)), 1100);
    let slow = back.clone().root(101, 1000);
    // bravo's open is asked about, and alpha's only worker is in its own.
    let circle = back.reads(0, 8, 300, 1100);
    let told = "deadlock: alpha waits for bravo, bravo waits for alpha (1.1 s, ended at 2s)";
    check(&circle, Some(told));
    // Without the last edge nobody is seen to be in anybody's way.
    check(&slow, Some("slow: alpha has not answered for 1.2 s (deadline 2s)"));
    check(&half(50), None);
}

#[test]
fn a_free_worker_is_a_way_out() {
    let mut circle = half(1200).opens(Originator::Client(1), 300, Some((1, 3)), 1100).reads(0, 8, 300, 1100);
    circle.clients[0].workers = 2;
    check(&circle, Some("slow: alpha has not answered for 1.1 s (deadline 2s)"));
    // With the second worker in an open of its own, that waits for bravo's queue, there is none.
    let deeper = circle.opens(Originator::Client(0), 201, Some((0, 8)), 1000).reads(1, 4, 201, 1000);
    let told = judge(&deeper).map(|standstill| standstill.to_string()).unwrap_or_default();
    assert!(told.starts_with("deadlock: "), "{told}");
    for pair in ["alpha waits for bravo", "bravo waits for alpha"] {
        assert!(told.contains(pair), "{told}");
    }
}

#[test]
fn a_worker_that_opens_after_its_answer_is_in_the_way_all_the_same() {
    // alpha has answered what it opens something for, and its only worker cannot begin with bravo's open.
    let pair = moment(&[("alpha", 1), ("bravo", 1)]).opens(Originator::Client(0), 200, Some((0, 7)), 900);
    let back =
        pair.reads(1, 3, 200, 900).opens(Originator::Client(1), 300, Some((1, 3)), 800).reads(0, 8, 300, 800);
    let told = "deadlock: alpha waits for bravo, bravo waits for alpha (0.9 s, ended at 2s)";
    check(&back, Some(told));
}

#[test]
fn an_answer_of_its_own_accord_comes_before_the_deadline() {
    let mut circle = half(1200).opens(Originator::Client(1), 300, Some((1, 3)), 1100).reads(0, 8, 300, 1100);
    circle.clients[0].limit_ns = 3 * SECOND / 2;
    check(&circle, Some("deadlock: alpha waits for bravo, bravo waits for alpha (1.1 s, ended at 1500ms)"));
}

#[test]
fn a_client_may_wait_for_itself_through_its_helper() {
    let alone = moment(&[("alpha", 4)]).root(100, 900).asks(0, 1, 100, Some(0), 900);
    let asked = alone.clone().opens(Originator::Worker(0), 400, Some((0, 1)), 890);
    // The helper's open is asked about, and the client asks the helper about it.
    let circle = asked.clone().asks(0, 2, 400, Some(0), 880);
    check(&circle, Some("deadlock: alpha waits for itself through its helper (0.8 s, ended at 2s)"));
    // A second helper could carry it out.
    let mut two = circle.clone();
    two.groups[0].servers = 2;
    check(&two, Some("slow: alpha has not answered for 0.8 s and waits for its helper (deadline 2s)"));
    // A helper that works without opening anything is slow, and nothing else.
    check(&alone, Some("slow: alpha has not answered for 0.9 s and waits for its helper (deadline 2s)"));
    // Nobody waits for a helper that only was told.
    let told =
        moment(&[("alpha", 1)]).opens(Originator::Worker(0), 400, Some((0, 1)), 890).reads(0, 2, 400, 880);
    check(&told, Some("slow: alpha has not answered for 0.8 s (deadline 2s)"));
}

#[test]
fn a_circle_through_a_daemon_or_another_clients_helper_names_it() {
    let pair = || moment(&[("alpha", 1), ("bravo", 1)]).root(100, 900).reads(0, 1, 100, 900);
    let asked = pair().opens(Originator::Client(0), 200, Some((0, 1)), 890);
    let circle = |group: u16| {
        let bravo = asked.clone().asks(1, 5, 200, Some(group), 880);
        bravo.opens(Originator::Worker(group), 400, Some((1, 5)), 870).reads(0, 2, 400, 860)
    };
    let told =
        "deadlock: alpha waits for bravo, bravo waits for alpha through its helper (0.8 s, ended at 2s)";
    check(&circle(1), Some(told));
    let told = "deadlock: alpha waits for bravo, bravo waits for alpha through indexer (0.8 s, ended at 2s)";
    check(&circle(2), Some(told));
}

#[test]
fn what_nobody_is_seen_to_hold_up_is_unknown() {
    let mut outside = moment(&[("alpha", 1)]).root(100, 900);
    check(&outside, None);
    outside.operations[0].held = true;
    let told = "unknown: an operation has waited for 0.9 s, and no client is seen to owe an answer";
    check(&outside, Some(told));
    outside.clients[0].unread = Some(ago(800));
    check(&outside, Some("slow: alpha has not read its events for 0.8 s (deadline 2s)"));
    outside.clients[0].stopped = true;
    check(&outside, Some("slow: alpha is stopped, and events have waited for 0.8 s (deadline 2s)"));
    // What an operation was asked before it began is about another of its thread.
    let other = moment(&[("alpha", 1)]).root(100, 900).reads(0, 1, 100, 901);
    check(&other, Some("slow: alpha has not answered for 0.9 s (deadline 2s)"));
}

#[test]
fn a_long_circle_is_cut_short() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let mut ring = moment(&names.map(|name| (name, 1))).root(100, 900).reads(0, 0, 100, 900);
    for client in 0..6_u16 {
        let tid = 200 + u64::from(client);
        ring = ring.opens(Originator::Client(client), tid, Some((client, 0)), 800);
        ring = ring.reads((client + 1) % 6, u64::from(client == 5), tid, 700);
    }
    let told = "deadlock: a waits for b, b waits for c, c waits for d, d waits for e, and 2 more (0.7 s, ended at 2s)";
    check(&ring, Some(told));
}
