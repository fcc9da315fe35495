//! What operations of each type set off: counted while the records pass by, and put together afterwards.
//!
//! A cascade is a branching process. An operation of type *t* (who makes it, and whether it is an open) lands on client
//! *l* or not; an event that landed sets off operations of type *o*. What had no time yet to land or to set anything off
//! is left out of both sides of a ratio, and bounds it where it is many.

use std::collections::BTreeMap;

use lab_model::{Bounded, mix};

use super::radius::{loops, solve, spectral_radius};
use crate::{
    findings::{GainUnknown, Interval},
    pass::slots::{Branch, Table},
};

/// The share of values that the interval leaves out, on both sides together.
const OUTSIDE: f64 = 0.01;

/// What never happened in n cases, or always did, may in at most this many of n more: the natural logarithm of 0.01.
const NEVER_SEEN: f64 = 4.6;

/// What a small sample adds to its spread: a part of `1 / n`, as Student's distribution has it at 1 %.
const SMALL_SAMPLE: f64 = 2.6;

/// The parts of operations' counts that are kept, over all types.
const KEPT_MAX: usize = 1 << 20;

/// The fewest and the most operations of one type whose counts are kept.
const KEPT_OF_TYPE: (usize, usize) = (32, 1024);

/// The part of all events of clients whose reactions may be open before no gain is said.
const OPEN_SHARE_MAX: f64 = 0.1;

/// Who hears of operations of one type: a client that is asked, or one that is told.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    /// Events that landed.
    landed: u64,
    /// Of those, the ones whose reactions had their chance.
    reacted: u64,
    /// Operations that were still open when the record ended and had not landed.
    may_land: u64,
}

/// What one client heard of one operation, and made of it.
#[derive(Clone, Copy, Debug)]
struct Heard {
    listener: u16,
    landed: u32,
    reacted: u32,
    made: u32,
}

/// What all clients heard of one operation.
type Offspring = Vec<Heard>;

/// Operations of one type, of which an even part is kept one by one.
#[derive(Clone, Debug, Default)]
struct Kept {
    /// Those whose hash has none of these bits.
    mask: u64,
    operations: Vec<(u64, Offspring)>,
}

/// Which of two ends, or the middle, of what is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Possible {
    Least,
    Likely,
    Most,
}

/// The counts over the storm's cascades, of what began while all clients lived.
#[derive(Clone, Debug)]
pub(super) struct Branching {
    /// The clients, which are the first listeners and the only ones that are asked.
    clients: usize,
    /// By type, of operations that were begun.
    operations: Vec<u64>,
    /// By listener and type.
    cells: Vec<Cell>,
    /// By cell and by the type of what it made.
    made: BTreeMap<(usize, Branch), u64>,
    kept: Vec<Kept>,
    kept_of_type: usize,
    open: Table<(u16, u64), Offspring>,
    /// By listener: whether an operation lands on it depends on more than its type.
    varies: Vec<bool>,
    /// By listener: events that it works on at once.
    workers: Vec<u64>,
}

impl Branching {
    /// `varies` and `workers` are by client; with `told`, clients are told of things as well.
    pub(super) fn new(columns: usize, told: bool, varies: &[bool], workers: &[u64]) -> Branching {
        let (clients, types) = (varies.len(), columns.saturating_mul(2));
        let times = if told { 2 } else { 1 };
        let listeners = clients.saturating_mul(times);
        let cells = types.saturating_mul(listeners);
        let (fewest, most) = KEPT_OF_TYPE;
        Branching {
            clients,
            operations: vec![0; types],
            cells: vec![Cell::default(); cells],
            made: BTreeMap::new(),
            kept: vec![Kept::default(); types],
            kept_of_type: KEPT_MAX.checked_div(cells.max(1)).unwrap_or(0).clamp(fewest, most),
            open: Table::default(),
            varies: varies.repeat(times),
            workers: workers.repeat(times),
        }
    }

    /// The listener that a client is when it is told.
    pub(super) fn told(&self, client: u16) -> u16 {
        client.saturating_add(u16::try_from(self.clients).unwrap_or(u16::MAX))
    }

    fn listeners(&self) -> usize {
        self.varies.len()
    }

    fn cell(&self, listener: usize, branch: usize) -> usize {
        branch.saturating_mul(self.listeners()).saturating_add(listener)
    }

    /// An operation has begun; `made_by` is the listener and the type of operation whose event set it off, if that counts.
    pub(super) fn begun(
        &mut self,
        key: (u16, u64),
        branch: Branch,
        made_by: Option<(u16, Branch)>,
        counts: bool,
    ) {
        if let Some((listener, about)) = made_by {
            let cell = self.cell(usize::from(listener), about.place());
            self.made.entry((cell, branch)).or_default().raise(1);
        }
        if !counts {
            return;
        }
        self.operations[branch.place()].raise(1);
        if hash(key) & self.kept[branch.place()].mask == 0 {
            self.open.insert(key, Vec::new());
        }
    }

