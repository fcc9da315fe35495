//! What this client handed on to a worker outside its process.

use lab_model::{Actor, Ticks};

use super::{
    RecordPart,
    words::{low, u16_at},
};

/// One request of a client to a helper or a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What was known when it was made.
    pub begin: RequestBegin,
    /// The reply; absent when none came.
    pub end: RecordPart<RequestEnd>,
}

/// What a client knows when it asks a worker outside its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestBegin {
    /// When it asked.
    pub at: Ticks,
    /// The decision's place in this trace.
    pub decision: u64,
    /// Who is asked: a daemon, or the client itself for one of its helpers.
    pub whom: Actor,
    /// The client's worker that asks, counted from 0.
    pub worker: u16,
    /// That worker waits for the reply.
    pub waits: bool,
}

impl RequestBegin {
    pub(crate) fn words(&self) -> [u64; 7] {
        let how = u64::from(self.whom.0) | (u64::from(self.worker) << 16) | (u64::from(self.waits) << 32);
        [self.at.0, self.decision, how, 0, 0, 0, 0]
    }

    /// `None` for a way of waiting that this version does not know.
    pub(crate) fn from_words(words: &[u64]) -> Option<RequestBegin> {
        Some(RequestBegin {
            at: Ticks(words[0]),
            decision: words[1],
            whom: Actor(u16_at(words[2], 0)),
            worker: u16_at(words[2], 16),
            waits: match u16_at(words[2], 32) {
                0 => false,
                1 => true,
                _ => return None,
            },
        })
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestEnd {
    /// When the reply was there, or it was clear that none would come.
    pub at: Ticks,
    /// 0, or the `errno` of the failure: nobody was there to ask, or the worker ended.
    pub error: u32,
    /// What the worker said of its time; `None` when no reply came, or none that says so.
    pub served: Option<Served>,
}

/// A request as its worker saw it, by the same clock as everything in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// When the worker had read it.
    pub read: Ticks,
    /// When one of its threads began it.
    pub begun: Ticks,
    /// When that thread had carried it out.
    pub ended: Ticks,
    /// How long it was in opens and programs meanwhile, in ticks: there it waits for every client that is asked.
    pub operations: u64,
}

impl Served {
    pub(crate) fn words(&self) -> [u64; 2] {
        [self.ended.0, self.operations]
    }
}

impl RequestEnd {
    pub(crate) fn words(&self) -> [u64; 4] {
        let (read, begun) = self.served.map_or((0, 0), |served| (served.read.0, served.begun.0));
        [self.at.0, u64::from(self.error), read, begun]
    }

    /// From its own words and, where the worker said something, those of the part behind them.
    pub(crate) fn from_words(words: &[u64], served: Option<&[u64]>) -> RequestEnd {
        let served = served.map(|more| Served {
            read: Ticks(words[2]),
            begun: Ticks(words[3]),
            ended: Ticks(more[0]),
            operations: more[1],
        });
        RequestEnd { at: Ticks(words[0]), error: low(words[1]), served }
    }
}
