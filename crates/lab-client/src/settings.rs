//! What a client goes by at one time, and how the reader learns of a change without a lock on its way.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use lab_client_core::Policy;
use lab_model::{Actor, SubjectClass, ThreadId};
use lab_trace::TraceWriter;

/// The policy, and whose threads are whose.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) policy: Policy,
    pub(crate) participants: Participants,
}

impl Settings {
    /// Whose thread it is. A program that this client runs is on its board from before its first event to its end, in the
    /// place of one of its `workers`.
    pub(crate) fn classify(
        &self,
        subject: ThreadId,
        trace: &TraceWriter,
        workers: usize,
    ) -> (SubjectClass, Actor) {
        let (class, actor) = self.participants.classify(subject.tid);
        let own = actor == Actor::UNKNOWN
            && self.policy.behavior().spawns()
            && trace.board().is_operating(subject.tid, workers);
        if own { (SubjectClass::OwnHelper, self.participants.own) } else { (class, actor) }
    }
}

/// Which thread belongs to which lab process.
#[derive(Clone, Debug)]
pub(crate) struct Participants {
    own: Actor,
    threads: HashMap<u64, Actor>,
    clients: Vec<Actor>,
    /// Its own helpers: it has started them, so it knows its children.
    helpers: Vec<Actor>,
}

impl Participants {
    pub(crate) fn new(
        own: Actor,
        threads: impl IntoIterator<Item = (u64, Actor)>,
        clients: Vec<Actor>,
        helpers: Vec<Actor>,
    ) -> Self {
        Participants { own, threads: threads.into_iter().collect(), clients, helpers }
    }

    /// The same client among others.
    pub(crate) fn among(&self, threads: Vec<(u64, Actor)>, clients: Vec<Actor>) -> Self {
        Participants::new(self.own, threads, clients, self.helpers.clone())
    }

    /// The same client with one helper more.
    pub(crate) fn with_helper(&self, helper: Actor) -> Self {
        let mut participants = self.clone();
        participants.helpers.push(helper);
        participants
    }

    /// Whose thread it is, as far as this client can tell, and which lab process's.
    pub(crate) fn classify(&self, tid: u64) -> (SubjectClass, Actor) {
        match self.threads.get(&tid) {
            Some(&actor) if actor == self.own => (SubjectClass::Own, actor),
            Some(&actor) if self.helpers.contains(&actor) => (SubjectClass::OwnHelper, actor),
            Some(&actor) if self.clients.contains(&actor) => (SubjectClass::Peer, actor),
            // Another's helper, a daemon: what the kernel shows does not tell them from the workload.
            Some(&actor) => (SubjectClass::Workload, actor),
            None => (SubjectClass::Workload, Actor::UNKNOWN),
        }
    }
}

/// Where the control thread publishes settings. The lock is taken by that thread and, only after the version
/// has changed, by the reader; never by a worker.
#[derive(Debug)]
pub(crate) struct Published {
    version: AtomicU64,
    current: Mutex<Arc<Settings>>,
}

impl Published {
    pub(crate) fn new(settings: Settings) -> Published {
        Published { version: AtomicU64::new(1), current: Mutex::new(Arc::new(settings)) }
    }

    pub(crate) fn current(&self) -> Arc<Settings> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn publish(&self, settings: Settings) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// The reader's own copy of what is published.
#[derive(Debug)]
pub(crate) struct Followed {
    seen: u64,
    settings: Arc<Settings>,
}

impl Followed {
    pub(crate) fn new(published: &Published) -> Followed {
        Followed { seen: 0, settings: published.current() }
    }

    /// The settings now: one load, unless they have changed.
    pub(crate) fn settings(&mut self, published: &Published) -> &Settings {
        let version = published.version.load(Ordering::Acquire);
        if version != self.seen {
            self.settings = published.current();
            self.seen = version;
        }
        &self.settings
    }
}
