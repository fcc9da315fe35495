//! Counts by name, of which no more are kept than a limit.

use std::collections::BTreeMap;

use lab_model::Bounded;

/// Counts by name. Names that come when it is full are counted together.
#[derive(Clone, Debug)]
pub(super) struct Ranking<K, V> {
    entries: BTreeMap<K, (u64, V)>,
    entries_max: usize,
    left_out: u64,
}

impl<K: Ord + Clone, V: Clone> Ranking<K, V> {
    pub(super) fn new(entries_max: usize) -> Ranking<K, V> {
        Ranking { entries: BTreeMap::new(), entries_max, left_out: 0 }
    }

    /// Counts one of `key`; `about` is kept of the first.
    pub(super) fn count(&mut self, key: K, about: impl FnOnce() -> V) {
        if let Some((count, _)) = self.entries.get_mut(&key) {
            count.raise(1);
        } else if self.entries.len() < self.entries_max {
            self.entries.insert(key, (1, about()));
        } else {
            self.left_out.raise(1);
        }
    }

    /// How many different names there are among those kept.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What was counted without its name.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The `most` largest, then by name.
    pub(super) fn largest(&self, most: usize) -> Vec<(K, u64, V)> {
        let mut all: Vec<_> = self.entries.iter().collect();
        all.sort_by(|one, other| other.1.0.cmp(&one.1.0).then_with(|| one.0.cmp(other.0)));
        all.truncate(most);
        all.into_iter().map(|(key, (count, about))| (key.clone(), *count, about.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut ranking = Ranking::new(2);
        for name in ["b", "a", "b", "c", "c", "a", "b"] {
            ranking.count(name, || ());
        }
        assert_eq!(ranking.largest(9), [("b", 3, ()), ("a", 2, ())]);
        assert_eq!((ranking.len(), ranking.left_out()), (2, 2));
        assert_eq!(ranking.largest(1).len(), 1);
    }
}