    /// An event of an operation has landed on a listener. `reactions` are those that it sets off, if they had their chance.
    pub(super) fn landed(&mut self, key: (u16, u64), branch: Branch, listener: u16, reactions: Option<u8>) {
        self.heard(branch, listener, reactions.is_some());
        let Some(offspring) = self.open.get_mut(&key) else { return };
        let (reacted, made) = (u32::from(reactions.is_some()), u32::from(reactions.unwrap_or(0)));
        match offspring.iter_mut().find(|heard| heard.listener == listener) {
            Some(heard) => {
                heard.landed.raise(1);
                heard.reacted.raise(reacted);
                heard.made.raise(made);
            }
            None => offspring.push(Heard { listener, landed: 1, reacted, made }),
        }
    }

    /// A listener has heard of an operation of a type.
    pub(super) fn heard(&mut self, branch: Branch, listener: u16, reacted: bool) {
        let cell = self.cell(usize::from(listener), branch.place());
        if let Some(cell) = self.cells.get_mut(cell) {
            cell.landed.raise(1);
            cell.reacted.raise(u64::from(reacted));
        }
    }

    /// An operation is over: all that it lands on it has landed on.
    pub(super) fn ended(&mut self, key: (u16, u64), branch: Branch) {
        let Some(offspring) = self.open.remove(&key) else { return };
        let kept = &mut self.kept[branch.place()];
        let hash = hash(key);
        if hash & kept.mask != 0 {
            return;
        }
        kept.operations.push((hash, offspring));
        while kept.operations.len() > self.kept_of_type {
            kept.mask = kept.mask.wrapping_shl(1) | 1;
            let mask = kept.mask;
            kept.operations.retain(|(hash, _)| hash & mask == 0);
        }
    }

    /// An operation was cut off: on whom it had not landed, it might have.
    pub(super) fn cut_off(&mut self, key: (u16, u64), branch: Branch, asked: u128) {
        self.open.remove(&key);
        for client in 0..self.clients {
            let bit = 1_u128.checked_shl(u32::try_from(client).unwrap_or(u32::MAX)).unwrap_or(0);
            let cell = self.cell(client, branch.place());
            self.cells[cell].may_land.raise(u64::from(asked & bit == 0));
        }
    }

    /// Events that land on a listener for each operation of a type.
    fn lands(&self, listener: usize, branch: usize, possible: Possible) -> f64 {
        let cell = self.cells[self.cell(listener, branch)];
        let operations = self.operations[branch];
        if operations == 0 {
            return 0.0;
        }
        let (landed, all) = (cell.landed as f64, operations as f64);
        let unseen = if self.varies[listener] { NEVER_SEEN / all } else { 0.0 };
        match possible {
            Possible::Likely => landed / operations.saturating_sub(cell.may_land).max(1) as f64,
            Possible::Least if cell.landed == operations => (1.0 - unseen).max(0.0),
            Possible::Least => landed / all,
            Possible::Most if cell.landed == 0 => unseen.min(1.0),
            Possible::Most => (landed + cell.may_land as f64) / all,
        }
    }

    /// Operations by type that a listener makes for each event about an operation of a type.
    fn makes(&self, listener: usize, branch: usize, possible: Possible) -> Vec<(usize, f64)> {
        let place = self.cell(listener, branch);
        let cell = self.cells[place];
        let mut reacted = cell.reacted as f64;
        if possible == Possible::Most && cell.landed > cell.reacted {
            // The latest are not all over that have begun.
            reacted = (reacted - self.workers[listener] as f64).max(reacted / 2.0);
        }
        let of_cell = (place, Branch::default())..(place.saturating_add(1), Branch::default());
        let made = self.made.range(of_cell);
        if reacted > 0.0 {
            return made.map(|(&(_, what), &count)| (what.place(), count as f64 / reacted)).collect();
        }
        if possible == Possible::Least {
            return Vec::new();
        }
        // Nothing is known of this pair. At most it is as any other of the listener's.
        let mut most: BTreeMap<usize, f64> = BTreeMap::new();
        let known =
            (0..self.operations.len()).filter(|&other| self.cells[self.cell(listener, other)].reacted > 0);
        for other in known {
            for (what, times) in self.makes(listener, other, Possible::Likely) {
                let before = most.entry(what).or_default();
                *before = before.max(times);
            }
        }
        if possible == Possible::Most { most.into_iter().collect() } else { Vec::new() }
    }

