//! What could not be recorded or observed.

use lab_model::Ticks;

use super::words::u16_at;

/// What was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LossKind {
    /// Records that did not fit the trace.
    Records,
    /// Events that the kernel dropped.
    Events,
    /// Paths that were not recorded because the table was full.
    Paths,
    /// Targets that were closed unresolved because the ring was full.
    Targets,
    /// NOTIFY events that the kernel could not hand over.
    Notices,
    /// The kernel's queue of NOTIFY events overflowed; counts how often, for how many it dropped is unknown.
    NoticesOverflowed,
    /// NOTIFY events that lay unread in the kernel's queue at the end.
    NoticesUnread,
    /// Reactions to NOTIFY events that were not begun, because the queue of work was full.
    Reactions,
    /// Planned operations of the workload that were not begun: the driver was too far behind.
    NotBegunLate,
    /// Planned operations of the workload that were not begun: their phase was halted.
    NotBegunHalted,
    /// Events that the kernel could not hand over and so denied, with the `errno` of the read, below 4096.
    NotHandedOver(u16),
    /// Another kind, by number.
    Other(u16),
}

/// The codes of [`LossKind::NotHandedOver`] are this and the `errno`.
const NOT_HANDED_OVER: u16 = 0x1000;
const ERROR: u16 = 0xfff;

impl LossKind {
    pub(super) const fn code(self) -> u16 {
        match self {
            LossKind::Records => 1,
            LossKind::Events => 2,
            LossKind::Paths => 3,
            LossKind::Targets => 4,
            LossKind::Notices => 5,
            LossKind::NoticesOverflowed => 6,
            LossKind::NoticesUnread => 7,
            LossKind::Reactions => 8,
            LossKind::NotBegunLate => 16,
            LossKind::NotBegunHalted => 17,
            LossKind::NotHandedOver(error) => NOT_HANDED_OVER | error,
            LossKind::Other(code) => code,
        }
    }

    pub(super) const fn from_code(code: u16) -> LossKind {
        match code {
            1 => LossKind::Records,
            2 => LossKind::Events,
            3 => LossKind::Paths,
            4 => LossKind::Targets,
            5 => LossKind::Notices,
            6 => LossKind::NoticesOverflowed,
            7 => LossKind::NoticesUnread,
            8 => LossKind::Reactions,
            16 => LossKind::NotBegunLate,
            17 => LossKind::NotBegunHalted,
            refused if refused & !ERROR == NOT_HANDED_OVER => LossKind::NotHandedOver(refused & ERROR),
            other => LossKind::Other(other),
        }
    }
}

/// Something could not be recorded or observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// When it was noticed.
    pub at: Ticks,
    /// What.
    pub kind: LossKind,
    /// How many.
    pub count: u64,
}

impl Loss {
    pub(crate) fn words(&self) -> [u64; 15] {
        let mut words = [0; 15];
        words[0] = self.at.0;
        words[1] = u64::from(self.kind.code());
        words[2] = self.count;
        words
    }

    pub(super) fn from_words(words: &[u64]) -> Loss {
        Loss { at: Ticks(words[0]), kind: LossKind::from_code(u16_at(words[1], 0)), count: words[2] }
    }
}
