//! How many events one event brings: gain, drive, loop gain with its interval, predicted size.

use lab_model::{Bounded, mix};

use crate::{
    findings::{Findings, Interval, Prediction},
    measure::{Closing, Measure, Measured},
    pass::{
        cascade::Cascade,
        facts::{ClosedCascade, Noticed, ReadDecision, Scope},
        slots::By,
    },
};

/// The cascades whose counts are kept for the bootstrap.
const SAMPLES_MAX: usize = 4096;

/// The counts that are kept over all samples; many clients mean fewer samples.
const SAMPLE_COUNTS_MAX: usize = 1 << 22;

/// The bootstrap's resamples.
const RESAMPLES: usize = 200;

/// Steps of the iteration for the spectral radius.
const STEPS_MAX: usize = 500;

/// A small generator of numbers that depend on nothing but the seed (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) const fn new(seed: u64) -> Draw {
        Draw(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A place in a list of this length, which is not empty.
    pub(crate) fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// A number below `bound`, evenly drawn to within 2^-64.
    fn below(&mut self, bound: u64) -> u64 {
        u64::try_from(u128::from(self.next()).saturating_mul(u128::from(bound)) >> 64).unwrap_or(0)
    }
}

/// One cascade's counts.
#[derive(Clone, Debug)]
struct Sample {
    handled: Box<[u32]>,
    landed: Box<[u32]>,
}

/// The counts of a cascade in which something is open.
#[derive(Clone, Debug, Default)]
struct Open {
    /// Per type of event: client-caused ones that were handled, then those of the root operation.
    handled: Vec<u32>,
    /// Per pair: events landing on i by reactions of j to client-caused events; empty while all are zero.
    landed: Vec<u32>,
}

/// Counts over the storm's cascades. Pairs lie as `landed on i` times types plus `by j`. The types are the clients as
/// those who decide, and, in a lab in which some are told, the clients again as those who are told: what a client does
/// when it decides and what it does when it is told are two things, and a loop may go through either.
#[derive(Clone, Debug)]
pub(crate) struct Gain {
    /// The types.
    types: usize,
    /// The clients, which are the first types and the only ones whose events are decisions.
    clients: usize,
    handled: Vec<u64>,
    handled_workload: Vec<u64>,
    landed: Vec<u64>,
    driven: Vec<u64>,
    first: Vec<u64>,
    completed: u64,
    samples: Vec<Sample>,
    samples_max: usize,
    seen: u64,
    draw: Draw,
    /// By the cascade's place.
    open: Vec<Open>,
}

impl Gain {
    fn new(clients: usize, notified: bool, seed: u64) -> Gain {
        let types = if notified { clients.saturating_mul(2) } else { clients };
        let each = types.saturating_mul(types).saturating_add(types);
        Gain {
            types,
            clients,
            handled: vec![0; types],
            handled_workload: vec![0; types],
            landed: vec![0; types.saturating_mul(types)],
            driven: vec![0; types.saturating_mul(types)],
            first: vec![0; types],
            completed: 0,
            samples: Vec::new(),
            samples_max: SAMPLES_MAX.min(SAMPLE_COUNTS_MAX.checked_div(each.max(1)).unwrap_or(0)),
            seen: 0,
            draw: Draw::new(seed ^ 0x6761_696E),
            open: Vec::new(),
        }
    }

    /// The type of what a client is told.
    fn of_notices(&self, client: u16) -> u16 {
        client.saturating_add(u16::try_from(self.types.saturating_sub(self.clients)).unwrap_or(0))
    }

    /// The type of event that brought an operation about.
    fn kind(&self, by: By) -> u16 {
        if by.is_notice() { self.of_notices(by.client) } else { by.client }
    }

    /// Counts an event of type `on` in a cascade, and by what it came about. It counts as handled when its trace is
    /// complete enough to have the reactions to it.
    fn count(&mut self, slot: u32, on: u16, about_client: bool, complete: bool, by: Option<By>) {
        let place = usize::try_from(slot).unwrap_or(usize::MAX);
        if self.open.len() <= place {
            self.open.resize(place.saturating_add(1), Open::default());
        }
        if self.open[place].handled.is_empty() {
            self.open[place].handled = vec![0; self.types.saturating_mul(2)];
        }
        self.event(place, on, about_client, complete);
        if let Some(by) = by {
            self.landing(place, on, self.kind(by), by.about_client);
        }
    }