    /// `offspring[o][t]`: operations of type o that one of type t sets off.
    fn offspring(&self, possible: Possible) -> Vec<Vec<f64>> {
        let types = self.operations.len();
        let mut matrix = vec![vec![0.0; types]; types];
        for branch in (0..types).filter(|&branch| self.operations[branch] > 0) {
            for listener in 0..self.listeners() {
                let lands = self.lands(listener, branch, possible);
                if lands > 0.0 {
                    for (what, times) in self.makes(listener, branch, possible) {
                        matrix[what][branch] += lands * times;
                    }
                }
            }
        }
        matrix
    }

    /// The part of a matrix that is not the workload's: what closes a loop.
    fn of_clients(mut matrix: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        let clients = matrix.split_off(Branch::OF_WORKLOAD.min(matrix.len()));
        clients.into_iter().map(|mut row| row.split_off(Branch::OF_WORKLOAD.min(row.len()))).collect()
    }

    /// Why no loop gain can be said, if so.
    fn unknown(&self, a_client_died: bool) -> Option<GainUnknown> {
        if self.cells.iter().all(|cell| cell.landed == 0) {
            return Some(if a_client_died { GainUnknown::ClientsDied } else { GainUnknown::NoEvents });
        }
        let seen = |types: std::ops::Range<usize>| {
            let cells =
                types.flat_map(|branch| (0..self.listeners()).map(move |listener| (listener, branch)));
            let cells = cells.map(|(listener, branch)| self.cells[self.cell(listener, branch)]);
            cells.fold((0_u64, 0_u64), |(all, open), cell| {
                let nothing = cell.landed > 0 && cell.reacted == 0;
                let events = cell.landed.saturating_add(cell.may_land);
                (all.saturating_add(events), open.saturating_add(if nothing { events } else { 0 }))
            })
        };
        let types = self.operations.len();
        let too_many = |(all, open): (u64, u64)| open as f64 > all as f64 * OPEN_SHARE_MAX;
        let first = self.operations[Branch::OF_WORKLOAD.min(types)..].iter().all(|&count| count == 0);
        let looked_at =
            if first { 0..Branch::OF_WORKLOAD.min(types) } else { Branch::OF_WORKLOAD.min(types)..types };
        too_many(seen(looked_at)).then_some(GainUnknown::NotReacted)
    }

    /// The loop gain and the interval that holds the true one with 99 % certainty, or why there is none.
    pub(super) fn loop_gain(&self, a_client_died: bool) -> Result<Interval, GainUnknown> {
        if let Some(reason) = self.unknown(a_client_died) {
            return Err(reason);
        }
        let likely = Branching::of_clients(self.offspring(Possible::Likely));
        let parts = loops(&likely);
        let value = parts.iter().map(|part| part.radius).fold(0.0, f64::max);
        // The largest of several is as sure as all of them together.
        let share = 1.0 - OUTSIDE / 2.0 / parts.len().max(1) as f64;
        let width = lab_model::normal_quantile(share);
        let (mut low, mut high) = (0.0_f64, value);
        for part in &parts {
            let spread = width * self.spread(part);
            (low, high) = (low.max(part.radius - spread), high.max(part.radius + spread));
        }
        let radius = |possible| spectral_radius(&Branching::of_clients(self.offspring(possible)));
        // What may still have come moves the ends apart.
        low -= (value - radius(Possible::Least)).max(0.0);
        high += (radius(Possible::Most) - value).max(0.0);
        // No digit that the iteration has made.
        let exact = |value: f64| (value * 1e9).round() / 1e9;
        Ok(Interval { value: exact(value), low: exact(low.clamp(0.0, value)), high: exact(high) })
    }

    /// The standard error of a loop's radius: its change with each operation's own offspring, to first order.
    fn spread(&self, part: &super::radius::Loop) -> f64 {
        let product: f64 = part.left.iter().zip(&part.right).map(|(left, right)| left * right).sum();
        let mut weight = vec![0.0; self.operations.len()];
        for (&member, &left) in part.members.iter().zip(&part.left) {
            weight[member.saturating_add(Branch::OF_WORKLOAD)] = left;
        }
        let members = part.members.iter().map(|member| member.saturating_add(Branch::OF_WORKLOAD));
        let variance: f64 = members
            .zip(&part.right)
            .map(|(branch, &right)| right * right * self.variance(branch, &weight))
            .sum();
        variance.sqrt() / product.max(f64::MIN_POSITIVE)
    }

