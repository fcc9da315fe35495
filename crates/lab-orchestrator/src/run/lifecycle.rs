//! How far a run has come, and whether and why it is to end.

use crate::{Failure, FailureKind};

/// The state of a run as a whole.
#[derive(Debug, Default)]
pub(super) struct Lifecycle {
    /// The clients behave as the lab file says, no longer as the control does.
    behaving: bool,
    /// Everybody has been ordered to end.
    finishing: bool,
    /// Why it is to end before its last phase.
    stopped: Option<FailureKind>,
    /// The first thing that went wrong with a fault, a restart or a helper.
    trouble: Option<Failure>,
}

impl Lifecycle {
    /// From now on the clients behave as the lab file says.
    pub(super) const fn behave(&mut self) {
        self.behaving = true;
    }

    pub(super) const fn is_behaving(&self) -> bool {
        self.behaving
    }

    /// Everybody is being ordered to end.
    pub(super) const fn finish(&mut self) {
        self.finishing = true;
    }

    pub(super) const fn is_finishing(&self) -> bool {
        self.finishing
    }

    /// The run is to end; false when that was known already: whoever asks again has been heard.
    pub(super) const fn stop(&mut self, kind: FailureKind) -> bool {
        let is_news = self.stopped.is_none();
        if is_news {
            self.stopped = Some(kind);
        }
        is_news
    }

    /// Something went wrong that ends the run. What went wrong first is what is said.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.stop(failure.kind);
        self.trouble.get_or_insert(failure);
    }

    pub(super) const fn stopped(&self) -> Option<FailureKind> {
        self.stopped
    }

    pub(super) const fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// While a run ends, another reason to end it has nothing left to stop; that a person wants it is remembered.
    pub(super) fn forget_all_but_interruption(&mut self) {
        self.stopped = self.stopped.filter(|kind| *kind == FailureKind::Interrupted);
    }

    /// What went wrong first; asked once.
    pub(super) fn trouble(&mut self) -> Option<Failure> {
        self.trouble.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_to_end_is_the_one() {
        let mut state = Lifecycle::default();
        assert!(!state.is_stopped());
        assert!(state.stop(FailureKind::Product));
        assert!(!state.stop(FailureKind::Interrupted));
        state.fail(Failure::new(FailureKind::Output, "one"));
        state.fail(Failure::new(FailureKind::Bug, "two"));
        assert_eq!(state.stopped(), Some(FailureKind::Product));
        assert_eq!(state.trouble().map(|failure| failure.message), Some("one".to_owned()));
        assert!(state.trouble().is_none());
        state.forget_all_but_interruption();
        assert!(!state.is_stopped());
        assert!(state.stop(FailureKind::Interrupted));
        state.forget_all_but_interruption();
        assert_eq!(state.stopped(), Some(FailureKind::Interrupted));
    }
}