    fn event(&mut self, place: usize, on: u16, about_client: bool, complete: bool) {
        let on = usize::from(on);
        let handled = &mut self.open[place].handled;
        if about_client {
            if complete {
                self.handled[on].raise(1);
                handled[on].raise(1);
            }
        } else {
            handled[self.types.saturating_add(on)].raise(1);
            if complete {
                self.handled_workload[on].raise(1);
            }
        }
    }

    /// Counts that an event of type `on` came of a reaction to one of type `by`.
    fn landing(&mut self, place: usize, on: u16, by: u16, to_client_caused: bool) {
        let pair = usize::from(on).saturating_mul(self.types).saturating_add(usize::from(by));
        if to_client_caused {
            self.landed[pair].raise(1);
            let landed = &mut self.open[place].landed;
            if landed.is_empty() {
                landed.resize(self.types.saturating_mul(self.types), 0);
            }
            landed[pair].raise(1);
        } else {
            self.driven[pair].raise(1);
        }
    }

    /// Takes a closed cascade into the sample (reservoir sampling) and into the first decisions.
    fn sample(&mut self, cascade: &Cascade, open: &Open) {
        if cascade.root_completed && !cascade.cut {
            self.completed.raise(1);
            for (first, &count) in self.first.iter_mut().zip(open.handled.iter().skip(self.types)) {
                first.raise(u64::from(count));
            }
        }
        self.seen.raise(1);
        let sample = || Sample {
            handled: open.handled.iter().copied().take(self.types).collect(),
            landed: open.landed.as_slice().into(),
        };
        if self.samples.len() < self.samples_max {
            self.samples.push(sample());
            return;
        }
        let place = self.draw.below(self.seen);
        if let Some(place) = usize::try_from(place).ok().filter(|&place| place < self.samples.len()) {
            self.samples[place] = sample();
        }
    }

    fn rows(&self, counts: &[u64], events: &[u64]) -> Vec<Vec<f64>> {
        let share = |count: u64, events: u64| if events == 0 { 0.0 } else { count as f64 / events as f64 };
        counts
            .chunks(self.types.max(1))
            .map(|row| row.iter().zip(events).map(|(&count, &events)| share(count, events)).collect())
            .collect()
    }

    /// The part that is about decisions only.
    fn shown(&self, rows: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        let shown = rows.into_iter().take(self.clients);
        shown.map(|row| row.into_iter().take(self.clients).collect()).collect()
    }

    /// `gain[i][j]` of decisions.
    fn gain(&self) -> Vec<Vec<f64>> {
        self.shown(self.gain_of_all())
    }

    fn gain_of_all(&self) -> Vec<Vec<f64>> {
        self.rows(&self.landed, &self.handled)
    }

    /// `drive[i][j]` of decisions.
    fn drive(&self) -> Vec<Vec<f64>> {
        self.shown(self.drive_of_all())
    }

    fn drive_of_all(&self) -> Vec<Vec<f64>> {
        self.rows(&self.driven, &self.handled_workload)
    }

    /// The spectral radius and the interval that holds 95 % of the bootstrap's; `None` without any event.
    fn loop_gain(&self) -> Option<Interval> {
        if self.handled.iter().chain(&self.handled_workload).all(|&count| count == 0) {
            return None;
        }
        let value = spectral_radius(&self.gain_of_all());
        if self.samples.len() < 2 || self.landed.iter().all(|&count| count == 0) {
            return Some(Interval { value, low: value, high: value });
        }
        let mut draw = self.draw.clone();
        let mut radii: Vec<f64> = (0..RESAMPLES).map(|_| self.resample(&mut draw)).collect();
        radii.sort_by(f64::total_cmp);
        let at = |share: usize| radii[(RESAMPLES.saturating_mul(share) / 1000).min(RESAMPLES - 1)];
        // The interval of the sample holds the estimate from all cascades.
        Some(Interval { value, low: at(25).min(value), high: at(975).max(value) })
    }

