//! Who acts, as the kernel knows it and as a client can tell.

use lab_model::{Actor, SubjectClass};

use crate::hardware::NONE;

/// Who acts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) pid: u32,
    pub(crate) tid: u64,
    /// The client it is a thread of, or [`NONE`].
    pub(crate) client: u32,
    /// The client that has started it as a program or helper, or [`NONE`].
    pub(crate) parent: u32,
    /// The client that a helper or daemon acts for, or [`NONE`].
    pub(crate) behalf: u32,
    /// As a client can tell.
    pub(crate) actor: Actor,
}

impl Subject {
    /// What it is to this client, as far as that can tell.
    #[inline]
    pub(crate) fn class_for(&self, client: u32) -> SubjectClass {
        match self.client {
            NONE if self.parent == client => SubjectClass::OwnHelper,
            NONE => SubjectClass::Workload,
            own if own == client => SubjectClass::Own,
            _ => SubjectClass::Peer,
        }
    }

    /// The client whose doing it is, whoever can tell; or [`NONE`].
    #[inline]
    pub(crate) const fn originator(&self) -> u32 {
        match (self.client, self.behalf) {
            (NONE, NONE) => self.parent,
            (NONE, behalf) => behalf,
            (client, _) => client,
        }
    }
}