    /// The variance of the mean weight of what an operation of a type sets off.
    fn variance(&self, branch: usize, weight: &[f64]) -> f64 {
        let operations = self.operations[branch].max(1) as f64;
        let mut told = 0.0;
        // By listener: the weight of what one event sets off, how many operations that are, and how many events each
        // of those that had their chance stands for.
        let mut each: Vec<(f64, f64, f64)> = Vec::with_capacity(self.listeners());
        for listener in 0..self.listeners() {
            let makes = self.makes(listener, branch, Possible::Likely);
            let weighed: f64 = makes.iter().map(|&(what, times)| weight[what] * times).sum();
            let all: f64 = makes.iter().map(|&(_, times)| times).sum();
            let cell = self.cells[self.cell(listener, branch)];
            each.push((weighed, all, cell.landed as f64 / cell.reacted.max(1) as f64));
            if listener >= self.clients {
                // Notices come when the operation is over, and are not kept with it.
                let lands = self.lands(listener, branch, Possible::Likely).clamp(0.0, 1.0);
                told += lands * (1.0 - lands) * weighed * weighed;
            }
        }
        let score = |offspring: &Offspring| -> f64 {
            let scores = offspring.iter().filter_map(|heard| {
                let &(weighed, all, stands_for) = each.get(usize::from(heard.listener))?;
                let above = f64::from(heard.made) - f64::from(heard.reacted) * all;
                let of_one = if all > 0.0 { weighed / all } else { 0.0 };
                Some(f64::from(heard.landed) * weighed + above * of_one * stands_for)
            });
            scores.sum()
        };
        let scores: Vec<f64> = self.kept[branch].operations.iter().map(|(_, kept)| score(kept)).collect();
        let kept = scores.len() as f64;
        if kept < 2.0 {
            return told / operations;
        }
        let mean = scores.iter().sum::<f64>() / kept;
        let squares: f64 = scores.iter().map(|score| (score - mean) * (score - mean)).sum();
        let small = 1.0 + SMALL_SAMPLE / kept;
        (squares / (kept - 1.0) * small * small + told) / operations
    }

    /// `[i][j]`: events that land on client i for each event that client j handled of operations of these types.
    fn brought(&self, types: std::ops::Range<usize>) -> Vec<Vec<f64>> {
        let mut matrix = vec![vec![0.0; self.clients]; self.clients];
        for by in 0..self.clients {
            let landed = |branch: usize| self.cells[self.cell(by, branch)].landed as f64;
            let handled: f64 = types.clone().map(landed).sum();
            let mut made: BTreeMap<usize, f64> = BTreeMap::new();
            for branch in types.clone().filter(|&branch| landed(branch) > 0.0) {
                for (what, times) in self.makes(by, branch, Possible::Likely) {
                    *made.entry(what).or_default() += landed(branch) / handled * times;
                }
            }
            for (on, row) in matrix.iter_mut().enumerate() {
                let lands = |what: usize| self.lands(on, what, Possible::Likely);
                row[by] = made.iter().fold(0.0, |sum, (&what, made)| sum + made * lands(what));
            }
        }
        matrix
    }

    /// `gain[i][j]`: events that land on client i for each event of a client that client j handled.
    pub(super) fn gain(&self) -> Vec<Vec<f64>> {
        self.brought(Branch::OF_WORKLOAD.min(self.operations.len())..self.operations.len())
    }

    /// `drive[i][j]`: the same for each event of the workload.
    pub(super) fn drive(&self) -> Vec<Vec<f64>> {
        self.brought(0..Branch::OF_WORKLOAD.min(self.operations.len()))
    }

    /// Decisions below one operation of the workload, with its own: what each type lands on, times how many of it there are
    /// when everything has ended, which is (I - R) inverse. `None` where that does not exist or the gain may be 1 or more.
    pub(super) fn predicted_size(&self, gain: Option<Interval>) -> Option<f64> {
        let of_workload = Branch::OF_WORKLOAD.min(self.operations.len());
        let roots: u64 = self.operations[..of_workload].iter().sum();
        if roots == 0 || gain.is_none_or(|gain| gain.high >= 1.0) {
            return None;
        }
        let lands = |branch: usize| -> f64 {
            (0..self.clients).map(|client| self.lands(client, branch, Possible::Likely)).sum()
        };
        let offspring = self.offspring(Possible::Likely);
        let share = |root: usize| self.operations[root] as f64 / roots as f64;
        let first: f64 = (0..of_workload).map(|root| share(root) * lands(root)).sum();
        let second: Vec<f64> = offspring[of_workload..]
            .iter()
            .map(|row| (0..of_workload).map(|root| share(root) * row[root]).sum())
            .collect();
        let all = solve(&Branching::of_clients(offspring), &second)?;
        let below =
            all.iter().enumerate().map(|(place, count)| count * lands(place.saturating_add(of_workload)));
        Some(first + below.sum::<f64>())
    }
}

/// A hash of an operation's place, so that those that are kept follow no pattern of the workload's.
fn hash((trace, record): (u16, u64)) -> u64 {
    mix(record ^ (u64::from(trace) << 48) ^ 0x6761_696E)
}