    fn resample(&self, draw: &mut Draw) -> f64 {
        let (mut handled, mut landed) = (vec![0_u64; self.types], vec![0_u64; self.landed.len()]);
        let bound = self.samples.len() as u64;
        for _ in 0..self.samples.len() {
            let Some(sample) =
                usize::try_from(draw.below(bound)).ok().and_then(|place| self.samples.get(place))
            else {
                continue;
            };
            for (sum, &count) in handled.iter_mut().zip(&sample.handled) {
                sum.raise(u64::from(count));
            }
            for (sum, &count) in landed.iter_mut().zip(&sample.landed) {
                sum.raise(u64::from(count));
            }
        }
        spectral_radius(&self.rows(&landed, &handled))
    }

    /// First decisions plus drive times (I - G) inverse; `None` when that does not exist or the gain may be 1 or
    /// more.
    fn predicted_size(&self, loop_gain: f64) -> Option<f64> {
        if self.completed == 0 || loop_gain >= 1.0 {
            return None;
        }
        let first: Vec<f64> = self.first.iter().map(|&count| count as f64 / self.completed as f64).collect();
        let second: Vec<f64> = self
            .drive_of_all()
            .iter()
            .map(|row| row.iter().zip(&first).map(|(drive, first)| drive * first).sum())
            .collect();
        // Of all events only decisions count towards a size.
        let decisions = |events: &[f64]| events.iter().take(self.clients).sum::<f64>();
        Some(decisions(&first) + decisions(&solve(&self.gain_of_all(), &second)?))
    }
}

impl Measure for Gain {
    fn of(scope: &Scope<'_>) -> Self {
        let clients = scope.roster.clients.len();
        let notified = scope.lab.clients.iter().take(clients).any(|client| scope.lab.notifies(client));
        Gain::new(clients, notified, scope.lab.seed)
    }

    fn decision_read(&mut self, read: &ReadDecision<'_>, _: &Scope<'_>) {
        if let Some(hung) = read.hung.filter(|hung| hung.cascade.in_storm()) {
            self.count(hung.slot, read.client, hung.about_client, hung.complete, hung.by);
        }
    }

    fn noticed(&mut self, noticed: &Noticed<'_>, _: &Scope<'_>) {
        if let Some(op) = noticed.hung().filter(|op| op.in_storm) {
            self.count(op.cascade, self.of_notices(noticed.client), !op.root, noticed.complete, op.by);
        }
    }

    fn cascade_closed(&mut self, closed: &ClosedCascade<'_>, _: &Scope<'_>) {
        if !closed.cascade.in_storm() {
            return;
        }
        let place = usize::try_from(closed.slot).unwrap_or(usize::MAX);
        let mut open = self.open.get_mut(place).map(std::mem::take).unwrap_or_default();
        self.sample(closed.cascade, &open);
        // Emptied, its memory serves the next cascade in this place.
        if let Some(place) = self.open.get_mut(place) {
            open.handled.fill(0);
            open.landed.clear();
            *place = open;
        }
    }

    fn finish(&self, _: &Closing<'_>, findings: &mut Findings) {
        let loop_gain = self.loop_gain();
        let size = &findings.cascades.size;
        findings.prediction = (findings.cascades.count > 0).then(|| Prediction {
            predicted_size: self.predicted_size(loop_gain.map_or(0.0, |gain| gain.high)),
            observed_size: size.mean,
        });
        findings.loop_gain = loop_gain;
        findings.gain = self.gain();
        findings.drive = self.drive();
    }

    fn metric(findings: &Findings, parts: &[&str]) -> Option<Measured> {
        Some(Measured::Number(match parts {
            ["loop_gain"] => findings.loop_gain?.value,
            ["loop_gain", "low"] => findings.loop_gain?.low,
            ["loop_gain", "high"] => findings.loop_gain?.high,
            ["gain", on, by] => {
                let place = |id: &str| findings.clients.iter().position(|client| client.id == id);
                *findings.gain.get(place(on)?)?.get(place(by)?)?
            }
            _ => return None,
        }))
    }
}

/// Solves `(I - G) x = b` by elimination with pivots; `None` when there is no single answer.
fn solve(gain: &[Vec<f64>], b: &[f64]) -> Option<Vec<f64>> {
    let n = b.len();
    let mut rows: Vec<Vec<f64>> = gain
        .iter()
        .zip(b)
        .enumerate()
        .map(|(i, (row, &right))| {
            let mut row: Vec<f64> =
                row.iter().enumerate().map(|(j, &gain)| f64::from(u8::from(i == j)) - gain).collect();
            row.push(right);
            row
        })
        .collect();
    for column in 0..n {
        let pivot = (column..n).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))?;
        if rows[pivot][column].abs() < 1e-12 {
            return None;
        }
        rows.swap(column, pivot);
        let lead = rows[column].clone();
        for (place, row) in rows.iter_mut().enumerate() {
            let factor = row[column] / lead[column];
            if place != column && factor != 0.0 {
                row.iter_mut().zip(&lead).for_each(|(cell, lead)| *cell -= factor * lead);
            }
        }
    }
    Some((0..n).map(|i| rows[i][n] / rows[i][i]).collect())
}

