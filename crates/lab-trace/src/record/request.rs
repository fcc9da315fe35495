//! What this client handed on to a worker outside its process.

use lab_model::{Actor, Ticks};

use super::{
    Part,
    words::{low, u16_at},
};

/// One request of a client to a helper or a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What was known when it was made.
    pub begin: RequestBegin,
    /// The reply; absent when none came.
    pub end: Part<RequestEnd>,
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
}

impl RequestEnd {
    pub(crate) fn words(&self) -> [u64; 4] {
        [self.at.0, u64::from(self.error), 0, 0]
    }

    pub(crate) fn from_words(words: &[u64]) -> RequestEnd {
        RequestEnd { at: Ticks(words[0]), error: low(words[1]) }
    }
}
