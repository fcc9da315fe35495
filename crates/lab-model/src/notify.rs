//! Kinds of NOTIFY events and sets of them: what a client hears of after it has happened.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{BackendChoice, EventKind};

/// What a client can be told of after it has happened. Nobody waits for whoever is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NotifyEvent {
    /// A file was opened: `NOTIFY_OPEN`, `FAN_OPEN`.
    Open,
    /// A program was run: `NOTIFY_EXEC`, `FAN_OPEN_EXEC`.
    Exec,
    /// A file was closed: `NOTIFY_CLOSE`, `FAN_CLOSE`.
    Close,
    /// A file was written to: `NOTIFY_WRITE`, `FAN_MODIFY`.
    Write,
    /// A process was forked: `NOTIFY_FORK`. Endpoint Security only.
    Fork,
    /// A process ended: `NOTIFY_EXIT`. Endpoint Security only.
    Exit,
    /// A file was made: `NOTIFY_CREATE`, `FAN_CREATE`.
    Create,
    /// A file got another name: `NOTIFY_RENAME`, `FAN_RENAME`.
    Rename,
    /// A name of a file was taken away: `NOTIFY_UNLINK`, `FAN_DELETE`.
    Unlink,
}

impl NotifyEvent {
    /// All of them, in the order of reports.
    pub const ALL: [NotifyEvent; 9] = [
        NotifyEvent::Open,
        NotifyEvent::Exec,
        NotifyEvent::Close,
        NotifyEvent::Write,
        NotifyEvent::Fork,
        NotifyEvent::Exit,
        NotifyEvent::Create,
        NotifyEvent::Rename,
        NotifyEvent::Unlink,
    ];

    /// The word in lab files and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            NotifyEvent::Open => "open",
            NotifyEvent::Exec => "exec",
            NotifyEvent::Close => "close",
            NotifyEvent::Write => "write",
            NotifyEvent::Fork => "fork",
            NotifyEvent::Exit => "exit",
            NotifyEvent::Create => "create",
            NotifyEvent::Rename => "rename",
            NotifyEvent::Unlink => "unlink",
        }
    }

    /// The kernel's kind of event.
    #[must_use]
    pub const fn kind(self) -> EventKind {
        match self {
            NotifyEvent::Open => EventKind::NotifyOpen,
            NotifyEvent::Exec => EventKind::NotifyExec,
            NotifyEvent::Close => EventKind::NotifyClose,
            NotifyEvent::Write => EventKind::NotifyWrite,
            NotifyEvent::Fork => EventKind::NotifyFork,
            NotifyEvent::Exit => EventKind::NotifyExit,
            NotifyEvent::Create => EventKind::NotifyCreate,
            NotifyEvent::Rename => EventKind::NotifyRename,
            NotifyEvent::Unlink => EventKind::NotifyUnlink,
        }
    }

    /// True for a change of names, by which a file comes or goes.
    #[must_use]
    pub const fn is_of_names(self) -> bool {
        matches!(self, NotifyEvent::Create | NotifyEvent::Rename | NotifyEvent::Unlink)
    }

    /// What a client is told of by the kernel's kind of event; `None` for one that no lab asks for.
    #[must_use]
    pub fn of_kind(kind: EventKind) -> Option<NotifyEvent> {
        NotifyEvent::ALL.into_iter().find(|event| event.kind() == kind)
    }

    /// Why this backend tells nobody of such events; `None` when it does. `auto` and the simulator tell of everything
    /// until it is known whose rules they follow.
    #[must_use]
    pub const fn unsupported_by(self, backend: BackendChoice) -> Option<&'static str> {
        match (backend, self) {
            (BackendChoice::Fanotify, NotifyEvent::Fork | NotifyEvent::Exit) => {
                Some("fanotify tells of files, not of processes")
            }
            (_, _) => None,
        }
    }
}

/// A set of [`NotifyEvent`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<NotifyEvent>", into = "Vec<NotifyEvent>")]
pub struct NotifyEvents(u16);

impl NotifyEvents {
    /// None at all.
    pub const NONE: NotifyEvents = NotifyEvents(0);

    /// The set with these bits, which are those of the trace; unknown ones are left out.
    #[must_use]
    pub const fn from_bits(bits: u16) -> NotifyEvents {
        NotifyEvents(bits & ((1 << NotifyEvent::ALL.len()) - 1))
    }

    /// A bit for each event, the lowest for [`NotifyEvent::Open`], in the order of [`NotifyEvent::ALL`].
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The set with this event.
    #[must_use]
    pub const fn with(self, event: NotifyEvent) -> NotifyEvents {
        NotifyEvents(self.0 | 1 << event as u16)
    }

    /// True when the event is in it.
    #[must_use]
    pub const fn contains(self, event: NotifyEvent) -> bool {
        self.0 & 1 << event as u16 != 0
    }

    /// True when there is a change of names in it: fanotify tells of those by a group of their own.
    #[must_use]
    pub fn has_names(self) -> bool {
        self.iter().any(NotifyEvent::is_of_names)
    }

    /// How many fanotify groups it takes to be told of all this.
    #[must_use]
    pub fn groups(self) -> usize {
        usize::from(!self.is_empty()) + usize::from(self.has_names())
    }

    /// True when nothing is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its events, in the order of [`NotifyEvent::ALL`].
    pub fn iter(self) -> impl Iterator<Item = NotifyEvent> {
        NotifyEvent::ALL.into_iter().filter(move |&event| self.contains(event))
    }
}

impl FromIterator<NotifyEvent> for NotifyEvents {
    fn from_iter<I: IntoIterator<Item = NotifyEvent>>(events: I) -> NotifyEvents {
        events.into_iter().fold(NotifyEvents::NONE, NotifyEvents::with)
    }
}

impl From<Vec<NotifyEvent>> for NotifyEvents {
    fn from(events: Vec<NotifyEvent>) -> NotifyEvents {
        events.into_iter().collect()
    }
}

impl From<NotifyEvents> for Vec<NotifyEvent> {
    fn from(events: NotifyEvents) -> Vec<NotifyEvent> {
        events.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_its_events() {
        let all: NotifyEvents = NotifyEvent::ALL.into_iter().collect();
        assert_eq!(all.iter().collect::<Vec<_>>(), NotifyEvent::ALL);
        assert_eq!(NotifyEvents::from_bits(u16::MAX), all, "bits that mean nothing are left out");
        let some = NotifyEvents::NONE.with(NotifyEvent::Close);
        assert_eq!((some.bits(), some.contains(NotifyEvent::Close)), (4, true));
        assert!(!some.contains(NotifyEvent::Open) && NotifyEvents::NONE.is_empty());
    }

    #[test]
    fn kinds_are_those_of_the_trace() {
        for event in NotifyEvent::ALL {
            assert_eq!(NotifyEvent::of_kind(event.kind()), Some(event));
            assert_eq!(EventKind::from_code(event.kind().code()), event.kind());
            assert_eq!(event.kind().name(), format!("notify_{}", event.name()));
        }
        assert_eq!(NotifyEvent::of_kind(EventKind::AuthOpen), None);
    }
}