/// The spectral radius of a matrix without negative entries: the largest over its strongly connected parts, so
/// that a matrix without a loop has exactly 0.
pub(crate) fn spectral_radius(matrix: &[Vec<f64>]) -> f64 {
    let n = matrix.len();
    let mut reach: Vec<Vec<bool>> =
        matrix.iter().map(|row| row.iter().map(|&entry| entry > 0.0).collect()).collect();
    for middle in 0..n {
        let through = reach[middle].clone();
        for row in &mut reach {
            if row[middle] {
                row.iter_mut().zip(&through).for_each(|(cell, &also)| *cell |= also);
            }
        }
    }
    let mut done = vec![false; n];
    let mut largest = 0.0_f64;
    for first in 0..n {
        if done[first] || !reach[first][first] {
            continue;
        }
        let part: Vec<usize> = (0..n).filter(|&other| reach[first][other] && reach[other][first]).collect();
        part.iter().for_each(|&member| done[member] = true);
        let block: Vec<Vec<f64>> =
            part.iter().map(|&i| part.iter().map(|&j| matrix[i][j]).collect()).collect();
        largest = largest.max(irreducible_radius(&block));
    }
    largest
}

/// Iterates `(B + s I) x`, which converges for a strongly connected `B`, until its bounds meet.
fn irreducible_radius(block: &[Vec<f64>]) -> f64 {
    let shift = block.iter().flatten().fold(0.0_f64, |most, &entry| most.max(entry));
    let mut vector = vec![1.0 / block.len() as f64; block.len()];
    let mut estimate = 0.0;
    for _ in 0..STEPS_MAX {
        let next: Vec<f64> = block
            .iter()
            .zip(&vector)
            .map(|(row, &own)| row.iter().zip(&vector).map(|(b, x)| b * x).sum::<f64>() + shift * own)
            .collect();
        let ratios = next.iter().zip(&vector).map(|(next, before)| next / before);
        let (low, high) = ratios.fold((f64::INFINITY, 0.0_f64), |(low, high), r| (low.min(r), high.max(r)));
        estimate = f64::midpoint(low, high) - shift;
        if high - low <= 1e-12 * high {
            break;
        }
        let sum: f64 = next.iter().sum();
        vector = next.iter().map(|entry| (entry / sum).max(f64::MIN_POSITIVE)).collect();
    }
    estimate.max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(matrix: &[&[f64]], expect: f64) {
        let matrix: Vec<Vec<f64>> = matrix.iter().map(|row| row.to_vec()).collect();
        let radius = spectral_radius(&matrix);
        assert!((radius - expect).abs() < 1e-9, "{matrix:?}: {radius}, not {expect}");
    }

    #[test]
    fn known_radii() {
        check(&[], 0.0);
        check(&[&[0.0]], 0.0);
        check(&[&[0.7]], 0.7);
        check(&[&[0.5, 0.5], &[0.5, 0.5]], 1.0);
        check(&[&[0.0, 2.0], &[0.5, 0.0]], 1.0);
        check(&[&[0.0, 9.0], &[0.0, 0.0]], 0.0);
        check(&[&[0.2, 9.0], &[0.0, 0.3]], 0.3);
        check(&[&[0.0, 1.0, 0.0], &[0.0, 0.0, 1.0], &[8.0, 0.0, 0.0]], 2.0);
    }

    #[test]
    fn a_linear_system_is_solved() {
        let gain = vec![vec![0.0, 0.5], vec![0.25, 0.0]];
        let solution = solve(&gain, &[1.0, 2.0]).unwrap();
        assert!((solution[0] - 0.5 * solution[1] - 1.0).abs() < 1e-12);
        assert!((solution[1] - 0.25 * solution[0] - 2.0).abs() < 1e-12);
        assert_eq!(solve(&[vec![1.0]], &[1.0]), None);
    }
}
