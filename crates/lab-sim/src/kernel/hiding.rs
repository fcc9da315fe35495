//! What a kernel does not ask a client about: muted paths, answers that it keeps, events not subscribed to.

use lab_model::{Behavior, Cache, EventKind};
use serde::{Deserialize, Serialize};

use crate::Files;

/// Whom an answer in Endpoint Security's cache serves. Undocumented: sources disagree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EsCache {
    /// The client that had it kept.
    #[default]
    Own,
    /// Every client, also those that never gave such an answer.
    Shared,
}

const OPEN: u8 = 1;
const EXEC: u8 = 2;
/// In a file's bits the kinds that are muted stand above those whose answer is kept.
const MUTED: u32 = 2;
const KEPT: u8 = OPEN | EXEC;

/// What is hidden from one client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hidden {
    /// Kinds of event that it has not subscribed to.
    unsubscribed: u8,
    /// Kinds of event by file; empty as long as nothing is muted or kept, so that a lab without either pays
    /// for a comparison only.
    files: Vec<u8>,
}

impl Hidden {
    /// Forgets what was kept and follows this behaviour.
    pub(crate) fn follow(&mut self, behavior: &Behavior, files: &Files) {
        let unwanted = |event, kind| if behavior.subscribe.contains(event) { 0 } else { kind };
        self.unsubscribed = unwanted(EventKind::AuthOpen, OPEN) | unwanted(EventKind::AuthExec, EXEC);
        self.files.clear();
        if !behavior.mute.paths.is_empty() || behavior.cache == Cache::On {
            let muted = |file| behavior.mute.paths.iter().any(|path| files.lies_in(file, path));
            let bits = |file| if muted(file) { KEPT << MUTED } else { 0 };
            self.files.extend((0..files.count()).map(bits));
        }
    }

    /// True when the client is not asked about such an event on this file.
    #[inline]
    pub(crate) fn hides(&self, file: u32, event: EventKind) -> bool {
        let bits = self.files.get(file as usize).copied().unwrap_or(0);
        (self.unsubscribed | bits | (bits >> MUTED)) & kind(event) != 0
    }

    /// True for a file that the client has muted: it is not told of it either.
    #[inline]
    pub(crate) fn mutes(&self, file: u32) -> bool {
        self.files.get(file as usize).is_some_and(|bits| bits >> MUTED != 0)
    }

    /// The kernel keeps an answer: the client is not asked again about such an event on this file.
    pub(crate) fn keep(&mut self, file: u32, event: EventKind, files: &Files) {
        self.files.resize(files.count() as usize, 0);
        if let Some(bits) = self.files.get_mut(file as usize) {
            *bits |= kind(event);
        }
    }

    /// The kernel forgets its answers about a file.
    pub(crate) fn forget_file(&mut self, file: u32) {
        if let Some(bits) = self.files.get_mut(file as usize) {
            *bits &= !KEPT;
        }
    }

    /// The kernel forgets all answers.
    pub(crate) fn forget(&mut self) {
        self.files.iter_mut().for_each(|bits| *bits &= !KEPT);
    }
}

const fn kind(event: EventKind) -> u8 {
    match event {
        EventKind::AuthOpen => OPEN,
        EventKind::AuthExec => EXEC,
        _ => 0,
    }
}
