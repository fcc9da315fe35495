//! What a client was told after it had happened.

use lab_model::{Actor, NotifyEvents, SubjectClass, ThreadId, Ticks};

use super::{
    Target,
    words::{both, class_code, class_from, high, low, optional, ticks, u16_at},
};

/// One NOTIFY event as its client read it. Nobody waited for it, and nobody answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// When it had been read.
    pub read: Ticks,
    /// Who acted, as the kernel named it.
    pub subject: ThreadId,
    /// When the kernel stamped it; `None` where the kernel gives no time (fanotify).
    pub kernel: Option<Ticks>,
    /// The kernel's own sequence number; 0 where there is none.
    pub sequence: u64,
    /// What happened. Several where the kernel had merged events that were not read yet: fanotify does that with
    /// those of one thread on one file, and does not say how many of each there were.
    pub events: NotifyEvents,
    /// Whose process the subject is, as far as the client could tell.
    pub class: SubjectClass,
    /// The lab process the client took the subject for; [`Actor::UNKNOWN`] if none.
    pub actor: Actor,
    /// It set the client's reaction off.
    pub reacts: bool,
    /// Whether the file had been changed when it was closed; `None` for other events and where the kernel does not
    /// say (fanotify).
    pub modified: Option<bool>,
    /// The file; `None` when it could not be told.
    pub target: Option<Target>,
}

impl Notice {
    pub(crate) fn words(&self) -> [u64; 15] {
        let mut words = [0; 15];
        words[0] = self.read.0;
        words[1] = self.subject.tid;
        words[2] = both(self.subject.pid, self.subject.generation);
        words[3] = optional(self.kernel);
        words[4] = self.sequence;
        words[5] = u64::from(self.events.bits())
            | (class_code(self.class) << 16)
            | (u64::from(self.actor.0) << 32)
            | (u64::from(self.reacts) << 48);
        if let Some(target) = self.target {
            words[6] = target.inode;
            words[7] = both(target.device, target.path);
        }
        words[8] = self.modified.map_or(0, |modified| u64::from(modified).saturating_add(1));
        words
    }

    /// `None` for an event, a class, a reaction or a change that this version does not know.
    pub(crate) fn from_words(words: &[u64]) -> Option<Notice> {
        let bits = u16_at(words[5], 0);
        let events = NotifyEvents::from_bits(bits);
        let reacts = match u16_at(words[5], 48) {
            0 => false,
            1 => true,
            _ => return None,
        };
        let modified = match words[8] {
            0 => None,
            1 => Some(false),
            2 => Some(true),
            _ => return None,
        };
        let target = Target { inode: words[6], device: low(words[7]), path: high(words[7]) };
        (events.bits() == bits).then_some(())?;
        Some(Notice {
            read: Ticks(words[0]),
            subject: ThreadId { pid: low(words[2]), tid: words[1], generation: high(words[2]) },
            kernel: ticks(words[3]),
            sequence: words[4],
            events,
            class: class_from(u16_at(words[5], 16))?,
            actor: Actor(u16_at(words[5], 32)),
            reacts,
            modified,
            target: (target.inode != 0).then_some(target),
        })
    }
}
