//! What a run has seen of who waits: a line of JSON for each moment at which that changed, and one at its end.

use serde::{Deserialize, Serialize};

use crate::report::{WaitCircle, WaitReport, Waiting};

/// One line of the record. Instants are in the ticks of the run's own clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordLine {
    /// From here on this was seen.
    Seen {
        /// When.
        at: u64,
        /// When it was looked before: until then at least it was as the line before says.
        before: u64,
        /// Who waits, and in which circles.
        waits: WaitReport,
    },
    /// Nobody looked any more.
    End {
        /// When.
        at: u64,
        /// How often it was looked.
        looks: u64,
        /// How long all looks together took, in microseconds.
        took_us: u64,
        /// Changes that are not in the record because there were too many.
        left_out: u64,
    },
}

/// A whole record, read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaitRecord {
    /// What was seen from when on, and when it was looked before.
    pub seen: Vec<Sighting>,
    /// When nobody looked any more; `None` when the record was cut short.
    pub ended: Option<u64>,
    /// How often it was looked; 0 when the record was cut short.
    pub looks: u64,
    /// How long all looks together took, in microseconds.
    pub took_us: u64,
    /// Changes that were too many.
    pub left_out: u64,
    /// Lines that are none.
    pub damaged: u64,
}

/// A change of what was seen, in ticks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// When it was seen first.
    pub at: u64,
    /// When it was looked before.
    pub before: u64,
    /// What was seen.
    pub waits: WaitReport,
}

/// Something that was seen over a stretch of time, in ticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch<T> {
    /// When it was seen first.
    pub from: u64,
    /// For how long it had lasted by then at least, in milliseconds.
    pub since_ms: u64,
    /// When it was seen last, as far as that is recorded; it may have lasted until `gone`.
    pub last: u64,
    /// When it was seen no more; `None` when it was seen to the end of the record.
    pub gone: Option<u64>,
    /// What was seen, as it was first.
    pub what: T,
}

impl WaitRecord {
    /// Reads a record. What is damaged is counted and left out.
    #[must_use]
    pub fn parse(text: &[u8]) -> WaitRecord {
        let mut record = WaitRecord::default();
        for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(RecordLine::Seen { at, before, waits }) => {
                    record.seen.push(Sighting { at, before, waits })
                }
                Ok(RecordLine::End { at, looks, took_us, left_out }) => {
                    record.ended = Some(at);
                    (record.looks, record.took_us, record.left_out) = (looks, took_us, left_out);
                }
                Err(_) => record.damaged += 1,
            }
        }
        record
    }

    /// The circles that were seen, each over the stretch in which the same processes were in it.
    #[must_use]
    pub fn circles(&self) -> Vec<Stretch<WaitCircle>> {
        self.stretches(|waits| &waits.circles, |circle| circle.lasted_ms, same_circle)
    }

    /// The long waits that were seen, each over the stretch in which the same thread was in it.
    #[must_use]
    pub fn waits(&self) -> Vec<Stretch<Waiting>> {
        self.stretches(|waits| &waits.waits, |wait| wait.since_ms, same_wait)
    }

    fn stretches<T: Clone>(
        &self,
        of: impl Fn(&WaitReport) -> &[T],
        lasted: impl Fn(&T) -> u64,
        same: impl Fn(&T, &T) -> bool,
    ) -> Vec<Stretch<T>> {
        let mut all: Vec<Stretch<T>> = Vec::new();
        let mut open: Vec<usize> = Vec::new();
        for Sighting { at, before, waits } in &self.seen {
            let now = of(waits);
            open.retain(|&place| {
                let goes_on = now.iter().any(|one| same(one, &all[place].what));
                if goes_on {
                    all[place].last = *at;
                } else {
                    all[place].last = (*before).max(all[place].last);
                    all[place].gone = Some(*at);
                }
                goes_on
            });
            for one in now {
                if !open.iter().any(|&place| same(one, &all[place].what)) {
                    open.push(all.len());
                    let (since_ms, what) = (lasted(one), one.clone());
                    all.push(Stretch { from: *at, since_ms, last: *at, gone: None, what });
                }
            }
        }
        all
    }
}

/// Whether two circles are of the same processes.
pub(crate) fn same_circle(one: &WaitCircle, other: &WaitCircle) -> bool {
    let pids = |circle: &WaitCircle| {
        let mut pids: Vec<u32> = circle.links.iter().map(|link| link.process.pid).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    };
    one.sure == other.sure && pids(one) == pids(other)
}

fn same_wait(one: &Waiting, other: &Waiting) -> bool {
    one.tid == other.tid && one.kind == other.kind && one.file == other.file
}

impl WaitReport {
    /// Whether another report says the same, but for how long it has lasted.
    #[must_use]
    pub fn says_the_same(&self, other: &WaitReport) -> bool {
        let waits = |one: &Waiting, other: &Waiting| {
            same_wait(one, other) && one.waits_for == other.waits_for && one.stuck == other.stuck
        };
        self.waits.len() == other.waits.len()
            && self.circles.len() == other.circles.len()
            && self.waits.iter().all(|one| other.waits.iter().any(|two| waits(one, two)))
            && self.circles.iter().zip(&other.circles).all(|(one, two)| same_circle(one, two))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{report::ProcessName, wait::WaitKind};

    fn waiting(tid: u32, since_ms: u64) -> Waiting {
        Waiting {
            process: ProcessName { pid: tid, name: "alpha".to_owned() },
            tid,
            kind: WaitKind::Lease,
            hand_over: true,
            file: None,
            since_ms,
            waits_for: Vec::new(),
            others: true,
            stuck: false,
            evidence: String::new(),
            words: String::new(),
        }
    }

    #[test]
    fn a_record_is_read_back_in_stretches_and_damage_is_counted() {
        let of = |waits| WaitReport { waits, ..WaitReport::default() };
        let lines = [
            RecordLine::Seen { at: 100, before: 50, waits: of(vec![waiting(7, 500)]) },
            RecordLine::Seen { at: 200, before: 150, waits: of(vec![waiting(7, 600), waiting(8, 500)]) },
            RecordLine::Seen { at: 300, before: 250, waits: of(vec![waiting(8, 600)]) },
            RecordLine::End { at: 400, looks: 9, took_us: 90, left_out: 0 },
        ];
        let mut text: Vec<u8> = Vec::new();
        for line in &lines {
            text.extend(serde_json::to_vec(line).unwrap());
            text.push(b'\n');
        }
        let record = WaitRecord::parse(&text);
        assert_eq!((record.ended, record.looks, record.damaged), (Some(400), 9, 0));
        let stretches = record.waits();
        let ends: Vec<_> = stretches.iter().map(|one| (one.what.tid, one.from, one.last, one.gone)).collect();
        assert_eq!(ends, [(7, 100, 250, Some(300)), (8, 200, 300, None)]);
        let cut = WaitRecord::parse(&text[..text.len() - 3]);
        assert_eq!((cut.ended, cut.damaged), (None, 1));
    }
}
