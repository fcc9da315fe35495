//! The table of events: what a kernel asks or tells a client about, and what each is called.
//!
//! A new AUTH event is a variant of [`AuthEvent`] with a row, a new NOTIFY event one of [`NotifyEvent`]. Codes, words,
//! sets and the masks of fanotify come from here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::VariantArray;

use crate::{Kernel, OperationKind};

/// What a kernel asks or tells a client about. The numbers are those of `es_event_type_t`; the fanotify
/// backend maps its masks onto them, so that one trace serves both kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[doc(alias = "es_event_type_t")]
pub enum EventKind {
    /// The operation waits for the client's answer.
    Auth(AuthEvent),
    /// It has happened, and nobody waits.
    Notify(NotifyEvent),
    /// Any other event, kept as the kernel's own number. Only imported records have some.
    Other(u16),
}

/// What a client can be asked about before it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, VariantArray)]
pub enum AuthEvent {
    /// A file is about to be opened.
    Open,
    /// A program is about to be executed.
    Exec,
}

/// What a client can be told of after it has happened. Nobody waits for whoever is told.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, VariantArray,
)]
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

/// What is known of an event.
struct Row {
    /// `es_event_type_t` (`ESTypes.h`), which is the number in the trace, too.
    code: u16,
    /// The name in traces and reports.
    name: &'static str,
    /// The word in lab files.
    word: &'static str,
    /// The bits of fanotify (`linux/fanotify.h`); none where it has no such event.
    mask: u64,
}

impl AuthEvent {
    /// All of them, in the order of reports.
    pub const ALL: &'static [AuthEvent] = AuthEvent::VARIANTS;

    #[doc(alias = "FAN_OPEN_PERM")]
    #[doc(alias = "FAN_OPEN_EXEC_PERM")]
    const fn row(self) -> Row {
        match self {
            AuthEvent::Open => Row { code: 1, name: "auth_open", word: "open", mask: 0x1_0000 },
            AuthEvent::Exec => Row { code: 0, name: "auth_exec", word: "exec", mask: 0x4_0000 },
        }
    }

    /// The operation that such an event is about.
    #[must_use]
    pub const fn operation(self) -> OperationKind {
        match self {
            AuthEvent::Open => OperationKind::Open,
            AuthEvent::Exec => OperationKind::Exec,
        }
    }

    /// The word in lab files and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        self.row().word
    }

    /// Its bits in a mask of fanotify.
    #[must_use]
    pub const fn fanotify_mask(self) -> u64 {
        self.row().mask
    }

    /// The event of this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<AuthEvent> {
        AuthEvent::ALL.iter().copied().find(|event| event.word() == word)
    }
}

impl NotifyEvent {
    /// All of them, in the order of reports.
    pub const ALL: &'static [NotifyEvent] = NotifyEvent::VARIANTS;

    const fn row(self) -> Row {
        match self {
            NotifyEvent::Open => Row { code: 10, name: "notify_open", word: "open", mask: 0x20 },
            NotifyEvent::Exec => Row { code: 9, name: "notify_exec", word: "exec", mask: 0x1000 },
            NotifyEvent::Close => Row { code: 12, name: "notify_close", word: "close", mask: 0x18 },
            NotifyEvent::Write => Row { code: 33, name: "notify_write", word: "write", mask: 0x2 },
            NotifyEvent::Fork => Row { code: 11, name: "notify_fork", word: "fork", mask: 0 },
            NotifyEvent::Exit => Row { code: 15, name: "notify_exit", word: "exit", mask: 0 },
            NotifyEvent::Create => Row { code: 13, name: "notify_create", word: "create", mask: 0x100 },
            NotifyEvent::Rename => Row { code: 25, name: "notify_rename", word: "rename", mask: 0x1000_0000 },
            NotifyEvent::Unlink => Row { code: 32, name: "notify_unlink", word: "unlink", mask: 0x200 },
        }
    }

    /// The word in lab files and reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        self.row().word
    }

    /// Its bits in a mask of fanotify; 0 when it has no such event.
    #[must_use]
    pub const fn fanotify_mask(self) -> u64 {
        self.row().mask
    }

    /// Why this kernel tells nobody of such events; `None` when it does.
    #[must_use]
    pub const fn unsupported_by(self, kernel: Kernel) -> Option<&'static str> {
        if self.fanotify_mask() == 0 && !kernel.tells_of_processes() {
            Some("fanotify tells of files, not of processes")
        } else {
            None
        }
    }
}

impl EventKind {
    /// A file is about to be opened.
    pub const AUTH_OPEN: EventKind = EventKind::Auth(AuthEvent::Open);
    /// A program is about to be executed.
    pub const AUTH_EXEC: EventKind = EventKind::Auth(AuthEvent::Exec);

    /// The number in the trace.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            EventKind::Auth(event) => event.row().code,
            EventKind::Notify(event) => event.row().code,
            EventKind::Other(code) => code,
        }
    }

    /// The event with this number. Never fails: an unknown number is kept.
    #[must_use]
    pub fn from_code(code: u16) -> EventKind {
        EventKind::known().find(|kind| kind.code() == code).unwrap_or(EventKind::Other(code))
    }

    /// The name in traces and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            EventKind::Auth(event) => event.row().name,
            EventKind::Notify(event) => event.row().name,
            EventKind::Other(_) => "other",
        }
    }

    /// True when the operation waits for the client's answer (`ES_ACTION_TYPE_AUTH`).
    #[must_use]
    pub const fn is_auth(self) -> bool {
        matches!(self, EventKind::Auth(_))
    }

    /// What a client is asked about; `None` for what it is told of.
    #[must_use]
    pub const fn auth(self) -> Option<AuthEvent> {
        if let EventKind::Auth(event) = self { Some(event) } else { None }
    }

    /// What a client is told of; `None` for what it is asked about, and for an event that no lab subscribes to.
    #[must_use]
    pub const fn notify(self) -> Option<NotifyEvent> {
        if let EventKind::Notify(event) = self { Some(event) } else { None }
    }

    /// All kinds that have a row.
    pub fn known() -> impl Iterator<Item = EventKind> {
        let auth = AuthEvent::ALL.iter().copied().map(EventKind::Auth);
        auth.chain(NotifyEvent::ALL.iter().copied().map(EventKind::Notify))
    }
}

impl From<AuthEvent> for EventKind {
    fn from(event: AuthEvent) -> EventKind {
        EventKind::Auth(event)
    }
}

impl From<NotifyEvent> for EventKind {
    fn from(event: NotifyEvent) -> EventKind {
        EventKind::Notify(event)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_has_a_number_and_a_name_of_its_own() {
        let all: Vec<EventKind> = EventKind::known().collect();
        let names: BTreeSet<&str> = all.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), all.len());
        for kind in all {
            assert_eq!(EventKind::from_code(kind.code()), kind);
        }
        assert_eq!(EventKind::from_code(2), EventKind::Other(2), "AUTH_KEXTLOAD, which no lab subscribes to");
    }

    #[test]
    fn a_name_is_its_form_and_its_word() {
        for &event in AuthEvent::ALL {
            assert_eq!(EventKind::Auth(event).name(), format!("auth_{}", event.word()));
            assert_eq!(AuthEvent::of_word(event.word()), Some(event));
        }
        for &event in NotifyEvent::ALL {
            assert_eq!(EventKind::Notify(event).name(), format!("notify_{}", event.word()));
        }
    }
}
