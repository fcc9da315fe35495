//! Which product keeps an operation waiting, and which has done so for longer than the deadline. Pure.
//!
//! The kernel does not say for whose answer a thread waits. With one product it is that one. With several it is told by
//! what each shows from outside: events that it has not read, files of the arena that it has opened since (an event's
//! file is open until it is answered), a thread inside the group's read for which the kernel waits. Each product has the
//! whole deadline, from when such a sign of it was first seen.

use std::{collections::BTreeMap, path::PathBuf};

use lab_model::Ticks;

/// After one product was ended, those that waited for it have this part of the deadline to go on.
const GRACE_PART: u64 = 10;
/// A client that has owed answers for this part of the deadline may be the one, so no product is.
const OWED_PART: u64 = 4;

/// A sign that a product has not answered yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hold {
    /// Events lie unread in a group of its.
    Unread { pid: u32, descriptor: i32 },
    /// A process with a group has a file of the arena open.
    File { pid: u32, descriptor: i32, path: PathBuf },
    /// A thread is inside the group's read and waits for something else than an event.
    HandOver { pid: u32, tid: u32 },
}

/// What a product that is asked about the arena shows at one look.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    /// Its place in the lab's list.
    pub(super) place: usize,
    /// The events in its queues; `None` when they could not be looked at.
    pub(super) unread: Option<u64>,
    pub(super) holds: Vec<Hold>,
    /// It was told to end.
    pub(super) killed: bool,
}

/// An operation of the lab that waits in the kernel while no client of the lab has its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WaitingOperation {
    pub(super) tid: u64,
    pub(super) began: Ticks,
}

/// What the lab's own boards and queues show at one look.
#[derive(Clone, Debug, Default)]
pub(super) struct OutsideLook {
    pub(super) waiting: Vec<WaitingOperation>,
    /// Since when a client of the lab has owed an answer that cannot be told apart; `None` when none does.
    pub(super) owed: Option<Ticks>,
}

/// The limits that products are held to, in ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) deadline: u64,
    /// Operations that have waited less are not looked at.
    pub(super) waiting: u64,
}

/// What a look comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Judged {
    /// The operations that wait for products.
    pub(super) waiting: usize,
    /// Since when the oldest of them has waited for no client.
    pub(super) since: Option<Ticks>,
    /// The product that they wait for; `None` when several may be it.
    pub(super) whom: Option<usize>,
    /// The products that are past the deadline: one, or all that may be when it cannot be told.
    pub(super) overdue: Vec<usize>,
}

/// The questions that are open, from look to look.
#[derive(Debug, Default)]
pub(super) struct Questions {
    looked: Option<Ticks>,
    /// By thread: when its operation began, and since when no client has had it.
    waiting: BTreeMap<u64, (Ticks, Ticks)>,
    /// When each sign was first seen, and how many events lay unread when it was last.
    holds: BTreeMap<(usize, Hold), (Ticks, u64)>,
    ended: Option<Ticks>,
}

impl Questions {
    /// Takes in a look.
    pub(super) fn look(
        &mut self,
        now: Ticks,
        limits: Limits,
        outside: &OutsideLook,
        products: &[Shown],
    ) -> Judged {
        self.keep_waiting(now, limits, outside);
        self.keep_holds(now, products);
        self.looked = Some(now);
        let oldest = self.waiting.values().copied().min_by_key(|&(_, since)| since);
        let Some((began, since)) = oldest.filter(|_| !products.is_empty()) else { return Judged::default() };
        // While a client owes something, what waits may wait for it.
        let (waiting, shown_since) =
            if outside.owed.is_none() { (self.waiting.len(), Some(since)) } else { (0, None) };
        let holders = self.holders(products, began);
        let whom = match (products, holders.as_slice()) {
            ([only], _) => Some(only.place),
            (_, []) => None,
            (_, [(place, _)]) => Some(*place),
            (_, [(place, first), (_, second), ..]) => (first < second).then_some(*place),
        };
        let overdue = self.overdue(now, limits, outside, products, since, &holders);
        if !overdue.is_empty() {
            self.ended = Some(now);
        }
        Judged { waiting, since: shown_since, whom, overdue }
    }

