//! Which processes and threads are an external product's, from what `/proc` shows of them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use lab_model::{External, ProcessFacts};

/// The variable that a product's processes inherit; its value is the product's ID.
pub(super) const MARKER: &str = "LAB_EXTERNAL";

/// A process that was not there at the last look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newcomer<'a> {
    pub(super) pid: u32,
    pub(super) parent: u32,
    /// Its executable, if that could be told.
    pub(super) executable: Option<&'a str>,
    /// The value of [`MARKER`] in its environment.
    pub(super) marker: Option<&'a str>,
}

/// The processes that are there, and whose they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Family {
    /// By process ID; `None` for what is nobody's product.
    processes: BTreeMap<u32, Option<usize>>,
    threads: BTreeSet<(u32, u64)>,
}

/// A thread came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) product: usize,
    pub(super) pid: u32,
    pub(super) tid: u64,
    pub(super) there: bool,
}

impl Family {
    /// Takes in a process that the lab has started for a product.
    pub(super) fn adopt(&mut self, pid: u32, product: usize) {
        self.processes.insert(pid, Some(product));
    }

    pub(super) fn knows(&self, pid: u32) -> bool {
        self.processes.contains_key(&pid)
    }

    /// Decides whose a new process is: its parent's; else that of the product whose executable it is, or whose
    /// marker it has inherited. The first process of the lab is everybody's parent and says nothing.
    pub(super) fn meet(&mut self, new: &Newcomer<'_>, products: &[External]) {
        let inherited = self.processes.get(&new.parent).copied().flatten();
        let by_facts = || {
            let facts = ProcessFacts { path: new.executable, ..ProcessFacts::default() };
            products.iter().position(|product| product.process.fits(&facts))
        };
        let by_marker = || products.iter().position(|product| Some(product.id.as_str()) == new.marker);
        self.processes.insert(new.pid, inherited.or_else(by_facts).or_else(by_marker));
    }

    /// The processes of products, with whose they are.
    pub(super) fn members(&self) -> impl Iterator<Item = (u32, usize)> {
        self.processes.iter().filter_map(|(&pid, &product)| Some((pid, product?)))
    }

    /// The threads of members that were there at the last look, with whose they are.
    pub(super) fn threads(&self) -> impl Iterator<Item = (u64, usize)> {
        let whose = |pid: u32| self.processes.get(&pid).copied().flatten();
        self.threads.iter().filter_map(move |&(pid, tid)| Some((tid, whose(pid)?)))
    }

    /// Takes in which processes there are and which threads the members have, and says what is different.
    pub(super) fn update(&mut self, pids: &BTreeSet<u32>, threads: &BTreeSet<(u32, u64)>) -> Vec<Change> {
        let whose = |pid: u32| self.processes.get(&pid).copied().flatten();
        let change = |&(pid, tid): &(u32, u64), there| Some(Change { product: whose(pid)?, pid, tid, there });
        let gone = self.threads.difference(threads).filter_map(|thread| change(thread, false));
        let come = threads.difference(&self.threads).filter_map(|thread| change(thread, true));
        let changes = gone.chain(come).collect();
        self.threads.clone_from(threads);
        self.processes.retain(|pid, _| pids.contains(pid));
        changes
    }
}

#[cfg(test)]
mod tests {
    use lab_model::{Ready, Recognized, Span};

    use super::*;

    fn product(id: &str, path: Option<&str>) -> External {
        External {
            id: id.parse().unwrap(),
            start: vec!["/bin/true".to_owned()],
            environment: Vec::new(),
            ready: Ready::Started,
            ready_within: Span::from_secs(1),
            process: Recognized { path: path.map(str::to_owned), ..Recognized::default() },
            arena: None,
            private: Vec::new(),
        }
    }

    fn new(pid: u32, parent: u32) -> Newcomer<'static> {
        Newcomer { pid, parent, executable: None, marker: None }
    }

    #[test]
    fn a_process_is_its_parents_then_its_executables_then_its_markers() {
        let products = [product("one", None), product("two", Some("/usr/sbin/two"))];
        let mut family = Family::default();
        family.adopt(10, 0);
        for newcomer in [
            new(2, 1),
            new(11, 10),
            new(12, 11),
            // A parent counts more than what it runs.
            Newcomer { executable: Some("/usr/sbin/two"), ..new(13, 10) },
            // A daemon whose parent has gone.
            Newcomer { executable: Some("/usr/sbin/two"), ..new(20, 1) },
            Newcomer { marker: Some("one"), ..new(14, 1) },
            Newcomer { marker: Some("other"), ..new(3, 2) },
        ] {
            family.meet(&newcomer, &products);
        }
        let members: Vec<(u32, usize)> = family.members().collect();
        assert_eq!(members, [(10, 0), (11, 0), (12, 0), (13, 0), (14, 0), (20, 1)]);
        assert!(family.knows(2) && family.knows(3) && !family.knows(4));
    }

    #[test]
    fn threads_come_and_go_once_each() {
        let mut family = Family::default();
        family.adopt(10, 0);
        family.adopt(20, 1);
        let change = |product, pid, tid, there| Change { product, pid, tid, there };
        let (all, first) = ([10, 20].into(), [(10, 10), (10, 11), (20, 20)].into());
        let come = family.update(&all, &first);
        assert_eq!(come, [change(0, 10, 10, true), change(0, 10, 11, true), change(1, 20, 20, true)]);
        assert_eq!(family.update(&all, &first), []);
        assert_eq!(family.threads().collect::<Vec<_>>(), [(10, 0), (11, 0), (20, 1)]);
        let gone = family.update(&[10].into(), &[(10, 10)].into());
        assert_eq!(gone, [change(0, 10, 11, false), change(1, 20, 20, false)]);
        assert!(!family.knows(20), "its number may be given to somebody else");
        assert_eq!(family.members().collect::<Vec<_>>(), [(10, 0)]);
    }
}
