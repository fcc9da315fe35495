//! What a kernel does not ask a client about: muted paths, answers that it keeps, events not subscribed to.

use lab_model::{AuthEvents, Behavior, Cache, EventKind};
use serde::{Deserialize, Serialize};

use crate::kernel::files::Files;

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

/// What is hidden from one client.
#[derive(Clone, Debug)]
pub(crate) struct Hidden {
    /// The events that it has not subscribed to.
    unsubscribed: AuthEvents,
    /// By file; empty as long as nothing is muted or kept, so that a lab without either pays for a comparison only.
    files: Vec<HiddenFile>,
}

/// What is hidden from one client about one file.
#[derive(Clone, Copy, Debug)]
struct HiddenFile {
    /// The client has muted it.
    muted: bool,
    /// The events for which the kernel keeps its answer.
    kept: AuthEvents,
}

impl HiddenFile {
    /// Nothing is hidden.
    const NOTHING: HiddenFile = HiddenFile { muted: false, kept: AuthEvents::NONE };
}

impl Default for Hidden {
    fn default() -> Hidden {
        Hidden { unsubscribed: AuthEvents::NONE, files: Vec::new() }
    }
}

impl Hidden {
    /// Forgets what was kept and follows this behaviour.
    pub(crate) fn follow(&mut self, behavior: &Behavior, files: &Files) {
        self.unsubscribed = AuthEvents::ALL.without(behavior.subscribe);
        self.files.clear();
        if !behavior.mute.paths.is_empty() || behavior.cache == Cache::On {
            let muted = |file| behavior.mute.paths.iter().any(|path| files.lies_in(file, path));
            self.files.extend(
                (0..files.count()).map(|file| HiddenFile { muted: muted(file), ..HiddenFile::NOTHING }),
            );
        }
    }

    /// True when the client is not asked about such an event on this file.
    #[inline]
    pub(crate) fn hides(&self, file: u32, event: EventKind) -> bool {
        let hidden = self.files.get(file as usize).copied().unwrap_or(HiddenFile::NOTHING);
        self.unsubscribed.contains(event) || (hidden.muted && event.is_auth()) || hidden.kept.contains(event)
    }

    /// True for a file that the client has muted: it is not told of it either.
    #[inline]
    pub(crate) fn mutes(&self, file: u32) -> bool {
        self.files.get(file as usize).is_some_and(|hidden| hidden.muted)
    }

    /// The kernel keeps an answer: the client is not asked again about such an event on this file.
    pub(crate) fn keep(&mut self, file: u32, event: EventKind, files: &Files) {
        self.files.resize(files.count() as usize, HiddenFile::NOTHING);
        if let (Some(hidden), Some(event)) = (self.files.get_mut(file as usize), event.auth()) {
            hidden.kept = hidden.kept.with(event);
        }
    }

    /// The kernel forgets its answers about a file.
    pub(crate) fn forget_file(&mut self, file: u32) {
        if let Some(hidden) = self.files.get_mut(file as usize) {
            hidden.kept = AuthEvents::NONE;
        }
    }

    /// The kernel forgets all answers.
    pub(crate) fn forget(&mut self) {
        self.files.iter_mut().for_each(|hidden| hidden.kept = AuthEvents::NONE);
    }
}
