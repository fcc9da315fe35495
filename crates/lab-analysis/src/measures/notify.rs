//! What clients were told of after it had happened (NOTIFY): counted apart from decisions, for nobody waited.

use lab_model::{Lab, NotifyEvent};

use crate::measures::latency::Times;

/// One client's counts over storm and drain.
#[derive(Clone, Debug, Default)]
pub(crate) struct NotifyTally {
    /// Some behaviour of the client has it told of something.
    pub(crate) listens: bool,
    pub(crate) notices: u64,
    pub(crate) by_event: [u64; NotifyEvent::ALL.len()],
    /// Notices of more than one kind of event, which the kernel had merged.
    pub(crate) mixed: u64,
    /// By column of the cause matrix.
    pub(crate) by_author: Vec<u64>,
    /// Notices that set the client's reaction off.
    pub(crate) reacted: u64,
    /// Operations made because of them, in storm and drain.
    pub(crate) operations: u64,
    /// Decisions, anybody's, about those operations.
    pub(crate) inflicted: u64,
    /// From the operation's end to the read; nothing when it was read before that.
    pub(crate) lag: Times,
    pub(crate) opens: Coverage,
    pub(crate) execs: Coverage,
}

/// Operations that succeeded, and what a client was told of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Coverage {
    /// The client listens to these.
    pub(crate) wanted: bool,
    pub(crate) operations: u64,
    /// Opens: notices of one, each of which stands for at least one. Execs: those of which there was a notice.
    pub(crate) notified: u64,
}

impl NotifyTally {
    /// One for each client of the lab, then one for each that only a trace knows.
    pub(crate) fn of(lab: &Lab, clients: usize, columns: usize) -> Vec<NotifyTally> {
        let of_lab = lab.clients.iter().map(|client| {
            let wants = |event| lab.behaviors_of(client).any(|behavior| behavior.notify.contains(event));
            NotifyTally {
                listens: lab.notifies(client),
                opens: Coverage { wanted: wants(NotifyEvent::Open), ..Coverage::default() },
                execs: Coverage { wanted: wants(NotifyEvent::Exec), ..Coverage::default() },
                ..NotifyTally::default()
            }
        });
        let all = of_lab.chain(std::iter::repeat_with(NotifyTally::default)).take(clients);
        all.map(|tally| NotifyTally { by_author: vec![0; columns], ..tally }).collect()
    }
}

/// An operation of which clients may still be told: a thread's latest on its file, for the kernel names both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noticeable {
    pub(crate) column: u16,
    pub(crate) exec: bool,
    pub(crate) ended: u64,
    /// It counts among the operations of storm and drain.
    pub(crate) counted: bool,
    /// It succeeded, so that whoever listens should be told.
    pub(crate) succeeded: bool,
    /// An exec: the clients that were told of it, as bits.
    pub(crate) notified: u128,
    pub(crate) root: bool,
    /// Held, so that reactions find it open; [`crate::pass::slots::NONE`] where no client reacts.
    pub(crate) cascade: u32,
    pub(crate) in_storm: bool,
    pub(crate) node: u32,
    pub(crate) depth: u32,
    pub(crate) flame: u32,
    pub(crate) above: u128,
    /// Who brought it about, as a type of [`crate::measures::gain::Gain`], and whether that was about a client's operation.
    pub(crate) by: Option<(u16, bool)>,
}

/// A notice whose reactions are still to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reacting {
    pub(crate) client: u16,
    pub(crate) cascade: u32,
    pub(crate) node: u32,
    pub(crate) depth: u32,
    pub(crate) flame: u32,
    pub(crate) above: u128,
    pub(crate) about_client: bool,
    /// Operations that it will still have caused; 255 stands for 255 or more.
    pub(crate) children_left: u8,
}