    /// True while something waits for products, and they are to be looked at more often.
    pub(super) fn any_open(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn keep_waiting(&mut self, now: Ticks, limits: Limits, outside: &OutsideLook) {
        let mut waiting = BTreeMap::new();
        for &WaitingOperation { tid, began } in &outside.waiting {
            let known = self.waiting.get(&tid).filter(|&&(known, _)| known == began);
            // One that was old enough to be seen at the last look was a client's then.
            let seen_then = |looked: &Ticks| looked.since(began) >= limits.waiting;
            let since = match known {
                Some(&(_, since)) => since,
                None if outside.owed.is_some() => continue,
                None => self.looked.filter(seen_then).unwrap_or(began).min(now),
            };
            waiting.insert(tid, (began, since));
        }
        self.waiting = waiting;
    }

    fn keep_holds(&mut self, now: Ticks, products: &[Shown]) {
        let mut holds = BTreeMap::new();
        for product in products {
            for hold in &product.holds {
                let key = (product.place, hold.clone());
                let unread = product.unread.unwrap_or(0);
                let is_queue = matches!(hold, Hold::Unread { .. });
                // A queue that has become shorter was read from.
                let known = self.holds.get(&key).filter(|(_, before)| !is_queue || unread >= *before);
                holds.insert(key, (known.map_or(now, |&(since, _)| since), unread));
            }
        }
        self.holds = holds;
    }

    /// The products that show a sign which came after an operation began, with since when; the longest first.
    fn holders(&self, products: &[Shown], began: Ticks) -> Vec<(usize, Ticks)> {
        let of = |product: &Shown| {
            let own = self.holds.iter().filter(|((place, _), _)| *place == product.place);
            // What was open before the operation began is a file of the product's own.
            let newer =
                own.filter(|((_, hold), (since, _))| !matches!(hold, Hold::File { .. }) || *since > began);
            Some((product.place, newer.map(|(_, &(since, _))| since).min()?))
        };
        let mut holders: Vec<(usize, Ticks)> = products.iter().filter_map(of).collect();
        holders.sort_by_key(|&(place, since)| (since, place));
        holders
    }

    fn overdue(
        &self,
        now: Ticks,
        limits: Limits,
        outside: &OutsideLook,
        products: &[Shown],
        since: Ticks,
        holders: &[(usize, Ticks)],
    ) -> Vec<usize> {
        let waited = now.since(since);
        let graced = self.ended.is_some_and(|ended| now.since(ended) < limits.deadline / GRACE_PART);
        let owed = outside.owed.is_some_and(|owed| now.since(owed) >= limits.deadline / OWED_PART);
        if waited < limits.deadline || graced || owed {
            return Vec::new();
        }
        let lives = |place: &usize| products.iter().any(|product| product.place == *place && !product.killed);
        let living = |places: Vec<usize>| places.into_iter().filter(lives).collect::<Vec<_>>();
        if let [only] = products {
            return living(vec![only.place]);
        }
        let mut late =
            holders.iter().filter(|(place, held)| now.since(*held) >= limits.deadline && lives(place));
        if let Some((longest, _)) = late.next() {
            return vec![*longest];
        }
        // Each of them may have had the whole deadline, one after another; one has had more.
        let all = u64::try_from(products.len()).unwrap_or(u64::MAX).saturating_mul(limits.deadline);
        if waited < all {
            return Vec::new();
        }
        let signs: Vec<usize> = holders.iter().map(|(place, _)| *place).collect();
        let any =
            if signs.is_empty() { products.iter().map(|product| product.place).collect() } else { signs };
        living(any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { deadline: 1000, waiting: 20 };

    fn file(pid: u32, path: &str) -> Hold {
        Hold::File { pid, descriptor: 9, path: path.into() }
    }

    fn shows(place: usize, holds: &[Hold]) -> Shown {
        Shown { place, unread: Some(0), holds: holds.to_vec(), killed: false }
    }

    fn waits(began: u64) -> OutsideLook {
        OutsideLook { waiting: vec![WaitingOperation { tid: 7, began: Ticks(began) }], owed: None }
    }

    /// Looks every 20 ticks at the same until somebody is past the deadline; who, and when.
    fn ended_at(
        questions: &mut Questions,
        from: u64,
        outside: &OutsideLook,
        products: &[Shown],
    ) -> Option<(u64, Vec<usize>)> {
        (from..from + 5000).step_by(20).find_map(|now| {
            let judged = questions.look(Ticks(now), LIMITS, outside, products);
            (!judged.overdue.is_empty()).then_some((now, judged.overdue))
        })
    }

    #[test]
    fn one_product_has_the_deadline_from_when_no_client_has_the_question() {
        let mut questions = Questions::default();
        assert_eq!(ended_at(&mut questions, 40, &waits(20), &[shows(0, &[])]), Some((1020, vec![0])));
        // A client has had it until the look before.
        let mut questions = Questions::default();
        questions.look(Ticks(900), LIMITS, &OutsideLook::default(), &[shows(0, &[])]);
        assert_eq!(ended_at(&mut questions, 920, &waits(20), &[shows(0, &[])]), Some((1900, vec![0])));
    }

    /// Two readers have taken their events, so both queues are empty: neither was ever blamed.
    #[test]
    fn of_two_whose_queues_are_empty_the_one_with_the_file_open_is_past_the_deadline() {
        let mut questions = Questions::default();
        let own_log = file(5, "log");
        let before = [shows(0, std::slice::from_ref(&own_log)), shows(1, &[])];
        questions.look(Ticks(0), LIMITS, &OutsideLook::default(), &before);
        let products = [shows(0, &[own_log]), shows(1, &[file(6, "f04")])];
        let judged = questions.look(Ticks(60), LIMITS, &waits(20), &products);
        assert_eq!((judged.whom, judged.waiting, judged.since), (Some(1), 1, Some(Ticks(20))));
        assert_eq!(ended_at(&mut questions, 80, &waits(20), &products), Some((1060, vec![1])));
    }

    /// Both wait for each other. One end breaks the circle, and the other has time to go on.
    #[test]
    fn a_circle_of_two_ends_with_the_one_that_held_on_longest() {
        let mut questions = Questions::default();
        let first = [shows(0, &[]), shows(1, &[file(6, "f04")])];
        questions.look(Ticks(60), LIMITS, &waits(20), &first);
        let circle = [shows(0, &[file(5, "f04")]), shows(1, &[file(6, "f04")])];
        assert_eq!(ended_at(&mut questions, 80, &waits(20), &circle), Some((1060, vec![1])));
        let mut killed = circle.clone();
        killed[1].killed = true;
        let next = ended_at(&mut questions, 1080, &waits(20), &killed);
        assert_eq!(next, Some((1160, vec![0])), "its own question is past the deadline, too");
        // Seen at the same look, it cannot be told which held on longer.
        let mut questions = Questions::default();
        let judged = questions.look(Ticks(60), LIMITS, &waits(20), &circle);
        assert_eq!((judged.whom, judged.waiting), (None, 1));
        assert_eq!(ended_at(&mut questions, 80, &waits(20), &circle), Some((1060, vec![0])));
    }

    #[test]
    fn without_a_sign_all_that_may_be_it_are_ended_once_each_had_its_deadline() {
        let mut questions = Questions::default();
        let products = [shows(0, &[]), shows(1, &[])];
        assert_eq!(ended_at(&mut questions, 40, &waits(20), &products), Some((2020, vec![0, 1])));
    }

    /// One that reads all the time has a queue that is never empty, and holds nobody up.
    #[test]
    fn a_queue_that_is_read_from_is_no_sign() {
        let mut questions = Questions::default();
        let queue = Hold::Unread { pid: 5, descriptor: 3 };
        let held = [file(6, "f04")];
        let ended = (40..4000).step_by(20).find_map(|now| {
            let busy = Shown { unread: Some(now / 20 % 3 + 1), ..shows(0, std::slice::from_ref(&queue)) };
            let judged = questions.look(Ticks(now), LIMITS, &waits(20), &[busy, shows(1, &held)]);
            (!judged.overdue.is_empty()).then_some((now, judged.overdue))
        });
        assert_eq!(ended, Some((1040, vec![1])));
        let mut questions = Questions::default();
        let stuck = [Shown { unread: Some(2), ..shows(0, &[queue]) }, shows(1, &[])];
        assert_eq!(ended_at(&mut questions, 40, &waits(20), &stuck), Some((1040, vec![0])));
    }

    #[test]
    fn while_a_client_of_the_lab_owes_an_answer_no_product_is_blamed() {
        let mut questions = Questions::default();
        let stuck = OutsideLook { owed: Some(Ticks(10)), ..waits(20) };
        assert_eq!(ended_at(&mut questions, 40, &stuck, &[shows(0, &[])]), None);
        // A client that is only busy, look after look, hides nobody.
        let mut questions = Questions::default();
        questions.look(Ticks(40), LIMITS, &waits(20), &[shows(0, &[])]);
        let ended = (60..4000).step_by(20).find(|&now| {
            let busy = OutsideLook { owed: Some(Ticks(now)), ..waits(20) };
            let judged = questions.look(Ticks(now), LIMITS, &busy, &[shows(0, &[])]);
            !judged.overdue.is_empty()
        });
        assert_eq!(ended, Some(1020));
    }
}
